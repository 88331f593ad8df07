//! Routes of the Gateway API.

mod form;
mod status;

use canary_core::value::BySide;
use kube::Client;

use crate::route::RouteWeights;
use crate::rule::Rule;
use crate::selector::{RouteKind, Selector};

use form::HttpRouteForm;

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
///
/// Requests are sent by their headers with a rule of the rollout's own, which takes a name: the Gateway API's standard
/// channel has names since 1.4. Copies are a `RequestMirror` filter, with a `percent` or `fraction` since 1.3. What the
/// server's schema does not know is refused before anything is written.
///
/// A raise is over once the controllers that write the route's status have looked at it, after half of the time that
/// the call has at the latest; a route that one of them rejects is an error that says what it says.
#[must_use]
pub fn http_route(
    client: Client,
    namespace: impl Into<String>,
    name: impl Into<String>,
    rule: Rule,
    backends: BySide<String>,
) -> RouteWeights {
    http_route_of(HTTP_ROUTE, client, namespace, name, rule, backends)
}

/// The same for an `HTTPRoute` of another group or version that is laid out alike, such as Linkerd's own.
#[must_use]
pub fn http_route_of(
    kind: RouteKind,
    client: Client,
    namespace: impl Into<String>,
    name: impl Into<String>,
    rule: Rule,
    backends: BySide<String>,
) -> RouteWeights {
    let selector = Selector::new(kind, rule, &["name"], backends).with_form(&HttpRouteForm);
    RouteWeights::new(client, namespace, name, selector).heeding_status()
}
