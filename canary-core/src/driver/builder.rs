//! Puts a rollout and its ports together.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tokio::sync::{mpsc, watch};

use super::execute::Ports;
use super::runner::{Runner, Work};
use super::saver::Saver;
use super::{Clock, Handle, StartError};
use crate::policy::{GateKind, Policy};
use crate::ports::{Gate, MetricSource, Observer, StateStore, Stored, TrafficRouter};
use crate::record::Record;
use crate::rollout::{Begin, Effect, Event, Rollout, Snapshot};
use crate::store::MemoryStore;
use crate::value::{FailureKind, GateName, InvalidName, Revision, RolloutId, Target, Timestamp};

/// Drives rollouts; see [`Driver::builder`].
#[derive(Debug)]
#[non_exhaustive]
pub struct Driver;

impl Driver {
    /// Begins to put a rollout together.
    pub fn builder(policy: Policy) -> DriverBuilder {
        DriverBuilder {
            policy: Arc::new(policy),
            target: None,
            router: None,
            metrics: None,
            gates: BTreeMap::new(),
            store: Arc::new(MemoryStore::new()),
            observers: Vec::new(),
            #[cfg(feature = "json")]
            journal: None,
            clock: None,
            bad_name: None,
        }
    }
}

/// Puts a policy and the ports of a rollout together.
#[derive(Debug)]
#[must_use]
pub struct DriverBuilder {
    policy: Arc<Policy>,
    target: Option<Target>,
    router: Option<Arc<dyn TrafficRouter>>,
    metrics: Option<Arc<dyn MetricSource>>,
    gates: BTreeMap<GateName, Arc<dyn Gate>>,
    store: Arc<dyn StateStore>,
    observers: Vec<Arc<dyn Observer>>,
    #[cfg(feature = "json")]
    journal: Option<super::journal::Journal>,
    clock: Option<Clock>,
    bad_name: Option<InvalidName>,
}

impl DriverBuilder {
    /// Names what is rolled out, `namespace/route`; the policy's name unless said.
    pub fn target(mut self, target: Target) -> Self {
        self.target = Some(target);
        self
    }

    /// Moves the traffic with this router.
    pub fn router(mut self, router: impl TrafficRouter) -> Self {
        self.router = Some(Arc::new(router));
        self
    }

    /// Measures with this source.
    pub fn metrics(mut self, metrics: impl MetricSource) -> Self {
        self.metrics = Some(Arc::new(metrics));
        self
    }

    /// Supplies a gate that the policy names.
    pub fn gate(mut self, name: &str, gate: impl Gate) -> Self {
        match GateName::new(name) {
            Ok(name) => {
                self.gates.insert(name, Arc::new(gate));
            }
            Err(error) => self.bad_name = self.bad_name.or(Some(error)),
        }
        self
    }

    /// Keeps the rollout in this store; in memory unless said, so not over a crash.
    pub fn store(mut self, store: impl StateStore) -> Self {
        self.store = Arc::new(store);
        self
    }

    /// Shows every record to a function; it should return soon.
    pub fn observe(self, notice: impl Fn(&Record) + Send + Sync + 'static) -> Self {
        self.observer(Noticed(notice))
    }

