//! The steps of a plan.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Comparison, Metric};
use crate::value::{GateName, Split, Weight, millis};

/// Describes one step of a rollout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Stage {
    /// Names the stage.
    pub name: String,
    /// The canary's share.
    #[serde(rename = "weight_bp")]
    pub weight: Weight,
    /// The share of stable's requests of which the canary gets a copy.
    #[serde(default, rename = "mirror_bp", skip_serializing_if = "is_none")]
    pub mirror: Weight,
    /// How much observed time the stage lasts.
    pub hold_ms: u64,
    /// What is asked before its weight.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub enter: Vec<GateName>,
    /// What is asked before it is left.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<GateName>,
    /// What its own requests must show before it is left.
    #[serde(default, skip_serializing_if = "Pass::is_empty")]
    pub pass: Pass,
    /// How large the canary is in this stage; as large as its weight needs unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<Scale>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
fn is_none(weight: &Weight) -> bool {
    *weight == Weight::ZERO
}

impl Stage {
    /// Describes a stage without gates.
    #[must_use]
    pub fn new(name: impl Into<String>, weight: Weight, hold: Duration) -> Self {
        Self {
            name: name.into(),
            weight,
            mirror: Weight::ZERO,
            hold_ms: millis(hold),
            enter: Vec::new(),
            gates: Vec::new(),
            pass: Pass::default(),
            scale: None,
        }
    }

    /// Returns what each version gets to answer in it.
    #[must_use]
    pub const fn split(&self) -> Split {
        Split::new(self.weight, self.mirror)
    }

    /// Returns how much observed time the stage lasts.
    #[must_use]
    pub const fn hold(&self) -> Duration {
        Duration::from_millis(self.hold_ms)
    }
}

/// Says what the requests of one stage together must show before it is left.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Pass {
    /// How many requests the canary must have had.
    #[serde(default)]
    pub samples: u64,
    /// What must hold of the canary.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<PassLimit>,
}

impl Pass {
    /// Tells whether nothing is asked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.samples == 0 && self.limits.is_empty()
    }
}

/// Says what must hold of one metric over a whole stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct PassLimit {
    /// The metric.
    pub metric: Metric,
    /// On which side of the limit it is bad.
    pub comparison: Comparison,
    /// The limit, in the metric's own unit; the limit itself is still well.
    pub limit: f64,
}

impl PassLimit {
    /// Puts a limit together.
    #[must_use]
    pub const fn new(metric: Metric, comparison: Comparison, limit: f64) -> Self {
        Self { metric, comparison, limit }
    }
}

/// Says how large the canary is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Scale {
    /// This many replicas.
    Replicas(u32),
    /// This share of stable's replicas, in basis points, at least one.
    #[serde(rename = "share_bp")]
    Share(Weight),
}
