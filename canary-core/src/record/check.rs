//! What one check found at one tick.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::policy::{Comparison, Metric, Then};
use crate::value::{BySide, Counts, Failure};

/// Says what one check found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CheckResult {
    /// The check's name.
    pub check: Arc<str>,
    /// What it found, in a word.
    pub verdict: Verdict,
    /// What its failing does.
    pub then: Then,
    /// The numbers behind the word.
    pub finding: Finding,
}

impl CheckResult {
    pub(crate) const fn new(
        check: Arc<str>,
        verdict: Verdict,
        then: Then,
        finding: Finding,
    ) -> Self {
        Self { check, verdict, then, finding }
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
    /// There are too few requests to say.
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
    /// Evidence since the first weight.
    Evidence {
        /// Requests that were weighed.
        requests: BySide<Counts>,
        /// The odds against the canary.
        odds: f64,
        /// The odds that convict.
        needed: f64,
    },
    /// The hard limit on one window.
    HardLimit {
        /// Requests in it.
        requests: BySide<Counts>,
    },
    /// The source's error.
    Failed(Failure),
    /// There is no number.
    Nothing,
}
