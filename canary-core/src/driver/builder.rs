//! Puts a rollout and its ports together.

use std::fmt;
use std::sync::Arc;

use super::begin::Parts;
use super::observers::Listener;
use super::{Clock, Handle, StartError};
use crate::policy::Policy;
use crate::ports::{Gate, MetricSource, Observer, StateStore, TrafficRouter, Workload};
use crate::record::Record;
use crate::value::{Actor, GateName, RolloutId, Target};

/// Drives rollouts; see [`Driver::builder`].
#[derive(Debug)]
#[non_exhaustive]
pub struct Driver;

impl Driver {
    /// Begins to put a rollout together.
    pub fn builder(policy: impl Into<Arc<Policy>>) -> DriverBuilder {
        DriverBuilder { policy: policy.into(), parts: Parts::default() }
    }

    /// Begins to put together what takes a rollout of this target up: its policy is in the store with it.
    pub fn resumer(target: Target) -> DriverBuilder<Kept> {
        DriverBuilder { policy: Kept, parts: Parts::default() }.target(target)
    }
}

/// Stands for the policy that the store keeps with a rollout.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Kept;

/// Puts a policy and the ports of a rollout together.
///
/// One from [`Driver::resumer`] has the policy of whatever the store holds, so it can only [`resume`](Self::resume).
#[derive(Debug)]
#[must_use]
pub struct DriverBuilder<P = Arc<Policy>> {
    policy: P,
    pub(super) parts: Parts,
}

impl<P> DriverBuilder<P> {
    /// Names what is rolled out, `namespace/route`; the policy's name unless said.
    pub fn target(mut self, target: Target) -> Self {
        self.parts.target = Some(target);
        self
    }

    /// Moves the traffic with this router.
    pub fn router(mut self, router: impl TrafficRouter) -> Self {
        self.parts.router = Some(Arc::new(router));
        self
    }

    /// Measures with this source, but for metrics whose source the policy names.
    pub fn metrics(mut self, metrics: impl MetricSource) -> Self {
        self.parts.sources.insert(None, Arc::new(metrics));
        self
    }

    /// Supplies a metric source that the policy names.
    pub fn source(mut self, name: impl Into<Arc<str>>, source: impl MetricSource) -> Self {
        self.parts.sources.insert(Some(name.into()), Arc::new(source));
        self
    }

    /// Supplies a gate that the policy names, whatever the policy says of its kind.
    ///
    /// An approval stays what it is: people give it, with [`Handle::approve`]. One that the policy does not ask refuses
    /// the start.
    pub fn gate(mut self, name: &str, gate: impl Gate) -> Self {
        match GateName::new(name) {
            Ok(name) => {
                self.parts.gates.insert(name, Arc::new(gate));
            }
            Err(error) => self.parts.bad_name = self.parts.bad_name.or(Some(error)),
        }
        self
    }

    /// Runs the two versions with this workload; without one, the rollout only routes.
    pub fn workload(mut self, workload: impl Workload) -> Self {
        self.parts.workload = Some(Arc::new(workload));
        self
    }

    /// Keeps the rollout in this store; in memory unless said, so not over a crash.
    pub fn store(mut self, store: impl StateStore) -> Self {
        self.parts.store = Arc::new(store);
        self
    }

    /// Shows every record to a function.
    pub fn observe(self, notice: impl Fn(&Record) + Send + Sync + 'static) -> Self {
        self.observer(Noticed(notice))
    }

