//! Hands records to observers off the driver's own path, so that a slow one holds nothing up.

use std::any::{Any, TypeId};
use std::sync::Arc;

use futures::future::join_all;
use tokio::runtime;

use super::outbox::{Outbox, Taker, Trouble};
use crate::ports::Observer;
use crate::record::Record;
use crate::value::RolloutId;

/// Is told of a rollout; clones are the same one.
#[derive(Clone, Debug)]
pub(super) struct Listener {
    observer: Arc<dyn Observer>,
    /// Its type: observers of one type share threads.
    kind: TypeId,
}

impl Listener {
    pub(super) fn new(observer: impl Observer) -> Self {
        Self { kind: observer.type_id(), observer: Arc::new(observer) }
    }
}

/// Tells the observers of one rollout; clones tell the same ones.
#[derive(Clone, Debug)]
pub(super) struct Observers {
    outboxes: Arc<[Arc<Outbox<Record>>]>,
}

/// Tells one observer of one rollout.
#[derive(Debug)]
struct Told {
    rollout: RolloutId,
    observer: Arc<dyn Observer>,
    /// Where it may spawn what it does not want to wait for.
    runtime: runtime::Handle,
}

impl Observers {
    /// Tells these; to be called in the runtime that drives the rollout.
    pub(super) fn new(rollout: &RolloutId, listeners: Vec<Listener>) -> Self {
        let outbox = |Listener { observer, kind }| {
            let rollout = rollout.clone();
            Outbox::new(Told { rollout, observer, runtime: runtime::Handle::current() }, kind)
        };
        Self { outboxes: listeners.into_iter().map(outbox).collect() }
    }

    /// Hands a record to every observer, and waits for none.
    pub(super) fn tell(&self, record: &Record) {
        for outbox in &*self.outboxes {
            outbox.push(record.clone());
        }
    }

    /// Waits until observers have heard everything so far, but for no slow one.
    ///
    /// A state that is saved says that its records were told: so nothing is lost if the process dies.
    pub(super) async fn have_heard(&self) {
        join_all(self.outboxes.iter().map(|outbox| outbox.is_taken())).await;
    }
}

impl Taker<Record> for Told {
    fn take(&self, record: Record) {
        let _runtime = self.runtime.enter();
        self.observer.notice(&self.rollout, &record);
    }

    fn hear(&self, trouble: Trouble) {
        let rollout = &self.rollout;
        match trouble {
            Trouble::Slow => {
                tracing::warn!(%rollout, "an observer is slow; nothing waits for it");
            }
            Trouble::Full => {
                tracing::warn!(%rollout, "an observer is too slow and misses records");
            }
            Trouble::Missed(missed) => {
                tracing::warn!(%rollout, missed, "an observer was too slow and missed records");
            }
            Trouble::Panicked => tracing::warn!(%rollout, "an observer panicked"),
        }
    }
}
