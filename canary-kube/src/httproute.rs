//! Routes of the Gateway API.

use canary_core::value::BySide;
use kube::Client;

use crate::route::RouteWeights;
use crate::selector::{RouteKind, Rule, Selector};

/// Describes the Gateway API's `HTTPRoute`.
pub const HTTP_ROUTE: RouteKind = RouteKind {
    group: "gateway.networking.k8s.io",
    version: "v1",
    kind: "HTTPRoute",
    plural: "httproutes",
    rules: "rules",
    entries: "backendRefs",
    default_weight: 1,
};

/// Routes by one rule of an `HTTPRoute`, whose two backends are known by their names.
///
/// `rule` chooses among several rules. Nothing is read yet.
#[must_use]
pub fn http_route(
    client: Client,
    namespace: impl Into<String>,
    name: impl Into<String>,
    rule: Rule,
    backends: BySide<String>,
) -> RouteWeights {
    let selector = Selector::new(HTTP_ROUTE, rule, &["name"], backends);
    RouteWeights::new(client, namespace, name, selector)
}
