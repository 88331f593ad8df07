//! Hands things to somebody who may block, off the driver's own path.

use std::any::TypeId;
use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit, watch};

use super::clock::{is_live, wall_time};
use super::threads::{Errand, Threads};

/// How many things may wait for whoever takes them.
const MOST: usize = 1024;

/// How long a save, and the end of a rollout, wait for whoever takes them.
const PATIENCE: Duration = Duration::from_secs(1);

/// Takes what comes out of an outbox, one at a time; it may block, and panic.
pub(super) trait Taker<T>: fmt::Debug + Send + Sync + 'static {
    /// Takes the next one.
    fn take(&self, item: T);

    /// Hears what went wrong.
    fn hear(&self, trouble: Trouble);
}

/// Says what went wrong with a taker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Somebody waited for it in vain; nobody does again until it has taken everything.
    Slow,
    /// The outbox is full: whatever comes now is missed, until everything in it is taken.
    Full,
    /// So many were missed behind the last that it took.
    Missed(u64),
    /// It panicked.
    Panicked,
}

/// Holds what somebody has not taken yet.
#[derive(Debug)]
pub(super) struct Outbox<T> {
    taker: Box<dyn Taker<T>>,
    threads: Arc<Threads>,
    queue: Mutex<Queue<T>>,
    /// Whether anything is left to be taken; changed with the queue locked.
    busy: watch::Sender<bool>,
}

#[derive(Debug)]
struct Queue<T> {
    items: VecDeque<T>,
    /// What came since the queue was full.
    missed: u64,
    /// Whether somebody waited in vain: nobody does again until all is taken.
    lags: bool,
    clock: Option<KeptClock>,
}

enum Next<T> {
    Item(T),
    Gap(u64),
}

impl<T: fmt::Debug + Send + 'static> Outbox<T> {
    /// Makes an empty one; takers of one kind share threads.
    pub(super) fn new(taker: impl Taker<T>, kind: TypeId) -> Arc<Self> {
        Arc::new(Self {
            taker: Box::new(taker),
            threads: Threads::of(kind),
            queue: Mutex::new(Queue {
                items: VecDeque::new(),
                missed: 0,
                lags: false,
                clock: None,
            }),
            busy: watch::Sender::new(false),
        })
    }

    /// Puts one in, and waits for nothing.
    pub(super) fn push(self: &Arc<Self>, item: T) {
        let mut queue = self.queue();
        if queue.missed > 0 {
            queue.missed += 1;
        } else if queue.items.len() == MOST {
            queue.missed = 1;
            drop(queue);
            self.taker.hear(Trouble::Full);
        } else {
            queue.items.push_back(item);
            if !self.busy.send_replace(true) {
                let keeper = if is_live() { None } else { KEEPERS.try_acquire().ok() };
                queue.clock = keeper.map(KeptClock::by);
                drop(queue);
                self.threads.run(Arc::<Self>::clone(self));
            }
        }
    }

    /// Waits until everything so far is taken, but for nobody slow; tells whether it is.
    pub(super) async fn is_taken(&self) -> bool {
        let mut busy = self.busy.subscribe();
        if !*busy.borrow() {
            return true;
        }
        let is_kept = match &*self.queue() {
            Queue { lags: true, .. } => return false,
            queue => queue.clock.is_some() || is_live(),
        };
        let keeping = async {
            // Where there are too many for each to keep the clock, those that are waited for do it in turn.
            let _clock = match KEEPERS.acquire().await {
                Ok(keeper) if !is_kept => Some(KeptClock::by(keeper)),
                _ => None,
            };
            std::future::pending::<()>().await;
        };
        let taken = async {
            tokio::select! {
                biased;
                _ = busy.wait_for(|busy| !*busy) => {}
                () = keeping => {}
            }
        };
        let taken = tokio::time::timeout(PATIENCE, taken).await.is_ok();
        if !taken {
            let mut queue = self.queue();
            (queue.lags, queue.clock) = (*self.busy.borrow(), None);
            drop(queue);
            self.taker.hear(Trouble::Slow);
        }
        taken
    }

    fn next(&self) -> Option<Next<T>> {
        let mut queue = self.queue();
        if let Some(item) = queue.items.pop_front() {
            return Some(Next::Item(item));
        }
        let missed = std::mem::take(&mut queue.missed);
        if missed > 0 {
            return Some(Next::Gap(missed));
        }
        queue.lags = false;
        // Of many rollouts most have nothing to tell at any moment.
        queue.items = VecDeque::new();
        // Let go once those who wait have been told, or the clock could run past their patience in between.
        let _clock = queue.clock.take();
        self.busy.send_replace(false);
        None
    }

    fn queue(&self) -> MutexGuard<'_, Queue<T>> {
        // No foreign code runs while it is locked, so nothing panics there.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: fmt::Debug + Send + 'static> Errand for Outbox<T> {
    fn run(&self) -> bool {
        let Some(next) = self.next() else { return false };
        let take = || match next {
            Next::Item(item) => self.taker.take(item),
            Next::Gap(missed) => self.taker.hear(Trouble::Missed(missed)),
        };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(take)) {
            // Dropping it is the taker's code once more, which may panic once more.
            std::mem::forget(panic);
            self.taker.hear(Trouble::Panicked);
        }
        true
    }
}

