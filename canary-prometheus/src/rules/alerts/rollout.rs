//! Alerts about the rollout itself, from what it exports.

use std::time::Duration;

use canary_core::policy::{Ask, Patience, Policy, Stage};

use super::{Alert, FEWEST, Severity};
use crate::names;
use crate::rules::limits::WORTH_A_LOOK;
use crate::rules::{Recorded, Service};

/// How far the measured share may lie from the weight: a tenth of all requests.
const SHARE_MARGIN: f64 = 0.1;

/// From how many requests on a share is spoken of.
const SHARE_FEWEST: u32 = 100;

/// How long a canary may stand without anybody wondering, where its plan is not longer.
const STAGNANT: Duration = Duration::from_secs(24 * 3600);

/// How long a rollout may stand still where its policy does not say.
const STALLED: Duration = Duration::from_secs(30 * 60);

pub(super) fn all(policy: &Policy, service: &Service) -> Vec<Alert> {
    vec![
        no_traffic(policy, service),
        split_misconfigured(policy, service),
        stagnant(policy, service),
        stalled(policy, service),
        rollback_recommended(service),
    ]
}

/// Fires where the router took on a weight, and nothing arrives though five requests or more were to be expected, or
/// though nothing is known of any requests.
fn no_traffic(policy: &Policy, service: &Service) -> Alert {
    let weight = service.rollout(names::WEIGHT);
    let (both, rate) = (service.count_of_both(), service.recorded(Recorded::RequestRate));
    Alert {
        name: "CanaryReceivingNoTraffic",
        severity: Severity::Warning,
        expr: format!(
            "{weight} > 0\nunless max({rate}) > 0\nunless {weight} * {both} > 0 < {FEWEST}"
        ),
        lasting: policy.no_data().after(),
        summary:
            "the canary has a weight of {{ $value | humanizePercentage }} and gets no requests"
                .into(),
        advice: "Check that the route's destination has ready pods, that its name is right, and that Prometheus scrapes them.",
    }
}

fn split_misconfigured(policy: &Policy, service: &Service) -> Alert {
    let (weight, share) =
        (service.rollout(names::WEIGHT), service.recorded(Recorded::TrafficShare));
    let margin = SHARE_MARGIN + mirrored(policy);
    Alert {
        name: "CanaryTrafficSplitMisconfigured",
        severity: Severity::Warning,
        expr: format!(
            "abs(max({share}) - {weight}) > {margin}\nand {} >= {SHARE_FEWEST}",
            service.count_of_both()
        ),
        // Until the window holds nothing of the weight before.
        lasting: 2 * WORTH_A_LOOK,
        summary: "the canary's share of the requests is {{ $value | humanizePercentage }} of all requests away from its \
                  weight"
            .into(),
        advice: "Look at the route as it is configured: another writer, a second route for the same host, sticky sessions.",
    }
}

/// Returns the most that mirrored requests, which the canary counts like any, can add to its share.
fn mirrored(policy: &Policy) -> f64 {
    let added = policy.stages().iter().map(|stage| {
        let copies = stage.mirror.fraction() * (1.0 - stage.weight.fraction());
        copies / (1.0 + copies)
    });
    added.fold(0.0, f64::max)
}

fn stagnant(policy: &Policy, service: &Service) -> Alert {
    let longest = longest_plan(policy);
    let limit = STAGNANT.max(longest + longest / 10).as_secs();
    let (began, ended) =
        (lately(service, names::STARTED, limit), lately(service, names::ENDED, limit));
    Alert {
        name: "CanaryStagnant",
        severity: Severity::Info,
        expr: format!("time() - {began} > {limit}\nunless {ended} >= {began}"),
        lasting: Duration::ZERO,
        summary: "the canary has been there for {{ $value | humanizeDuration }}".into(),
        advice: "Decide: promote it or abort the rollout. Two versions side by side for days are two systems to keep.",
    }
}

/// Returns how long the plan can take: its holds, and its gates up to their timeouts.
fn longest_plan(policy: &Policy) -> Duration {
    let holds = policy.stages().iter().map(Stage::hold);
    let between = (0..policy.stages().len()).flat_map(|stage| policy.asks_after(stage));
    let asks =
        policy.asks_before_first().iter().chain(between).chain(policy.asks_after_promotion());
    let timeout = |ask: &Ask| policy.gate(&ask.gate).timeout_ms.map(Duration::from_millis);
    holds.chain(asks.filter_map(timeout)).fold(Duration::ZERO, Duration::saturating_add)
}

/// Fires where the rollout says so, or has shown no progress for too long and waits for nobody. A process that is gone
/// shows no progress either.
fn stalled(policy: &Policy, service: &Service) -> Alert {
    let limit = policy.spec().progress.map_or(STALLED, Patience::after);
    let limit = limit.as_secs();
    let (moved, ended) =
        (lately(service, names::PROGRESSED, limit), lately(service, names::ENDED, limit));
    let (waiting, says_so) = (service.rollout(names::WAITING), service.rollout(names::STALLED));
    Alert {
        name: "CanaryRolloutStalled",
        severity: Severity::Warning,
        expr: format!(
            "((time() - {moved} > {limit} unless {waiting} > 0)\nor (time() - {moved} and {says_so} > 0))\n\
             unless {ended} >= {moved}"
        ),
        lasting: Duration::ZERO,
        summary: "the rollout has not come further for {{ $value | humanizeDuration }}".into(),
        advice: "See what its status waits for: a source without data, a check that holds it, a process that is gone.",
    }
}

fn rollback_recommended(service: &Service) -> Alert {
    let name = names::ROLLBACK_RECOMMENDED;
    let failing = service.rollout_series(names::VERDICT, r#"verdict="fail",then=~"roll_back|ask""#);
    let firing = format!(
        r#"ALERTS{{alertname=~"Canary.+",alertname!="{name}",alertstate="firing",severity="critical",namespace="{}",service="{}"}}"#,
        service.namespace, service.name
    );
    Alert {
        name,
        severity: Severity::Critical,
        expr: format!(
            "count({failing}) > 0\nor {} > 0\nor count({firing}) > 0",
            service.rollout(names::STUCK)
        ),
        lasting: Duration::ZERO,
        summary: "{{ $value }} reasons to take the canary back".into(),
        advice: "If the rollout is not taking it back already, abort it. If it is stuck, set the route to stable by hand.",
    }
}

/// Reads a time of the rollout that stays known for a while when its process is gone.
fn lately(service: &Service, metric: &str, limit: u64) -> String {
    let lookback = 2 * limit.max(STAGNANT.as_secs());
    format!("max(last_over_time({}[{lookback}s]))", service.rollout_series(metric, ""))
}
