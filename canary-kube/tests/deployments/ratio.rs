//! Traffic by the sizes of two Deployments, without a mesh.

use std::time::Duration;

use canary_core::driver::{Driver, Finished};
use canary_core::policy::{GateSpec, Policy, PolicySpec, Stage};
use canary_core::ports::TrafficRouter;
use canary_core::store::MemoryStore;
use canary_core::testing::conformance::run;
use canary_core::value::{FailureKind, GateName, Side, Weight};
use canary_kube::testing::{Fate, MemoryApi};
use canary_kube::{DEPLOYMENT, ReadyPods, ReplicaRatio};
use serde_json::{Value, json};

use crate::common::{apply, observe};
use crate::support::{Shop, call, web};

mod in_memory {
    canary_core::router_conformance!(|| async {
        super::ReplicaRatio::new(super::pair(100, 0, 100).client(), "shop", "web", "green", 100)
    });
}

mod on_a_real_server {
    canary_core::router_conformance!(
        #[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-kube -- --ignored"]
        async || super::open(2).await.1
    );
}

/// Makes two Deployments of which so many pods are ready, for ever.
fn pair(stable: u32, canary: u32, ready: u32) -> MemoryApi {
    let api = MemoryApi::new();
    for (name, replicas) in [("web", stable), ("green", canary)] {
        let fields =
            json!({ "spec": { "replicas": replicas }, "status": { "readyReplicas": ready } });
        api.put(&DEPLOYMENT, "shop", name, &fields);
    }
    api
}

/// Opens a shop with a canary that has no replicas yet.
async fn open(replicas: u32) -> (Shop, ReplicaRatio) {
    let shop = Shop::open(replicas).await;
    shop.create(&web("green", "v2", 0)).await;
    // Until its controller is through with it, what was just observed may be stale.
    let is_done = |condition: &Value| condition["reason"] == "NewReplicaSetAvailable";
    shop.until("green", |green| {
        green["status"]["conditions"].as_array().is_some_and(|all| all.iter().any(is_done))
    })
    .await;
    let router = ReplicaRatio::new(shop.client.clone(), &shop.namespace, "web", "green", replicas);
    (shop, router)
}

fn sizes(api: &MemoryApi) -> [Value; 2] {
    ["web", "green"]
        .map(|name| api.get(&DEPLOYMENT, "shop", name).unwrap()["spec"]["replicas"].clone())
}

#[test]
fn a_weight_is_so_many_replicas_or_an_error() {
    run(async {
        for (replicas, step) in [(4, 2_500), (10, 1_000), (6, 5_000), (3, 10_000), (0, 1)] {
            let router =
                ReplicaRatio::new(MemoryApi::new().client(), "shop", "web", "green", replicas);
            assert_eq!(router.capabilities().resolution.basis_points(), step, "of {replicas}");
        }
        let api = pair(4, 0, 4);
        let router = ReplicaRatio::new(api.client(), "shop", "web", "green", 4);
        let (_, version) = observe(&router).await;
        let refused = apply(&router, &call(1), 10, Some(&version)).await.unwrap_err();
        assert_eq!(refused.kind(), FailureKind::Invalid);
        assert!(refused.to_string().contains("10% of 4 replicas"), "{refused}");
        assert_eq!(sizes(&api), [4, 0]);
    });
}

#[test]
fn what_somebody_else_scaled_is_seen() {
    run(async {
        let router = ReplicaRatio::new(pair(4, 1, 4).client(), "shop", "web", "green", 4);
        assert_eq!(observe(&router).await.0, Weight::percent(20));
        let router = ReplicaRatio::new(pair(0, 0, 4).client(), "shop", "web", "green", 4);
        assert_eq!(observe(&router).await.0, Weight::ZERO);
    });
}

#[test]
fn a_raise_whose_pods_do_not_come_leaves_stable_as_it_was() {
    run(async {
        tokio::time::pause();
        let api = pair(4, 0, 4);
        let green = json!({ "spec": { "replicas": 0 }, "status": { "readyReplicas": 0 } });
        api.put(&DEPLOYMENT, "shop", "green", &green);
        let router = ReplicaRatio::new(api.client(), "shop", "web", "green", 4);
        let claimed = apply(&router, &call(1), 0, None).await.unwrap();
        let refused = apply(&router, &call(2), 50, Some(&claimed.version)).await.unwrap_err();
        assert_eq!(refused.kind(), FailureKind::Unavailable);
        assert!(refused.to_string().contains("0 of 2 pods of the canary are ready"), "{refused}");
        assert_eq!(sizes(&api), [4, 2]);
        assert_eq!(observe(&router).await.0, Weight::ZERO, "as before");

        // A canary of which nothing is ready is taken away at once.
        apply(&router, &call(3), 0, None).await.unwrap();
        assert_eq!(sizes(&api), [4, 0]);
    });
}

