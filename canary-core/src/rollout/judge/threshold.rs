//! A metric against its limit.

use std::time::Duration;

use super::history::{History, Sum, lasts};
use crate::policy::{CheckKind, Comparison, Limit, Metric};
use crate::record::{Finding, Verdict};
use crate::value::{Failure, FailureKind, Measured, Reading, Side, millis};

/// Judges a threshold by this tick's window or, where it has a `for`, by the last covered time.
pub(super) fn judge(
    kind: &CheckKind,
    measured: &Measured,
    history: &History,
) -> (Verdict, Finding) {
    let CheckKind::Threshold { metric, comparison, limit, for_ms, samples } = kind else {
        return (Verdict::NotApplicable, Finding::Nothing);
    };
    let needs_stable = matches!(limit, Limit::TimesStable(_));
    if let Some(lack) = lack(metric, measured, needs_stable) {
        return lack;
    }
    let look_back = Duration::from_millis(*for_ms);
    let sum = if look_back.is_zero() {
        Sum { sides: measured.sides.clone(), covered: measured.covered.length() }
    } else {
        history.sum(look_back)
    };
    let seconds = sum.covered.as_secs_f64();
    let canary = metric.read(&sum.sides, Side::Canary, seconds);
    let stable = metric.read(&sum.sides, Side::Stable, seconds);
    let limit = match *limit {
        Limit::Absolute(value) => Some(value),
        Limit::TimesStable(times) => stable.map(|value| value * times),
    };
    let verdict = match (canary, limit) {
        (Some(canary), Some(limit)) if requests(&sum.sides.canary) >= *samples => {
            let beyond = match comparison {
                Comparison::Above => canary > limit,
                Comparison::Below => canary < limit,
            };
            // What has not lasted that long yet cannot have lasted that long.
            if beyond && lasts(sum.covered, look_back) { Verdict::Fail } else { Verdict::Pass }
        }
        _ => Verdict::Inconclusive,
    };
    let finding = Finding::Threshold {
        metric: metric.clone(),
        comparison: *comparison,
        canary,
        stable,
        limit,
        over_ms: millis(sum.covered),
    };
    (verdict, finding)
}

/// Says what it means where a side that is needed has nothing that could be read.
fn lack(metric: &Metric, measured: &Measured, needs_stable: bool) -> Option<(Verdict, Finding)> {
    for side in Side::BOTH {
        if side == Side::Stable && !needs_stable {
            continue;
        }
        let fits = match (metric, measured.sides.get(side)) {
            (_, reading) if reading.is_missing() => {
                return Some((Verdict::NoData, Finding::Nothing));
            }
            (Metric::Latency(_), Reading::Buckets(_)) | (Metric::Custom(_), Reading::Value(_)) => {
                true
            }
            (Metric::ErrorRate | Metric::SuccessRate | Metric::RequestRate, Reading::Counts(_)) => {
                true
            }
            _ => false,
        };
        if !fits {
            let shape = measured.sides.get(side).shape();
            let message =
                format!("the source answered `{}` of {side} with {shape}", metric.signal());
            return Some((
                Verdict::Error,
                Finding::Failed(Failure::new(FailureKind::Invalid, message)),
            ));
        }
    }
    None
}

/// Counts the requests behind a reading; a plain value needs none.
fn requests(reading: &Reading) -> u64 {
    match reading {
        Reading::Counts(counts) => counts.total,
        Reading::Buckets(buckets) => buckets.total(),
        _ => u64::MAX,
    }
}
