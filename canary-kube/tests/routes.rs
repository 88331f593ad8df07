//! What a router makes of the routes that it finds.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use canary_core::ports::{PortError, TrafficRouter};
use canary_core::value::{BySide, FailureKind, Weight};
use canary_kube::testing::MemoryApi;
use canary_kube::{HTTP_ROUTE, RouteWeights, Rule, Selector, http_route};
use common::{apply, call, router};
use proptest::prelude::*;
use serde_json::{Value, json};

fn api(rules: Value) -> MemoryApi {
    let api = MemoryApi::new();
    let fields = json!({ "spec": { "rules": rules } });
    api.put(&HTTP_ROUTE, "shop", "web", &fields);
    api
}

fn by(rules: Value, rule: Rule) -> RouteWeights {
    let backends = names("web-stable", "web-canary");
    http_route(api(rules).client(), "shop", "web", rule, backends)
}

fn names(stable: &str, canary: &str) -> BySide<String> {
    let (stable, canary) = (stable.to_owned(), canary.to_owned());
    BySide { stable, canary }
}

fn rule(weights: &[(&str, Value)]) -> Value {
    let backends = weights.iter().map(|(name, weight)| json!({ "name": name, "weight": weight }));
    json!({ "backendRefs": backends.collect::<Vec<_>>() })
}

fn pair(stable: impl Into<Value>, canary: impl Into<Value>) -> Value {
    rule(&[("web-stable", stable.into()), ("web-canary", canary.into())])
}

async fn error_of(router: &RouteWeights) -> (FailureKind, String) {
    let error: PortError = router.observe(&call("a")).await.unwrap_err();
    (error.kind(), error.to_string())
}

#[tokio::test]
async fn a_missing_object_is_named() {
    let router = router(api(json!([])).client(), "shop", "gone");
    let (kind, message) = error_of(&router).await;
    assert_eq!(kind, FailureKind::NotFound);
    assert!(message.starts_with("HTTPRoute shop/gone: "), "{message}");
}

#[tokio::test]
async fn what_is_missing_is_named_beside_what_is_there() {
    let named =
        json!({ "name": "api", "backendRefs": [{ "name": "web-stable" }, { "name": "old" }] });
    for (rules, rule, says) in [
        (json!([]), Rule::Only, "there is no rule at all"),
        (
            json!([named, { "backendRefs": [] }]),
            Rule::Only,
            "no rule with both `web-stable` and `web-canary`; there is \
             rule 0 (`api`) with `web-stable`, `old`, rule 1 with none",
        ),
        (
            json!([named]),
            Rule::At(0),
            "rule 0 (`api`) has no destination `web-canary` for canary; there is `web-stable`, `old`",
        ),
        (json!([named]), Rule::At(1), "no rule at place 1; there is rule 0 (`api`)"),
        (
            json!([named]),
            Rule::Named("web".to_owned()),
            "no rule named `web`; there is rule 0 (`api`)",
        ),
    ] {
        let (kind, message) = error_of(&by(rules, rule)).await;
        assert_eq!(kind, FailureKind::NotFound);
        assert!(message.contains(says), "{message}");
    }
}

#[tokio::test]
async fn what_could_be_meant_twice_is_not_guessed() {
    let both = pair(100, 0);
    let named = json!({ "name": "api", "backendRefs": both["backendRefs"] });
    let twice =
        rule(&[("web-stable", json!(1)), ("web-canary", json!(0)), ("web-stable", json!(1))]);
    for (rules, rule, says) in [
        (
            json!([both, {}, named]),
            Rule::Only,
            "more than one rule with both `web-stable` and `web-canary`: rule 0, rule 2 (`api`)",
        ),
        (
            json!([named, named]),
            Rule::Named("api".to_owned()),
            "more than one rule named `api`: rule 0 (`api`), rule 1 (`api`)",
        ),
        (json!([twice]), Rule::Only, "rule 0 has the destination `web-stable` more than once"),
    ] {
        let (kind, message) = error_of(&by(rules, rule)).await;
        assert_eq!(kind, FailureKind::Invalid);
        assert!(message.contains(says), "{message}");
    }
    let same = Selector::new(HTTP_ROUTE, Rule::Only, &["name"], names("web", "web"));
    let router = RouteWeights::new(api(json!([])).client(), "shop", "web", same);
    let (kind, message) = error_of(&router).await;
    assert_eq!(kind, FailureKind::Invalid);
    assert!(message.contains("the same destination `web`"), "{message}");
}

