//! A rollout touches nothing but two weights, whatever else a VirtualService holds.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use canary_core::testing::conformance::run;
use canary_core::value::Weight;
use canary_istio::{VIRTUAL_SERVICE, VirtualServiceRouter};
use canary_kube::testing::{Cluster, MemoryApi, leaves_the_rest_alone};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value, json};

proptest! {
    #![proptest_config(cases(128))]

    #[test]
    fn in_memory(service in virtual_service(Fields::Any), steps in steps()) {
        run(async {
            let api = MemoryApi::new();
            api.put(&VIRTUAL_SERVICE, "shop", "checkout", &service.fields);
            let router = VirtualServiceRouter::new(api.client(), "shop", "checkout");
            let router = service.destinations(router);
            let read = async || api.get(&VIRTUAL_SERVICE, "shop", "checkout").unwrap();
            leaves_the_rest_alone(&router, read, &service.weights, &steps).await;
        });
    }
}

proptest! {
    #![proptest_config(cases(12))]

    #[test]
    #[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-istio -- --ignored"]
    fn on_a_real_server(service in virtual_service(Fields::OfTheSchema), steps in steps()) {
        run(async {
            let cluster = Cluster::connect().await;
            let object = cluster.create(&VIRTUAL_SERVICE, &service.fields).await;
            let router =
                VirtualServiceRouter::new(cluster.client(), object.namespace(), object.name());
            let router = service.destinations(router);
            leaves_the_rest_alone(&router, async || object.read().await, &service.weights, &steps).await;
            object.delete().await;
        });
    }
}

/// Says which fields an object may hold beside those that are routed by.
#[derive(Clone, Copy, Debug)]
enum Fields {
    /// Any at all.
    Any,
    /// Those that Istio knows.
    OfTheSchema,
}

/// A VirtualService, how its destinations are chosen, and where their weights are.
#[derive(Clone, Debug)]
struct Service {
    fields: Value,
    named: bool,
    by_host: bool,
    weights: [String; 2],
}

impl Service {
    fn destinations(
        &self,
        router: canary_istio::VirtualServiceRouterBuilder,
    ) -> VirtualServiceRouter {
        let router = if self.named { router.route("primary") } else { router };
        if self.by_host { router.hosts("v1", "v2") } else { router.subsets("stable", "canary") }
    }
}

fn steps() -> impl Strategy<Value = Vec<Weight>> {
    let points = prop_oneof![(0_u16..=100).prop_map(|percent| percent * 100), 0_u16..=10_000];
    vec(points.prop_map(|points| Weight::from_basis_points(points).unwrap()), 0..5)
}

prop_compose! {
    fn virtual_service(fields: Fields)(
        named in any::<bool>(),
        by_host in any::<bool>(),
    )(
        before in vec(other_route(fields, named), 0..3),
        after in vec(other_route(fields, named), 0..3),
        entries in entries(fields, by_host),
        mut target in extras(ROUTE_FIELDS, fields),
        mut spec in extras(SPEC_FIELDS, fields),
        metadata in metadata(),
        named in Just(named),
        by_host in Just(by_host),
    ) -> Service {
        let index = before.len();
        let place = |entry| format!("/spec/http/{index}/route/{entry}/weight");
        let (entries, [stable, canary]) = entries;
        if named {
            target["name"] = json!("primary");
        }
        target["route"] = json!(entries);
        spec["hosts"] = json!(["checkout"]);
        spec["http"] = json!([before, vec![target], after].concat());
        Service {
            fields: json!({ "metadata": metadata, "spec": spec }),
            named,
            by_host,
            weights: [place(stable), place(canary)],
        }
    }
}