/// How many threads of the runtime may keep clocks.
static KEEPERS: Semaphore = Semaphore::const_new(32);

/// Keeps a clock that a test has paused from running ahead for as long as this lives, and a second at most.
///
/// Such a clock stands still while a blocking thread of the runtime is at work; ours are none of those.
#[derive(Debug)]
struct KeptClock {
    _keep: mpsc::Sender<()>,
}

impl KeptClock {
    fn by(keeper: SemaphorePermit<'static>) -> Self {
        let (keep, kept) = mpsc::channel::<()>();
        // From now on: it may be long until a thread is free.
        let end = wall_time() + PATIENCE;
        drop(tokio::task::spawn_blocking(move || {
            let _ = kept.recv_timeout(end.saturating_duration_since(wall_time()));
            drop(keeper);
        }));
        Self { _keep: keep }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

    use super::*;

    /// Takes a number when the test lets it, and says so.
    #[derive(Debug)]
    struct Takes {
        free: Mutex<mpsc::Receiver<()>>,
        said: mpsc::Sender<Said>,
    }

    #[derive(Debug, PartialEq)]
    enum Said {
        Begins(usize),
        Hears(Trouble),
    }

    impl Taker<usize> for Takes {
        fn take(&self, item: usize) {
            self.said.send(Said::Begins(item)).unwrap();
            let _ = self.free.lock().unwrap().recv();
            assert_ne!(item, 1, "a defect of the taker");
        }

        fn hear(&self, trouble: Trouble) {
            self.said.send(Said::Hears(trouble)).unwrap();
        }
    }

    #[tokio::test]
    async fn one_that_is_too_slow_hears_what_it_missed_and_goes_on() {
        let (free, freed) = mpsc::channel();
        let (said, says) = mpsc::channel();
        let outbox = Outbox::new(Takes { free: freed.into(), said }, TypeId::of::<Takes>());
        outbox.push(0);
        assert_eq!(says.recv().unwrap(), Said::Begins(0));
        (1..=MOST + 5).for_each(|item| outbox.push(item));
        assert_eq!(says.recv().unwrap(), Said::Hears(Trouble::Full));
        assert!(!outbox.is_taken().await);
        assert!(!outbox.is_taken().await);
        assert_eq!(says.recv().unwrap(), Said::Hears(Trouble::Slow), "once");
        drop(free);
        for item in 1..=MOST {
            assert_eq!(says.recv().unwrap(), Said::Begins(item));
            if item == 1 {
                assert_eq!(says.recv().unwrap(), Said::Hears(Trouble::Panicked));
            }
        }
        assert_eq!(says.recv().unwrap(), Said::Hears(Trouble::Missed(5)));
        while *outbox.busy.borrow() {
            tokio::task::yield_now().await;
        }
        outbox.push(MOST + 6);
        assert!(outbox.is_taken().await);
        assert_eq!(says.recv().unwrap(), Said::Begins(MOST + 6));
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_paused_stands_while_something_is_taken() {
        let (free, freed) = mpsc::channel();
        let (said, says) = mpsc::channel();
        let outbox = Outbox::new(Takes { free: freed.into(), said }, TypeId::of::<Takes>());
        outbox.push(0);
        let freeing = std::thread::spawn(move || {
            says.recv().unwrap();
            drop(free);
        });
        tokio::select! {
            taken = outbox.is_taken() => assert!(taken),
            () = tokio::time::sleep(Duration::from_millis(1)) => panic!("the clock ran ahead"),
        }
        freeing.join().unwrap();
    }
}
