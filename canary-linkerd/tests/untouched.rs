//! A rollout touches nothing but two weights and a rule of its own, whatever else an HTTPRoute holds.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;

use canary_core::testing::conformance::run;
use canary_core::value::{Traffic, Weight};
use canary_kube::HTTP_ROUTE;
use canary_kube::testing::{Cluster, MemoryApi, takes_only_its_own};
use canary_linkerd::{HttpRouteRouter, HttpRouteRouterBuilder};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::subsequence;
use serde_json::{Value, json};

proptest! {
    #![proptest_config(cases(128))]

    #[test]
    fn in_memory(route in http_route(Fields::Any), steps in steps()) {
        run(async {
            let api = MemoryApi::new();
            api.put(&HTTP_ROUTE, "shop", "web", &route.fields);
            let router = route.backends(HttpRouteRouter::new(api.client(), "shop", "web"));
            let read = async || api.get(&HTTP_ROUTE, "shop", "web").unwrap();
            takes_only_its_own(&router, read, &route.weights, &steps, |_| {}).await;
        });
    }
}

proptest! {
    #![proptest_config(cases(12))]

    #[test]
    #[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-linkerd -- --ignored"]
    fn on_a_real_server(route in http_route(Fields::OfTheSchema), steps in steps()) {
        run(async {
            let cluster = Cluster::connect().await;
            let object = cluster.create(&HTTP_ROUTE, &route.fields).await;
            let router = HttpRouteRouter::new(cluster.client(), object.namespace(), object.name());
            let router = route.backends(router);
            let read = async || object.read().await;
            takes_only_its_own(&router, read, &route.weights, &steps, |_| {}).await;
            object.delete().await;
        });
    }
}

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// Says which fields an object may hold beside those that are routed by.
#[derive(Clone, Copy, Debug)]
enum Fields {
    /// Any at all.
    Any,
    /// Those that the Gateway API knows.
    OfTheSchema,
}

/// An HTTPRoute, which of its rules is meant, and where the weights are.
#[derive(Clone, Debug)]
struct Route {
    fields: Value,
    rule: Option<usize>,
    weights: [String; 2],
}

impl Route {
    fn backends(&self, router: HttpRouteRouterBuilder) -> HttpRouteRouter {
        let router = match self.rule {
            Some(index) => router.rule(index),
            None => router,
        };
        router.backends("web-stable", "web-canary")
    }
}

fn steps() -> impl Strategy<Value = Vec<Traffic>> {
    let points = prop_oneof![(0_u16..=100).prop_map(|percent| percent * 100), 0_u16..=10_000];
    let weight = points.prop_map(|points| Weight::from_basis_points(points).unwrap());
    // None that a rule asks for itself.
    let header = btree_map("[xX]-[a-z]{1,3}", "[a-z]{1,5}|[ -~]{1,9}", 0..3);
    let header = header.prop_filter("names differ in more than case", |header| {
        let names: BTreeSet<_> = header.keys().map(|name| name.to_lowercase()).collect();
        names.len() == header.len()
    });
    let traffic = (weight, header)
        .prop_map(|(weight, header)| Traffic::to_canary(weight).with_header(header));
    vec(traffic, 0..5)
}

prop_compose! {
    fn http_route(fields: Fields)(by_index in any::<bool>())(
        before in vec(other_rule(fields, by_index), 0..3),
        after in vec(other_rule(fields, by_index), 0..3),
        backends in backends(fields),
        mut rule in extras(RULE_FIELDS, fields),
        mut spec in extras(SPEC_FIELDS, fields),
        labels in btree_map("[a-z]{1,8}", "[a-z0-9]{0,8}", 0..3),
        annotations in btree_map("[a-z]{1,8}/[a-z]{1,8}", ".{0,12}", 0..3),
        by_index in Just(by_index),
    ) -> Route {
        let index = before.len();
        let place = |entry| format!("/spec/rules/{index}/backendRefs/{entry}/weight");
        let (backends, [stable, canary]) = backends;
        rule["backendRefs"] = json!(backends);
        spec["rules"] = json!([before, vec![rule], after].concat());
        let metadata = json!({ "labels": labels, "annotations": annotations });
        Route {
            fields: json!({ "metadata": metadata, "spec": spec }),
            rule: by_index.then_some(index),
            weights: [place(stable), place(canary)],
        }
    }
}

