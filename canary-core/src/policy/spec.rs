//! The stable form of a policy: whole milliseconds and basis points.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Check, CheckKind, GateSpec, Metric, MetricSpec, Promotion, Stage, Then, WorkloadSpec};
use crate::value::{Audience, GateName, Split, millis};

/// Holds a policy as it is stored: not yet known to be valid, see [`Policy::from_spec`](super::Policy::from_spec).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct PolicySpec {
    /// The version of this form: 1.
    pub version: u32,
    /// Names the policy.
    pub name: String,
    /// The time between two looks at the metrics.
    #[serde(default = "default_every")]
    pub every_ms: u64,
    /// What is left out of measurement after each change of weight, and how long a version that has lost its traffic is
    /// kept at least.
    #[serde(default)]
    pub settle_ms: u64,
    /// How far behind the metric source may be and its last word still be fresh.
    #[serde(default = "default_lag")]
    pub lag_ms: u64,
    /// Requests with all of these headers reach the canary from the first stage until the end.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub header: BTreeMap<String, String>,
    /// Whose requests make up the canary's share; drawn anew for each request unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<Audience>,
    /// Metrics beside the built-in ones.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, MetricSpec>,
    /// What is asked before anything else happens.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub start: Vec<GateName>,
    /// The steps up to 100 %.
    pub stages: Vec<Stage>,
    /// What follows the last stage.
    #[serde(default)]
    pub promotion: Promotion,
    /// What is looked at all along.
    #[serde(default)]
    pub checks: Vec<Check>,
    /// How gates are asked.
    #[serde(default)]
    pub gates: BTreeMap<GateName, GateSpec>,
    /// What silence of the metric source means.
    #[serde(default)]
    pub no_data: Patience,
    /// What errors of the metric source mean.
    #[serde(default)]
    pub errors: Patience,
    /// Whether the hard limit is on.
    #[serde(default = "yes")]
    pub hard_limit: bool,
    /// How long a roll-back may take before it is called stuck.
    #[serde(default = "default_rollback_within")]
    pub rollback_within_ms: u64,
    /// What is done where the rollout stands still.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Patience>,
    /// What is done where the route is not what it was left as.
    #[serde(default)]
    pub drift: Drift,
    /// How the two versions are run, where the rollout has a workload.
    #[serde(default)]
    pub workload: WorkloadSpec,
    /// How many past rollouts of a target are remembered.
    #[serde(default = "default_keep")]
    pub keep: u32,
    /// A version among this many that were promoted last needs no stages but the last; 0 for none.
    #[serde(default)]
    pub fast_return: u32,
    /// Findings of the linter that were read and accepted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<String>,
}

const fn yes() -> bool {
    true
}

const fn default_every() -> u64 {
    15_000
}

const fn default_lag() -> u64 {
    60_000
}

const fn default_rollback_within() -> u64 {
    300_000
}

const fn default_keep() -> u32 {
    10
}

impl PolicySpec {
    /// Begins a form with every default and nothing in it.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            version: 1,
            name: name.into(),
            every_ms: default_every(),
            settle_ms: 0,
            lag_ms: default_lag(),
            header: BTreeMap::new(),
            audience: None,
            metrics: BTreeMap::new(),
            start: Vec::new(),
            stages: Vec::new(),
            promotion: Promotion::default(),
            checks: Vec::new(),
            gates: BTreeMap::new(),
            no_data: Patience::default(),
            errors: Patience::default(),
            hard_limit: true,
            rollback_within_ms: default_rollback_within(),
            progress: None,
            drift: Drift::default(),
            workload: WorkloadSpec::default(),
            keep: default_keep(),
            fast_return: 0,
            allow: Vec::new(),
        }
    }

    /// Returns every gate that is asked, with the path under which it is named, those of checks last.
    pub(crate) fn asked_gates(&self) -> Vec<(String, &GateName)> {
        let mut lists = vec![("start.gates".to_owned(), &self.start)];
        for (i, stage) in self.stages.iter().enumerate() {
            lists.push((format!("stages[{i}].enter"), &stage.enter));
            lists.push((format!("stages[{i}].gates"), &stage.gates));
        }
        lists.push(("promotion.gates".to_owned(), &self.promotion.gates));
        lists.push(("promotion.after".to_owned(), &self.promotion.after));
        let mut asked = Vec::new();
        for (path, gates) in lists {
            asked.extend(gates.iter().enumerate().map(|(j, gate)| (format!("{path}[{j}]"), gate)));
        }
        for (i, check) in self.checks.iter().enumerate() {
            check.kind.visit_at(&format!("checks[{i}]"), &mut |path, kind| {
                if let CheckKind::Gate { gate } = kind {
                    asked.push((format!("{path}.gate"), gate));
                }
            });
        }
        asked
    }

    /// Tells whether a metric says anything only beside stable.
    pub(crate) fn compares(&self, metric: &Metric) -> bool {
        let Metric::Custom(name) = metric else { return false };
        self.metrics.get(&**name).is_some_and(MetricSpec::compares)
    }

    /// Tells whether a check says anything where the traffic is split so, by what its metrics are made of.
    pub(crate) fn judges_at(&self, check: &Check, split: Split) -> bool {
        check.applies_at(split) && (split.is_mixed() || self.judges_alone(&check.kind))
    }

    /// Tells whether any part of it says anything where stable has no traffic.
    pub(super) fn judges_alone(&self, kind: &CheckKind) -> bool {
        match kind {
            CheckKind::All(parts) | CheckKind::Any(parts) => {
                parts.iter().any(|part| self.judges_alone(part))
            }
            CheckKind::Not(part) => self.judges_alone(part),
            CheckKind::Threshold { metric, .. } => !kind.compares() && !self.compares(metric),
            other => !other.compares(),
        }
    }
}

/// Says for how long a lack is borne, and what is done then; the clock stands at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Patience {
    /// How long it is borne, in milliseconds.
    pub after_ms: u64,
    /// What is done then: hold, ask or roll back.
    pub then: Then,
}

impl Default for Patience {
    /// Holds for good.
    fn default() -> Self {
        Self { after_ms: 300_000, then: Then::Hold }
    }
}

impl Patience {
    /// Puts time and action together.
    #[must_use]
    pub fn new(after: Duration, then: Then) -> Self {
        Self { after_ms: millis(after), then }
    }

    /// Returns how long the lack is borne.
    #[must_use]
    pub const fn after(self) -> Duration {
        Duration::from_millis(self.after_ms)
    }
}

/// Says what is done where somebody else has changed the route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Drift {
    /// It is set right: what is too much is taken away at once, what is too little asked for as any raise is.
    #[default]
    PutBack,
    /// It is left as it is, and the rollout is paused until somebody resumes it.
    Pause,
    /// It is left as it is, and the rollout goes on.
    Accept,
}
