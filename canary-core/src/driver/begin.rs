//! Begins to drive a rollout: a new one, one that the store holds, or one in place of another.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::apart::Apart;
use super::execute::Ports;
use super::fleet::Share;
use super::handle::Stop;
use super::looks::Looks;
use super::observers::{Listener, Observers};
use super::runner::Runner;
use super::saver::Saver;
use super::sources::Sources;
use super::work::Work;
use super::{Clock, Handle, StartError, needs};
#[cfg(feature = "json")]
use crate::journal::{Line, With};
use crate::policy::Policy;
use crate::ports::{Claim, Gate, Past, StateStore, Stored, TrafficRouter, Workload};
use crate::rollout::{Begin, Effect, Event, Rollout, Snapshot};
use crate::store::MemoryStore;
use crate::value::{Actor, FailureKind, GateName, InvalidName, RolloutId, Target, Timestamp};

/// Holds all that a rollout is driven with, beside its policy.
#[derive(Clone, Debug)]
pub(super) struct Parts {
    pub(super) target: Option<Target>,
    pub(super) router: Option<Arc<dyn TrafficRouter>>,
    pub(super) sources: Sources,
    pub(super) gates: BTreeMap<GateName, Arc<dyn Gate>>,
    pub(super) workload: Option<Arc<dyn Workload>>,
    pub(super) store: Arc<dyn StateStore>,
    pub(super) observers: Vec<Listener>,
    #[cfg(feature = "json")]
    pub(super) journal: Option<super::journal::Journal>,
    pub(super) clock: Option<Clock>,
    pub(super) version: Option<String>,
    pub(super) supersede: Option<Actor>,
    pub(super) share: Option<Share>,
    pub(super) bad_name: Option<InvalidName>,
}

impl Default for Parts {
    fn default() -> Self {
        Self {
            target: None,
            router: None,
            sources: Sources::default(),
            gates: BTreeMap::new(),
            workload: None,
            store: Arc::new(MemoryStore::new()),
            observers: Vec::new(),
            #[cfg(feature = "json")]
            journal: None,
            clock: None,
            version: None,
            supersede: None,
            share: None,
            bad_name: None,
        }
    }
}

/// Says how much of what a plan needs must be there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Goal {
    /// All of it.
    Drive,
    /// What it takes to take the canary back.
    TakeBack,
}

impl Parts {
    pub(super) async fn start(
        self,
        policy: Arc<Policy>,
        id: RolloutId,
    ) -> Result<Handle, StartError> {
        let target = self.target(Some(&policy))?;
        // What the builder lacks is said before the store is asked.
        let ready = self.fit_for(&policy)?;
        let held = ready.load(&target).await?;
        let held = ready.freed(&target, held, &id).await?;
        ready.check_route(&target, held.as_ref(), &id).await?;
        ready.begin(policy, target, held, id).await
    }

    pub(super) async fn start_or_resume(
        self,
        policy: Arc<Policy>,
        id: RolloutId,
    ) -> Result<Handle, StartError> {
        let target = self.target(Some(&policy))?;
        match self.load(&target).await? {
            // One that is over needs nothing but to be told again how it ended.
            Some(held) if held.claim.state.is_settled() && *held.claim.state.rollout() == id => {
                self.take_up(held, target, Goal::TakeBack)
            }
            Some(held)
                if !held.claim.state.is_settled()
                    && (self.supersede.is_none() || *held.claim.state.rollout() == id) =>
            {
                self.take_up(held, target, Goal::Drive)
            }
            _ => self.start(policy, id).await,
        }
    }

    pub(super) async fn resume(
        self,
        policy: Option<&Policy>,
    ) -> Result<Option<Handle>, StartError> {
        let target = self.target(policy)?;
        match self.load(&target).await?.filter(|held| !held.claim.state.is_settled()) {
            Some(held) => self.take_up(held, target, Goal::Drive).map(Some),
            None => Ok(None),
        }
    }

