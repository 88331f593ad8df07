//! How a router is put together.

use std::fmt;

use canary_core::value::BySide;
use canary_kube::{RouteKind, RouteWeights, Rule, Selector};
use kube::Client;
use serde_json::Value;

use crate::host::other_spellings;
use crate::http::HttpForm;
use crate::resource::{HOST, SUBSET, TCP, TLS, VIRTUAL_SERVICE};
use crate::router::VirtualServiceRouter;

/// Builds a [`VirtualServiceRouter`]; ends with [`subsets`](Self::subsets) or [`hosts`](Self::hosts).
#[derive(Clone)]
#[must_use]
pub struct VirtualServiceRouterBuilder {
    client: Client,
    namespace: String,
    name: String,
    kind: RouteKind,
    route: Rule,
    host: Option<String>,
    header_route: Option<String>,
}

impl fmt::Debug for VirtualServiceRouterBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VirtualServiceRouterBuilder")
            .field("namespace", &self.namespace)
            .field("name", &self.name)
            .field("routes", &self.kind.rules)
            .field("route", &self.route)
            .field("host", &self.host)
            .field("header_route", &self.header_route)
            .finish_non_exhaustive()
    }
}

impl VirtualServiceRouterBuilder {
    pub(crate) const fn new(client: Client, namespace: String, name: String) -> Self {
        Self {
            client,
            namespace,
            name,
            kind: VIRTUAL_SERVICE,
            route: Rule::Only,
            host: None,
            header_route: None,
        }
    }

    /// Takes the HTTP route with this name; without any choice, the only one that has both destinations is meant.
    pub fn route(mut self, name: impl Into<String>) -> Self {
        self.route = Rule::Named(name.into());
        self
    }

    /// Takes the route at this place, counted from 0; those that a rollout has put there do not count.
    pub fn route_at(mut self, index: usize) -> Self {
        self.route = Rule::At(index);
        self
    }

    /// Takes the route with a `match` that has these fields, and maybe more: `{ "uri": { "prefix": "/api" } }`, or
    /// `{ "port": 443, "sniHosts": ["checkout"] }`.
    pub fn route_matching(mut self, fields: Value) -> Self {
        self.route = Rule::Matching(fields);
        self
    }

    /// Takes one of the TLS routes instead of the HTTP routes. They have no names, headers or mirrors.
    pub const fn tls(mut self) -> Self {
        self.kind = TLS;
        self
    }

    /// Takes one of the TCP routes instead of the HTTP routes. They have no names, headers or mirrors.
    pub const fn tcp(mut self) -> Self {
        self.kind = TCP;
        self
    }

    /// Leaves alone the HTTP route of this name, which sends requests by their headers to the canary already.
    ///
    /// Its matches must ask for the very headers of the plan, and it must stand in front of the other. Testers reach
    /// the canary by it before, during and after a rollout. Without this, a rollout puts a route of its own there
    /// and takes it away again.
    pub fn header_route(mut self, name: impl Into<String>) -> Self {
        self.header_route = Some(name.into());
        self
    }

    /// Takes only destinations of this host; needed where several hosts have subsets of the same names.
    pub fn host(mut self, host: impl Into<String>) -> Self {
        self.host = Some(host.into());
        self
    }

    /// Knows the two destinations by the subsets that a DestinationRule defines.
    #[must_use]
    pub fn subsets(
        self,
        stable: impl Into<String>,
        canary: impl Into<String>,
    ) -> VirtualServiceRouter {
        let names = BySide { stable: stable.into(), canary: canary.into() };
        let selector = Selector::new(self.kind, self.route.clone(), SUBSET, names);
        let selector = match &self.host {
            Some(host) => selector.only_at(HOST, self.spellings(host)),
            None => selector,
        };
        self.by(selector)
    }

    /// Knows the two destinations by their hosts, whether written as `web` or as `web.shop.svc.cluster.local`.
    #[must_use]
    pub fn hosts(
        self,
        stable: impl Into<String>,
        canary: impl Into<String>,
    ) -> VirtualServiceRouter {
        let names = BySide { stable: stable.into(), canary: canary.into() };
        let others = BySide {
            stable: other_spellings(&names.stable, &self.namespace),
            canary: other_spellings(&names.canary, &self.namespace),
        };
        let selector = Selector::new(self.kind, self.route.clone(), HOST, names);
        self.by(selector.or_named(others))
    }

    fn spellings(&self, host: &str) -> Vec<String> {
        let others = other_spellings(host, &self.namespace);
        [host.to_owned()].into_iter().chain(others).collect()
    }

    fn by(self, selector: Selector) -> VirtualServiceRouter {
        let http = self.kind == VIRTUAL_SERVICE;
        let selector = if http { selector.with_form(&HttpForm) } else { selector };
        let selector = match self.header_route {
            Some(name) => selector.with_users_header(name),
            None => selector,
        };
        let weights = RouteWeights::new(self.client, self.namespace, self.name, selector);
        VirtualServiceRouter::by(weights)
    }
}
