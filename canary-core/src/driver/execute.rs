//! Carries out one action against the ports, once.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::Clock;
use super::apart::Apart;
use super::saver::Saver;
use super::sources::Sources;
use crate::ports::{Applied, Call, Gate, PortError, TrafficRouter, Workload};
use crate::rollout::{Action, Reply};
use crate::value::{Failure, FailureKind, GateName, Measured, Query, Timestamp, Traffic, Version};

/// How long before a call's deadline a source that hangs is given up at the earliest, so that the answers of the
/// others are still in time.
const MARGIN: Duration = Duration::from_millis(500);

/// Holds the ports of one rollout.
#[derive(Clone, Debug)]
pub(super) struct Ports {
    pub(super) router: Arc<dyn TrafficRouter>,
    pub(super) sources: Sources,
    pub(super) gates: BTreeMap<GateName, Arc<dyn Gate>>,
    pub(super) workload: Option<Arc<dyn Workload>>,
    pub(super) saver: Saver,
    pub(super) clock: Clock,
    pub(super) apart: Apart,
    /// Bounds the raises that are under way, where there is a fleet.
    pub(super) raises: Option<Arc<Semaphore>>,
}

impl Ports {
    /// Carries an action out; the machine gives up on it and tries again, not this.
    pub(super) async fn execute(&self, call: &Call, action: Action) -> Reply {
        let (router, failed) = (&self.router, outside);
        match action {
            Action::Route { traffic, at: Some(version) } => {
                Reply::Applied(self.raise(call, &traffic, &version).await)
            }
            Action::Route { traffic, at: None } => {
                Reply::Applied(router.apply(call, &traffic, None).await.map_err(failed))
            }
            Action::Observe => Reply::Observed(router.observe(call).await.map_err(failed)),
            Action::Release => Reply::Released(router.release(call).await.map_err(failed)),
            Action::Measure { queries, until } => {
                Reply::Measured(self.measure(call, &queries, until).await)
            }
            Action::AskGate { context } => Reply::Decided(match self.gates.get(&context.gate) {
                Some(gate) => gate.decide(call, &context).await.map_err(failed),
                None => Err(failed(missing("nobody supplies this gate"))),
            }),
            Action::Prepare { capacity } => {
                let prepared = async {
                    self.workload_of_ours(call)
                        .await?
                        .prepare(call, &capacity)
                        .await
                        .map_err(failed)
                };
                Reply::Prepared(prepared.await)
            }
            Action::Promote { how } => {
                let promoted = async {
                    self.workload_of_ours(call).await?.promote(call, how).await.map_err(failed)
                };
                Reply::Progressed(promoted.await)
            }
            Action::Restore { how } => {
                // Bringing the old version back asks no store: the machine has waited for one for a moment.
                let restored = async { self.workload()?.restore(call, how).await.map_err(failed) };
                Reply::Progressed(restored.await)
            }
            Action::Retire { side } => {
                let retired = async {
                    self.workload_of_ours(call).await?.retire(call, side).await.map_err(failed)
                };
                Reply::Progressed(retired.await)
            }
        }
    }

    fn workload(&self) -> Result<&dyn Workload, Failure> {
        self.workload.as_deref().ok_or_else(|| outside(missing("no workload was given")))
    }

    /// Returns it once the store has said that the rollout is still ours: what runs has no fence.
    async fn workload_of_ours(&self, call: &Call) -> Result<&dyn Workload, Failure> {
        self.still_ours(call, self.saver.confirm()).await?;
        self.workload()
    }

    async fn measure(
        &self,
        call: &Call,
        queries: &[Query],
        until: Timestamp,
    ) -> Vec<Result<Measured, Failure>> {
        let time = call.deadline.since(call.made);
        self.apart.before_a_look(time).await;
        let deadline = self.clock.instant(call.deadline) - MARGIN.min(time / 10);
        self.sources.measure(call, queries, until, deadline).await
    }

    async fn raise(
        &self,
        call: &Call,
        traffic: &Traffic,
        at: &Version,
    ) -> Result<Applied, Failure> {
        self.apart.before_a_raise(call.deadline.since(call.made)).await;
        let _slot = match &self.raises {
            // It is never closed; if it were, nothing would be bounded.
            Some(slots) => slots.acquire().await.ok(),
            None => None,
        };
        self.still_ours(call, self.saver.confirm_lately()).await?;
        self.router.apply(call, traffic, Some(at)).await.map_err(outside)
    }

    /// Makes sure that the rollout is still ours: one that was frozen and wakes up must not raise, nor touch what
    /// runs.
    async fn still_ours(
        &self,
        call: &Call,
        confirmed: impl Future<Output = Result<(), PortError>>,
    ) -> Result<(), Failure> {
        let unconfirmed = |why: &dyn fmt::Display| {
            let message = format!("the store was asked whose the rollout is: {why}");
            Failure::new(FailureKind::Unconfirmed, message)
        };
        // A save that takes its time must not look like a router that does not answer.
        let until =
            self.clock.instant(call.deadline) - MARGIN.min(call.deadline.since(call.made) / 10);
        match tokio::time::timeout_at(until, confirmed).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) if error.kind() == FailureKind::Conflict => {
                Err(Failure::new(FailureKind::Fenced, "another holder has the rollout"))
            }
            Ok(Err(error)) => Err(unconfirmed(&error)),
            Err(_) => Err(unconfirmed(&"no answer came in time")),
        }
    }
}

/// Turns what a port says into plain data; whose the rollout is, only the store can say.
fn outside(error: PortError) -> Failure {
    let mut failure = error.into_failure();
    if matches!(failure.kind, FailureKind::Fenced | FailureKind::Unconfirmed) {
        failure.kind = FailureKind::Conflict;
    }
    failure
}

fn missing(message: &str) -> PortError {
    PortError::new(FailureKind::Unsupported, message)
}
