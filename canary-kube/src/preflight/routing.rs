//! Whether a route can be moved, there and back.

use std::time::Duration;

use async_trait::async_trait;
use canary_core::ports::{Call, PortError, TrafficRouter};
use canary_core::value::{EffectId, Epoch, FailureKind, RolloutId, Timestamp, Traffic};

use super::{Check, Finding};

/// A name that no rollout has, or its own fence would be taken for this one's.
pub(super) const OF_NONE: &str = "preflight.canary";

/// How long each step may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Makes a call that belongs to no rollout.
pub(super) fn call(rollout: &RolloutId, effect: u64) -> Call {
    let made = Timestamp::EPOCH;
    Call::new(rollout.clone(), Epoch::new(1), EffectId::new(effect), 1, made, made + PATIENCE)
}

/// Tries some of a plan's stages and the way back.
#[derive(Debug)]
pub(super) struct Routing<R> {
    pub(super) about: String,
    pub(super) stages: Vec<Traffic>,
    pub(super) router: R,
}

#[async_trait]
impl<R: TrafficRouter> Check for Routing<R> {
    fn about(&self) -> String {
        let stages: Vec<_> = self.stages.iter().map(Traffic::to_string).collect();
        format!("{} at 100 % stable, {} and back tried", self.about, stages.join("; "))
    }

    async fn findings(&self) -> Vec<Finding> {
        let Ok(rollout) = RolloutId::new(OF_NONE) else { return Vec::new() };
        let call = |effect| call(&rollout, effect);
        let observed = match self.router.observe(&call(1)).await {
            Ok(observed) => observed,
            Err(error) => return vec![self.cannot("be read", &error)],
        };
        if observed.traffic != Traffic::all_stable() {
            let found = format!("the canary has traffic already: {}", observed.traffic);
            let advice = "take the canary to 0 % first, or take the rollout up that has it there";
            return vec![Finding::error(&self.about, found).advice(advice)];
        }
        let (mut at, mut effect) = (observed.version, 1);
        for stage in &self.stages {
            effect += 1;
            match self.router.apply(&call(effect), stage, Some(&at)).await {
                Ok(applied) => at = applied.version,
                Err(error) => return vec![self.cannot(&format!("take {stage}"), &error)],
            }
        }
        match self.router.apply(&call(effect + 1), &Traffic::all_stable(), None).await {
            Ok(_) => Vec::new(),
            Err(error) => vec![self.cannot("be taken back to 0 %", &error)],
        }
    }
}

impl<R> Routing<R> {
    fn cannot(&self, what: &str, error: &PortError) -> Finding {
        let finding = Finding::error(&self.about, format!("it cannot {what}: {error}"));
        finding.advice(match error.kind() {
            FailureKind::NotFound => "create it, with all of the traffic on stable",
            FailureKind::Denied => "apply a Role that allows it (`Permissions::manifest`)",
            FailureKind::Conflict => {
                "another rollout may have it: take that one up, or wait until it ends"
            }
            FailureKind::Invalid => {
                "it must have both destinations, weights that add up, and room for what the plan asks"
            }
            _ => "try again once the API server answers",
        })
    }
}
