//! What a stage's own requests must show before it is left.

use std::fmt;

use super::{Judge, metered};
use crate::policy::{PassLimit, Policy};
use crate::value::{Side, Timestamp};

/// Says what a stage's own requests do not show yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::rollout) struct Unmet(Vec<String>);

/// Writes one sentence: `the stage needs 5000 requests of the canary and has 1200; latency.p99 is 2.4 s …`.
impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}

impl Judge {
    /// Tells whether the stage's own requests show what they must.
    ///
    /// # Errors
    /// What they do not show yet, in words.
    pub(in crate::rollout) fn passed(&self, policy: &Policy, stage: usize) -> Result<(), Unmet> {
        let Some(stands) = policy.stages().get(stage) else { return Ok(()) };
        let pass = &stands.pass;
        if pass.is_empty() {
            return Ok(());
        }
        if self.entered == Some(stage) {
            return Err(Unmet(vec!["the stage has not been looked at yet".to_owned()]));
        }
        let plan = self.plan(policy);
        let sight = self.sight(policy, &plan, stands.split(), Timestamp::EPOCH);
        let mut unmet = Vec::new();
        let requests =
            self.tracks.first().and_then(|track| track.stage.view().requests(Side::Canary));
        let requests = requests.unwrap_or(0);
        if requests < pass.samples {
            unmet.push(format!(
                "the stage needs {} requests of the canary and has {requests}",
                pass.samples
            ));
        }
        let read = plan.pass.get(stage).into_iter().flatten();
        for (PassLimit { metric, comparison, limit }, metered) in pass.limits.iter().zip(read) {
            let show = |value| metric.unit().show(value);
            match metered::read(&sight, metered).canary {
                Some(value) if !comparison.is_bad(value, *limit) => {}
                Some(value) => unmet.push(format!(
                    "{metric} is {} over the stage, and {} {} is bad",
                    show(value),
                    comparison.as_str(),
                    show(*limit)
                )),
                None => unmet.push(format!("{metric} is not known for the stage yet")),
            }
        }
        if unmet.is_empty() { Ok(()) } else { Err(Unmet(unmet)) }
    }
}
