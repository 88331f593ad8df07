//! The stable form of a policy: whole milliseconds and basis points.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Metric;
use crate::value::{GateName, Weight, millis};

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
    /// What is left out of measurement after each change of weight.
    #[serde(default)]
    pub settle_ms: u64,
    /// The steps up to 100 %.
    pub stages: Vec<Stage>,
    /// What is looked at all along.
    #[serde(default)]
    pub checks: Vec<Check>,
    /// How gates are asked.
    #[serde(default)]
    pub gates: BTreeMap<GateName, GateSpec>,
    /// What silence means.
    #[serde(default)]
    pub no_data: NoData,
    /// Whether the hard limit is on.
    #[serde(default = "yes")]
    pub hard_limit: bool,
    /// How long a roll-back may take before it is called stuck.
    #[serde(default = "default_rollback_within")]
    pub rollback_within_ms: u64,
}

const fn yes() -> bool {
    true
}

const fn default_every() -> u64 {
    15_000
}

const fn default_rollback_within() -> u64 {
    300_000
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
            stages: Vec::new(),
            checks: Vec::new(),
            gates: BTreeMap::new(),
            no_data: NoData::default(),
            hard_limit: true,
            rollback_within_ms: default_rollback_within(),
        }
    }
}

/// Describes one step of a rollout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Stage {
    /// Names the stage.
    pub name: String,
    /// The canary's share.
    #[serde(rename = "weight_bp")]
    pub weight: Weight,
    /// How much observed time the stage lasts.
    pub hold_ms: u64,
    /// What is asked before the stage is left.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<GateName>,
}

impl Stage {
    /// Describes a stage without gates.
    #[must_use]
    pub fn new(name: impl Into<String>, weight: Weight, hold: Duration) -> Self {
        Self { name: name.into(), weight, hold_ms: millis(hold), gates: Vec::new() }
    }

    /// Returns how much observed time the stage lasts.
    #[must_use]
    pub const fn hold(&self) -> Duration {
        Duration::from_millis(self.hold_ms)
    }
}

/// Describes one check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Check {
    /// Names the check in records and reports.
    pub name: String,
    /// What it looks at.
    pub kind: CheckKind,
    /// What is done when it fails.
    pub then: Then,
}

/// Says what a check looks at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum CheckKind {
    /// A metric of the canary against a limit.
    Threshold {
        /// Which metric.
        metric: Metric,
        /// On which side of the limit it is bad.
        comparison: Comparison,
        /// The limit.
        limit: Limit,
        /// Over how much covered time it is judged; 0 for each tick's own window.
        for_ms: u64,
        /// How many requests of the canary it takes to judge at all.
        samples: u64,
    },
    /// Evidence that the canary's error rate is more than `ratio` times stable's, valid however often one looks.
    WorseThanStable {
        /// How many times stable's rate is still well: 1 or more.
        ratio: f64,
        /// How many innocent rollouts this check may take back, as a fraction.
        false_alarm: f64,
    },
}

impl CheckKind {
    /// Tells whether it compares the canary with stable.
    pub(crate) const fn compares(&self) -> bool {
        match self {
            Self::Threshold { limit, .. } => matches!(limit, Limit::TimesStable(_)),
            Self::WorseThanStable { .. } => true,
        }
    }

    /// Tells whether the plan gives the sides that it looks at any traffic at this weight.
    pub(crate) fn applies_at(&self, weight: Weight) -> bool {
        weight.is_mixed() || (weight == Weight::FULL && !self.compares())
    }
}

/// Says on which side of a limit a metric is bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::exhaustive_enums, reason = "a number is above or below a limit")]
pub enum Comparison {
    /// Bad above the limit.
    Above,
    /// Bad below the limit.
    Below,
}

impl Comparison {
    /// Returns its name: `above` or `below`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Above => "above",
            Self::Below => "below",
        }
    }
}

/// Limits a metric.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Limit {
    /// At a number in the metric's own unit: rates as fractions, latency in milliseconds.
    Absolute(f64),
    /// At this many times what stable shows in the same window.
    TimesStable(f64),
}

/// Says what a failing check does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Then {
    /// It is noted, and the rollout goes on.
    Warn,
    /// Weight and clock stand until it passes again.
    Hold,
    /// The canary is taken back.
    RollBack,
}

impl Then {
    /// Returns its name as it stands in a policy file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Warn => "warn",
            Self::Hold => "hold",
            Self::RollBack => "roll_back",
        }
    }
}

