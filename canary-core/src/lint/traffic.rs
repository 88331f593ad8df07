//! What the traffic that there is allows.

use std::time::Duration;

use super::chance::Sliding;
use super::{Assumptions, Finding, place_of, requests};
use crate::analysis::{PlanTraffic, PlannedStage, SeenIn, rounded_up};
use crate::policy::{Check, CheckKind, Comparison, Limit, Metric, Policy, Stage, Then};
use crate::value::{BySide, Span, Weight, millis};

/// How often a check may take back an innocent canary by chance before that is told.
const TOO_OFTEN: f64 = 0.01;

/// How many times stable's errors a canary makes that every plan should convict.
const PLAINLY_BAD: f64 = 10.0;

pub(super) fn findings(policy: &Policy, assumptions: &Assumptions, found: &mut Vec<Finding>) {
    let Some(rate) = assumptions.requests_per_second.filter(|rate| *rate > 0.0) else {
        return;
    };
    for (i, stage) in policy.stages().iter().enumerate() {
        samples_of_stage(&place_of(policy, i), stage, rate, found);
    }
    for (i, check) in policy.checks().iter().enumerate() {
        let path = format!("checks[{i}]");
        samples_of_check(&path, policy, check, rate, found);
        if let Some(base) = assumptions.base_error_rate {
            false_alarms(&path, policy, check, (rate, base), found);
            slow_evidence(&path, policy, check, (rate, base), found);
        }
    }
}

/// Finds stages that last longer than they say.
fn samples_of_stage(path: &str, stage: &Stage, rate: f64, found: &mut Vec<Finding>) {
    let share = rate * stage.split().shares().canary;
    if share <= 0.0 || as_f64(stage.pass.samples) <= share * stage.hold().as_secs_f64() {
        return;
    }
    let needed = Duration::try_from_secs_f64(as_f64(stage.pass.samples) / share);
    found.push(Finding::new(
        "too-few-requests",
        format!("{path}.pass.samples"),
        format!(
            "stage `{}` asks for {} requests: at {} of {rate} a second that takes {}, not {}",
            stage.name,
            stage.pass.samples,
            stage.weight,
            Span(needed.map_or(u64::MAX, millis)),
            Span(stage.hold_ms)
        ),
        "hold longer, give it more traffic, or ask for fewer",
    ));
}

/// Finds checks that stand still for lack of requests, in whole or in part.
fn samples_of_check(
    path: &str,
    policy: &Policy,
    check: &Check,
    rate: f64,
    found: &mut Vec<Finding>,
) {
    check.kind.visit_at(path, &mut |path, kind| {
        let Some((wanted, seen)) = samples_of(policy, check, kind, rate) else { return };
        if as_f64(wanted) <= seen {
            return;
        }
        found.push(Finding::new(
            "too-few-requests",
            format!("{path}.samples"),
            format!(
                "check `{}` asks for {wanted} requests, and gets about {seen:.0} at {rate} a second",
                check.name
            ),
            "look at a longer time (`for`), begin at a higher weight (`from`), or ask for fewer",
        ));
    });
}

/// Returns how many requests a check, or a part of one, asks for, and how many it gets.
fn samples_of(policy: &Policy, check: &Check, kind: &CheckKind, rate: f64) -> Option<(u64, f64)> {
    let applying = || policy.stages().iter().filter(|stage| check.applies_at(stage.split()));
    match kind {
        CheckKind::Threshold { samples, for_ms, .. } => {
            let window = Duration::from_millis(*for_ms).max(policy.every());
            // Where there are too few the clock stands: the smallest share decides.
            let fewest = applying().map(|stage| requests(rate, stage.split(), window));
            Some((*samples, fewest.min_by(f64::total_cmp)?))
        }
        CheckKind::Ab { samples, .. } => {
            // One stage with enough will do.
            let most = applying().map(|stage| {
                let BySide { stable, canary } = stage.split().shares();
                rate * stage.hold().as_secs_f64() * canary.min(stable)
            });
            Some((*samples, most.max_by(f64::total_cmp)?))
        }
        _ => None,
    }
}

