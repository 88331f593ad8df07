//! Which checks the plan itself leaves something to look at.

use std::time::Duration;

use crate::policy::{Check, CheckKind, Policy, Then};
use crate::value::{Signal, Weight};

/// Tells whether any check needs this signal at this weight, more than to warn.
pub(super) fn signal_applies(policy: &Policy, signal: &Signal, weight: Weight) -> bool {
    let reads = |check: &Check| match &check.kind {
        CheckKind::Threshold { metric, .. } => metric.signal() == *signal,
        CheckKind::WorseThanStable { .. } => *signal == Signal::Requests,
        _ => false,
    };
    (policy.hard_limit() && weight.is_mixed() && *signal == Signal::Requests)
        || policy
            .checks()
            .iter()
            .any(|c| c.then != Then::Warn && reads(c) && c.kind.applies_at(weight))
}

/// Tells whether what counts at this weight is what was measured: a check that binds reads a metric there, or
/// the hard limit applies.
pub(in crate::rollout) fn measured_at(policy: &Policy, weight: Weight) -> bool {
    let reads =
        |check: &Check| check.is_binding() && check.applies_at(weight) && !check.kind.only_gates();
    (policy.hard_limit() && weight.is_mixed()) || policy.checks().iter().any(reads)
}

/// Tells whether anything that can stop the rollout is looked at at this weight: metrics or gates.
pub(in crate::rollout) fn judged_at(policy: &Policy, weight: Weight) -> bool {
    measured_at(policy, weight)
        || policy.checks().iter().any(|check| check.is_binding() && check.applies_at(weight))
}

/// Returns the longest stretch of covered time that any check of a signal looks back.
pub(super) fn longest_look_back(policy: &Policy, signal: &Signal) -> Duration {
    let look_back = |check: &Check| match &check.kind {
        CheckKind::Threshold { metric, for_ms, .. } if metric.signal() == *signal => *for_ms,
        _ => 0,
    };
    Duration::from_millis(policy.checks().iter().map(look_back).max().unwrap_or(0))
}
