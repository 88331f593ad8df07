//! A router that keeps its promises in memory.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::ports::{Applied, Call, Capabilities, Observed, PortError, TrafficRouter};
use crate::value::{EffectId, Epoch, FailureKind, RolloutId, Traffic, Version};

/// Routes in memory, and shows in the fewest lines what a [`TrafficRouter`] promises.
///
/// Clones share one route. It begins with no traffic for the canary.
///
/// ```
/// use canary_core::testing::MemoryRouter;
///
/// canary_core::router_conformance!(|| async { MemoryRouter::new() });
/// ```
#[derive(Clone, Debug)]
pub struct MemoryRouter {
    route: Arc<Mutex<Route>>,
    capabilities: Capabilities,
}

impl Default for MemoryRouter {
    fn default() -> Self {
        Self { route: Arc::default(), capabilities: Capabilities::everything() }
    }
}

#[derive(Debug, Default)]
struct Route {
    traffic: Traffic,
    /// Counts the accepted writes.
    writes: u64,
    /// The latest call that was accepted.
    latest: Option<(RolloutId, (Epoch, EffectId, u32))>,
}

impl MemoryRouter {
    /// Makes a route of its own, on which everything can be done.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Says that less can be done.
    #[must_use]
    pub fn capable_of(mut self, capabilities: Capabilities) -> Self {
        self.capabilities = capabilities;
        self
    }

    /// Changes the route as somebody else would, who asks nobody.
    pub fn meddle(&self, traffic: Traffic) {
        let mut route = self.route();
        route.traffic = traffic;
        route.writes += 1;
    }

    /// Returns the traffic as it is now.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        self.route().traffic.clone()
    }

    fn route(&self) -> MutexGuard<'_, Route> {
        self.route.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl TrafficRouter for MemoryRouter {
    fn capabilities(&self) -> Capabilities {
        self.capabilities.clone()
    }

    async fn observe(&self, _call: &Call) -> Result<Observed, PortError> {
        let route = self.route();
        Ok(Observed::new(route.traffic.clone(), route.version()))
    }

    async fn apply(
        &self,
        call: &Call,
        traffic: &Traffic,
        at: Option<&Version>,
    ) -> Result<Applied, PortError> {
        let mut route = self.route();
        route.check(call, traffic, at)?;
        route.latest = Some((call.rollout.clone(), call.order()));
        route.traffic = traffic.clone();
        route.writes += 1;
        Ok(Applied::effective(traffic.clone(), route.version()))
    }
}

impl Route {
    fn version(&self) -> Version {
        Version::new(self.writes.to_string())
    }

    fn check(&self, call: &Call, traffic: &Traffic, at: Option<&Version>) -> Result<(), PortError> {
        if let Some((rollout, order)) = &self.latest
            && *rollout == call.rollout
            && call.order() < *order
        {
            return Err(PortError::late(order.0, "a later call was accepted"));
        }
        match at {
            Some(version) if *version != self.version() => conflict("the route has changed"),
            None if !traffic.is_within(&self.traffic) => conflict("a raise needs a version"),
            Some(_) | None => Ok(()),
        }
    }
}

fn conflict(why: &str) -> Result<(), PortError> {
    Err(PortError::new(FailureKind::Conflict, why))
}
