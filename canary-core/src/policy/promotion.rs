//! What follows the last stage, and how the two versions are run.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::value::{GateName, millis};

/// Says what follows the last stage.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Promotion {
    /// How the new version becomes the stable one, where the rollout has a workload.
    #[serde(default)]
    pub how: How,
    /// How long the old version is kept at 100 % after the last stage: the bake. Checks go on and an abort works.
    #[serde(default)]
    pub keep_old_ms: u64,
    /// What is asked after the bake.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<GateName>,
    /// What is asked once the new version is the stable one, before the old one goes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<GateName>,
}

/// Says how the new version becomes the stable one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum How {
    /// Stable takes the new version, then has all of the traffic again, and the canary goes.
    #[default]
    InPlace,
    /// The canary is the stable one from now on, keeps the traffic, and the old one goes.
    Swap,
}

/// Says how the two versions are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct WorkloadSpec {
    /// How long a version may take to become ready for the weight that it is to get.
    pub ready_within_ms: u64,
    /// How long it must have been ready without a break.
    pub ready_for_ms: u64,
    /// How long the old version is kept when the rollout was promoted.
    pub keep_after_success_ms: u64,
    /// How long the canary is kept when it was taken back.
    pub keep_after_abort_ms: u64,
}

impl Default for WorkloadSpec {
    /// Ready within five minutes; nothing is kept longer than needed.
    fn default() -> Self {
        Self {
            ready_within_ms: 300_000,
            ready_for_ms: 0,
            keep_after_success_ms: 0,
            keep_after_abort_ms: 0,
        }
    }
}

impl WorkloadSpec {
    /// Sets how long a version may take to become ready, 5 min unless said.
    #[must_use]
    pub fn ready_within(mut self, time: Duration) -> Self {
        self.ready_within_ms = millis(time);
        self
    }

    /// Sets how long a version must have been ready without a break.
    #[must_use]
    pub fn ready_for(mut self, time: Duration) -> Self {
        self.ready_for_ms = millis(time);
        self
    }

    /// Sets how long what is not needed any more is kept: after a promotion, and after a roll-back.
    #[must_use]
    pub fn keep(mut self, after_success: Duration, after_abort: Duration) -> Self {
        self.keep_after_success_ms = millis(after_success);
        self.keep_after_abort_ms = millis(after_abort);
        self
    }
}
