//! What one check found at one tick.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Grounds, Unweighed};
use crate::policy::{Comparison, Metric, Then};
use crate::value::{BySide, Counts, Failure, GateName, Reading, Signal};

/// Says what one check found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CheckResult {
    /// The check's name.
    pub check: Arc<str>,
    /// What it found, in a word.
    pub verdict: Verdict,
    /// What its failing does now: milder than the policy says while it is borne or a person has excused it.
    pub then: Then,
    /// Whether it only reports.
    #[serde(default, skip_serializing_if = "is_false")]
    pub dry_run: bool,
    /// Whether it failed no more often than it may.
    #[serde(default, skip_serializing_if = "is_false")]
    pub borne: bool,
    /// How many more passes in a row it takes to pass.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub passes_left: u32,
    /// The numbers behind the word.
    pub finding: Finding,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
const fn is_false(value: &bool) -> bool {
    !*value
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
const fn is_zero(value: &u32) -> bool {
    *value == 0
}

impl CheckResult {
    pub(crate) const fn new(
        check: Arc<str>,
        verdict: Verdict,
        then: Then,
        finding: Finding,
    ) -> Self {
        Self { check, verdict, then, dry_run: false, borne: false, passes_left: 0, finding }
    }
}

/// Says in a word what a check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Verdict {
    /// Nothing speaks against the canary.
    Pass,
    /// The check's limit is crossed.
    Fail,
    /// The source is silent though the plan gives the side traffic.
    NoData,
    /// The source answered with an error.
    Error,
    /// There are too few requests to say, or a gate does not say yet.
    Inconclusive,
    /// The source has nothing newer yet.
    Pending,
    /// The plan itself gives one side no traffic, so there is nothing to compare.
    NotApplicable,
}

impl Verdict {
    /// Returns its name as it stands in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::NoData => "no_data",
            Self::Error => "error",
            Self::Inconclusive => "inconclusive",
            Self::Pending => "pending",
            Self::NotApplicable => "not_applicable",
        }
    }
}

