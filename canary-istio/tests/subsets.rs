//! The canary's subset comes before its traffic, goes after it, and nobody else's is touched.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::time::Duration;

use canary_core::ports::{Call, TrafficRouter};
use canary_core::testing::conformance::run;
use canary_core::value::{EffectId, Epoch, FailureKind, Timestamp, Traffic, Weight};
use canary_istio::{DESTINATION_RULE, Subsets, VIRTUAL_SERVICE, VirtualServiceRouter};
use canary_kube::testing::{Cluster, MemoryApi, differences};
use kube::Client;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::subsequence;
use serde_json::{Value, json};

/// The longest name of a subset: 63 characters.
const LONG: &str = "canary-of-the-checkout-service-in-the-shop-of-the-north-west-12";

fn call(rollout: &str, effect: u64) -> Call {
    let made = Timestamp::EPOCH;
    let (rollout, effect) = (rollout.parse().unwrap(), EffectId::new(effect));
    Call::new(rollout, Epoch::new(1), effect, 1, made, made + Duration::from_secs(30))
}

fn labels() -> BTreeMap<String, String> {
    BTreeMap::from([("version".to_owned(), "v2".to_owned())])
}

fn rule(subsets: &[&str]) -> Value {
    let subsets = subsets.iter().map(|name| json!({ "name": name, "labels": { "version": name } }));
    json!({ "spec": { "host": "checkout", "subsets": subsets.collect::<Vec<_>>() } })
}

fn api(rule: &Value) -> (MemoryApi, Subsets) {
    let api = MemoryApi::new();
    api.put(&DESTINATION_RULE, "shop", "checkout", rule);
    let subsets = Subsets::new(api.client(), "shop", "checkout", "stable", "canary");
    (api, subsets)
}

#[tokio::test]
async fn what_is_missing_is_said_beside_what_is_there() {
    let (_, subsets) = api(&rule(&["stable", "beta"]));
    let host = "checkout.shop.svc.cluster.local";
    let report = subsets.report(&call("a", 1), host).await.unwrap();
    let says = "DestinationRule shop/checkout has no subset `canary`; there is `stable`, `beta`";
    assert_eq!((report.problems, report.notes), (vec![says.to_owned()], vec![]));
    let report = subsets.report(&call("a", 1), "cart").await.unwrap();
    let says = "DestinationRule shop/checkout is for the host `checkout`, not `cart`";
    assert_eq!(report.problems[0], says);
}

#[tokio::test]
async fn what_bears_on_a_rollout_is_noted() {
    let mut fields = rule(&["stable", "canary"]);
    fields["spec"]["trafficPolicy"] = json!({
        "loadBalancer": { "consistentHash": { "httpCookie": { "name": "user", "ttl": "0s" } } },
        "portLevelSettings": [{ "port": { "number": 80 }, "outlierDetection": {} }],
    });
    fields["spec"]["subsets"][1]["trafficPolicy"] =
        json!({ "loadBalancer": { "consistentHash": { "useSourceIp": true } } });
    let (_, subsets) = api(&fields);
    let report = subsets.report(&call("a", 1), "checkout").await.unwrap();
    assert_eq!(report.problems, [""; 0]);
    let [cookie, outliers, canary] = &report.notes[..] else {
        panic!("{:?}", report.notes);
    };
    assert!(cookie.contains("the cookie `user`"), "{cookie}");
    assert!(outliers.contains("outlierDetection"), "{outliers}");
    assert!(canary.starts_with("subset `canary` keeps a user"), "{canary}");
}