#[tokio::test]
async fn any_choice_of_the_right_rule_works() {
    let both = pair(100, 0);
    let named = json!({ "name": "api", "backendRefs": both["backendRefs"] });
    for choice in [Rule::At(1), Rule::Named("api".to_owned())] {
        let api = api(json!([both, named]));
        let backends = names("web-stable", "web-canary");
        let router = http_route(api.client(), "shop", "web", choice, backends);
        let observed = router.observe(&call("a")).await.unwrap();
        apply(&router, &call("a"), 10, Some(&observed.version)).await.unwrap();
        let spec = api.get(&HTTP_ROUTE, "shop", "web").unwrap()["spec"].clone();
        assert_eq!(spec["rules"][0], both);
        assert_eq!(spec["rules"][1]["backendRefs"], pair(90, 10)["backendRefs"]);
    }
}

#[tokio::test]
async fn a_stranger_with_a_share_stops_raises_and_never_an_abort() {
    let strangers = [("web-stable", 60), ("web-canary", 20), ("old", 20)];
    let api = api(json!([rule(&strangers.map(|(name, weight)| (name, json!(weight))))]));
    let router = router(api.client(), "shop", "web");
    let (kind, message) = error_of(&router).await;
    assert_eq!(kind, FailureKind::Invalid);
    assert!(message.ends_with("a share of the traffic: old"), "{message}");
    let partly = apply(&router, &call("a"), 5, None).await.unwrap_err();
    assert_eq!(partly.kind(), FailureKind::Invalid);

    let aborted = apply(&router, &call("a"), 0, None).await.unwrap();
    assert_eq!(aborted.accepted.canary, Weight::ZERO);
    let spec = api.get(&HTTP_ROUTE, "shop", "web").unwrap()["spec"].clone();
    let weights = [0, 1, 2].map(|i| spec["rules"][0]["backendRefs"][i]["weight"].clone());
    assert_eq!(weights, [80, 0, 20]);
}

/// Somebody adds a rule that could be meant, too, or lists a destination once more.
#[tokio::test]
async fn what_becomes_unclear_midway_is_not_raised_and_lowered_all_the_same() {
    let named = |weights: [u8; 2]| {
        let mut rule = pair(weights[0], weights[1]);
        rule["name"] = json!("api");
        rule["matches"] = json!([{ "path": { "value": "/api" } }]);
        rule
    };
    let clear = Rule::Matching(json!({ "path": { "value": "/api" } }));
    let twice = json!({ "name": "web-canary", "port": 81, "weight": 7 });
    for choice in [Rule::Only, Rule::Named("api".to_owned()), clear, Rule::At(0)] {
        let api = api(json!([named([100, 0])]));
        let backends = names("web-stable", "web-canary");
        let router = http_route(api.client(), "shop", "web", choice.clone(), backends);
        let claimed = apply(&router, &call("a"), 0, None).await.unwrap();
        let half = apply(&router, &call("a"), 50, Some(&claimed.version)).await.unwrap();

        let mut object = api.get(&HTTP_ROUTE, "shop", "web").unwrap();
        let rules = object["spec"]["rules"].as_array_mut().unwrap();
        if choice == Rule::At(0) {
            rules[0]["backendRefs"].as_array_mut().unwrap().push(twice.clone());
        } else {
            rules.push(named([60, 40]));
        }
        api.put(&HTTP_ROUTE, "shop", "web", &object);
        let spec = || api.get(&HTTP_ROUTE, "shop", "web").unwrap()["spec"]["rules"].clone();
        let before = spec();
        let unclear = apply(&router, &call("a"), 100, Some(&half.version)).await.unwrap_err();
        assert_eq!(unclear.kind(), FailureKind::Invalid, "{unclear}");
        assert_eq!(spec(), before, "{choice:?}: {unclear}");

        let aborted = apply(&router, &call("a"), 0, None).await.unwrap();
        assert_eq!(aborted.accepted.canary, Weight::ZERO);
        for rule in spec().as_array().unwrap() {
            let weights = rule["backendRefs"].as_array().unwrap().iter();
            let weights: Vec<_> = weights.map(|one| one["weight"].as_u64().unwrap()).collect();
            assert!(weights[0] > 0 && weights[1..].iter().all(|canary| *canary == 0), "{rule}");
        }
        let nowhere = apply(&router, &call("a"), 5, Some(&aborted.version)).await.unwrap_err();
        assert_eq!(nowhere.kind(), FailureKind::Invalid);
        router.release(&call("a")).await.unwrap();
    }
}

