//! Which checks the plan itself leaves something to look at.

use crate::policy::{Check, Policy, Stage};
use crate::value::Weight;

/// Tells whether what counts at this weight is what was measured: a check that binds reads a metric there, the
/// hard limit applies, or a stage of this weight must show something.
pub(in crate::rollout) fn measured_at(policy: &Policy, weight: Weight) -> bool {
    let reads = |check: &Check| {
        check.is_binding() && weight >= check.from && check.kind.measures_at(weight)
    };
    let shows = |stage: &Stage| stage.weight == weight && !stage.pass.is_empty();
    weight != Weight::ZERO
        && ((policy.hard_limit() && weight.is_mixed())
            || policy.checks().iter().any(reads)
            || policy.stages().iter().any(shows))
}

/// Tells whether anything that can stop the rollout is looked at at this weight: metrics or gates.
pub(in crate::rollout) fn judged_at(policy: &Policy, weight: Weight) -> bool {
    let applies = |check: &Check| check.is_binding() && check.applies_at(weight);
    measured_at(policy, weight) || policy.checks().iter().any(applies)
}
