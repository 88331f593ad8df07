//! How a router is put together.

use std::fmt;

use canary_core::value::BySide;
use canary_kube::{RouteWeights, Rule, Selector};
use kube::Client;

use crate::resource::{HOST, SUBSET, VIRTUAL_SERVICE};
use crate::router::VirtualServiceRouter;

/// Builds a [`VirtualServiceRouter`]; ends with [`subsets`](Self::subsets) or [`hosts`](Self::hosts).
#[derive(Clone)]
#[must_use]
pub struct VirtualServiceRouterBuilder {
    client: Client,
    namespace: String,
    name: String,
    route: Rule,
}

impl fmt::Debug for VirtualServiceRouterBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VirtualServiceRouterBuilder")
            .field("namespace", &self.namespace)
            .field("name", &self.name)
            .field("route", &self.route)
            .finish_non_exhaustive()
    }
}

impl VirtualServiceRouterBuilder {
    pub(crate) const fn new(client: Client, namespace: String, name: String) -> Self {
        Self { client, namespace, name, route: Rule::Only }
    }

    /// Takes the HTTP route with this name; without it, the only one that has both destinations is meant.
    pub fn route(mut self, name: impl Into<String>) -> Self {
        self.route = Rule::Named(name.into());
        self
    }

    /// Knows the two destinations by the subsets that a DestinationRule defines.
    #[must_use]
    pub fn subsets(
        self,
        stable: impl Into<String>,
        canary: impl Into<String>,
    ) -> VirtualServiceRouter {
        self.by(SUBSET, stable.into(), canary.into())
    }

    /// Knows the two destinations by their hosts, as they are written in the route.
    #[must_use]
    pub fn hosts(
        self,
        stable: impl Into<String>,
        canary: impl Into<String>,
    ) -> VirtualServiceRouter {
        self.by(HOST, stable.into(), canary.into())
    }

    fn by(
        self,
        named_at: &'static [&'static str],
        stable: String,
        canary: String,
    ) -> VirtualServiceRouter {
        let names = BySide { stable, canary };
        let selector = Selector::new(VIRTUAL_SERVICE, self.route, named_at, names);
        let weights = RouteWeights::new(self.client, self.namespace, self.name, selector);
        VirtualServiceRouter::by(weights)
    }
}
