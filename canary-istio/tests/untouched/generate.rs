//! VirtualServices and DestinationRules with about any field.

use canary_core::value::{Traffic, Weight};
use canary_istio::{VirtualServiceRouter, VirtualServiceRouterBuilder};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value, json};

/// Any `spec`, with a managed route put into its HTTP routes.
pub(crate) fn of_schema(spec: &Value) -> impl Strategy<Value = Service> + use<> {
    let route = &spec["properties"]["http"]["items"];
    let entry = &route["properties"]["route"]["items"];
    let value = crate::common::schema::value;
    let routes = vec(value(route), 0..3);
    (value(spec), routes, value(route), [value(entry), value(entry)], metadata()).prop_map(
        |(mut spec, mut http, mut route, [stable, canary], metadata)| {
            for instead in ["redirect", "directResponse", "delegate"] {
                route.as_object_mut().unwrap().remove(instead);
            }
            route["name"] = json!("primary");
            let stable = destination(stable, "stable", false, Some(100));
            let canary = destination(canary, "canary", false, Some(0));
            route["route"] = json!([stable, canary]);
            let index = http.len() / 2;
            http.insert(index, route);
            spec["http"] = json!(http);
            spec["hosts"] = json!(["checkout"]);
            let place = |entry| format!("/spec/http/{index}/route/{entry}/weight");
            Service {
                fields: json!({ "metadata": metadata, "spec": spec }),
                named: true,
                by_host: false,
                weights: [place(0), place(1)],
            }
        },
    )
}

/// Says which fields an object may hold beside those that are routed by.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fields {
    /// Any at all.
    Any,
    /// Those that Istio knows.
    OfTheSchema,
}

/// A VirtualService, how its destinations are chosen, and where their weights are.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    pub(crate) fields: Value,
    named: bool,
    by_host: bool,
    pub(crate) weights: [String; 2],
}

impl Service {
    pub(crate) fn destinations(&self, router: VirtualServiceRouterBuilder) -> VirtualServiceRouter {
        let router = if self.named { router.route("primary") } else { router };
        if self.by_host { router.hosts("v1", "v2") } else { router.subsets("stable", "canary") }
    }
}

pub(crate) fn steps() -> impl Strategy<Value = Vec<Traffic>> {
    let points = prop_oneof![(0_u16..=100).prop_map(|percent| percent * 100), 0_u16..=10_000];
    let weight = || points.clone().prop_map(|points| Weight::from_basis_points(points).unwrap());
    let header = btree_map("x-[a-z]{1,3}", "[a-z]{1,5}|.*[&<\"]", 0..3);
    let mirror = prop_oneof![2 => Just(Weight::ZERO), 1 => weight()];
    let traffic = (weight(), header, mirror).prop_map(|(weight, header, mirror)| {
        Traffic::to_canary(weight).with_header(header).with_mirror(mirror)
    });
    vec(traffic, 0..5)
}

prop_compose! {
    pub(crate) fn virtual_service(fields: Fields)(
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

pub(crate) fn metadata() -> impl Strategy<Value = Value> {
    let labels = btree_map("[a-z]{1,8}", "[a-z0-9]{0,8}", 0..3);
    let annotations = btree_map("[a-z]{1,8}/[a-z]{1,8}", ".{0,12}", 0..3);
    (labels, annotations)
        .prop_map(|(labels, annotations)| json!({ "labels": labels, "annotations": annotations }))
}

/// Some of the known fields and, where any are allowed, some that nobody knows.
pub(crate) fn extras(known: &str, fields: Fields) -> impl Strategy<Value = Value> + use<> {
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

/// A rule without a canary's subset, and some fields beside.
pub(crate) fn destination_rule(fields: Fields) -> impl Strategy<Value = Value> {
    let subset = (extras(SUBSET_FIELDS, fields), "[a-b]{1,8}");
    let subset = subset.prop_map(|(fields, name)| named_subset(fields, &name));
    let subsets = proptest::option::of(vec(subset, 0..4));
    let spec = (extras(RULE_FIELDS, fields), subsets).prop_map(|(mut spec, subsets)| {
        if let Some(subsets) = subsets {
            spec["subsets"] = json!(subsets);
        }
        spec
    });
    rule_of(spec)
}

/// Any rule, without a canary's subset.
pub(crate) fn rule_of_schema(spec: &Value) -> impl Strategy<Value = Value> + use<> {
    let value = crate::common::schema::value;
    let subset = (value(&spec["properties"]["subsets"]["items"]), "[a-b]{1,8}");
    let subset = subset.prop_map(|(fields, name)| named_subset(fields, &name));
    let subsets = proptest::option::of(vec(subset, 0..3));
    let spec = (value(spec), subsets).prop_map(|(mut spec, subsets)| {
        match subsets {
            Some(subsets) => spec["subsets"] = json!(subsets),
            None => drop(spec.as_object_mut().unwrap().remove("subsets")),
        }
        spec
    });
    rule_of(spec)
}

fn named_subset(mut subset: Value, name: &str) -> Value {
    subset["name"] = json!(name);
    subset["labels"] = json!({ "version": name });
    subset
}

fn rule_of(spec: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    (spec, metadata()).prop_map(|(mut spec, metadata)| {
        spec["host"] = json!("checkout");
        json!({ "metadata": metadata, "spec": spec })
    })
}

const RULE_FIELDS: &str = r#"{
    "exportTo": ["*"],
    "workloadSelector": { "matchLabels": { "app": "checkout" } },
    "trafficPolicy": {
        "loadBalancer": { "consistentHash": { "httpCookie": { "name": "user", "ttl": "1h" } } },
        "connectionPool": { "tcp": { "maxConnections": 100, "connectTimeout": "30ms" } },
        "outlierDetection": { "consecutive5xxErrors": 7, "interval": "5m", "baseEjectionTime": "15m" },
        "tls": { "mode": "ISTIO_MUTUAL" }
    }
}"#;

const SUBSET_FIELDS: &str = r#"{
    "trafficPolicy": { "loadBalancer": { "simple": "LEAST_REQUEST" } }
}"#;

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