/// A destination that is listed twice beside a stranger: all of the canary's share goes to stable, none of the
/// stranger's.
#[tokio::test]
async fn all_of_a_canary_that_is_listed_twice_goes_back_to_stable() {
    for [stable, first, other, second] in
        [[10, 20, 30, 40], [0, 60, 0, 40], [0, 0, 0, 7], [0, 7, 0, 0], [0, 0, 90, 10]]
    {
        let entries =
            [("web-stable", stable), ("web-canary", first), ("old", other), ("web-canary", second)];
        let api = api(json!([rule(&entries.map(|(name, weight)| (name, json!(weight))))]));
        let router = router(api.client(), "shop", "web");
        apply(&router, &call("a"), 0, None).await.unwrap();
        let spec = api.get(&HTTP_ROUTE, "shop", "web").unwrap()["spec"].clone();
        let [s, c, o, d] =
            [0, 1, 2, 3].map(|i| spec["rules"][0]["backendRefs"][i]["weight"].as_u64().unwrap());
        assert_eq!([c, d, o], [0, 0, other], "{spec}");
        assert_eq!(s, if other == 0 { s.max(1) } else { stable + first + second });
    }
}

#[tokio::test]
async fn weights_that_make_no_sense_stop_raises_and_never_an_abort() {
    for [stable, canary] in [
        [json!(0), json!(0)],
        [json!(105), json!(-5)],
        [json!(-5), json!(105)],
        [json!(2_147_483_648_u64), json!(1)],
        [json!(1), json!(1_000_001)],
        [json!("half"), json!(1)],
        [json!(0.5), json!(0.5)],
    ] {
        let api = api(json!([pair(stable, canary)]));
        let router = router(api.client(), "shop", "web");
        let (kind, message) = error_of(&router).await;
        assert_eq!(kind, FailureKind::Invalid, "{message}");
        apply(&router, &call("a"), 0, None).await.unwrap();
        let spec = api.get(&HTTP_ROUTE, "shop", "web").unwrap()["spec"].clone();
        assert_eq!(spec["rules"][0], pair(100, 0));
    }
}

#[tokio::test]
async fn weights_that_are_right_stay_as_they_are_written() {
    for (weights, percent) in [([1, 0], 0), ([19, 1], 5), ([500, 500], 50), ([0, 7], 100)] {
        let before = pair(weights[0], weights[1]);
        let api = api(json!([before]));
        let router = router(api.client(), "shop", "web");
        apply(&router, &call("a"), percent, None).await.unwrap();
        let spec = api.get(&HTTP_ROUTE, "shop", "web").unwrap()["spec"].clone();
        assert_eq!(spec["rules"][0], before);
    }
}

proptest! {
    #[test]
    fn weights_are_read_as_the_ratio_they_are(stable in any_weight(), canary in any_weight()) {
        prop_assume!(stable + canary > 0);
        canary_core::testing::conformance::run(async {
            let router = by(json!([pair(stable, canary)]), Rule::Only);
            let read = router.observe(&call("a")).await.unwrap().traffic.canary;
            let exact = canary as f64 / (stable + canary) as f64;
            assert!((read.fraction() - exact).abs() <= 0.0001, "{read} for {exact}");
            assert_eq!(read == Weight::ZERO, canary == 0);
            assert_eq!(read == Weight::FULL, stable == 0);
        });
    }

    #[test]
    fn weights_are_written_as_they_will_be_read(points in 0_u16..=10_000) {
        let weight = Weight::from_basis_points(points).unwrap();
        canary_core::testing::conformance::run(async {
            let api = api(json!([pair(100, 0)]));
            let router = router(api.client(), "shop", "web");
            let version = router.observe(&call("a")).await.unwrap().version;
            let traffic = canary_core::value::Traffic::to_canary(weight);
            router.apply(&call("a"), &traffic, Some(&version)).await.unwrap();
            let spec = api.get(&HTTP_ROUTE, "shop", "web").unwrap()["spec"].clone();
            let backends = &spec["rules"][0]["backendRefs"];
            let [stable, canary] = [0, 1].map(|i| backends[i]["weight"].as_u64().unwrap());
            assert_eq!(stable + canary, if points % 100 == 0 { 100 } else { 10_000 });
            assert_eq!(canary * 10_000, u64::from(points) * (stable + canary));
        });
    }
}

fn any_weight() -> impl Strategy<Value = u64> {
    prop_oneof![0_u64..3, 999_998_u64..=1_000_000, 0_u64..=1_000_000]
}
