//! Which checks the plan itself leaves something to look at.

use crate::policy::{Check, Policy, Stage};
use crate::value::Split;

/// Tells whether what counts where the traffic is split so is what was measured: a check that binds reads a metric
/// there, the hard limit applies, or a stage that splits it so must show something.
pub(in crate::rollout) fn measured_at(policy: &Policy, split: Split) -> bool {
    let reads = |check: &Check| {
        check.is_binding() && split.weight() >= check.from && check.kind.measures_at(split)
    };
    let shows = |stage: &Stage| stage.split() == split && !stage.pass.is_empty();
    split.reaches_canary()
        && ((policy.hard_limit() && split.is_mixed())
            || policy.checks().iter().any(reads)
            || policy.stages().iter().any(shows))
}

/// Tells whether anything that can stop the rollout is looked at where the traffic is split so: metrics or gates.
pub(in crate::rollout) fn judged_at(policy: &Policy, split: Split) -> bool {
    let applies = |check: &Check| check.is_binding() && check.applies_at(split);
    measured_at(policy, split) || policy.checks().iter().any(applies)
}
