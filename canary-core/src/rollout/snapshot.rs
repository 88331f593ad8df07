//! What is saved of a rollout.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::judge::Judge;
use super::ledger::Ledger;
use super::{Answer, Asking, Phase};
use crate::policy::{How, Policy};
use crate::report::Report;
use crate::value::{CommandId, Epoch, RolloutId, Timestamp, Traffic, Version, Window, fnv};

/// The version of the form in which this library writes snapshots.
const VERSION: u32 = 1;

/// Holds all that a new holder needs; opaque, versioned, serde.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Stands first, so that a newer form is known as one before it is read.
    version: Form,
    state: State,
}

/// Names the form in which a snapshot is written; a newer one than this library knows is refused.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(transparent)]
struct Form(u32);

impl<'de> Deserialize<'de> for Form {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let version = u32::deserialize(deserializer)?;
        if version > VERSION {
            return Err(D::Error::custom(format!(
                "the snapshot has version {version}, and this library knows up to {VERSION}: \
                 use the newer library that wrote it"
            )));
        }
        Ok(Self(version))
    }
}

/// Tells why a snapshot cannot be taken up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// It belongs to another policy.
    #[error("the snapshot does not fit the policy `{policy}`: {what}")]
    OtherPolicy {
        /// The policy's name.
        policy: String,
        /// What does not fit.
        what: String,
    },
}

impl Snapshot {
    pub(super) fn of(state: &State) -> Self {
        let mut state = state.clone();
        state.version = None;
        state.ledger.forget_transient();
        Self { version: Form(VERSION), state }
    }

    /// Returns the rollout that it is of.
    #[must_use]
    pub const fn rollout(&self) -> &RolloutId {
        &self.state.id
    }

    /// Returns when the rollout last saw an event.
    #[must_use]
    pub const fn seen(&self) -> Timestamp {
        self.state.seen
    }

    /// Returns the holder that wrote it.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.state.epoch
    }

    /// Tells whether there was something that ran the versions.
    #[must_use]
    pub const fn has_workload(&self) -> bool {
        self.state.workload
    }

    /// Returns where the rollout stood.
    #[must_use]
    pub const fn phase(&self) -> &Phase {
        &self.state.phase
    }

    /// Returns what had happened.
    #[must_use]
    pub const fn report(&self) -> &Report {
        &self.state.report
    }

    /// Tells whether the rollout was over.
    #[must_use]
    pub const fn is_ended(&self) -> bool {
        matches!(self.state.phase, Phase::Ended { .. })
    }

    /// Tells whether the rollout was over and observers were told all of it: nothing is left to take up.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.is_ended() && self.state.ledger.is_told()
    }

    pub(super) fn into_state(self, policy: &Policy) -> Result<State, SnapshotError> {
        let other =
            |what: String| SnapshotError::OtherPolicy { policy: policy.name().to_owned(), what };
        let stages = policy.stages();
        if let Some(hold) = self.state.phase.hold() {
            let stage = hold.stage;
            if stage >= stages.len() {
                return Err(other(format!("it stands in stage {} of {}", stage + 1, stages.len())));
            }
            if hold.gates.opened > policy.asks_after(stage).len() {
                let (opened, name) = (hold.gates.opened, &stages[stage].name);
                return Err(other(format!("{opened} gates of stage `{name}` are open")));
            }
        }
        let asks = match &self.state.phase {
            Phase::Opening { .. } | Phase::Starting { .. } => policy.asks_before_first().len(),
            Phase::Closing { .. } => policy.asks_after_promotion().len(),
            _ => usize::MAX,
        };
        // A fast return asks the gates of another stage than the first.
        if self.state.first == 0
            && let Some(opened) = self.state.phase.asking().map(|gates| gates.opened)
            && opened > asks
        {
            return Err(other(format!("{opened} of {asks} gates are open")));
        }
        if self.state.first >= stages.len() {
            return Err(other(format!("it began with stage {}", self.state.first + 1)));
        }
        if self.state.report.policy != policy.name() {
            return Err(other(format!("it is of the policy `{}`", self.state.report.policy)));
        }
        if self.state.plan.is_some_and(|plan| plan != digest(policy)) {
            return Err(other("its stages are not the policy's".to_owned()));
        }
        if !self.state.judge.fits(policy) {
            return Err(other("its checks are not the policy's".to_owned()));
        }
        Ok(self.state)
    }
}

