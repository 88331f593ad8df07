//! Alerts about what users get: errors and latency.

use canary_core::policy::{Metric, Policy, Quantile};
use canary_core::value::Side;

use super::{Alert, FEWEST, Severity};
use crate::rules::Service;
use crate::rules::limits::{self, Bound, Limited, WORTH_A_LOOK};

pub(super) fn all(policy: &Policy, service: &Service) -> Vec<Alert> {
    vec![
        high_error_rate(policy, service),
        more_errors_than_stable(policy, service),
        high_p95(policy, service),
        high_p99(policy, service),
        slower_than_stable(policy, service),
        low_success_rate(policy, service),
    ]
}

fn high_error_rate(policy: &Policy, service: &Service) -> Alert {
    let told = "the canary fails {{ $value | humanizePercentage }} of its requests";
    Alert {
        name: "CanaryHighErrorRate",
        severity: Severity::Critical,
        advice: "See whether the rollout is taking the canary back; if not, abort it. Then look at the canary's logs.",
        ..Alert::beyond(Limited::Errors, policy, service, told)
    }
}

/// Compares the numbers of failed requests, not the rates: where stable had none, it is taken to have had one, and the
/// canary must have had five, and more than chance would give a canary that is just as bad as it may be.
fn more_errors_than_stable(policy: &Policy, service: &Service) -> Alert {
    let said = limits::times_stable(policy, &Metric::ErrorRate);
    let evident = limits::evident_ratio(policy);
    let times = said.map(|bound| bound.at).into_iter().chain(evident).reduce(f64::min);
    let times = times.unwrap_or(2.0);
    let failed = service.failures(Side::Canary);
    let expected = format!(
        "{} * ({} + 1) / {}",
        service.count(Side::Canary),
        service.failures(Side::Stable),
        service.count(Side::Stable)
    );
    Alert {
        name: "CanaryErrorRateHigherThanStable",
        severity: Severity::Warning,
        expr: format!(
            "{failed} / ({expected}) > {times}\n\
             and {failed} >= {FEWEST}\n\
             and {failed} - {times} * {expected} > 3 * sqrt({times} * {expected})"
        ),
        lasting: said.map_or(WORTH_A_LOOK, |bound| bound.lasting),
        summary: format!(
            "the canary fails {{{{ $value | printf \"%.1f\" }}}} times as often as stable; {times} times is well"
        ),
        advice: "Compare both sides' errors on the dashboard. Hold the rollout until they are understood.",
    }
}

fn high_p95(policy: &Policy, service: &Service) -> Alert {
    let told = "the canary's p95 is {{ $value | humanizeDuration }}";
    Alert {
        name: "CanaryHighLatencyP95",
        advice: "Look for what the new version does on every request: queries, calls, cold caches.",
        ..Alert::beyond(Limited::P95, policy, service, told)
    }
}

fn high_p99(policy: &Policy, service: &Service) -> Alert {
    let told = "the canary's p99 is {{ $value | humanizeDuration }}";
    Alert {
        name: "CanaryHighLatencyP99",
        severity: Severity::Critical,
        advice: "See whether the rollout is taking the canary back; if not, abort it. Then look for timeouts, locks and pauses.",
        ..Alert::beyond(Limited::P99, policy, service, told)
    }
}

/// Compares quantiles only where five requests of each side lie beyond them.
fn slower_than_stable(policy: &Policy, service: &Service) -> Alert {
    let mut compared = limits::latency_times_stable(policy);
    if compared.is_empty() {
        compared.push((Quantile::P95, Bound::new(1.5, WORTH_A_LOOK)));
    }
    let conditions = compared.iter().map(|(quantile, times)| {
        let (canary, stable) =
            (service.latency(Side::Canary, *quantile), service.latency(Side::Stable, *quantile));
        let enough = (f64::from(FEWEST) / (1.0 - quantile.fraction())).ceil();
        format!(
            "(({canary}) / ({stable} > 0) > {}\nand {} >= {enough} and {} >= {enough})",
            times.at,
            service.count(Side::Canary),
            service.count(Side::Stable)
        )
    });
    let well = compared.iter().map(|(quantile, times)| format!("{} times at {quantile}", times.at));
    Alert {
        name: "CanaryLatencyHigherThanStable",
        severity: Severity::Warning,
        expr: conditions.collect::<Vec<_>>().join("\nor "),
        lasting: compared.iter().map(|(_, times)| times.lasting).min().unwrap_or(WORTH_A_LOOK),
        summary: format!(
            "the canary takes {{{{ $value | printf \"%.1f\" }}}} times as long as stable; well is {}",
            well.collect::<Vec<_>>().join(", ")
        ),
        advice: "Compare both sides' latency on the dashboard. Hold the rollout until the difference is understood.",
    }
}

fn low_success_rate(policy: &Policy, service: &Service) -> Alert {
    let told = "the canary answers {{ $value | humanizePercentage }} of its requests well";
    Alert {
        name: "CanaryLowSuccessRate",
        severity: Severity::Critical,
        advice: "See whether the rollout is taking the canary back; if not, abort it. Then look at the canary's logs.",
        ..Alert::beyond(Limited::Success, policy, service, told)
    }
}