prop_compose! {
    /// The entries of the route that is meant, and the places of the two destinations.
    fn entries(fields: Fields, by_host: bool)(
        weights in weights(),
        stable in extras(ENTRY_FIELDS, fields),
        canary in extras(ENTRY_FIELDS, fields),
        third in proptest::option::of(extras(ENTRY_FIELDS, fields)),
        order in Just(vec![0, 1, 2]).prop_shuffle(),
    ) -> (Vec<Value>, [usize; 2]) {
        let names = if by_host { ["v1", "v2"] } else { ["stable", "canary"] };
        let two = [stable, canary].into_iter().zip(names).zip(weights);
        let mut entries: Vec<_> = two.map(|((entry, name), weight)| {
            destination(entry, name, by_host, weight)
        }).collect();
        entries.extend(third.map(|entry| destination(entry, "third", by_host, Some(0))));
        let order: Vec<usize> = order.into_iter().filter(|&i| i < entries.len()).collect();
        let place = |which| order.iter().position(|&i| i == which).unwrap();
        (order.iter().map(|&i| entries[i].clone()).collect(), [place(0), place(1)])
    }
}

fn destination(mut entry: Value, name: &str, by_host: bool, weight: Option<u32>) -> Value {
    entry["destination"] = if by_host {
        json!({ "host": name, "port": { "number": 80 } })
    } else {
        json!({ "host": "checkout", "subset": name })
    };
    if let Some(weight) = weight {
        entry["weight"] = json!(weight);
    }
    entry
}

fn weights() -> impl Strategy<Value = [Option<u32>; 2]> {
    prop_oneof![
        Just([Some(100), Some(0)]),
        Just([Some(100), None]),
        Just([None, Some(7)]),
        [1_u32..10_000, 0_u32..10_000].prop_map(|weights| weights.map(Some)),
    ]
}

/// A route that is not meant; only if the right one is known by its name may this one hold both destinations.
fn other_route(fields: Fields, both: bool) -> impl Strategy<Value = Value> {
    let names = ["v1", "stable", "elsewhere", "v2", "canary"];
    let names = if both { &names[..] } else { &names[..3] };
    let entries = subsequence(names.to_vec(), 1..=names.len());
    (extras(ROUTE_FIELDS, fields), entries, any::<bool>()).prop_map(
        |(mut route, names, by_host)| {
            let entries = names.iter().map(|name| destination(json!({}), name, by_host, Some(10)));
            route["route"] = entries.collect();
            route["name"] = json!("another");
            route
        },
    )
}

fn metadata() -> impl Strategy<Value = Value> {
    let labels = btree_map("[a-z]{1,8}", "[a-z0-9]{0,8}", 0..3);
    let annotations = btree_map("[a-z]{1,8}/[a-z]{1,8}", ".{0,12}", 0..3);
    (labels, annotations)
        .prop_map(|(labels, annotations)| json!({ "labels": labels, "annotations": annotations }))
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
        any::<f64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
        select(vec![json!([]), json!("weight"), json!(null)]),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            btree_map("[a-z/~]{0,4}", inner, 0..4).prop_map(|map| json!(map)),
        ]
    })
}

const SPEC_FIELDS: &str = r#"{
    "gateways": ["mesh", "istio-system/public"],
    "exportTo": ["."],
    "tls": [{ "match": [{ "sniHosts": ["checkout"], "port": 443 }],
              "route": [{ "destination": { "host": "checkout", "subset": "stable" }, "weight": 3 }] }],
    "tcp": [{ "route": [{ "destination": { "host": "checkout" } }] }]
}"#;

const ROUTE_FIELDS: &str = r#"{
    "match": [{ "uri": { "prefix": "/api" }, "headers": { "x-user": { "exact": "ana" } } }],
    "retries": { "attempts": 3, "perTryTimeout": "2s", "retryOn": "5xx" },
    "timeout": "5s",
    "headers": { "request": { "add": { "x-via": "mesh" }, "remove": ["x-secret"] } },
    "rewrite": { "uri": "/" },
    "mirror": { "host": "shadow" },
    "mirrorPercentage": { "value": 0.5 },
    "fault": { "delay": { "fixedDelay": "1s", "percentage": { "value": 0.1 } } },
    "corsPolicy": { "allowOrigins": [{ "exact": "https://example.com" }], "maxAge": "24h" }
}"#;

const ENTRY_FIELDS: &str = r#"{
    "headers": { "response": { "set": { "x-side": "a" } } }
}"#;

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}