/// Holds the saved part of the machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) id: RolloutId,
    pub(super) epoch: Epoch,
    pub(super) phase: Phase,
    /// Since when the rollout is paused.
    pub(super) paused: Option<Timestamp>,
    /// Whether there is something that runs the versions.
    pub(super) workload: bool,
    /// The stage that comes first.
    pub(super) first: usize,
    /// What the canary is known to get: what the router last accepted, or was found to have.
    pub(super) traffic: Traffic,
    /// What the router last accepted.
    pub(super) confirmed: Traffic,
    /// How stable was replaced, or is being: the way back restores it.
    pub(super) replaced: Option<How>,
    /// Since when the canary has been waited for.
    pub(super) preparing: Option<Timestamp>,
    /// When the rollout last came any further, or stood for a reason of its own.
    pub(super) moved: Timestamp,
    /// Whether it was said that it stands still.
    pub(super) stalled: bool,
    /// Checks about which a person is asked.
    pub(super) questions: Vec<Arc<str>>,
    /// Somebody else's change of the route, for which the rollout was paused.
    pub(super) drifted: bool,
    /// Whether a person said to put back what was confirmed, whatever the checks say.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) restores: bool,
    /// What the next raise may be based on; unknown to a new holder.
    #[serde(skip)]
    pub(super) version: Option<Version>,
    /// What tells the stages of the policy from those of another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) plan: Option<u64>,
    /// Whether anything that reaches the canary was ever asked for.
    #[serde(default = "yes")]
    pub(super) raised: bool,
    /// The stage that was held last: its traffic stands until the next stage's is accepted.
    #[serde(default)]
    pub(super) held: usize,
    /// When the machine last saw an event.
    pub(super) seen: Timestamp,
    /// When the metrics are next looked at.
    pub(super) next_tick: Option<Timestamp>,
    /// Up to when live time was counted where no check applies.
    pub(super) counted_to: Timestamp,
    /// When nobody looked, after the last take-over.
    pub(super) blind: Option<Window>,
    pub(super) judge: Judge,
    pub(super) ledger: Ledger,
    /// The last commands and their answers.
    pub(super) commands: VecDeque<(CommandId, Answer)>,
    pub(super) report: Report,
}

/// Sums up the stages, the same on every platform and by every version of the library.
fn digest(policy: &Policy) -> u64 {
    fnv(policy.stages().iter().flat_map(|stage| {
        let numbers = [stage.weight, stage.mirror].map(|weight| u64::from(weight.basis_points()));
        let numbers = numbers.into_iter().chain([stage.hold_ms]);
        stage.name.bytes().chain([0]).chain(numbers.flat_map(u64::to_le_bytes))
    }))
}

/// What an older library did not write.
const fn yes() -> bool {
    true
}

impl State {
    pub(super) fn new(id: RolloutId, policy: &Policy, now: Timestamp) -> Self {
        Self {
            id,
            epoch: Epoch::begun_at(now),
            phase: Phase::Starting { gates: Asking::default() },
            paused: None,
            workload: false,
            first: 0,
            traffic: Traffic::all_stable(),
            confirmed: Traffic::all_stable(),
            replaced: None,
            preparing: None,
            moved: now,
            stalled: false,
            questions: Vec::new(),
            drifted: false,
            restores: false,
            version: None,
            plan: Some(digest(policy)),
            raised: false,
            held: 0,
            seen: now,
            next_tick: None,
            counted_to: now,
            blind: None,
            judge: Judge::new(policy, now),
            ledger: Ledger::default(),
            commands: VecDeque::new(),
            report: Report::default(),
        }
    }
}

#[cfg(all(test, feature = "json"))]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::rollout::Rollout;

    #[test]
    fn a_newer_form_is_called_newer_whatever_it_holds() {
        let policy = Policy::builder("shop")
            .stage("full", crate::value::Weight::FULL, Duration::ZERO)
            .build()
            .unwrap();
        let (rollout, _) = Rollout::start("shop-1".parse().unwrap(), policy, Timestamp::EPOCH);
        let text = serde_json::to_string(&rollout.snapshot()).unwrap();
        assert_eq!(serde_json::from_str::<Snapshot>(&text).unwrap(), rollout.snapshot());
        let newer =
            text.replacen("\"version\":1", "\"version\":2", 1).replace("starting", "asking_people");
        let error = serde_json::from_str::<Snapshot>(&newer).unwrap_err().to_string();
        assert!(error.contains("version 2, and this library knows up to 1"), "{error}");
    }
}
