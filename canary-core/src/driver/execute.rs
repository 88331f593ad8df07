//! Carries out one action against the ports, once.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::saver::Saver;
use crate::ports::{Call, Gate, MetricSource, PortError, TrafficRouter};
use crate::rollout::{Action, Reply};
use crate::value::{Failure, FailureKind, GateName, Traffic, Version};

/// Holds the ports of one rollout.
#[derive(Clone, Debug)]
pub(super) struct Ports {
    pub(super) router: Arc<dyn TrafficRouter>,
    pub(super) metrics: Option<Arc<dyn MetricSource>>,
    pub(super) gates: BTreeMap<GateName, Arc<dyn Gate>>,
    pub(super) saver: Saver,
}

impl Ports {
    /// Carries an action out; the machine gives up on it and tries again, not this.
    pub(super) async fn execute(&self, call: &Call, action: Action) -> Reply {
        match action {
            Action::Route { traffic, at } => {
                let applied = match &at {
                    Some(version) => self.raise(call, &traffic, version).await,
                    None => self.router.apply(call, &traffic, None).await,
                };
                Reply::Applied(applied.map_err(PortError::into_failure))
            }
            Action::Observe => {
                Reply::Observed(self.router.observe(call).await.map_err(PortError::into_failure))
            }
            Action::Measure { queries, until } => Reply::Measured(match &self.metrics {
                Some(metrics) => {
                    let answers = metrics.measure(call, &queries, until).await;
                    answers
                        .into_iter()
                        .map(|answer| answer.map_err(PortError::into_failure))
                        .collect()
                }
                None => vec![Err(missing("no metric source was given")); queries.len()],
            }),
            Action::AskGate { context } => Reply::Decided(match self.gates.get(&context.gate) {
                Some(gate) => gate.decide(call, &context).await.map_err(PortError::into_failure),
                None => Err(missing("nobody supplies this gate")),
            }),
            Action::Prepare { .. }
            | Action::Promote { .. }
            | Action::Restore { .. }
            | Action::Retire { .. } => action.failed(missing("no workload was given")),
            Action::Release => {
                Reply::Released(self.router.release(call).await.map_err(PortError::into_failure))
            }
        }
    }

    /// Raises only while the rollout is ours: one that was frozen and wakes up must not.
    async fn raise(
        &self,
        call: &Call,
        traffic: &Traffic,
        at: &Version,
    ) -> Result<crate::ports::Applied, PortError> {
        if let Err(error) = self.saver.confirm().await {
            return Err(match error.kind() {
                FailureKind::Conflict => {
                    PortError::new(FailureKind::Fenced, "another holder has the rollout")
                }
                _ => error,
            });
        }
        self.router.apply(call, traffic, Some(at)).await
    }
}

fn missing(message: &str) -> Failure {
    Failure::new(FailureKind::Unsupported, message)
}
