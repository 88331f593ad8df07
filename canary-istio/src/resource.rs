//! How Istio's objects are laid out.

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

/// Describes Istio's `DestinationRule`, whose subsets weigh nothing.
pub const DESTINATION_RULE: RouteKind = RouteKind {
    group: "networking.istio.io",
    version: "v1",
    kind: "DestinationRule",
    plural: "destinationrules",
    rules: "subsets",
    entries: "labels",
    default_weight: 0,
};

/// A VirtualService by its TLS routes.
pub(crate) const TLS: RouteKind = RouteKind { rules: "tls", ..VIRTUAL_SERVICE };

/// A VirtualService by its TCP routes.
pub(crate) const TCP: RouteKind = RouteKind { rules: "tcp", ..VIRTUAL_SERVICE };

/// Where an entry names its subset.
pub(crate) const SUBSET: &[&str] = &["destination", "subset"];

/// Where an entry names its host.
pub(crate) const HOST: &[&str] = &["destination", "host"];