#[tokio::test]
async fn a_users_own_subset_stays() {
    let (api, subsets) = api(&rule(&["stable"]));
    let now = || api.get(&DESTINATION_RULE, "shop", "checkout").unwrap();
    let canary = |labels: Value| {
        let mut fields = rule(&["stable", "canary"]);
        fields["spec"]["subsets"][1]["labels"] = labels;
        api.put(&DESTINATION_RULE, "shop", "checkout", &fields);
        now()
    };
    for labels in [json!({ "version": "v2" }), json!({ "version": "v2", "app": "checkout" })] {
        let users = canary(labels);
        assert!(!subsets.add(&call("a", 4), &self::labels()).await.unwrap());
        assert!(!subsets.remove(&call("a", 5)).await.unwrap());
        assert_eq!(now(), users);
    }
    // It picks other pods than those of the canary.
    for labels in [json!({ "version": "v1" }), json!({ "app": "checkout" }), Value::Null] {
        let users = canary(labels);
        let error = subsets.add(&call("a", 6), &self::labels()).await.unwrap_err();
        assert_eq!(error.kind(), FailureKind::Invalid);
        let says = "the subset `canary` is there already and does not ask for version=v2";
        assert!(error.to_string().contains(says), "{error}");
        assert_eq!(now(), users);
    }
}

#[tokio::test]
async fn what_another_rollout_has_left_is_taken_over() {
    for fields in [rule(&["stable"]), json!({ "spec": { "host": "checkout", "subsets": [] } })] {
        let (api, subsets) = api(&fields);
        let now = || api.get(&DESTINATION_RULE, "shop", "checkout").unwrap();
        let before = now();
        assert!(subsets.add(&call("a", 1), &labels()).await.unwrap());
        assert!(!subsets.add(&call("a", 2), &labels()).await.unwrap(), "it is there");
        let third = BTreeMap::from([("version".to_owned(), "v3".to_owned())]);
        assert!(subsets.add(&call("b", 1), &third).await.unwrap());
        let list = now()["spec"]["subsets"].as_array().unwrap().clone();
        assert_eq!(list.last().unwrap(), &json!({ "name": "canary", "labels": third }));
        assert_eq!(list.len(), before["spec"]["subsets"].as_array().unwrap().len() + 1);
        assert!(!subsets.remove(&call("a", 3)).await.unwrap(), "it is another one's now");
        assert!(subsets.remove(&call("b", 2)).await.unwrap());
        assert!(!subsets.remove(&call("b", 3)).await.unwrap());
        assert_eq!(differences(&before, &now()), [""; 0]);
    }
}

#[tokio::test]
async fn a_name_of_any_length_is_marked_as_the_server_takes_it() {
    for name in [LONG, &LONG[..56], &LONG[..57]] {
        let (api, _) = api(&rule(&["stable"]));
        let subsets = Subsets::new(api.client(), "shop", "checkout", "stable", name);
        subsets.add(&call("a", 1), &labels()).await.unwrap();
        let marked = api.get(&DESTINATION_RULE, "shop", "checkout").unwrap();
        let marks = marked["metadata"]["annotations"].as_object().unwrap();
        let (prefix, mark) = marks.keys().next().unwrap().split_once('/').unwrap();
        assert!(prefix.ends_with("canary-rollout"), "{prefix}");
        assert!(mark.len() <= 63 && mark.ends_with(name), "{mark}");
        assert!(subsets.remove(&call("a", 2)).await.unwrap());
    }
}

#[tokio::test]
async fn each_router_brings_its_own_subset() {
    let api = MemoryApi::new();
    let entry = |host: &str, subset: &str, weight: u8| json!({ "destination": { "host": host, "subset": subset }, "weight": weight });
    let [one, other] = ["checkout", "cart"].map(|name| {
        let mut fields = rule(&["stable"]);
        fields["spec"]["host"] = json!(name);
        api.put(&DESTINATION_RULE, "shop", name, &fields);
        let route = json!([{ "route": [entry(name, "stable", 100), entry(name, "canary", 0)] }]);
        api.put(&VIRTUAL_SERVICE, "shop", name, &json!({ "spec": { "http": route } }));
        let subsets = Subsets::new(api.client(), "shop", name, "stable", "canary");
        VirtualServiceRouter::new(api.client(), "shop", name)
            .subsets("stable", "canary")
            .with_own_subset(subsets, labels(), Duration::ZERO)
    });
    let router = one.and(other);
    let subsets = || {
        ["checkout", "cart"].map(|name| {
            let rule = api.get(&DESTINATION_RULE, "shop", name).unwrap();
            rule["spec"]["subsets"].as_array().unwrap().len()
        })
    };
    let at = router.observe(&call("a", 1)).await.unwrap().version;
    let tenth = Traffic::to_canary(Weight::percent(10));
    router.apply(&call("a", 2), &tenth, Some(&at)).await.unwrap();
    assert_eq!(subsets(), [2, 2]);
    router.apply(&call("a", 3), &Traffic::all_stable(), None).await.unwrap();
    router.release(&call("a", 4)).await.unwrap();
    assert_eq!(subsets(), [1, 1]);
}

