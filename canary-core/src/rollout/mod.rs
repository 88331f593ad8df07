//! The machine: a rollout as a pure function of its policy and of what happened.
//!
//! [`Rollout::step`] takes an [`Event`] and the time, and returns [`Effect`]s: what to do now. It reads no
//! clock, does no I/O and draws no random number, so the same machine is driven live by the driver,
//! run in virtual time by the simulator, replayed from a journal, or stepped by hand:
//!
//! ```
//! use std::time::Duration;
//! use canary_core::policy::Policy;
//! use canary_core::rollout::{Effect, Event, Rollout};
//! use canary_core::value::{Timestamp, Weight};
//!
//! let policy = Policy::builder("shop").stage("all", Weight::FULL, Duration::from_secs(60)).build()?;
//! let now = Timestamp::from_millis(1_000);
//! let (mut rollout, effects) = Rollout::start("shop-1".parse()?, policy, now);
//! // The first thing it wants is to be durable; only then it touches the route.
//! assert_eq!(effects, [Effect::Persist { rev: 1 }]);
//! let effects = rollout.step(Event::Persisted { rev: 1, result: Ok(()) }, now);
//! assert!(matches!(effects[..], [Effect::Notify(_), Effect::Run { .. }]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Whoever steps it carries out each effect, feeds what came of it back in, and where there is nothing to do sends
//! [`Event::Tick`] at the [deadline](Rollout::deadline):
//!
//! ```
//! use std::collections::VecDeque;
//! use std::time::Duration;
//! use canary_core::policy::{Check, Policy};
//! use canary_core::ports::Applied;
//! use canary_core::rollout::{Action, Effect, Event, Reply, Rollout};
//! use canary_core::value::{Counts, Failure, FailureKind, Measured, Reading, Timestamp, Version, Weight, Window};
//!
//! let policy = Policy::builder("shop")
//!     .stage("tenth", Weight::percent(10), Duration::from_secs(600))
//!     .stage("all", Weight::FULL, Duration::from_secs(60))
//!     .check(Check::above("errors", "error_rate", 0.05))
//!     .build()?;
//! let mut now = Timestamp::from_millis(1_767_225_600_000);
//! let (mut rollout, effects) = Rollout::start("shop-1".parse()?, policy, now);
//! let mut effects = VecDeque::from(effects);
//! while !rollout.is_settled() {
//!     let event = match effects.pop_front() {
//!         Some(Effect::Persist { rev }) => {
//!             let _state = rollout.snapshot(); // to be kept before this is said
//!             Event::Persisted { rev, result: Ok(()) }
//!         }
//!         Some(Effect::Run { call, action }) => {
//!             let reply = match action {
//!                 // Here the route would be written; the version is what the next raise is based on.
//!                 Action::Route { traffic, .. } => {
//!                     Reply::Applied(Ok(Applied::effective(traffic, Version::new(call.id.to_string()))))
//!                 }
//!                 Action::Measure { queries, until } => {
//!                     let counts = Reading::Counts(Counts::new(1_000, 1)?);
//!                     let answer = |after| Measured::new(Window::new(after, until), counts.clone(), counts.clone());
//!                     Reply::Measured(queries.iter().map(|query| Ok(answer(query.after))).collect())
//!                 }
//!                 Action::Release => Reply::Released(Ok(())),
//!                 // This plan asks for nothing else.
//!                 other => other.failed(Failure::new(FailureKind::Unsupported, "not known here")),
//!             };
//!             Event::Reply { id: call.id, attempt: call.attempt, reply }
//!         }
//!         Some(Effect::Notify(record)) => {
//!             println!("{record}");
//!             continue;
//!         }
//!         Some(Effect::Cancel(_) | Effect::Answer { .. }) => continue,
//!         None => {
//!             now = rollout.deadline().unwrap_or(now);
//!             Event::Tick
//!         }
//!     };
//!     effects.extend(rollout.step(event, now));
//! }
//! assert!(rollout.outcome().is_some_and(|outcome| outcome.is_promoted()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod advance;
mod back;
mod begin;
mod calls;
mod command;
mod effect;
mod event;
mod flight;
mod gates;
mod judge;
mod ledger;
mod phase;
mod route;
mod snapshot;
mod stages;
mod status;
mod table;
mod watch;
mod work;

