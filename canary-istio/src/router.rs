//! The router.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use canary_core::ports::{Applied, Call, Capabilities, Observed, PortError, TrafficRouter};
use canary_core::value::{RolloutId, Traffic, Version};
use canary_kube::{RouteSet, RouteWatch, RouteWeights};
use kube::Client;

use crate::builder::VirtualServiceRouterBuilder;
use crate::subsets::Subsets;

/// Shifts the traffic between two destinations in one route of a VirtualService, or in several routes together.
///
/// Both destinations must be in each route already, and nothing else in it may have a weight. What is written
/// and what that guarantees is [`RouteWeights`]' business, and that of [`RouteSet`] for several objects.
#[derive(Clone, Debug)]
pub struct VirtualServiceRouter {
    routes: RouteSet,
    own_subsets: Vec<OwnSubset>,
}

/// A subset that is there only while a rollout needs it.
#[derive(Clone, Debug)]
struct OwnSubset {
    subsets: Subsets,
    labels: BTreeMap<String, String>,
    settle: Duration,
}

impl VirtualServiceRouter {
    /// Begins with the VirtualService of this name; nothing is read yet.
    #[expect(
        clippy::new_ret_no_self,
        reason = "the destinations have no default, so the builder asks for them"
    )]
    pub fn new(
        client: Client,
        namespace: impl Into<String>,
        name: impl Into<String>,
    ) -> VirtualServiceRouterBuilder {
        VirtualServiceRouterBuilder::new(client, namespace.into(), name.into())
    }

    pub(crate) fn by(weights: RouteWeights) -> Self {
        Self { routes: weights.into(), own_subsets: Vec::new() }
    }

    /// Shifts the other's routes, too: of the same VirtualService in one request, of another one beside it.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.own_subsets.extend(other.own_subsets);
        Self { routes: self.routes.and(other.routes), own_subsets: self.own_subsets }
    }

    /// Adds the canary's subset, which picks the pods with these labels, before the first request is sent to it, and
    /// takes it away when the rollout releases a route that sends nothing to it.
    ///
    /// `settle` is left between the two writes, both ways, for the proxies to follow: at most half of what a call may
    /// take. A subset of this name that is there already stays as it is where it asks for these labels, and else is an
    /// error before anything is sent to it; one that another rollout has left is taken over with these labels.
    ///
    /// Called again, it adds a further one.
    #[must_use]
    pub fn with_own_subset(
        mut self,
        subsets: Subsets,
        labels: impl IntoIterator<Item = (String, String)>,
        settle: Duration,
    ) -> Self {
        let labels = labels.into_iter().collect();
        self.own_subsets.push(OwnSubset { subsets, labels, settle });
        self
    }

    /// Looks at the VirtualServices with this watch, which costs no request: for many rollouts in one process.
    #[must_use]
    pub fn watched(self, watch: &RouteWatch) -> Self {
        Self { routes: self.routes.watched(watch), ..self }
    }
}

#[async_trait]
impl TrafficRouter for VirtualServiceRouter {
    fn capabilities(&self) -> Capabilities {
        self.routes.capabilities()
    }

    async fn observe(&self, call: &Call) -> Result<Observed, PortError> {
        self.routes.observe(call).await
    }

    async fn holder(&self, call: &Call) -> Result<Option<RolloutId>, PortError> {
        self.routes.holder(call).await
    }

    async fn apply(
        &self,
        call: &Call,
        traffic: &Traffic,
        at: Option<&Version>,
    ) -> Result<Applied, PortError> {
        if at.is_some() && traffic.reaches_canary() {
            let mut added = false;
            for own in &self.own_subsets {
                added |= own.subsets.add(call, &own.labels).await?;
            }
            if added {
                self.settle(call).await;
            }
        }
        self.routes.apply(call, traffic, at).await
    }

    async fn release(&self, call: &Call) -> Result<(), PortError> {
        self.routes.release(call).await?;
        if self.own_subsets.is_empty() || self.routes.observe(call).await?.traffic.reaches_canary()
        {
            return Ok(());
        }
        self.settle(call).await;
        let mut removed = Ok(());
        for own in &self.own_subsets {
            // One that cannot be taken away keeps no other.
            removed = removed.and(own.subsets.remove(call).await.map(drop));
        }
        removed
    }
}

impl VirtualServiceRouter {
    /// Leaves the proxies the time to follow what became of the subsets.
    async fn settle(&self, call: &Call) {
        let longest = self.own_subsets.iter().map(|own| own.settle).max().unwrap_or_default();
        let patience = call.deadline.since(call.made) / 2;
        tokio::time::sleep(longest.min(patience)).await;
    }
}
