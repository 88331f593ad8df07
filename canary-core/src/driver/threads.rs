//! Runs what may block on threads of its own, so that it takes none from the runtime.

use std::any::TypeId;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How many threads there are for errands of one kind, in the whole process.
const MOST: usize = 16;

/// How long a thread with nothing to do stays.
const LINGER: Duration = Duration::from_secs(1);

/// Is run bit by bit by one thread at a time.
pub(super) trait Errand: fmt::Debug + Send + Sync {
    /// Does the next bit, and tells whether there may be more.
    fn run(&self) -> bool;
}

/// Holds the threads for errands of one kind: one kind may block all of its own, and none of another's.
#[derive(Debug, Default)]
pub(super) struct Threads {
    crew: Mutex<Crew>,
    wanted: Condvar,
}

#[derive(Debug, Default)]
struct Crew {
    /// What is to be run, in turn.
    ready: VecDeque<Arc<dyn Errand>>,
    threads: usize,
    /// How many of the threads wait for something to do.
    idle: usize,
}

impl Threads {
    /// Returns those of a kind: all that is of one type shares them, in all runtimes of the process.
    pub(super) fn of(kind: TypeId) -> Arc<Self> {
        static KINDS: Mutex<BTreeMap<TypeId, Arc<Threads>>> = Mutex::new(BTreeMap::new());
        // Every change is one insertion: a panic leaves nothing half done.
        let mut kinds = KINDS.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(kinds.entry(kind).or_default())
    }

    /// Has an errand run to its end.
    pub(super) fn run(self: &Arc<Self>, errand: Arc<dyn Errand>) {
        let mut crew = self.crew();
        crew.ready.push_back(errand);
        // A thread that was woken counts as idle until it has taken something.
        if crew.ready.len() <= crew.idle {
            self.wanted.notify_one();
        } else if crew.threads < MOST {
            let threads = Arc::clone(self);
            let thread = std::thread::Builder::new().name("canary-tells".to_owned());
            match thread.spawn(move || threads.work()) {
                Ok(_) => crew.threads += 1,
                // The next errand tries again, and this one stands before it.
                Err(error) => {
                    tracing::warn!(%error, "no thread can be had for observers and journals")
                }
            }
        }
    }

    fn work(&self) {
        while let Some(errand) = self.next() {
            if errand.run() {
                // Behind the others, so that each has its turn.
                self.crew().ready.push_back(errand);
            }
        }
    }

    /// Takes what is next, `None` where there is nothing for long and the thread is one less.
    fn next(&self) -> Option<Arc<dyn Errand>> {
        let mut crew = self.crew();
        if crew.ready.is_empty() {
            crew.idle += 1;
            let waited = self.wanted.wait_timeout_while(crew, LINGER, |crew| crew.ready.is_empty());
            crew = waited.unwrap_or_else(PoisonError::into_inner).0;
            crew.idle -= 1;
        }
        let next = crew.ready.pop_front();
        if next.is_none() {
            crew.threads -= 1;
        }
        next
    }

    fn crew(&self) -> MutexGuard<'_, Crew> {
        // No foreign code runs while it is locked, so nothing panics there.
        self.crew.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

    use std::sync::mpsc;

    use super::*;

    /// Says that it runs, and then blocks until it is let go.
    #[derive(Debug)]
    struct Blocks {
        runs: mpsc::Sender<()>,
        free: Mutex<mpsc::Receiver<()>>,
    }

    impl Errand for Blocks {
        fn run(&self) -> bool {
            self.runs.send(()).unwrap();
            let _ = self.free.lock().unwrap().recv();
            false
        }
    }

    #[test]
    fn errands_that_block_are_bounded_and_keep_none_of_another_kind() {
        struct One;
        struct Other;
        let (runs, ran) = mpsc::channel();
        let block = |kind| {
            let (free, freed) = mpsc::channel();
            Threads::of(kind).run(Arc::new(Blocks { runs: runs.clone(), free: freed.into() }));
            free
        };
        let mut blocked: Vec<_> = (0..MOST + 3).map(|_| block(TypeId::of::<One>())).collect();
        (0..MOST).for_each(|_| ran.recv().unwrap());
        assert_eq!(Threads::of(TypeId::of::<One>()).crew().threads, MOST);
        blocked.push(block(TypeId::of::<Other>()));
        ran.recv().unwrap();
        assert_eq!(Threads::of(TypeId::of::<One>()).crew().ready.len(), 3);
        drop(blocked);
        (0..3).for_each(|_| ran.recv().unwrap());
    }
}