    /// Shows every record to an observer, on a thread that may block.
    ///
    /// One that is slow harms no rollout and no observer of another type: observers of one type have up to 16 threads
    /// in the whole process, which are none of the runtime's. Each has a queue for each rollout, misses records once
    /// that holds 1024 (the log says so, and how many), and is waited for, for a second at most, before a state is
    /// saved that says that it was told.
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.parts.observers.push(Listener::new(observer));
        self
    }

    /// Writes everything that the rollout goes through, to be [replayed](crate::journal::replay).
    ///
    /// A slow disk holds nothing up: up to 1024 lines wait to be written. Beyond that the journal ends, in the log at once
    /// and with a last line that says so and that no replay passes over.
    #[cfg(feature = "json")]
    pub fn journal(mut self, out: impl std::io::Write + Send + 'static) -> Self {
        self.parts.journal = Some(super::journal::Journal::to(out));
        self
    }

    /// Tells the time by this clock.
    pub const fn clock(mut self, clock: Clock) -> Self {
        self.parts.clock = Some(clock);
        self
    }
}

impl DriverBuilder<Kept> {
    /// Takes up the rollout that the store holds for the target, `None` if there is none under way.
    ///
    /// One that ended, but whose observers were not told before the process died, is taken up to tell them.
    ///
    /// # Errors
    /// [`StartError`]; nothing was changed then.
    pub async fn resume(self) -> Result<Option<Handle>, StartError> {
        self.parts.resume(None).await
    }
}

impl DriverBuilder {
    /// Says which version is rolled out: it stands in the records, and a version that comes back soon may take the
    /// [short way](crate::policy::PolicySpec::fast_return).
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.parts.version = Some(version.into());
        self
    }

    /// Takes another rollout that has the target back first, in the name of this actor, instead of giving up with
    /// [`StartError::Busy`].
    pub fn supersede(mut self, actor: Actor) -> Self {
        self.parts.supersede = Some(actor);
        self
    }

    /// Checks that the plan can be carried out with what was given here, as [`start`](Self::start) does first of all.
    ///
    /// No port is asked anything, so this is what a dry run can tell of a start, beside what the cluster says.
    ///
    /// # Errors
    /// [`StartError`] for what is missing or cannot do what the plan asks; never one about the store or the route.
    pub fn check(&self) -> Result<(), StartError> {
        self.parts.target(Some(&self.policy))?;
        self.parts.clone().fit_for(&self.policy).map(drop)
    }

    /// Starts the rollout. It is in the store when this returns, and touches the route only then.
    ///
    /// Where it [supersedes](Self::supersede) another one, that one's canary has nothing any more and its end is told
    /// to these observers before this one begins; if its router is down, that takes as long as the router is.
    ///
    /// # Errors
    /// [`StartError`]; nothing was changed then, except as [`StartError::NotSuperseded`] and [`StartError::Store`] say.
    ///
    /// # Cancel safety
    /// The future may be dropped at any time. A rollout that was about to be superseded is then still taken back; one
    /// that was just claimed may be in the store, to be resumed.
    pub async fn start(self, id: RolloutId) -> Result<Handle, StartError> {
        self.parts.start(self.policy, id).await
    }

    /// Takes up the rollout that the store holds for the target, or starts this one if there is none under way.
    ///
    /// What a program that may have crashed calls when it begins. A rollout of this id that is over is not begun
    /// again: the handle tells how it ended.
    ///
    /// # Errors
    /// As for [`start`](Self::start).
    pub async fn start_or_resume(self, id: RolloutId) -> Result<Handle, StartError> {
        self.parts.start_or_resume(self.policy, id).await
    }

    /// Takes up the rollout that the store holds for the target, `None` if there is none under way.
    ///
    /// It goes on by the policy that it began with; this one only names the target where nothing else does.
    /// One that ended, but whose observers were not told before the process died, is taken up to tell them.
    ///
    /// # Errors
    /// [`StartError`]; nothing was changed then.
    pub async fn resume(self) -> Result<Option<Handle>, StartError> {
        self.parts.resume(Some(&self.policy)).await
    }
}

/// Lets a function observe.
struct Noticed<F>(F);

impl<F> fmt::Debug for Noticed<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a function")
    }
}

impl<F: Fn(&Record) + Send + Sync + 'static> Observer for Noticed<F> {
    fn notice(&self, _: &RolloutId, record: &Record) {
        (self.0)(record);
    }
}
