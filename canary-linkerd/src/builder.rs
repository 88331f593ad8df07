//! How a router is put together.

use std::fmt;

use canary_core::value::BySide;
use canary_kube::{Rule, http_route};
use kube::Client;

use crate::router::HttpRouteRouter;

/// Builds an [`HttpRouteRouter`]; ends with [`backends`](Self::backends).
#[derive(Clone)]
#[must_use]
pub struct HttpRouteRouterBuilder {
    client: Client,
    namespace: String,
    name: String,
    rule: Rule,
}

impl fmt::Debug for HttpRouteRouterBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpRouteRouterBuilder")
            .field("namespace", &self.namespace)
            .field("name", &self.name)
            .field("rule", &self.rule)
            .finish_non_exhaustive()
    }
}

impl HttpRouteRouterBuilder {
    pub(crate) const fn new(client: Client, namespace: String, name: String) -> Self {
        Self { client, namespace, name, rule: Rule::Only }
    }

    /// Takes the rule at this place, counted from 0; without it, the only one that has both backends is meant.
    pub fn rule(mut self, index: usize) -> Self {
        self.rule = Rule::At(index);
        self
    }

    /// Knows the two backends by the names of their services.
    #[must_use]
    pub fn backends(self, stable: impl Into<String>, canary: impl Into<String>) -> HttpRouteRouter {
        let backends = BySide { stable: stable.into(), canary: canary.into() };
        let weights = http_route(self.client, self.namespace, self.name, self.rule, backends);
        HttpRouteRouter::by(weights.without_mirror())
    }
}
