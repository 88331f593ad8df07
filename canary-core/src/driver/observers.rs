//! Hands records to observers off the driver's own path, so that a slow one holds nothing up.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use tokio::sync::watch;

use crate::ports::Observer;
use crate::record::Record;
use crate::value::RolloutId;

/// How many records an observer may be behind before it misses some.
const MOST: usize = 1024;

/// How long a save, and the end of a rollout, wait for an observer.
const PATIENCE: Duration = Duration::from_secs(1);

/// Tells the observers of one rollout; clones tell the same ones.
#[derive(Clone, Debug)]
pub(super) struct Observers {
    outboxes: Arc<[Arc<Outbox>]>,
}

/// Holds what one observer has not been told yet.
#[derive(Debug)]
struct Outbox {
    rollout: RolloutId,
    observer: Arc<dyn Observer>,
    queue: Mutex<Queue>,
    /// Whether a thread is telling it; changed with the queue locked.
    busy: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Queue {
    records: VecDeque<Record>,
    missed: u64,
    /// Whether somebody waited for it in vain: nobody does again until it has caught up.
    lags: bool,
}

impl Observers {
    pub(super) fn new(rollout: &RolloutId, observers: Vec<Arc<dyn Observer>>) -> Self {
        let outbox = |observer| {
            Arc::new(Outbox {
                rollout: rollout.clone(),
                observer,
                queue: Mutex::default(),
                busy: watch::Sender::new(false),
            })
        };
        Self { outboxes: observers.into_iter().map(outbox).collect() }
    }

    /// Hands a record to every observer, and waits for none.
    pub(super) fn tell(&self, record: &Record) {
        for outbox in &*self.outboxes {
            outbox.push(record);
        }
    }

    /// Waits until observers have heard everything so far, but for no slow one.
    ///
    /// A state that is saved says that its records were told: so nothing is lost if the process dies.
    pub(super) async fn have_heard(&self) {
        join_all(self.outboxes.iter().map(|outbox| outbox.has_heard())).await;
    }
}

impl Outbox {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Every change is one call: a panic leaves nothing half done.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(self: &Arc<Self>, record: &Record) {
        let mut queue = self.queue();
        if queue.records.len() == MOST {
            queue.missed += 1;
            return;
        }
        queue.records.push_back(record.clone());
        if !self.busy.send_replace(true) {
            let outbox = Arc::clone(self);
            drop(tokio::task::spawn_blocking(move || outbox.empty()));
        }
    }

    /// Tells the observer everything that waits.
    fn empty(&self) {
        while let Some(record) = self.next() {
            let told = || self.observer.notice(&self.rollout, &record);
            if let Err(panic) = catch_unwind(AssertUnwindSafe(told)) {
                // Dropping it is the observer's code once more, which may panic once more.
                std::mem::forget(panic);
                tracing::warn!(rollout = %self.rollout, record = record.number, "an observer panicked");
            }
        }
    }

    fn next(&self) -> Option<Record> {
        let mut queue = self.queue();
        let next = queue.records.pop_front();
        if next.is_none() {
            queue.lags = false;
            let missed = std::mem::take(&mut queue.missed);
            if missed > 0 {
                tracing::warn!(rollout = %self.rollout, missed, "an observer was too slow and missed records");
            }
            self.busy.send_replace(false);
        }
        next
    }

    async fn has_heard(&self) {
        if self.queue().lags {
            return;
        }
        let mut busy = self.busy.subscribe();
        if tokio::time::timeout(PATIENCE, busy.wait_for(|busy| !*busy)).await.is_err() {
            self.queue().lags = true;
            tracing::warn!(rollout = %self.rollout, "an observer is slow; nothing waits for it");
        }
    }
}