/// Puts a quarter after the other onto the new version, as the rolling policy does.
fn rolling() -> Policy {
    let second = Duration::from_secs(1);
    let ready: GateName = "pods-ready".parse().unwrap();
    let mut spec = PolicySpec::new("rolling");
    for percent in [25, 50, 75, 100] {
        let mut stage = Stage::new(format!("at {percent}"), Weight::percent(percent), second);
        stage.gates.push(ready.clone());
        spec.stages.push(stage);
    }
    spec.hard_limit = false;
    spec.every_ms = 1_000;
    let mut gate = GateSpec::default();
    gate.timeout_ms = Some(60_000);
    spec.gates.insert(ready, gate);
    Policy::from_spec(spec).unwrap()
}

/// Fails once less than three quarters are available.
async fn enough(shop: &Shop) {
    loop {
        let mut up = 0;
        for name in ["web", "green"] {
            let seen = shop.get(name).await.unwrap();
            up += seen["status"]["availableReplicas"].as_u64().unwrap_or(0);
        }
        assert!(up >= 3, "{up} of 4 are left");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Rolls, and fails once less than three quarters are available.
async fn roll(shop: &Shop, router: ReplicaRatio) -> Finished {
    let gate =
        ReadyPods::new(shop.client.clone(), &shop.namespace).deployment(Side::Canary, "green");
    let handle = Driver::builder(rolling())
        .router(router)
        .store(MemoryStore::new())
        .gate("pods-ready", gate)
        .start("shop-1".parse().unwrap())
        .await
        .unwrap();
    tokio::select! {
        () = enough(shop) => unreachable!("it ends by failing only"),
        finished = handle.finished() => finished.unwrap(),
    }
}

async fn are(shop: &Shop, stable: u32, canary: u32) {
    for (name, replicas) in [("web", stable), ("green", canary)] {
        let ready = |seen: &Value| seen["status"]["readyReplicas"].as_u64().unwrap_or(0);
        let seen = shop.until(name, |seen| ready(seen) == u64::from(replicas)).await;
        assert_eq!(seen["spec"]["replicas"], replicas, "{name}");
        let notes = &seen["metadata"]["annotations"];
        assert_eq!(notes.get("canary-rollout/fence"), None, "{name}");
    }
}

#[test]
#[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-kube -- --ignored"]
fn a_good_version_takes_over_by_quarters() {
    run(async {
        let (shop, router) = open(4).await;
        let finished = roll(&shop, router).await;
        assert!(finished.outcome().is_promoted(), "{}", finished.outcome());
        are(&shop, 0, 4).await;
    });
}

#[test]
#[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-kube -- --ignored"]
fn a_version_that_does_not_get_ready_is_taken_back() {
    run(async {
        let (shop, router) = open(4).await;
        shop.kubelet.image("web:v2", Fate::Crashes(4, "Error", 1));
        let finished = roll(&shop, router).await;
        assert!(!finished.outcome().is_promoted());
        let said = finished.outcome().to_string();
        assert!(said.contains("pods-ready") && said.contains("CrashLoopBackOff"), "{said}");
        are(&shop, 4, 0).await;
    });
}

#[test]
#[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-kube -- --ignored"]
fn taken_back_from_everything_enough_pods_stay_ready() {
    run(async {
        let (shop, router) = open(4).await;
        let claimed = apply(&router, &call(1), 0, None).await.unwrap();
        apply(&router, &call(2), 100, Some(&claimed.version)).await.unwrap();
        shop.until("green", |seen| seen["status"]["availableReplicas"] == 4).await;
        shop.until("web", |seen| seen["status"].get("availableReplicas").is_none()).await;
        let back = call(3);
        tokio::select! {
            () = enough(&shop) => unreachable!("it ends by failing only"),
            lowered = apply(&router, &back, 0, None) => drop(lowered.unwrap()),
        }
        router.release(&call(4)).await.unwrap();
        are(&shop, 4, 0).await;
    });
}
