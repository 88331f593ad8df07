//! What a check looks at, and what its failing does.

use serde::{Deserialize, Serialize};

use super::Metric;
use crate::value::{GateName, Split};

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
    /// Evidence that the canary is more than `ratio` times as bad as stable, valid however often one looks.
    WorseThanStable {
        /// How many times stable's rate is still well: 1 or more.
        ratio: f64,
        /// How many innocent rollouts this check may take back, as a fraction.
        false_alarm: f64,
        /// What is weighed; nothing for the errors alone.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        of: Vec<Weighed>,
    },
    /// Evidence that the canary fails at most `ratio` times as often as stable: what it takes to go on to all of the
    /// traffic.
    AsGoodAsStable {
        /// How many times stable's rate would be too much: above 1.
        ratio: f64,
        /// The probability that a canary which is that bad is let through, as a fraction.
        false_pass: f64,
        /// What is done while there is too little evidence either way.
        unclear: Unclear,
    },
    /// Evidence that the canary's requests of a stage fail more often than an objective allows.
    Objective {
        /// The share of requests that may fail, as a fraction.
        allowed: f64,
        /// The probability of holding a canary in a stage in which it keeps the objective, as a fraction.
        false_alarm: f64,
    },
    /// One rank test of both sides' numbers, look by look, at the end of each stage.
    MannWhitney {
        /// Which metric; more of it is worse.
        metric: Metric,
        /// How many times stable's mean is still well: 1 or more.
        ratio: f64,
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
            _ => {}
        }
    }

    /// Visits the same, each with the path under which it stands in a policy.
    pub(crate) fn visit_at<'a>(&'a self, path: &str, see: &mut impl FnMut(&str, &'a Self)) {
        see(path, self);
        let mut list = |name: &str, parts: &'a [Self]| {
            for (i, part) in parts.iter().enumerate() {
                part.visit_at(&format!("{path}.{name}[{i}]"), see);
            }
        };
        match self {
            Self::All(parts) => list("all", parts),
            Self::Any(parts) => list("any", parts),
            Self::Not(part) => part.visit_at(&format!("{path}.not"), see),
            _ => {}
        }
    }

    /// Visits this where it fails by itself, and the parts of which each alone makes it fail.
    pub(crate) fn visit_alone<'a>(&'a self, see: &mut impl FnMut(&'a Self)) {
        match self {
            Self::Any(parts) => parts.iter().for_each(|part| part.visit_alone(see)),
            Self::All(parts) if parts.len() == 1 => parts[0].visit_alone(see),
            Self::All(_) | Self::Not(_) => {}
            leaf => see(leaf),
        }
    }

    /// Returns over how much covered time it is judged before it can fail, in milliseconds.
    pub(crate) fn lasts_ms(&self) -> u64 {
        self.settled_after(false)
    }

    /// Returns when it can first fail, or first pass where that makes a check fail that negates it.
    fn settled_after(&self, passing: bool) -> u64 {
        let all = |parts: &[Self]| parts.iter().map(|part| part.settled_after(passing)).max();
        let one = |parts: &[Self]| parts.iter().map(|part| part.settled_after(passing)).min();
        let settled = match self {
            Self::Threshold { for_ms, .. } => Some(*for_ms),
            Self::All(parts) => {
                if passing {
                    one(parts)
                } else {
                    all(parts)
                }
            }
            Self::Any(parts) => {
                if passing {
                    all(parts)
                } else {
                    one(parts)
                }
            }
            Self::Not(part) => Some(part.settled_after(!passing)),
            _ => None,
        };
        settled.unwrap_or(0)
    }

    /// Tells whether it compares the canary with stable, in any of its parts.
    pub(crate) fn compares(&self) -> bool {
        match self {
            Self::Threshold { limit, .. } => matches!(limit, Limit::TimesStable(_)),
            Self::WorseThanStable { .. }
            | Self::AsGoodAsStable { .. }
            | Self::Ab { .. }
            | Self::MannWhitney { .. } => true,
            Self::Objective { .. } | Self::Gate { .. } => false,
            Self::All(parts) | Self::Any(parts) => parts.iter().any(Self::compares),
            Self::Not(part) => part.compares(),
        }
    }

    /// Tells whether it only asks gates, and so needs no metrics.
    pub(crate) fn only_gates(&self) -> bool {
        match self {
            Self::Gate { .. } => true,
            Self::All(parts) | Self::Any(parts) => parts.iter().all(Self::only_gates),
            Self::Not(part) => part.only_gates(),
            _ => false,
        }
    }

    /// Tells whether the plan gives the sides that it looks at any traffic where it is split so, in any of its parts.
    pub(crate) fn applies_at(&self, split: Split) -> bool {
        match self {
            Self::Gate { .. } => true,
            Self::All(parts) | Self::Any(parts) => parts.iter().any(|part| part.applies_at(split)),
            Self::Not(part) => part.applies_at(split),
            leaf => split.is_mixed() || (split.reaches_canary() && !leaf.compares()),
        }
    }

    /// Tells whether any metric that it reads is looked at where the traffic is split so.
    pub(crate) fn measures_at(&self, split: Split) -> bool {
        match self {
            Self::Gate { .. } => false,
            Self::All(parts) | Self::Any(parts) => parts.iter().any(|part| part.measures_at(split)),
            Self::Not(part) => part.measures_at(split),
            leaf => leaf.applies_at(split),
        }
    }
}

/// Says what evidence weighs, and how much of it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Weighed {
    /// What.
    pub what: Evident,
    /// Its weight beside the others; only the proportions matter.
    pub weight: f64,
}

impl Weighed {
    /// Weighs this, so much beside others.
    #[must_use]
    pub const fn new(what: Evident, weight: f64) -> Self {
        Self { what, weight }
    }
}

/// Names what evidence can weigh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Evident {
    /// Requests that failed.
    Errors,
    /// Requests that took long: the tail of the latency, at the bounds of the histogram's buckets.
    Latency,
}

impl Evident {
    /// Returns its name as it stands in a policy file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Errors => "errors",
            Self::Latency => "latency",
        }
    }
}

/// Says what is done while there is too little evidence either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Unclear {
    /// The rollout goes on.
    GoOn,
    /// It stands until there is enough.
    #[default]
    Hold,
    /// A person is asked.
    Ask,
}

impl Unclear {
    /// Returns its name as it stands in a policy file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GoOn => "go_on",
            Self::Hold => "hold",
            Self::Ask => "ask",
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
