//! What a rollout says of itself: the only output that people, reports and observers read.
//!
//! Nothing is decided that no record shows. Records are numbered from 1
//! without gaps; a number always stands for the same record.

mod check;
mod combined;
mod findings;
mod grounds;
mod outcome;
mod show;
mod weighed;

pub(crate) use findings::rate;
pub(crate) use weighed::Odds;

pub use check::{CheckResult, Combination, Finding, PartResult, PartScore, Silent, Verdict};
pub use grounds::{Grounds, Together, Unweighed};
pub use outcome::{Outcome, Reason};

use serde::{Deserialize, Serialize};

use std::sync::Arc;

use crate::policy::{Drift, How, Moment, Then};
use crate::value::{
    Actor, BySide, CommandId, Counts, Epoch, Failure, GateName, RolloutId, Side, Timestamp,
    Traffic, Weight, Window,
};

/// Holds one thing that happened, with its number and time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Record {
    /// Counts from 1 without gaps.
    pub number: u64,
    /// When it was decided or learnt.
    #[serde(rename = "at_ms")]
    pub at: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub content: Content,
}

impl Record {
    pub(crate) const fn new(number: u64, at: Timestamp, content: Content) -> Self {
        Self { number, at, content }
    }
}

/// Says what happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Content {
    /// The rollout began.
    Started {
        /// Its id.
        rollout: RolloutId,
        /// The policy's name.
        policy: String,
        /// How many stages it has, the bake included.
        stages: usize,
        /// What is rolled out, where the program said so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<String>,
    },
    /// The version was promoted not long ago: it needs no stage but the last.
    FastReturn {
        /// The version.
        version: String,
    },
    /// Another holder took the rollout over, for instance after a crash.
    Restored {
        /// The new holder's number.
        epoch: Epoch,
        /// How long nobody looked, in milliseconds; counts for no hold.
        down_ms: u64,
    },
    /// The canary is ready for the weight that it is to get.
    CanaryReady {
        /// The weight.
        #[serde(rename = "weight_bp")]
        weight: Weight,
    },
    /// The canary is not ready; told when what it waits for changes.
    CanaryNotReady {
        /// What it waits for.
        why: String,
    },
    /// A stage is entered: its weight is about to be asked for.
    StageEntered {
        /// The stage's position, from 0.
        stage: usize,
        /// Its name.
        name: String,
        /// Its weight.
        #[serde(rename = "weight_bp")]
        weight: Weight,
    },
    /// The router took the traffic on.
    TrafficAccepted {
        /// The canary's share.
        #[serde(rename = "weight_bp")]
        weight: Weight,
        /// Whether requests are known to follow already.
        effective: Option<bool>,
    },
    /// The route was not what it was left as.
    Drifted {
        /// What it should be.
        expected: Traffic,
        /// What it was found to be.
        found: Traffic,
        /// What is done about it.
        then: Drift,
    },
    /// A tick was judged; shared, since it is large and reports, observers and the state that is saved all hold it.
    Judged(Arc<Judgement>),
    /// A check asks a person whether to go on.
    Asked {
        /// What it found.
        check: CheckResult,
    },
    /// A person lets the rollout go on in spite of a check, for the rest of the stage.
    Excused {
        /// The check.
        check: Arc<str>,
        /// Who.
        by: Actor,
    },
    /// A gate is asked for the first time at its moment.
    GateAsked {
        /// The gate.
        gate: GateName,
        /// Where in the rollout.
        moment: Moment,
        /// The stage that is entered or left; empty where it is about none.
        stage: String,
    },
    /// A gate opened.
    GateOpened {
        /// The gate.
        gate: GateName,
        /// Who opened it, where a person did.
        by: Option<Actor>,
    },
    /// Somebody gave a command.
    Commanded {
        /// The command's id.
        id: CommandId,
        /// Who gave it.
        actor: Actor,
        /// What it was: `pause`, `resume`, `approve oncall`, `abort: reason`.
        command: String,
        /// What came of it.
        answer: String,
    },
    /// A call to a port failed.
    CallFailed {
        /// What was to be done.
        action: String,
        /// Which try it was, from 1.
        attempt: u32,
        /// What went wrong.
        failure: Failure,
    },
    /// It was decided to take the canary back.
    RollbackDecided {
        /// Why.
        reason: Reason,
    },
    /// Taking the canary back takes longer than it may; it is still tried.
    Stuck {
        /// For how long, in milliseconds.
        for_ms: u64,
    },
    /// The rollout has stood still for longer than it may.
    Stalled {
        /// For how long, in milliseconds.
        for_ms: u64,
        /// What is done about it.
        then: Then,
        /// What replacing or removing a version waits for, where it is that; empty where nobody said.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        why: String,
    },
    /// Stable is about to take the new version: from here on the way back restores the old one first.
    PointOfNoReturn,
    /// The new version is the stable one.
    StableReplaced {
        /// How.
        how: How,
    },
    /// The old version is the stable one again.
    StableRestored,
    /// A version that has no traffic any more is gone.
    Retired {
        /// Which side.
        side: Side,
    },
    /// The rollout ended.
    Ended {
        /// How.
        outcome: Outcome,
    },
}

