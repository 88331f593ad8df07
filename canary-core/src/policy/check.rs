//! What is looked at all along.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Metric, Patience};
use crate::value::{GateName, Weight, millis};

/// Describes one check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Check {
    /// Names the check in records and reports.
    pub name: Arc<str>,
    /// What it looks at.
    pub kind: CheckKind,
    /// What is done when it fails.
    pub then: Then,
    /// Whether it only reports, whatever it finds.
    #[serde(default, skip_serializing_if = "is_false")]
    pub dry_run: bool,
    /// From which weight on it is looked at.
    #[serde(default, rename = "from_bp", skip_serializing_if = "is_none")]
    pub from: Weight,
    /// How long after it could first be looked at it begins.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub delay_ms: u64,
    /// How often it is looked at; with every look at the metrics unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every_ms: Option<u64>,
    /// How often it may fail.
    #[serde(default, skip_serializing_if = "Tolerance::is_none")]
    pub tolerance: Tolerance,
    /// What silence means for this check; the policy's `no_data` unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_data: Option<Patience>,
    /// What errors of its source mean for this check; the policy's `errors` unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errors: Option<Patience>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
const fn is_false(value: &bool) -> bool {
    !*value
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
fn is_none(weight: &Weight) -> bool {
    *weight == Weight::ZERO
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
const fn is_zero(value: &u64) -> bool {
    *value == 0
}

/// Says how often a check may fail before it counts as failed, and how often it must pass then.
///
/// Without a limit the first failure counts. Each look at the check is one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Tolerance {
    /// How many failures in the whole rollout are borne.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failures: Option<u32>,
    /// How many failures in a row are borne.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_a_row: Option<u32>,
    /// How many passes in a row it takes to pass, in each stage and after each failure; 1 or 0 for the first.
    #[serde(skip_serializing_if = "is_zero_u32")]
    pub successes: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
const fn is_zero_u32(value: &u32) -> bool {
    *value == 0
}

impl Tolerance {
    fn is_none(&self) -> bool {
        *self == Self::default()
    }
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
    /// One comparison of both sides at the end of each stage, over the stage's own requests.
    Ab {
        /// Which metric: `error_rate`, `success_rate` or a quantile of latency.
        metric: Metric,
        /// The probability of failing an innocent canary at one look, as a fraction.
        significance: f64,
        /// How many requests each side must have had.
        samples: u64,
    },
    /// A gate: open passes, a rejection fails, waiting is inconclusive.
    Gate {
        /// The gate.
        gate: GateName,
    },
    /// Fails while all of these fail.
    All(Vec<CheckKind>),
    /// Fails while any of these fails.
    Any(Vec<CheckKind>),
    /// Fails while this passes.
    Not(Box<CheckKind>),
}

impl CheckKind {
    /// Visits this and, where it is put together from others, all of those.
    pub fn visit<'a>(&'a self, see: &mut impl FnMut(&'a Self)) {
        see(self);
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().for_each(|part| part.visit(see)),
            Self::Not(part) => part.visit(see),
            Self::Threshold { .. }
            | Self::WorseThanStable { .. }
            | Self::Ab { .. }
            | Self::Gate { .. } => {}
        }
    }

    /// Tells whether it compares the canary with stable, in any of its parts.
    pub(crate) fn compares(&self) -> bool {
        match self {
            Self::Threshold { limit, .. } => matches!(limit, Limit::TimesStable(_)),
            Self::WorseThanStable { .. } | Self::Ab { .. } => true,
            Self::Gate { .. } => false,
            Self::All(parts) | Self::Any(parts) => parts.iter().any(Self::compares),
            Self::Not(part) => part.compares(),
        }
    }

    /// Tells whether it only asks gates, and so needs no metrics.
    pub(crate) fn only_gates(&self) -> bool {
        match self {
            Self::Threshold { .. } | Self::WorseThanStable { .. } | Self::Ab { .. } => false,
            Self::Gate { .. } => true,
            Self::All(parts) | Self::Any(parts) => parts.iter().all(Self::only_gates),
            Self::Not(part) => part.only_gates(),
        }
    }

    /// Tells whether the plan gives the sides that it looks at any traffic at this weight, in any of its parts.
    pub(crate) fn applies_at(&self, weight: Weight) -> bool {
        match self {
            Self::Gate { .. } => true,
            Self::All(parts) | Self::Any(parts) => parts.iter().any(|part| part.applies_at(weight)),
            Self::Not(part) => part.applies_at(weight),
            Self::Threshold { .. } | Self::WorseThanStable { .. } | Self::Ab { .. } => {
                weight.is_mixed() || (weight == Weight::FULL && !self.compares())
            }
        }
    }

    /// Tells whether any metric that it reads is looked at at this weight.
    pub(crate) fn measures_at(&self, weight: Weight) -> bool {
        match self {
            Self::Gate { .. } => false,
            Self::All(parts) | Self::Any(parts) => {
                parts.iter().any(|part| part.measures_at(weight))
            }
            Self::Not(part) => part.measures_at(weight),
            leaf => leaf.applies_at(weight),
        }
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

    /// Tells whether a value is bad; the limit itself is well.
    #[must_use]
    pub fn is_bad(self, value: f64, limit: f64) -> bool {
        match self {
            Self::Above => value > limit,
            Self::Below => value < limit,
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
    /// Weight and clock stand until a person says whether to go on or to take the canary back.
    Ask,
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
            Self::Ask => "ask",
            Self::RollBack => "roll_back",
        }
    }
}

impl Check {
    /// Takes the canary back while this holds.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>, kind: CheckKind) -> Self {
        Self {
            name: name.into(),
            kind,
            then: Then::RollBack,
            dry_run: false,
            from: Weight::ZERO,
            delay_ms: 0,
            every_ms: None,
            tolerance: Tolerance::default(),
            no_data: None,
            errors: None,
        }
    }

    fn threshold(
        name: impl Into<Arc<str>>,
        metric: &str,
        comparison: Comparison,
        limit: Limit,
    ) -> Self {
        let metric = metric.parse().unwrap_or_else(|_| Metric::Custom(metric.into()));
        Self::new(name, CheckKind::Threshold { metric, comparison, limit, for_ms: 0, samples: 0 })
    }

    /// Takes the canary back on evidence that its error rate is more than `ratio` times stable's,
    /// with at most one false alarm in a hundred rollouts.
    #[must_use]
    pub fn worse_than_stable(name: impl Into<Arc<str>>, ratio: f64) -> Self {
        Self::new(name, CheckKind::WorseThanStable { ratio, false_alarm: 0.01 })
    }

    /// Takes the canary back while a metric is above a number.
    ///
    /// The metric is written as in a policy file: `error_rate` (a fraction), `latency.p95` (milliseconds), or a
    /// name that the metric source knows.
    #[must_use]
    pub fn above(name: impl Into<Arc<str>>, metric: &str, limit: f64) -> Self {
        Self::threshold(name, metric, Comparison::Above, Limit::Absolute(limit))
    }

    /// Takes the canary back while a metric is below a number.
    #[must_use]
    pub fn below(name: impl Into<Arc<str>>, metric: &str, limit: f64) -> Self {
        Self::threshold(name, metric, Comparison::Below, Limit::Absolute(limit))
    }

    /// Takes the canary back while a metric is above this many times stable's.
    #[must_use]
    pub fn above_stable(name: impl Into<Arc<str>>, metric: &str, times: f64) -> Self {
        Self::threshold(name, metric, Comparison::Above, Limit::TimesStable(times))
    }

    /// Takes the canary back when a gate says no.
    #[must_use]
    pub fn gate(name: impl Into<Arc<str>>, gate: GateName) -> Self {
        Self::new(name, CheckKind::Gate { gate })
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
        if let CheckKind::Threshold { samples, .. } | CheckKind::Ab { samples, .. } = &mut self.kind
        {
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

    /// Only reports what it finds.
    #[must_use]
    pub const fn dry_run(mut self) -> Self {
        self.dry_run = true;
        self
    }

    /// Looks at it from this weight on.
    #[must_use]
    pub const fn from_weight(mut self, weight: Weight) -> Self {
        self.from = weight;
        self
    }

    /// Begins to look this long after it first could.
    #[must_use]
    pub fn delayed(mut self, time: Duration) -> Self {
        self.delay_ms = millis(time);
        self
    }

    /// Looks at it this often only.
    #[must_use]
    pub fn every(mut self, interval: Duration) -> Self {
        self.every_ms = Some(millis(interval));
        self
    }

    /// Bears this many failures in the whole rollout.
    #[must_use]
    pub const fn bearing(mut self, failures: u32) -> Self {
        self.tolerance.failures = Some(failures);
        self
    }

    /// Bears this many failures in a row.
    #[must_use]
    pub const fn bearing_in_a_row(mut self, failures: u32) -> Self {
        self.tolerance.in_a_row = Some(failures);
        self
    }

    /// Passes only after this many passes in a row.
    #[must_use]
    pub const fn passing_in_a_row(mut self, successes: u32) -> Self {
        self.tolerance.successes = successes;
        self
    }

    /// Says what silence means for this check.
    #[must_use]
    pub const fn no_data(mut self, patience: Patience) -> Self {
        self.no_data = Some(patience);
        self
    }

    /// Says what errors of its source mean for this check.
    #[must_use]
    pub const fn errors(mut self, patience: Patience) -> Self {
        self.errors = Some(patience);
        self
    }

    /// Tells whether it can let the rollout stand or take it back: not one that only warns or reports.
    #[must_use]
    pub fn is_binding(&self) -> bool {
        !self.dry_run && self.then != Then::Warn
    }

    /// Tells whether it is looked at where the canary has this weight.
    #[must_use]
    pub fn applies_at(&self, weight: Weight) -> bool {
        weight >= self.from && self.kind.applies_at(weight)
    }
}
