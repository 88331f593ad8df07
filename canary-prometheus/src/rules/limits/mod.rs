//! What a policy says about when to worry.

use std::collections::BTreeSet;
use std::time::Duration;

use canary_core::policy::{
    CheckKind, Comparison, Evident, Limit, Metric, Policy, Quantile, Unit, Weighed,
};

use super::Recorded;

mod gravest;
#[cfg(test)]
mod tests;

use gravest::{each_that_fails_it, gravest};

/// How long what takes a canary back is borne where the policy does not say.
pub(crate) const CRITICAL: Duration = Duration::from_secs(120);

/// How long what is only worth a look is borne where the policy does not say.
pub(crate) const WORTH_A_LOOK: Duration = Duration::from_secs(300);

/// A number, and for how long it must be beyond it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bound {
    /// In the metric's own unit, or as a multiple of stable's number.
    pub(crate) at: f64,
    /// For how long.
    pub(crate) lasting: Duration,
}

impl Bound {
    pub(crate) const fn new(at: f64, lasting: Duration) -> Self {
        Self { at, lasting }
    }

    /// Takes whatever is stricter in each respect.
    fn strictest(self, other: Self, comparison: Comparison) -> Self {
        let at = match comparison {
            Comparison::Above => self.at.min(other.at),
            Comparison::Below => self.at.max(other.at),
        };
        Self { at, lasting: self.lasting.min(other.lasting) }
    }
}

/// Names what has an alert at a limit of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limited {
    Errors,
    Success,
    P95,
    P99,
    Cpu,
    Memory,
}

impl Limited {
    /// Finds the limit that a policy sets, in base units; a usual one where it sets none.
    ///
    /// Of several checks those count whose failing does most; of these the strictest number and the shortest time, so
    /// that the alert is never looser than any of them. Parts of `any` count like checks, since each fails the whole; parts
    /// of `all` and `not` do not.
    pub(crate) fn bound(self, policy: &Policy) -> Bound {
        let Bound { at, lasting } = self.said(policy).unwrap_or(self.usual());
        Bound::new(at / self.units(), lasting)
    }

    /// Says on which side of the limit it is bad.
    pub(crate) const fn comparison(self) -> Comparison {
        match self {
            Self::Success => Comparison::Below,
            _ => Comparison::Above,
        }
    }

    /// Writes a number of it, in base units, for people.
    pub(crate) fn show(self, value: f64) -> String {
        let unit = match self {
            Self::P95 | Self::P99 => Unit::Millis,
            _ => Unit::Share,
        };
        unit.show(value * self.units())
    }

    /// Returns what records it.
    pub(crate) const fn recorded(self) -> Recorded {
        match self {
            Self::Errors => Recorded::CanaryErrorRate,
            Self::Success => Recorded::SuccessRate,
            Self::P95 => Recorded::LatencyP95,
            Self::P99 => Recorded::LatencyP99,
            Self::Cpu => Recorded::Cpu,
            Self::Memory => Recorded::Memory,
        }
    }

    fn metric(self) -> Metric {
        match self {
            Self::Errors => Metric::ErrorRate,
            Self::Success => Metric::SuccessRate,
            Self::P95 => Metric::Latency(Quantile::P95),
            Self::P99 => Metric::Latency(Quantile::P99),
            Self::Cpu => Metric::Custom("cpu".into()),
            Self::Memory => Metric::Custom("memory".into()),
        }
    }

    /// Returns how many units of a policy make a base unit.
    const fn units(self) -> f64 {
        match self {
            Self::P95 | Self::P99 => 1000.0,
            _ => 1.0,
        }
    }

    /// Returns the usual limit, in a policy's units.
    const fn usual(self) -> Bound {
        match self {
            Self::Errors => Bound::new(0.05, CRITICAL),
            Self::Success => Bound::new(0.95, CRITICAL),
            Self::P95 => Bound::new(500.0, WORTH_A_LOOK),
            Self::P99 => Bound::new(1000.0, CRITICAL),
            Self::Cpu | Self::Memory => Bound::new(0.8, WORTH_A_LOOK),
        }
    }

    fn said(self, policy: &Policy) -> Option<Bound> {
        let (own, bad) = (self.metric(), self.comparison());
        gravest(policy, bad, |kind| match kind {
            CheckKind::Threshold {
                metric, comparison, limit: Limit::Absolute(at), for_ms, ..
            } if *metric == own && *comparison == bad => {
                Some(Bound::new(*at, Duration::from_millis(*for_ms)))
            }
            _ => None,
        })
        .filter(|_| is_builtin(policy, &own))
    }
}

/// Finds how many times stable's number a metric may be, where the policy says so.
pub(crate) fn times_stable(policy: &Policy, metric: &Metric) -> Option<Bound> {
    let said = gravest(policy, Comparison::Above, |kind| match kind {
        CheckKind::Threshold {
            metric: of,
            comparison: Comparison::Above,
            limit: Limit::TimesStable(times),
            for_ms,
            ..
        } if of == metric => Some(Bound::new(*times, Duration::from_millis(*for_ms))),
        _ => None,
    });
    said.filter(|_| is_builtin(policy, metric))
}

/// Finds how many times stable's errors a policy that weighs evidence still calls well.
pub(crate) fn evident_ratio(policy: &Policy) -> Option<f64> {
    let weighs_errors = |of: &[Weighed]| {
        let errors = |weighed: &Weighed| weighed.what == Evident::Errors;
        of.is_empty() || of.iter().any(errors)
    };
    let found = gravest(policy, Comparison::Above, |kind| match kind {
        CheckKind::WorseThanStable { ratio, of, .. } if weighs_errors(of) => {
            Some(Bound::new(*ratio, Duration::ZERO))
        }
        _ => None,
    });
    found.map(|bound| bound.at)
}

/// Finds the quantiles of latency that a policy compares with stable, each with how many times stable's it may be.
pub(crate) fn latency_times_stable(policy: &Policy) -> Vec<(Quantile, Bound)> {
    let mut quantiles = BTreeSet::new();
    for check in policy.checks() {
        each_that_fails_it(&check.kind, &mut |kind| {
            if let CheckKind::Threshold { metric: Metric::Latency(quantile), .. } = kind {
                quantiles.insert(*quantile);
            }
        });
    }
    let bound = |quantile| Some((quantile, times_stable(policy, &Metric::Latency(quantile))?));
    quantiles.into_iter().filter_map(bound).collect()
}

/// Tells whether the policy does not define something of its own under this name.
fn is_builtin(policy: &Policy, metric: &Metric) -> bool {
    !policy.spec().metrics.contains_key(&metric.to_string())
}
