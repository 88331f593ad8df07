//! What is looked at all along.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{CheckKind, Comparison, Limit, Metric, Patience, Then, Unclear, Weighed};
use crate::value::{GateName, Span, Split, Weight, millis};

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
        Self::new(name, CheckKind::WorseThanStable { ratio, false_alarm: 0.01, of: Vec::new() })
    }

    /// Takes the canary back on evidence that it is more than `ratio` times as bad as stable in what is weighed,
    /// with at most one false alarm in a hundred rollouts.
    #[must_use]
    pub fn worse_in(
        name: impl Into<Arc<str>>,
        ratio: f64,
        of: impl IntoIterator<Item = Weighed>,
    ) -> Self {
        let of = of.into_iter().collect();
        Self::new(name, CheckKind::WorseThanStable { ratio, false_alarm: 0.01, of })
    }

    /// Lets the canary have all of the traffic only on evidence that it fails less than `ratio` times as often as
    /// stable, with at most one in twenty that does not.
    #[must_use]
    pub fn as_good_as_stable(name: impl Into<Arc<str>>, ratio: f64, unclear: Unclear) -> Self {
        Self::new(name, CheckKind::AsGoodAsStable { ratio, false_pass: 0.05, unclear })
    }

    /// Holds on evidence that more than this share of the canary's requests of a stage fail, with at most one false
    /// alarm in a hundred stages.
    #[must_use]
    pub fn objective(name: impl Into<Arc<str>>, allowed: f64) -> Self {
        Self::new(name, CheckKind::Objective { allowed, false_alarm: 0.01 }).then(Then::Hold)
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

    /// Tells whether it is looked at where the traffic is split so.
    #[must_use]
    pub fn applies_at(&self, split: Split) -> bool {
        split.weight() >= self.from && self.kind.applies_at(split)
    }

    /// Tells why it cannot fail within a time, if it cannot.
    pub(crate) fn too_late_for(&self, held_ms: u64, every_ms: u64) -> Option<Late> {
        let for_ms = self.kind.lasts_ms();
        let every = self.every_ms.unwrap_or(every_ms);
        let Tolerance { failures, in_a_row, .. } = self.tolerance;
        let borne = failures.into_iter().chain(in_a_row).min();
        let bears = u64::from(borne.unwrap_or(0)).saturating_mul(every);
        let needed = self.delay_ms.saturating_add(for_ms).saturating_add(bears);
        // What looks back over all of the time is judged at its very end.
        if needed < held_ms || (needed == held_ms && for_ms == needed) {
            return None;
        }
        Some(if bears > 0 {
            Late {
                field: if failures == borne { "failures" } else { "failures_in_a_row" },
                why: format!("it bears {} failures, one every {}", borne.unwrap_or(0), Span(every)),
                less: "fewer failures",
            }
        } else if self.delay_ms > 0 {
            let why = format!("it waits {}", Span(needed));
            Late { field: "delay", why, less: "a shorter `delay`" }
        } else {
            Late {
                field: "for",
                why: format!("it looks at {}", Span(for_ms)),
                less: "a shorter `for`",
            }
        })
    }
}

/// Tells why a check cannot fail within a time.
pub(crate) struct Late {
    /// What makes it late, as a policy file names it.
    pub(crate) field: &'static str,
    /// Why, in words.
    pub(crate) why: String,
    /// What would help.
    pub(crate) less: &'static str,
}
