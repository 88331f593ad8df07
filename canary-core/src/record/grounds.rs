//! What evidence rests on, and what it could not weigh.

use serde::{Deserialize, Serialize};

use crate::analysis::{RatioBounds, Slow};
use crate::value::BySide;

/// Says what is behind a decision by evidence.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Grounds {
    /// Between how many times stable's error rate the canary's lies, where errors were weighed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio: Option<RatioBounds>,
    /// How sure that is, 0 to 1.
    #[serde(default)]
    pub confidence: f64,
    /// The bounds of the histogram at which latency was weighed, in milliseconds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bounds_ms: Vec<f64>,
    /// The one of these bounds that speaks most against the canary, and how many requests took longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow: Option<Slow>,
    /// Of several things that were weighed, those that convict by themselves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub culprits: Vec<String>,
    /// The one pod without which there would be no such evidence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub one_pod: Option<String>,
    /// The pods that were weighed together, where there were too many to tell all apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub together: Option<Together>,
    /// How many times more each side's errors scatter among its pods than independent ones would, where they do. It
    /// decides nothing.
    #[serde(default, skip_serializing_if = "is_nowhere")]
    pub dispersion: BySide<Option<f64>>,
}

const fn is_nowhere(factors: &BySide<Option<f64>>) -> bool {
    factors.stable.is_none() && factors.canary.is_none()
}

/// Says which pods of the canary were not told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Together {
    /// How many there were at most in one look.
    pub pods: u64,
    /// Whether without them there would be no such evidence: it is one or some of them, and not the version.
    pub guilty: bool,
}

/// Says why latency, which should be weighed, is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Unweighed {
    /// The bounds at which it will be weighed are not fixed yet.
    TooFew {
        /// How many requests stable has served so far.
        seen: u64,
        /// Of how many the bounds are fixed.
        needed: u64,
    },
    /// The histogram has no bound beyond which a tail of stable's requests lies.
    NoBound,
    /// The two sides' histograms have none of the bounds in common that were fixed.
    OtherBounds,
}