/// Finds limits on errors that a few unlucky requests cross.
fn false_alarms(
    path: &str,
    policy: &Policy,
    check: &Check,
    (rate, base): (f64, f64),
    found: &mut Vec<Finding>,
) {
    let Some((limit, for_ms, samples)) = most_errors(check) else {
        return;
    };
    let every = policy.every().max(Duration::from_millis(check.every_ms.unwrap_or(0)));
    let window = Duration::from_millis(for_ms).max(every);
    let mut innocent = 1.0;
    let mut worst = (0.0, Weight::ZERO, 0.0);
    for stage in policy.stages().iter().filter(|stage| check.applies_at(stage.split())) {
        let seen = requests(rate, stage.split(), window).max(as_f64(samples));
        let sliding = Sliding {
            requests: seen,
            base,
            limit,
            samples: as_f64(samples),
            window: (window.as_secs_f64() / every.as_secs_f64()).ceil(),
            steps: (stage.hold().saturating_sub(window).as_secs_f64() / every.as_secs_f64())
                .floor(),
        };
        let alarm = sliding.ever_crosses();
        innocent *= 1.0 - alarm;
        if alarm > worst.0 {
            worst = (alarm, stage.weight, seen);
        }
    }
    // Now and then there are fewer requests by a standard deviation.
    let errors = ((worst.2 - worst.2.sqrt()).max(0.0) * limit).floor() + 1.0;
    if 1.0 - innocent > TOO_OFTEN {
        found.push(Finding::new(
            "false-alarms",
            path,
            format!(
                "check `{}` takes back about {:.0} % of innocent canaries: in the stage at {} it sees about {:.0} \
                 requests in {}, and {} in less than {:.0} crosses the limit",
                check.name,
                (1.0 - innocent) * 100.0,
                worst.1,
                worst.2,
                Span(millis(window)),
                if errors > 1.0 { format!("{errors:.0} errors") } else { "one error".to_owned() },
                errors / limit
            ),
            format!(
                "look at a longer time (`for: {}m`), or begin at a higher weight (`from: 10%`)",
                longer(window)
            ),
        ));
    }
}

/// Returns how many minutes to look back over instead: at least twice as many, and at least two.
fn longer(window: Duration) -> u64 {
    (millis(window).div_ceil(30_000)).max(2)
}

/// Returns the highest share of errors that a check bears, and over what, where crossing it once takes the canary
/// back; of several such limits the strictest.
fn most_errors(check: &Check) -> Option<(f64, u64, u64)> {
    let once = check.tolerance == crate::policy::Tolerance::default();
    if !once || !check.is_binding() || check.then != Then::RollBack {
        return None;
    }
    let mut limits = Vec::new();
    check.kind.visit_alone(&mut |kind| {
        let CheckKind::Threshold {
            metric,
            comparison,
            limit: Limit::Absolute(limit),
            for_ms,
            samples,
        } = kind
        else {
            return;
        };
        match (metric, comparison) {
            (Metric::ErrorRate, Comparison::Above) => limits.push((*limit, *for_ms, *samples)),
            (Metric::SuccessRate, Comparison::Below) => {
                limits.push((1.0 - limit, *for_ms, *samples));
            }
            _ => {}
        }
    });
    limits.into_iter().min_by(|a, b| a.0.total_cmp(&b.0))
}

/// Finds evidence that the traffic does not bring together in the time of the plan.
fn slow_evidence(
    path: &str,
    policy: &Policy,
    check: &Check,
    (rate, base): (f64, f64),
    found: &mut Vec<Finding>,
) {
    let Some(plan) = PlanTraffic::of(policy, check, rate, base) else { return };
    // A canary cannot fail more than every request; and of a stable that never fails nothing is a multiple.
    let times = PLAINLY_BAD.max(2.0 * plan.ratio()).min(1.0 / base);
    let no_multiple = base <= 0.0 || times <= plan.ratio();
    // Where there are too few looks that is said.
    if no_multiple || !plan.can_convict() || plan.sees(times, SeenIn::FourOfFive) {
        return;
    }
    let expected = match plan.least_change(times, SeenIn::FourOfFive) {
        Some(PlannedStage { stage, hold, .. }) => format!(
            "expected stage `{}` to hold {}, a larger share to begin with, or a limit in numbers beside it",
            policy.stages()[stage].name,
            Span(millis(rounded_up(hold)))
        ),
        None => "add a limit in numbers, such as `{ name: too-many-errors, metric: error_rate, above: 5%, for: 2m }`"
            .to_owned(),
    };
    found.push(Finding::new(
        "evidence-too-slow",
        path,
        format!(
            "check `{}` lets more than one canary in five go on that fails {times:.0} times as often as stable: \
             {rate} requests a second are too few for so short a plan",
            check.name
        ),
        expected,
    ));
}

#[expect(clippy::cast_precision_loss, reason = "a number of requests needs no 53 bits")]
const fn as_f64(count: u64) -> f64 {
    count as f64
}