    async fn begin(
        self,
        policy: Arc<Policy>,
        target: Target,
        held: Option<Stored>,
        id: RolloutId,
    ) -> Result<Handle, StartError> {
        let before = held.as_ref().map(|held| &held.claim.state);
        let clock = self.clock_after(before.map(Snapshot::seen));
        let now = clock.now();
        let past = held.as_ref().map_or_else(Vec::new, |held| remembered(held, &policy));
        let returns = returns(&past, self.version.as_deref(), policy.spec().fast_return);
        let predecessor = before.map(Snapshot::epoch);
        let begin = Begin::new(id.clone(), Arc::clone(&policy))
            .after(predecessor)
            .with_workload(self.workload.is_some())
            .version(self.version.clone())
            .fast_return(returns);
        #[cfg(feature = "json")]
        if let Some(journal) = &self.journal {
            let with = With {
                after: predecessor,
                workload: self.workload.is_some(),
                version: self.version.clone(),
                fast_return: returns,
            };
            let (rollout, policy) = (id.clone(), policy.spec().clone());
            journal.write(Line::Started { rollout, policy, at: now, with });
        }
        let (mut rollout, effects) = Rollout::begin(begin, now);
        let claim = Claim::new(policy.shared_spec(), rollout.snapshot())
            .of_version(self.version.clone())
            .after(past);
        let expect = held.map(|held| held.revision);
        let saver = Saver::new(Arc::clone(&self.store), target.clone(), claim, expect, clock);
        // Claimed before anything else happens, so that a second one is told to whom the target belongs.
        if let Err(error) = saver.save(rollout.snapshot()).await {
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
        self.spawn(target, rollout, first, saver, clock)
    }

    pub(super) fn take_up(
        self,
        held: Stored,
        target: Target,
        goal: Goal,
    ) -> Result<Handle, StartError> {
        // The rollout goes on by the policy that it began with, whatever the builder was given.
        let policy = Arc::new(Policy::from_spec(Arc::clone(&held.claim.policy))?);
        let ready = self.made_ready(&policy, goal)?;
        if held.claim.state.has_workload() && ready.workload.is_none() {
            return Err(StartError::NoWorkload { rollout: held.claim.state.rollout().clone() });
        }
        #[cfg(feature = "json")]
        if let Some(journal) = &ready.journal {
            let policy = (*held.claim.policy).clone();
            let snapshot = Box::new(held.claim.state.clone());
            journal.write(Line::Resumed { policy, snapshot });
        }
        let clock = ready.clock_after(Some(held.claim.state.seen()));
        let mut rollout = Rollout::restore(held.claim.state.clone(), policy)?;
        let store = Arc::clone(&ready.store);
        let saver = Saver::new(store, target.clone(), held.claim, Some(held.revision), clock);
        let first = ready.step(&mut rollout, Event::Restored, clock);
        ready.spawn(target, rollout, first, saver, clock)
    }

    fn step(&self, rollout: &mut Rollout, event: Event, clock: Clock) -> Vec<Effect> {
        let now = clock.now();
        #[cfg(feature = "json")]
        if let Some(journal) = &self.journal {
            journal.write(Line::Event { at: now, event: event.clone() });
        }
        rollout.step(event, now)
    }

    pub(super) async fn load(&self, target: &Target) -> Result<Option<Stored>, StartError> {
        self.store.load(target).await.map_err(StartError::Store)
    }

    /// Says who was faster.
    pub(super) async fn lost_race(&self, target: &Target, id: RolloutId) -> StartError {
        match self.load(target).await {
            Ok(held) => {
                let rollout = held.map_or(id, |held| held.claim.state.rollout().clone());
                StartError::Busy { target: target.clone(), rollout }
            }
            Err(error) => error,
        }
    }

    /// Returns the clock, never before what was last seen: another machine's clock may have been ahead.
    pub(super) fn clock_after(&self, seen: Option<Timestamp>) -> Clock {
        self.clock.unwrap_or_else(Clock::system).not_before(seen.unwrap_or_default())
    }

    pub(super) fn target(&self, policy: Option<&Policy>) -> Result<Target, StartError> {
        match &self.target {
            Some(target) => Ok(target.clone()),
            None => Ok(Target::new(policy.map_or("", Policy::name))?),
        }
    }

    /// Checks what a new rollout needs by this policy, without a word to anybody, and adds what the plan describes.
    pub(super) fn fit_for(self, policy: &Policy) -> Result<Self, StartError> {
        // A rollout that is taken up may have begun by another policy, whose gates differ.
        needs::check_gates(policy, &self.gates)?;
        self.made_ready(policy, Goal::Drive)
    }

    /// Checks that the plan can be carried out with what is there, and adds what the plan itself describes.
    fn made_ready(mut self, policy: &Policy, goal: Goal) -> Result<Self, StartError> {
        if let Some(error) = &self.bad_name {
            return Err(error.clone().into());
        }
        let router = self.router.as_ref().ok_or(StartError::NoRouter)?;
        if goal == Goal::Drive {
            needs::check_router(policy, &router.capabilities())?;
            needs::check_sources(policy, &self.sources)?;
            needs::add_gates(policy, &mut self.gates)?;
        }
        if let Some(share) = &self.share {
            self.sources.bound(|name| share.slots(name));
        }
        Ok(self)
    }

    fn spawn(
        self,
        target: Target,
        rollout: Rollout,
        first: Vec<Effect>,
        saver: Saver,
        clock: Clock,
    ) -> Result<Handle, StartError> {
        let (commands, received) = mpsc::channel(64);
        let (status, watched) = watch::channel(rollout.status(clock.now()));
        let (done, ended) = watch::channel(None);
        let (stop, stopped) = watch::channel(Stop::No);
        let handle = Handle {
            id: rollout.id().clone(),
            target,
            epoch: rollout.epoch(),
            commands,
            status: watched,
            done: ended,
            stop: Arc::new(stop),
            given: Arc::default(),
        };
        let runner = Runner {
            ports: Ports {
                router: self.router.ok_or(StartError::NoRouter)?,
                sources: self.sources,
                gates: self.gates,
                workload: self.workload,
                saver,
                clock,
                apart: self.share.as_ref().map_or_else(Apart::default, |_| Apart::of(rollout.id())),
                raises: self.share.map(|share| share.raises),
            },
            observers: Observers::new(rollout.id(), self.observers),
            looks: Looks::every(rollout.policy().route_looks()),
            rollout,
            clock,
            #[cfg(feature = "json")]
            journal: self.journal,
            commands: received,
            status,
            done,
            stop: stopped,
            work: Work::default(),
            store_down: None,
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place that spawns; the handle stops it"
        )]
        tokio::spawn(runner.run(first));
        Ok(handle)
    }
}

/// Returns what is remembered of a target's rollouts once this one is past too, the latest last.
fn remembered(held: &Stored, policy: &Policy) -> Vec<Past> {
    let mut past = held.claim.past.clone();
    past.extend(Past::of(&held.claim));
    let keep = usize::try_from(policy.spec().keep).unwrap_or(usize::MAX);
    past.drain(..past.len().saturating_sub(keep));
    past
}

/// Tells whether the version is among the last that were promoted, as many as the plan says.
fn returns(past: &[Past], version: Option<&str>, among: u32) -> bool {
    let promoted = past.iter().rev().filter(|past| past.promoted);
    let mut last = promoted.take(usize::try_from(among).unwrap_or(usize::MAX));
    version.is_some() && last.any(|past| past.version.as_deref() == version)
}