pub use begin::Begin;
pub use effect::{Action, Effect};
pub use event::{Answer, Command, CommandKind, Event, Reply};
pub use judge::queries;
pub use phase::{Asking, Hold, Phase};
pub use snapshot::{Snapshot, SnapshotError};
pub use status::{CheckEvidence, Status, Waiting};
pub use table::TRANSITIONS;

use std::sync::Arc;

use crate::policy::{Policy, Stage};
use crate::record::{Content, Outcome};
use crate::report::Report;
use crate::value::{Epoch, RolloutId, Timestamp, Traffic, Weight};
use flight::Flight;
use snapshot::State;

/// Runs one rollout: plain data that turns events into effects.
#[derive(Clone, Debug, PartialEq)]
pub struct Rollout {
    policy: Arc<Policy>,
    /// What a new holder needs.
    state: State,
    /// What a new holder finds out anew.
    flight: Flight,
    effects: Vec<Effect>,
}

impl Rollout {
    /// Begins a rollout and returns the first effects.
    #[must_use]
    pub fn start(
        id: RolloutId,
        policy: impl Into<Arc<Policy>>,
        now: Timestamp,
    ) -> (Self, Vec<Effect>) {
        Self::begin(Begin::new(id, policy), now)
    }

    /// Begins a rollout with all that is known of it, and returns the first effects.
    #[must_use]
    pub fn begin(begin: Begin, now: Timestamp) -> (Self, Vec<Effect>) {
        let Begin { id, policy, predecessor, workload, version, fast_return } = begin;
        let mut state = State::new(id.clone(), &policy, now);
        state.epoch = state.epoch.max(predecessor.unwrap_or_default().next());
        state.workload = workload;
        state.first = if fast_return { policy.full_stage() } else { 0 };
        let stages = policy.stages().len();
        let name = policy.name().to_owned();
        let mut rollout = Self::holding(policy, state);
        let started =
            Content::Started { rollout: id, policy: name, stages, version: version.clone() };
        rollout.record(now, started);
        if let Some(version) = version.filter(|_| fast_return) {
            rollout.record(now, Content::FastReturn { version });
        }
        rollout.settle(now);
        let effects = std::mem::take(&mut rollout.effects);
        (rollout, effects)
    }

    /// Takes a rollout up from its snapshot; step it with [`Event::Restored`] next.
    ///
    /// # Errors
    /// [`SnapshotError`] if the snapshot does not fit the policy.
    pub fn restore(
        snapshot: Snapshot,
        policy: impl Into<Arc<Policy>>,
    ) -> Result<Self, SnapshotError> {
        let policy = policy.into();
        let state = snapshot.into_state(&policy)?;
        Ok(Self::holding(policy, state))
    }

    fn holding(policy: Arc<Policy>, state: State) -> Self {
        let flight = Flight::watching(policy.watched_gates().count());
        Self { policy, state, flight, effects: Vec::new() }
    }

    /// Takes in what happened and returns what to do, in this order.
    ///
    /// A time before that of an earlier event counts as that time: a clock that goes back stands still.
    #[must_use]
    pub fn step(&mut self, event: Event, now: Timestamp) -> Vec<Effect> {
        self.take_in(event, now);
        std::mem::take(&mut self.effects)
    }

    /// Does the same, and adds the effects to a list whose memory is used again.
    #[cfg(feature = "simulate")]
    pub(crate) fn step_into(&mut self, event: Event, now: Timestamp, effects: &mut Vec<Effect>) {
        std::mem::swap(effects, &mut self.effects);
        self.take_in(event, now);
        std::mem::swap(effects, &mut self.effects);
    }

