//! What is particular to VirtualServices.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use canary_core::ports::{Applied, Call, PortError, TrafficRouter};
use canary_core::testing::conformance::run;
use canary_core::value::{EffectId, Epoch, FailureKind, Timestamp, Traffic, Version, Weight};
use canary_istio::{VIRTUAL_SERVICE, VirtualServiceRouter};
use canary_kube::testing::{Cluster, MemoryApi};
use serde_json::{Value, json};

fn api(routes: &Value) -> MemoryApi {
    let api = MemoryApi::new();
    put(&api, routes);
    api
}

/// Writes as somebody else, who keeps the annotations.
fn put(api: &MemoryApi, routes: &Value) {
    let old = api.get(&VIRTUAL_SERVICE, "shop", "checkout");
    let annotations = old.and_then(|old| old["metadata"].get("annotations").cloned());
    let fields = json!({
        "metadata": { "annotations": annotations },
        "spec": { "hosts": ["checkout"], "http": routes },
    });
    api.put(&VIRTUAL_SERVICE, "shop", "checkout", &fields);
}

fn route(name: &str, weights: [Option<u32>; 2]) -> Value {
    let entry = |subset: &str, weight: Option<u32>| {
        let mut entry = json!({ "destination": { "host": "checkout", "subset": subset } });
        if let Some(weight) = weight {
            entry["weight"] = json!(weight);
        }
        entry
    };
    json!({ "name": name, "route": [entry("stable", weights[0]), entry("canary", weights[1])] })
}

fn call(effect: u64) -> Call {
    let (made, rollout) = (Timestamp::EPOCH, "a".parse().unwrap());
    let deadline = made + Duration::from_secs(30);
    Call::new(rollout, Epoch::new(1), EffectId::new(effect), 1, made, deadline)
}

async fn apply(
    router: &VirtualServiceRouter,
    effect: u64,
    percent: u8,
    at: Option<&Version>,
) -> Result<Applied, PortError> {
    let traffic = Traffic::to_canary(Weight::percent(percent));
    router.apply(&call(effect), &traffic, at).await
}

#[tokio::test]
async fn a_weight_that_is_not_written_is_none() {
    let api = api(&json!([route("primary", [Some(100), None])]));
    let router = VirtualServiceRouter::new(api.client(), "shop", "checkout");
    let router = router.subsets("stable", "canary");
    let observed = router.observe(&call(1)).await.unwrap();
    assert_eq!(observed.traffic, Traffic::all_stable());
    apply(&router, 2, 25, Some(&observed.version)).await.unwrap();
    let now = api.get(&VIRTUAL_SERVICE, "shop", "checkout").unwrap();
    assert_eq!(now["spec"]["http"][0], route("primary", [Some(75), Some(25)]));
}

#[tokio::test]
async fn a_weight_that_was_not_written_is_not_raised_from_once_it_is() {
    let api = api(&json!([route("primary", [Some(100), None])]));
    let router = VirtualServiceRouter::new(api.client(), "shop", "checkout");
    let router = router.subsets("stable", "canary");
    let claimed = apply(&router, 1, 0, None).await.unwrap();
    put(&api, &json!([route("primary", [Some(100), Some(50)])]));
    let refused = apply(&router, 2, 10, Some(&claimed.version)).await.unwrap_err();
    assert_eq!(refused.kind(), FailureKind::Conflict);
}

#[tokio::test]
async fn a_route_that_took_the_place_of_the_named_one_is_not_written() {
    let weights = [Some(100), Some(0)];
    let [beta, primary] = ["beta", "primary"].map(|name| route(name, weights));
    let api = api(&json!([primary, beta]));
    let router = VirtualServiceRouter::new(api.client(), "shop", "checkout");
    let router = router.route("primary").subsets("stable", "canary");
    let claimed = apply(&router, 1, 0, None).await.unwrap();

    put(&api, &json!([beta, primary]));
    let refused = apply(&router, 2, 10, Some(&claimed.version)).await.unwrap_err();
    assert_eq!(refused.kind(), FailureKind::Conflict);
    let observed = router.observe(&call(3)).await.unwrap();
    apply(&router, 4, 10, Some(&observed.version)).await.unwrap();
    let now = api.get(&VIRTUAL_SERVICE, "shop", "checkout").unwrap();
    assert_eq!(now["spec"]["http"][0], beta);
    assert_eq!(now["spec"]["http"][1], route("primary", [Some(90), Some(10)]));
}

#[tokio::test]
async fn a_choice_that_is_not_there_says_what_is() {
    let api = api(&json!([route("primary", [Some(100), Some(0)])]));
    let new = || VirtualServiceRouter::new(api.client(), "shop", "checkout");
    for (router, says) in [
        (
            new().route("beta").subsets("stable", "canary"),
            "no rule named `beta`; there is rule 0 (`primary`) with `stable`, `canary`",
        ),
        (
            new().route("primary").subsets("stable", "next"),
            "rule 0 (`primary`) has no destination `next` for canary; there is `stable`, `canary`",
        ),
        (
            new().hosts("v1", "v2"),
            "no rule with both `v1` and `v2`; there is rule 0 (`primary`) with `checkout`, `checkout`",
        ),
    ] {
        let error = router.observe(&call(1)).await.unwrap_err();
        assert_eq!(error.kind(), FailureKind::NotFound);
        assert_eq!(error.to_string(), format!("VirtualService shop/checkout: {says}"));
    }
}

#[test]
#[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-istio -- --ignored"]
fn what_a_real_server_does_not_have_is_not_found() {
    run(async {
        let cluster = Cluster::connect().await;
        let routes = json!([route("primary", [Some(100), Some(0)])]);
        let fields = json!({ "spec": { "hosts": ["checkout"], "http": routes } });
        let object = cluster.create(&VIRTUAL_SERVICE, &fields).await;
        let new = |name| VirtualServiceRouter::new(cluster.client(), object.namespace(), name);
        for router in
            [new("gone").subsets("stable", "canary"), new(object.name()).subsets("stable", "next")]
        {
            for refused in [
                router.observe(&call(1)).await.map(|_| ()),
                apply(&router, 2, 0, None).await.map(|_| ()),
            ] {
                assert_eq!(refused.unwrap_err().kind(), FailureKind::NotFound);
            }
        }
        object.delete().await;
    });
}
