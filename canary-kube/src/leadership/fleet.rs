//! A fleet of rollouts, driven by whoever leads their shard.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use canary_core::driver::{DriverBuilder, Fleet, Handle, Kept, Shutdown, StartError};
use canary_core::ports::StateStore;
use canary_core::value::{RolloutId, Target};
use futures::future::{self, join_all};
use futures::stream::{self, StreamExt as _};

use super::{Duty, Leadership, Shards};

/// Drives the rollouts of the shards that are led here.
///
/// A shard that is taken up has every rollout resumed that the store lists for it. One that is lost has them stopped at
/// once and left to be resumed: traffic stays as it is, and nothing is aborted.
///
/// The resumer puts together what a rollout of a target needs; the store must be the one that it is given there.
pub struct FleetDuty<R> {
    fleet: Fleet,
    store: Arc<dyn StateStore>,
    shards: Shards,
    resumer: R,
    /// Whose rollouts were started here since their shard is led, or are just being started.
    started: Mutex<BTreeMap<Target, Start>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    UnderWay,
    Done,
}

impl<R> fmt::Debug for FleetDuty<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fleet, store, shards, .. } = self;
        let mut shown = f.debug_struct("FleetDuty");
        shown.field("fleet", fleet).field("store", store).field("shards", shards);
        shown.finish_non_exhaustive()
    }
}

/// How long until what failed is tried again, at first and at most.
const AGAIN: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(30)];

/// How many rollouts are resumed at the same time.
const AT_ONCE: usize = 32;

impl<R: Fn(&Target) -> DriverBuilder<Kept> + Send + Sync> FleetDuty<R> {
    /// Drives a fleet whose rollouts this store keeps.
    pub fn new(fleet: Fleet, store: impl StateStore, shards: Shards, resumer: R) -> Self {
        let store = Arc::new(store);
        Self { fleet, store, shards, resumer, started: Mutex::default() }
    }

    /// Starts a rollout as [`Fleet::start`] does if the shard of its target is led here; `None` where it is not, or was
    /// lost meanwhile.
    ///
    /// `target` is the builder's.
    ///
    /// # Errors
    /// As there.
    pub async fn start(
        &self,
        leadership: &Leadership,
        target: &Target,
        builder: DriverBuilder,
        id: RolloutId,
    ) -> Result<Option<Handle>, StartError> {
        let shard = self.shards.of(target);
        let mut led = leadership.led();
        if !leadership.leads(target) {
            return Ok(None);
        }
        // To take it up as well would fence the handle that is returned.
        let mark = Mark::new(&self.started, target);
        let handle = tokio::select! {
            biased;
            // A claim that came later than the next leader's look at the store would be nobody's.
            _ = led.wait_for(|led| !led.contains_key(&shard)) => return Ok(None),
            handle = self.fleet.start(builder.target(target.clone()), id) => handle?,
        };
        if leadership.leads(target) {
            mark.done();
            return Ok(Some(handle));
        }
        handle.stop();
        Ok(None)
    }

    fn of_shard(&self, shard: u32) -> Vec<Handle> {
        let mut handles = self.fleet.handles();
        handles.retain(|handle| self.shards.of(handle.target()) == shard);
        handles
    }

    /// Resumes these, and returns the ones that are to be tried again: whatever keeps a rollout from it, a permission or
    /// an answer that was cut off, may pass, and nobody else drives it while the shard is led here.
    async fn resume(&self, targets: Vec<Target>) -> Vec<Target> {
        let resumed = targets.into_iter().map(async |target| {
            match locked(&self.started).get(&target) {
                Some(Start::Done) => return None,
                // Where that fails, what has the target is still to be resumed.
                Some(Start::UnderWay) => return Some(target),
                None => {}
            }
            let resumer = (self.resumer)(&target).target(target.clone());
            let error = self.fleet.resume(resumer).await.err()?;
            tracing::warn!(%target, error = &error as &dyn std::error::Error, "the rollout cannot be resumed yet");
            Some(target)
        });
        stream::iter(resumed).buffer_unordered(AT_ONCE).filter_map(future::ready).collect().await
    }
}

#[async_trait]
impl<R: Fn(&Target) -> DriverBuilder<Kept> + Send + Sync> Duty for FleetDuty<R> {
    async fn take_up(&self, shard: u32) {
        let [mut wait, longest] = AGAIN;
        let mut left = None;
        loop {
            let targets = match left.take() {
                Some(left) => Ok(left),
                None => self.store.targets().await.map(|mut targets| {
                    targets.retain(|target| self.shards.of(target) == shard);
                    targets
                }),
            };
            match targets {
                Ok(targets) => match self.resume(targets).await {
                    none if none.is_empty() => return,
                    some => left = Some(some),
                },
                Err(error) => {
                    tracing::warn!(shard, %error, "the shard's rollouts cannot be listed")
                }
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(longest);
        }
    }

    fn put_down(&self, shard: u32) {
        locked(&self.started).retain(|target, _| self.shards.of(target) != shard);
        self.of_shard(shard).iter().for_each(Handle::stop);
    }

    async fn hand_over(&self, shard: u32) {
        let handles = self.of_shard(shard);
        let stopped = handles.iter().map(|handle| handle.shutdown(Shutdown::LeaveToBeResumed));
        // One that has ended, or was taken over, needs nothing.
        let _ = join_all(stopped).await;
    }
}

/// Says that a rollout of this target is being started, until it is dropped.
struct Mark<'a> {
    started: &'a Mutex<BTreeMap<Target, Start>>,
    target: &'a Target,
}

impl<'a> Mark<'a> {
    fn new(started: &'a Mutex<BTreeMap<Target, Start>>, target: &'a Target) -> Self {
        locked(started).entry(target.clone()).or_insert(Start::UnderWay);
        Self { started, target }
    }

    fn done(&self) {
        locked(self.started).insert(self.target.clone(), Start::Done);
    }
}

impl Drop for Mark<'_> {
    fn drop(&mut self) {
        let mut started = locked(self.started);
        if started.get(self.target) == Some(&Start::UnderWay) {
            started.remove(self.target);
        }
    }
}

fn locked<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
