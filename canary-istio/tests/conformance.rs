//! The router keeps the promises of its port: on an API server in memory, and on a real one.
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::collections::BTreeMap;

use canary_core::value::{Traffic, Weight};
use canary_istio::{VIRTUAL_SERVICE, VirtualServiceRouter};
use canary_kube::testing::{Cluster, Dressed, MemoryApi};
use serde_json::{Value, json};

macro_rules! on_both {
    ($($what:ident: $dress:path;)*) => {
        mod in_memory {
            $(mod $what {
                canary_core::router_conformance!(|| async { $dress(super::super::in_memory(stringify!($what))) });
            })*
        }
        mod on_a_real_server {
            $(mod $what {
                canary_core::router_conformance!(
                    #[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-istio -- --ignored"]
                    async || $dress(super::super::on_a_real_server(stringify!($what)).await)
                );
            })*
        }
    };
}

on_both! {
    weights: std::convert::identity;
    header: crate::with_header;
    users_header: crate::with_header;
    mirror: crate::with_mirror;
    header_and_mirror: crate::with_both;
    several_routes: crate::with_both;
    several_objects: crate::with_both;
    tcp: std::convert::identity;
}

fn with_header(router: VirtualServiceRouter) -> Dressed<VirtualServiceRouter> {
    Dressed::new(router, Traffic::all_stable().with_header(header()))
}

fn with_mirror(router: VirtualServiceRouter) -> Dressed<VirtualServiceRouter> {
    Dressed::new(router, Traffic::all_stable().with_mirror(Weight::from_basis_points(250).unwrap()))
}

fn with_both(router: VirtualServiceRouter) -> Dressed<VirtualServiceRouter> {
    let traffic = Traffic::all_stable().with_header(header());
    Dressed::new(router, traffic.with_mirror(Weight::percent(7)))
}

fn header() -> BTreeMap<String, String> {
    BTreeMap::from([("x-canary".to_owned(), "true".to_owned())])
}

fn in_memory(what: &str) -> VirtualServiceRouter {
    let api = MemoryApi::new();
    for name in ["checkout", "cart"] {
        api.put(&VIRTUAL_SERVICE, "shop", name, &fields());
    }
    let new = |name: &str| VirtualServiceRouter::new(api.client(), "shop", name);
    router(what, new("checkout"), new("cart"), || new("checkout"))
}

async fn on_a_real_server(what: &str) -> VirtualServiceRouter {
    let cluster = Cluster::connect().await;
    let one = cluster.create(&VIRTUAL_SERVICE, &fields()).await;
    let other = cluster.create(&VIRTUAL_SERVICE, &fields()).await;
    let new = |name: &str| VirtualServiceRouter::new(cluster.client(), one.namespace(), name);
    router(what, new(one.name()), new(other.name()), || new(one.name()))
}

type Builder = canary_istio::VirtualServiceRouterBuilder;

fn router(
    what: &str,
    one: Builder,
    other: Builder,
    again: impl Fn() -> Builder,
) -> VirtualServiceRouter {
    let primary = |builder: Builder| builder.route("primary").subsets("stable", "canary");
    match what {
        "users_header" => primary(one.header_route("testers")),
        "several_routes" => primary(one).and(again().route("api").subsets("stable", "canary")),
        "several_objects" => primary(one).and(primary(other)),
        "tcp" => one.tcp().subsets("stable", "canary"),
        _ => primary(one),
    }
}

fn fields() -> Value {
    let entry = |subset: &str, weight: u8| json!({ "destination": { "host": "checkout", "subset": subset }, "weight": weight });
    let route = |name: &str, uri: &str| {
        let matches = json!([{ "uri": { "prefix": uri } }]);
        json!({ "name": name, "match": matches, "route": [entry("stable", 100), entry("canary", 0)] })
    };
    json!({ "spec": {
        "hosts": ["checkout"],
        "http": [
            { "name": "testers", "match": [{ "headers": { "x-canary": { "exact": "true" } } }],
              "route": [entry("canary", 100)] },
            route("primary", "/"), route("api", "/api"),
        ],
        "tcp": [{ "match": [{ "port": 9000 }], "route": [entry("stable", 100), entry("canary", 0)] }],
    }})
}