#[tokio::test]
async fn a_missing_rule_is_named() {
    let (api, _) = api(&rule(&[]));
    let subsets = Subsets::new(api.client(), "shop", "gone", "stable", "canary");
    let error = subsets.add(&call("a", 1), &labels()).await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::NotFound);
    assert!(error.to_string().starts_with("DestinationRule shop/gone: "), "{error}");
}

#[tokio::test]
async fn the_subset_is_there_before_the_traffic_and_goes_after_it() {
    let (api, subsets) = api(&rule(&["stable"]));
    let before = api.get(&DESTINATION_RULE, "shop", "checkout").unwrap();
    let entry = |subset: &str, weight: u8| json!({ "destination": { "host": "checkout", "subset": subset }, "weight": weight });
    let route = json!([{ "route": [entry("stable", 100), entry("canary", 0)] }]);
    api.put(&VIRTUAL_SERVICE, "shop", "checkout", &json!({ "spec": { "http": route } }));
    let router = VirtualServiceRouter::new(api.client(), "shop", "checkout")
        .subsets("stable", "canary")
        .with_own_subset(subsets, labels(), Duration::ZERO);
    let subsets = || {
        let rule = api.get(&DESTINATION_RULE, "shop", "checkout").unwrap();
        rule["spec"]["subsets"].as_array().unwrap().len()
    };

    let claimed = router.apply(&call("a", 1), &Traffic::all_stable(), None).await.unwrap();
    assert_eq!(subsets(), 1);
    // The write of the subset is refused: no weight is written either.
    api.answer_next(403, None, "no");
    let tenth = Traffic::to_canary(Weight::percent(10));
    router.apply(&call("a", 2), &tenth, Some(&claimed.version)).await.unwrap_err();
    assert_eq!(router.observe(&call("a", 3)).await.unwrap().traffic, Traffic::all_stable());
    router.apply(&call("a", 4), &tenth, Some(&claimed.version)).await.unwrap();
    assert_eq!(subsets(), 2);
    router.apply(&call("a", 5), &Traffic::all_stable(), None).await.unwrap();
    assert_eq!(subsets(), 2);
    router.release(&call("a", 6)).await.unwrap();
    let after = api.get(&DESTINATION_RULE, "shop", "checkout").unwrap();
    assert_eq!(differences(&before, &after), [""; 0]);
}

#[tokio::test]
async fn a_subset_that_has_all_of_the_traffic_stays() {
    let (api, subsets) = api(&rule(&["stable"]));
    let route = json!([{ "route": [
        { "destination": { "host": "checkout", "subset": "stable" }, "weight": 0 },
        { "destination": { "host": "checkout", "subset": "canary" }, "weight": 100 },
    ]}]);
    api.put(&VIRTUAL_SERVICE, "shop", "checkout", &json!({ "spec": { "http": route } }));
    let router = VirtualServiceRouter::new(api.client(), "shop", "checkout")
        .subsets("stable", "canary")
        .with_own_subset(subsets.clone(), labels(), Duration::ZERO);
    subsets.add(&call("a", 1), &labels()).await.unwrap();
    router.release(&call("a", 2)).await.unwrap();
    let rule = api.get(&DESTINATION_RULE, "shop", "checkout").unwrap();
    assert_eq!(rule["spec"]["subsets"][1]["name"], "canary");
}