    fn take_in(&mut self, event: Event, now: Timestamp) {
        let now = now.max(self.state.seen);
        // What has passed up to now counts by the rules of up to now; downtime counts for nothing.
        if !matches!(event, Event::Restored) {
            self.count_live_time(now);
        }
        match event {
            Event::Tick => {}
            Event::Restored => self.restored(now),
            Event::Persisted { rev, result } => {
                let ended = self.outcome().is_some();
                match result {
                    Ok(()) => self.state.ledger.saved(rev, ended, &mut self.effects),
                    Err(_) => self.state.ledger.not_saved(rev, now, ended, &mut self.effects),
                }
            }
            Event::Reply { id, attempt, reply } => self.replied(id, attempt, reply, now),
            Event::Observed { observed, began } => self.route_seen(observed, began, now),
            Event::Command(command) => self.commanded(command, now),
        }
        self.settle(now);
    }

    /// Does what has become due.
    fn settle(&mut self, now: Timestamp) {
        self.advance(now);
        self.state.seen = now;
        self.state.ledger.seal(now, &mut self.effects);
    }

    /// Returns when to send [`Event::Tick`] if nothing happens before; `None` when only an answer or a
    /// command can change anything, or nothing can any more.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        [self.flight.deadline(), self.state.ledger.deadline(), self.phase_deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Returns all that a new holder needs, to be saved when [`Effect::Persist`] asks for it.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::of(&self.state)
    }

    /// Returns how the rollout ended, if it has.
    #[must_use]
    pub const fn outcome(&self) -> Option<&Outcome> {
        match &self.state.phase {
            Phase::Ended { outcome } => Some(outcome),
            _ => None,
        }
    }

    /// Tells whether the rollout has ended and every record and answer was given out.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.outcome().is_some() && self.state.ledger.is_settled()
    }

    /// Returns what has happened so far.
    #[must_use]
    pub const fn report(&self) -> &Report {
        &self.state.report
    }

    /// Returns what has happened, of a rollout that is not needed any more.
    #[must_use]
    pub fn into_report(self) -> Report {
        self.state.report
    }

    /// Returns where the rollout stands.
    #[must_use]
    pub const fn phase(&self) -> &Phase {
        &self.state.phase
    }

    /// Returns the rollout's id.
    #[must_use]
    pub const fn id(&self) -> &RolloutId {
        &self.state.id
    }

    /// Returns the current holder's number.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.state.epoch
    }

    /// Returns the policy.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Returns the weight that the canary is known to have.
    #[must_use]
    pub const fn weight(&self) -> Weight {
        self.state.traffic.canary
    }

    /// Returns the traffic that the canary is known to have: what the router last accepted, or was found to have.
    #[must_use]
    pub const fn traffic(&self) -> &Traffic {
        &self.state.traffic
    }

    /// Moves to another phase; the one place that does.
    fn go(&mut self, phase: Phase, now: Timestamp) {
        let (from, to) = (self.state.phase.name(), phase.name());
        debug_assert!(table::leads(from, to), "no way leads from {from} to {to}");
        if let Phase::Holding { hold } = &phase {
            self.state.held = hold.stage;
        }
        self.state.phase = phase;
        self.flight.went = true;
        self.flight.looked = false;
        self.flight.unsent = false;
        self.flight.work_waits.clear();
        self.moved(now);
    }

    fn stage(&self, index: usize) -> &Stage {
        // A stage's index comes from this policy, or from a snapshot that was checked against it.
        &self.policy.stages()[index]
    }

    fn record(&mut self, now: Timestamp, content: Content) {
        if self.state.ledger.has_said(&content) {
            return self.state.report.fold_again(now, &content);
        }
        let record = self.state.ledger.record(now, content);
        self.state.report.fold(record);
    }
}
