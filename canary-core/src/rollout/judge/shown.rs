//! What the evidence has come to, for people to look at.

use std::sync::Arc;

use super::Judge;
use super::plan::Plan;
use crate::policy::{Check, Policy};
use crate::rollout::CheckEvidence;

impl Judge {
    /// Returns what each check that weighs evidence has come to. It is worked out once after each look, and only
    /// when somebody asks: that takes longer than all the rest of a look.
    pub(in crate::rollout) fn shown(&self, policy: &Policy) -> Arc<[CheckEvidence]> {
        Arc::clone(self.work.shown.get_or_init(|| self.show(policy, &self.plan(policy))))
    }

    fn show(&self, policy: &Policy, plan: &Plan) -> Arc<[CheckEvidence]> {
        let checks = policy.checks().iter().zip(&plan.checks);
        let weighed = checks.flat_map(|(check, of)| of.evidence.clone().map(move |at| (check, at)));
        let show = |(check, at): (&Check, usize)| {
            let (weighing, plan) = (self.evidence.get(at)?, plan.evidence.get(at)?);
            Some(CheckEvidence {
                check: Arc::clone(&check.name),
                requests: weighing.requests(plan),
                unweighed: weighing.unweighed(plan),
                odds: weighing.evidence(plan).odds(),
                needed: 1.0 / plan.limits.false_alarm(),
                grounds: weighing.grounds(plan),
            })
        };
        weighed.filter_map(show).collect()
    }
}