impl Content {
    /// Returns its kind's stable name, as it stands in JSON.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Started { .. } => "started",
            Self::FastReturn { .. } => "fast_return",
            Self::Restored { .. } => "restored",
            Self::CanaryReady { .. } => "canary_ready",
            Self::CanaryNotReady { .. } => "canary_not_ready",
            Self::StageEntered { .. } => "stage_entered",
            Self::TrafficAccepted { .. } => "traffic_accepted",
            Self::Drifted { .. } => "drifted",
            Self::Judged(_) => "judged",
            Self::Asked { .. } => "asked",
            Self::Excused { .. } => "excused",
            Self::GateAsked { .. } => "gate_asked",
            Self::GateOpened { .. } => "gate_opened",
            Self::Commanded { .. } => "commanded",
            Self::CallFailed { .. } => "call_failed",
            Self::RollbackDecided { .. } => "rollback_decided",
            Self::Stuck { .. } => "stuck",
            Self::Stalled { .. } => "stalled",
            Self::PointOfNoReturn => "point_of_no_return",
            Self::StableReplaced { .. } => "stable_replaced",
            Self::StableRestored => "stable_restored",
            Self::Retired { .. } => "retired",
            Self::Ended { .. } => "ended",
        }
    }
}

/// Says what a tick showed and what follows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Judgement {
    /// The stage's position, from 0.
    pub stage: usize,
    /// The configured weight.
    #[serde(rename = "weight_bp")]
    pub weight: Weight,
    /// The window that the numbers cover; empty where nothing newer was known.
    pub window: Window,
    /// Requests in it, where known.
    pub requests: Option<BySide<Counts>>,
    /// The 95th percentile of latency in it in milliseconds, where known.
    #[serde(rename = "p95_ms")]
    pub p95: BySide<Option<f64>>,
    /// What each check found.
    pub checks: Vec<CheckResult>,
    /// What follows.
    pub ruling: Ruling,
    /// How much of the stage's hold has been observed, in milliseconds.
    pub held_ms: u64,
    /// What the metric source says a person should know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl Judgement {
    /// Tells whether another look came to the same in the same place.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        let place = |j: &Self| (j.stage, j.weight, j.ruling);
        place(self) == place(other)
    }

    /// Makes one look of two that follow each other: requests are added, the rest is the later one's.
    pub(crate) fn take_in(&mut self, later: &Self) {
        let earlier = std::mem::replace(self, later.clone());
        self.window.after = earlier.window.after.min(later.window.after);
        if let Some(before) = earlier.requests {
            let sum = self.requests.get_or_insert_with(BySide::default);
            sum.stable.add(before.stable);
            sum.canary.add(before.canary);
        }
    }

    /// Returns the canary's measured share of the requests, 0 to 1.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a share needs no 53 bits")]
    pub fn observed_share(&self) -> Option<f64> {
        let requests = self.requests?;
        let total = requests.stable.total.saturating_add(requests.canary.total);
        (total > 0).then(|| requests.canary.total as f64 / total as f64)
    }
}

/// Says what follows from a tick, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Ruling {
    /// All is well, or only worth a warning: the hold's clock runs.
    GoOn,
    /// There is nothing newer to judge; the hold's clock stands until there is.
    Wait,
    /// Weight and clock stand.
    Hold,
    /// Weight and clock stand until a person says what to do.
    Ask,
    /// The canary is taken back.
    RollBack,
}