async fn adds_and_removes(
    client: Client,
    namespace: &str,
    name: &str,
    read: impl AsyncFn() -> Value,
) {
    for canary in ["canary", LONG] {
        let subsets = Subsets::new(client.clone(), namespace, name, "stable", canary);
        let before = read().await;
        assert!(subsets.add(&call("a", 1), &labels()).await.unwrap());
        let during = read().await;
        let list = during["spec"]["subsets"].as_array().unwrap();
        assert_eq!(list.last().unwrap(), &json!({ "name": canary, "labels": labels() }));
        let touched = differences(&before, &during);
        let ours = |path: &String| {
            path.starts_with("/metadata/annotations") || path.starts_with("/spec/subsets")
        };
        assert!(touched.iter().all(ours), "{touched:?}");
        assert!(subsets.remove(&call("a", 2)).await.unwrap());
        assert_eq!(differences(&before, &read().await), [""; 0]);
    }
}

proptest! {
    #![proptest_config(cases(128))]

    #[test]
    fn nothing_else_of_any_rule_changes_in_memory(fields in destination_rule(true)) {
        run(async {
            let (api, _) = api(&fields);
            let read = async || api.get(&DESTINATION_RULE, "shop", "checkout").unwrap();
            adds_and_removes(api.client(), "shop", "checkout", read).await;
        });
    }
}

proptest! {
    #![proptest_config(cases(12))]

    #[test]
    #[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-istio -- --ignored"]
    fn nothing_else_of_any_rule_changes_on_a_real_server(fields in destination_rule(false)) {
        run(async {
            let cluster = Cluster::connect().await;
            let object = cluster.create(&DESTINATION_RULE, &fields).await;
            let read = async || object.read().await;
            adds_and_removes(cluster.client(), object.namespace(), object.name(), read).await;
            object.delete().await;
        });
    }
}

/// Some rule without a canary; with fields that nobody knows, where any are allowed.
fn destination_rule(unknown: bool) -> impl Strategy<Value = Value> {
    let unknown = btree_map("x-[a-z]{1,5}", ".{0,8}", if unknown { 0..3 } else { 0..1 });
    let known: Value = serde_json::from_str(FIELDS).unwrap();
    let known: Vec<_> = known.as_object().unwrap().clone().into_iter().collect();
    let known = subsequence(known.clone(), 0..=known.len());
    let subsets = vec(("[a-b]{1,8}", any::<bool>()), 0..4);
    let annotations = btree_map("[a-z]{1,8}/[a-z]{1,8}", ".{0,12}", 0..3);
    (unknown, known, subsets, annotations).prop_map(|(unknown, known, subsets, annotations)| {
        let unknown = unknown.into_iter().map(|(key, value)| (key, json!(value)));
        let mut spec: Value = known.into_iter().chain(unknown).collect();
        spec["host"] = json!("checkout");
        let subsets = subsets.into_iter().map(|(name, policy)| {
            let mut subset = json!({ "name": name, "labels": { "version": name } });
            if policy {
                subset["trafficPolicy"] = spec["trafficPolicy"].clone();
            }
            if subset["trafficPolicy"].is_null() {
                subset.as_object_mut().unwrap().remove("trafficPolicy");
            }
            subset
        });
        let subsets: Vec<_> = subsets.collect();
        if !subsets.is_empty() {
            spec["subsets"] = json!(subsets);
        }
        json!({ "metadata": { "annotations": annotations }, "spec": spec })
    })
}

const FIELDS: &str = r#"{
    "exportTo": ["*"],
    "workloadSelector": { "matchLabels": { "app": "checkout" } },
    "trafficPolicy": {
        "loadBalancer": { "consistentHash": { "httpCookie": { "name": "user", "ttl": "1h" } } },
        "connectionPool": { "tcp": { "maxConnections": 100, "connectTimeout": "30ms" } },
        "outlierDetection": { "consecutive5xxErrors": 7, "interval": "5m", "baseEjectionTime": "15m" },
        "tls": { "mode": "ISTIO_MUTUAL" }
    }
}"#;

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}
