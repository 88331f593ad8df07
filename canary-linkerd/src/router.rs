//! The router.

use async_trait::async_trait;
use canary_core::ports::{Applied, Call, Capabilities, Observed, PortError, TrafficRouter};
use canary_core::value::{RolloutId, Traffic, Version};
use canary_kube::RouteWeights;
use kube::Client;

use crate::builder::HttpRouteRouterBuilder;

/// Shifts the weights of two backends in one rule of an HTTPRoute.
///
/// Both backends must be in the rule already, and nothing else in it may have a weight. What is written
/// and what that guarantees is [`RouteWeights`]' business. Linkerd routes by headers, and copies no requests.
#[derive(Clone, Debug)]
pub struct HttpRouteRouter {
    weights: RouteWeights,
}

impl HttpRouteRouter {
    /// Begins with the HTTPRoute of this name; nothing is read yet.
    #[expect(
        clippy::new_ret_no_self,
        reason = "the backends have no default, so the builder asks for them"
    )]
    pub fn new(
        client: Client,
        namespace: impl Into<String>,
        name: impl Into<String>,
    ) -> HttpRouteRouterBuilder {
        HttpRouteRouterBuilder::new(client, namespace.into(), name.into())
    }

    pub(crate) const fn by(weights: RouteWeights) -> Self {
        Self { weights }
    }
}

#[async_trait]
impl TrafficRouter for HttpRouteRouter {
    fn capabilities(&self) -> Capabilities {
        self.weights.capabilities()
    }

    async fn observe(&self, call: &Call) -> Result<Observed, PortError> {
        self.weights.observe(call).await
    }

    async fn holder(&self, call: &Call) -> Result<Option<RolloutId>, PortError> {
        self.weights.holder(call).await
    }

    async fn apply(
        &self,
        call: &Call,
        traffic: &Traffic,
        at: Option<&Version>,
    ) -> Result<Applied, PortError> {
        self.weights.apply(call, traffic, at).await
    }

    async fn release(&self, call: &Call) -> Result<(), PortError> {
        self.weights.release(call).await
    }
}