/// Holds the numbers behind a verdict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Finding {
    /// A metric against its limit.
    Threshold {
        /// The metric.
        metric: Metric,
        /// On which side of the limit it is bad.
        comparison: Comparison,
        /// The canary's number.
        canary: Option<f64>,
        /// Stable's number in the same windows.
        stable: Option<f64>,
        /// The limit, already multiplied where it is relative.
        limit: Option<f64>,
        /// Over how much covered time, in milliseconds.
        over_ms: u64,
    },
    /// A health score against its limit.
    Score {
        /// The score's name.
        metric: Metric,
        /// On which side of the limit it is bad.
        comparison: Comparison,
        /// The canary's score, 0 to 1.
        canary: Option<f64>,
        /// Stable's score in the same windows.
        stable: Option<f64>,
        /// The limit, already multiplied where it is relative.
        limit: Option<f64>,
        /// Over how much covered time, in milliseconds.
        over_ms: u64,
        /// What the canary's score is made of.
        parts: Vec<PartScore>,
    },
    /// One comparison of both sides over a whole stage.
    Ab {
        /// The metric.
        metric: Metric,
        /// The time in milliseconds that the compared requests took longer than, where the metric is a latency.
        beyond_ms: Option<f64>,
        /// The share of bad (or slow) requests, 0 to 1.
        rates: BySide<Option<f64>>,
        /// The requests.
        samples: BySide<u64>,
        /// How many requests each side must have had.
        needed: u64,
        /// How probable so large a difference is by chance; `None` where there were too few requests to say.
        p_value: Option<f64>,
        /// Below which probability it fails.
        significance: f64,
    },
    /// What a gate said.
    Gate {
        /// The gate.
        gate: GateName,
        /// Why it is not open.
        why: Option<String>,
    },
    /// What the parts of a check found.
    Combined {
        /// How they are put together.
        how: Combination,
        /// Each part, in the order of the policy.
        parts: Vec<PartResult>,
    },
    /// Evidence since the first weight.
    Evidence {
        /// Requests that were weighed by whether they failed; `None` where latency alone is weighed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        requests: Option<BySide<Counts>>,
        /// Why latency, which should be weighed, is not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        unweighed: Option<Unweighed>,
        /// The odds against the canary.
        odds: f64,
        /// The odds that convict.
        needed: f64,
        /// What else a person wants to know, where it decides something: it convicts, or a stage ends.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        grounds: Option<Box<Grounds>>,
    },
    /// Evidence that the canary is as good as stable.
    AsGood {
        /// Requests that were weighed.
        requests: BySide<Counts>,
        /// How many times stable's error rate would be too much.
        ratio: f64,
        /// The odds against a canary that is that bad.
        odds: f64,
        /// The odds that are enough.
        needed: f64,
    },
    /// Evidence that the canary misses an objective in this stage.
    Objective {
        /// The canary's requests in the stage.
        requests: Counts,
        /// The share that may fail, 0 to 1.
        allowed: f64,
        /// The odds against keeping it.
        odds: f64,
        /// The odds that are enough.
        needed: f64,
    },
    /// A rank test of both sides' numbers over a stage.
    Ranks {
        /// The metric.
        metric: Metric,
        /// Each side's mean.
        means: BySide<Option<f64>>,
        /// How many points of each side there are.
        points: usize,
        /// How many it takes.
        needed: usize,
        /// How probable so large a difference is by chance; `None` where there are too few points.
        p_value: Option<f64>,
        /// Between which shifts of the canary against stable the difference lies, in the metric's unit.
        shift: Option<[f64; 2]>,
        /// How many times stable's mean is still well.
        ratio: f64,
    },
    /// The hard limit on one window.
    HardLimit {
        /// Requests in it.
        requests: BySide<Counts>,
    },
    /// The source shows nothing of a side that the plan gives traffic.
    Silent {
        /// What it was asked for.
        signal: Signal,
        /// Of whom it shows nothing.
        sides: Silent,
    },
    /// The source's error.
    Failed(Failure),
    /// There is no number.
    Nothing,
}

/// Says of whom a metric source shows nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::exhaustive_enums, reason = "a rollout has two sides")]
pub enum Silent {
    /// Of the canary alone.
    Canary,
    /// Of stable alone.
    Stable,
    /// Of neither side.
    Both,
}

impl Silent {
    /// Finds who shows nothing, if anybody.
    pub(crate) fn of(sides: &BySide<Reading>) -> Option<Self> {
        match (sides.stable.is_missing(), sides.canary.is_missing()) {
            (true, true) => Some(Self::Both),
            (true, false) => Some(Self::Stable),
            (false, true) => Some(Self::Canary),
            (false, false) => None,
        }
    }
}

impl Finding {
    /// Returns of whom nothing is shown, where that is what was found, here or in a part.
    pub(crate) fn silent(&self) -> Option<Silent> {
        match self {
            Self::Silent { sides, .. } => Some(*sides),
            Self::Combined { parts, .. } => parts.iter().find_map(|part| part.finding.silent()),
            _ => None,
        }
    }
}

/// Says how the parts of a check are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Combination {
    /// It fails while all of them fail.
    All,
    /// It fails while any of them fails.
    Any,
    /// It fails while its one part passes.
    Not,
}

/// Says what one part of a check found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PartResult {
    /// What it found, in a word.
    pub verdict: Verdict,
    /// The numbers behind the word.
    pub finding: Finding,
}

impl PartResult {
    pub(crate) const fn new(verdict: Verdict, finding: Finding) -> Self {
        Self { verdict, finding }
    }
}

/// Says how one part of a health score did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PartScore {
    /// The metric.
    pub metric: Metric,
    /// The canary's number.
    pub value: Option<f64>,
    /// How well that is, 0 to 1; `None` where it was left out.
    pub score: Option<f64>,
}

impl PartScore {
    pub(crate) const fn new(metric: Metric, value: Option<f64>, score: Option<f64>) -> Self {
        Self { metric, value, score }
    }
}
