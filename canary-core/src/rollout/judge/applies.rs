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

/// Tells whether any check that can stop the rollout applies at this weight.
pub(in crate::rollout) fn any_applies(policy: &Policy, weight: Weight) -> bool {
    (policy.hard_limit() && weight.is_mixed())
        || policy.checks().iter().any(|c| c.then != Then::Warn && c.kind.applies_at(weight))
}

/// Returns the longest stretch of covered time that any check of a signal looks back.
pub(super) fn longest_look_back(policy: &Policy, signal: &Signal) -> Duration {
    let look_back = |check: &Check| match &check.kind {
        CheckKind::Threshold { metric, for_ms, .. } if metric.signal() == *signal => *for_ms,
        _ => 0,
    };
    Duration::from_millis(policy.checks().iter().map(look_back).max().unwrap_or(0))
}
