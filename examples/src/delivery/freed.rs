//! A route that is taken from whatever rollout has it.

use async_trait::async_trait;
use canary_core::ports::{Applied, Call, Capabilities, Observed, PortError, TrafficRouter};
use canary_core::value::{Traffic, Version};

/// Gives stable everything before it looks: what a rollout finds that takes another one back first.
///
/// It is for a client whose writes are only tried.
#[derive(Debug)]
pub(super) struct Freed<R>(pub(super) R);

#[async_trait]
impl<R: TrafficRouter> TrafficRouter for Freed<R> {
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    async fn observe(&self, call: &Call) -> Result<Observed, PortError> {
        self.0.apply(call, &Traffic::all_stable(), None).await?;
        self.0.observe(call).await
    }

    async fn apply(
        &self,
        call: &Call,
        traffic: &Traffic,
        at: Option<&Version>,
    ) -> Result<Applied, PortError> {
        self.0.apply(call, traffic, at).await
    }

    async fn release(&self, call: &Call) -> Result<(), PortError> {
        self.0.release(call).await
    }
}