impl Check {
    fn new(name: impl Into<String>, kind: CheckKind) -> Self {
        Self { name: name.into(), kind, then: Then::RollBack }
    }

    fn threshold(
        name: impl Into<String>,
        metric: &str,
        comparison: Comparison,
        limit: Limit,
    ) -> Self {
        let metric = metric.parse().unwrap_or_else(|_| Metric::Custom(metric.to_owned()));
        Self::new(name, CheckKind::Threshold { metric, comparison, limit, for_ms: 0, samples: 0 })
    }

    /// Takes the canary back on evidence that its error rate is more than `ratio` times stable's,
    /// with at most one false alarm in a hundred rollouts.
    #[must_use]
    pub fn worse_than_stable(name: impl Into<String>, ratio: f64) -> Self {
        Self::new(name, CheckKind::WorseThanStable { ratio, false_alarm: 0.01 })
    }

    /// Takes the canary back while a metric is above a number.
    ///
    /// The metric is written as in a policy file: `error_rate` (a fraction), `latency.p95` (milliseconds), or a
    /// name that the metric source knows.
    #[must_use]
    pub fn above(name: impl Into<String>, metric: &str, limit: f64) -> Self {
        Self::threshold(name, metric, Comparison::Above, Limit::Absolute(limit))
    }

    /// Takes the canary back while a metric is below a number.
    #[must_use]
    pub fn below(name: impl Into<String>, metric: &str, limit: f64) -> Self {
        Self::threshold(name, metric, Comparison::Below, Limit::Absolute(limit))
    }

    /// Takes the canary back while a metric is above this many times stable's.
    #[must_use]
    pub fn above_stable(name: impl Into<String>, metric: &str, times: f64) -> Self {
        Self::threshold(name, metric, Comparison::Above, Limit::TimesStable(times))
    }

    /// Judges a threshold over this much covered time instead of each tick alone.
    #[must_use]
    pub fn lasting(mut self, time: Duration) -> Self {
        if let CheckKind::Threshold { for_ms, .. } = &mut self.kind {
            *for_ms = millis(time);
        }
        self
    }

    /// Judges a threshold only when the canary had this many requests.
    #[must_use]
    pub const fn with_samples(mut self, at_least: u64) -> Self {
        if let CheckKind::Threshold { samples, .. } = &mut self.kind {
            *samples = at_least;
        }
        self
    }

    /// Does this instead when the check fails.
    #[must_use]
    pub const fn then(mut self, then: Then) -> Self {
        self.then = then;
        self
    }
}

/// Says how a gate is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct GateSpec {
    /// Who decides.
    pub kind: GateKind,
    /// How long it may take from the first time it is asked; `None` for as long as it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// What is done when that time has passed.
    #[serde(default)]
    pub otherwise: Otherwise,
}

impl GateSpec {
    /// A person decides with an `approve` command.
    #[must_use]
    pub const fn approval() -> Self {
        Self { kind: GateKind::Approval, timeout_ms: None, otherwise: Otherwise::RollBack }
    }

    /// The gate may take this long; then the canary is taken back.
    #[must_use]
    pub fn timeout(mut self, time: Duration) -> Self {
        self.timeout_ms = Some(millis(time));
        self
    }
}

/// Says who decides at a gate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum GateKind {
    /// A [`Gate`](crate::ports::Gate) that the program supplies.
    #[default]
    Supplied,
    /// A person, with an `approve` command.
    Approval,
}

/// Says what is done when a gate's time has passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Otherwise {
    /// The canary is taken back.
    #[default]
    RollBack,
    /// The rollout goes on.
    Open,
}

/// Says what silence of the metric source means where a check applies.
///
/// The clock stands at once; after `after` the action is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct NoData {
    /// How long silence is borne, in milliseconds.
    pub after_ms: u64,
    /// What is done then: hold or roll back.
    pub then: Then,
}

impl Default for NoData {
    /// Holds for good.
    fn default() -> Self {
        Self { after_ms: 300_000, then: Then::Hold }
    }
}

impl NoData {
    /// Puts time and action together.
    #[must_use]
    pub fn new(after: Duration, then: Then) -> Self {
        Self { after_ms: millis(after), then }
    }

    /// Returns how long silence is borne.
    #[must_use]
    pub const fn after(self) -> Duration {
        Duration::from_millis(self.after_ms)
    }
}