    /// Shows every record to an observer.
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.observers.push(Arc::new(observer));
        self
    }

    /// Writes everything that the rollout goes through, to be [replayed](crate::journal::replay).
    #[cfg(feature = "json")]
    pub fn journal(mut self, out: impl std::io::Write + Send + 'static) -> Self {
        self.journal = Some(super::journal::Journal::to(out));
        self
    }

    /// Tells the time by this clock.
    pub const fn clock(mut self, clock: Clock) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Starts the rollout. It is in the store when this returns, and touches the route only then.
    ///
    /// # Errors
    /// [`StartError`]; nothing was changed then.
    pub async fn start(self, id: RolloutId) -> Result<Handle, StartError> {
        let target = self.named_target()?;
        // What the builder lacks is said before the store is asked.
        self.check()?;
        let held = self.store.load(&target).await.map_err(StartError::Store)?;
        self.start_on(target, held, id).await
    }

    async fn start_on(
        self,
        target: Target,
        held: Option<Stored>,
        id: RolloutId,
    ) -> Result<Handle, StartError> {
        let router = self.check()?;
        if let Some(held) = &held
            && !held.claim.state.is_settled()
        {
            let rollout = held.claim.state.rollout().clone();
            return Err(StartError::Busy { target, rollout });
        }
        let before = held.as_ref().map(|held| &held.claim.state);
        let clock = self.clock_after(before.map(Snapshot::seen));
        let now = clock.now();
        let predecessor = before.map(Snapshot::epoch);
        let (mut rollout, effects) = Rollout::begin(
            Begin::new(id.clone(), Arc::clone(&self.policy)).after(predecessor),
            now,
        );
        #[cfg(feature = "json")]
        if let Some(journal) = &self.journal {
            let policy = self.policy.spec().clone();
            journal.write(crate::journal::Line::Started { rollout: id.clone(), policy, at: now });
        }
        let saver = self.saver(&target, held.map(|held| held.revision));
        // Claimed before anything else happens, so that a second one is told to whom the target belongs.
        if let Err(error) = saver.save(&rollout.snapshot()).await {
            return Err(match error.kind() {
                FailureKind::Conflict => self.lost_race(&target, id).await,
                _ => StartError::Store(error),
            });
        }
        let mut first = Vec::new();
        for effect in effects {
            match effect {
                Effect::Persist { rev } => {
                    let event = Event::Persisted { rev, result: Ok(()) };
                    first.extend(self.step(&mut rollout, event, clock));
                }
                other => first.push(other),
            }
        }
        Ok(self.spawn(router, rollout, first, saver, clock))
    }

    /// Takes up the rollout that the store holds for the target, or starts this one if there is none under way.
    ///
    /// What a program that may have crashed calls when it begins.
    ///
    /// # Errors
    /// As for [`start`](Self::start).
    pub async fn start_or_resume(self, id: RolloutId) -> Result<Handle, StartError> {
        let target = self.named_target()?;
        match self.store.load(&target).await.map_err(StartError::Store)? {
            Some(held) if !held.claim.state.is_settled() => self.resume_from(held, &target),
            held => self.start_on(target, held, id).await,
        }
    }

    /// Takes up the rollout that the store holds for the target, `None` if there is none under way.
    ///
    /// One that ended, but whose observers were not told before the process died, is taken up to tell them.
    ///
    /// # Errors
    /// [`StartError`]; nothing was changed then.
    pub async fn resume(self) -> Result<Option<Handle>, StartError> {
        let target = self.named_target()?;
        let held = self.store.load(&target).await.map_err(StartError::Store)?;
        match held.filter(|held| !held.claim.state.is_settled()) {
            Some(held) => self.resume_from(held, &target).map(Some),
            None => Ok(None),
        }
    }

    fn resume_from(mut self, held: Stored, target: &Target) -> Result<Handle, StartError> {
        // The rollout goes on by the policy that it began with, whatever the builder was given.
        self.policy = Arc::new(Policy::from_spec(held.claim.policy.clone())?);
        let router = self.check()?;
        #[cfg(feature = "json")]
        if let Some(journal) = &self.journal {
            let snapshot = Box::new(held.claim.state.clone());
            journal.write(crate::journal::Line::Resumed { policy: held.claim.policy, snapshot });
        }
        let clock = self.clock_after(Some(held.claim.state.seen()));
        let mut rollout = Rollout::restore(held.claim.state, Arc::clone(&self.policy))?;
        let saver = self.saver(target, Some(held.revision));
        let first = self.step(&mut rollout, Event::Restored, clock);
        Ok(self.spawn(router, rollout, first, saver, clock))
    }

    fn step(&self, rollout: &mut Rollout, event: Event, clock: Clock) -> Vec<Effect> {
        let now = clock.now();
        #[cfg(feature = "json")]
        if let Some(journal) = &self.journal {
            journal.write(crate::journal::Line::Event { at: now, event: event.clone() });
        }
        rollout.step(event, now)
    }

    fn saver(&self, target: &Target, expect: Option<Revision>) -> Saver {
        Saver::new(Arc::clone(&self.store), target.clone(), self.policy.spec().clone(), expect)
    }

    /// Says who was faster.
    async fn lost_race(&self, target: &Target, id: RolloutId) -> StartError {
        match self.store.load(target).await {
            Ok(held) => {
                let rollout = held.map_or(id, |held| held.claim.state.rollout().clone());
                StartError::Busy { target: target.clone(), rollout }
            }
            Err(error) => StartError::Store(error),
        }
    }

    /// Returns the clock, never before what was last seen: another machine's clock may have been ahead.
    fn clock_after(&self, seen: Option<Timestamp>) -> Clock {
        self.clock.unwrap_or_else(Clock::system).not_before(seen.unwrap_or_default())
    }

    fn named_target(&self) -> Result<Target, StartError> {
        match &self.target {
            Some(target) => Ok(target.clone()),
            None => Ok(Target::new(self.policy.name())?),
        }
    }

    /// Checks that the plan can be carried out with what is there, and returns the router that is to do it.
    fn check(&self) -> Result<Arc<dyn TrafficRouter>, StartError> {
        if let Some(error) = &self.bad_name {
            return Err(error.clone().into());
        }
        let router = self.router.as_ref().ok_or(StartError::NoRouter)?;
        let capabilities = router.capabilities();
        for stage in self.policy.stages() {
            if !capabilities.can_hold(stage.weight) {
                return Err(StartError::WeightTooFine {
                    stage: stage.name.clone(),
                    weight: stage.weight,
                    resolution: capabilities.resolution,
                });
            }
        }
        if self.policy.is_judged() && self.metrics.is_none() {
            return Err(StartError::NoMetrics { policy: self.policy.name().to_owned() });
        }
        let missing = |name: &&GateName| {
            self.policy.gate(name).kind == GateKind::Supplied && !self.gates.contains_key(*name)
        };
        let gates: Vec<_> = self.policy.gates().filter(missing).cloned().collect();
        if !gates.is_empty() {
            return Err(StartError::MissingGates { gates });
        }
        Ok(Arc::clone(router))
    }

    fn spawn(
        self,
        router: Arc<dyn TrafficRouter>,
        rollout: Rollout,
        first: Vec<Effect>,
        saver: Saver,
        clock: Clock,
    ) -> Handle {
        let (commands, received) = mpsc::channel(64);
        let (status, watched) = watch::channel(rollout.status(clock.now()));
        let (done, ended) = watch::channel(None);
        let (stop, stopped) = watch::channel(false);
        let handle = Handle {
            id: rollout.id().clone(),
            epoch: rollout.epoch(),
            commands,
            status: watched,
            done: ended,
            stop: Arc::new(stop),
            given: Arc::new(AtomicU64::new(1)),
        };
        let runner = Runner {
            rollout,
            ports: Ports { router, metrics: self.metrics, gates: self.gates, saver },
            clock,
            observers: self.observers,
            #[cfg(feature = "json")]
            journal: self.journal,
            commands: received,
            status,
            done,
            stop: stopped,
            work: Work::default(),
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place that spawns; the handle stops it"
        )]
        tokio::spawn(runner.run(first));
        handle
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
    fn notice(&self, record: &Record) {
        (self.0)(record);
    }
}