prop_compose! {
    /// The backends of the rule that is meant, and the places of the two.
    fn backends(fields: Fields)(
        weights in weights(),
        stable in extras(BACKEND_FIELDS, fields),
        canary in extras(BACKEND_FIELDS, fields),
        third in proptest::option::of(extras(BACKEND_FIELDS, fields)),
        order in Just(vec![0, 1, 2]).prop_shuffle(),
    ) -> (Vec<Value>, [usize; 2]) {
        let two = [stable, canary].into_iter().zip(["web-stable", "web-canary"]).zip(weights);
        let two = two.map(|((fields, name), weight)| backend(fields, name, weight));
        let third = third.map(|fields| backend(fields, "third", Some(0)));
        let all: Vec<_> = two.chain(third).collect();
        let order: Vec<usize> = order.into_iter().filter(|&i| i < all.len()).collect();
        let place = |which| order.iter().position(|&i| i == which).unwrap();
        (order.iter().map(|&i| all[i].clone()).collect(), [place(0), place(1)])
    }
}

fn backend(mut fields: Value, name: &str, weight: Option<u32>) -> Value {
    fields["name"] = json!(name);
    fields["port"] = json!(80);
    if let Some(weight) = weight {
        fields["weight"] = json!(weight);
    }
    fields
}

fn weights() -> impl Strategy<Value = [Option<u32>; 2]> {
    prop_oneof![
        Just([Some(100), Some(0)]),
        Just([None, Some(0)]),
        Just([None, None]),
        [1_u32..10_000, 0_u32..10_000].prop_map(|weights| weights.map(Some)),
    ]
}

/// A rule that is not meant; only if the right one is known by its place may this one hold both backends.
fn other_rule(fields: Fields, both: bool) -> impl Strategy<Value = Value> {
    let names = ["web-stable", "elsewhere", "web-canary"];
    let names = if both { &names[..] } else { &names[..2] };
    let names = subsequence(names.to_vec(), 1..=names.len());
    (extras(RULE_FIELDS, fields), names).prop_map(|(mut rule, names)| {
        let backends = names.iter().map(|name| backend(json!({}), name, Some(10)));
        rule["backendRefs"] = backends.collect();
        rule
    })
}

/// Some of the known fields and, where any are allowed, some that nobody knows.
fn extras(known: &str, fields: Fields) -> impl Strategy<Value = Value> + use<> {
    let known: Value = serde_json::from_str(known).unwrap();
    let known: Vec<(String, Value)> = known.as_object().unwrap().clone().into_iter().collect();
    let count = match fields {
        Fields::Any => 0..4,
        Fields::OfTheSchema => 0..1,
    };
    let unknown = btree_map("x-[a-z]{1,5}", any_json(), count);
    (subsequence(known.clone(), 0..=known.len()), unknown)
        .prop_map(|(known, unknown)| known.into_iter().chain(unknown).collect())
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
        Just(json!([])),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            btree_map("[a-z/~]{0,4}", inner, 0..4).prop_map(|map| json!(map)),
        ]
    })
}

const SPEC_FIELDS: &str = r#"{
    "parentRefs": [{ "group": "core", "kind": "Service", "name": "web", "port": 80 }],
    "hostnames": ["web.example.com"]
}"#;

const RULE_FIELDS: &str = r#"{
    "matches": [{ "path": { "type": "PathPrefix", "value": "/api" },
                  "headers": [{ "name": "x-user", "value": "ana" }] }],
    "filters": [{ "type": "RequestHeaderModifier",
                  "requestHeaderModifier": { "set": [{ "name": "x-via", "value": "mesh" }] } }],
    "timeouts": { "request": "10s", "backendRequest": "2s" }
}"#;

const BACKEND_FIELDS: &str = r#"{
    "filters": [{ "type": "ResponseHeaderModifier",
                  "responseHeaderModifier": { "remove": ["x-secret"] } }]
}"#;
