//! How an Istio VirtualService is laid out.

use canary_kube::RouteKind;

/// Describes Istio's `VirtualService` by its HTTP routes.
pub const VIRTUAL_SERVICE: RouteKind = RouteKind {
    group: "networking.istio.io",
    version: "v1",
    kind: "VirtualService",
    plural: "virtualservices",
    rules: "http",
    entries: "route",
    default_weight: 0,
};

/// Where an entry names its subset.
pub(crate) const SUBSET: &[&str] = &["destination", "subset"];

/// Where an entry names its host.
pub(crate) const HOST: &[&str] = &["destination", "host"];
