//! The store in ConfigMaps keeps the promises of a store.
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use canary_core::policy::Policy;
use canary_core::ports::{Claim, Past, StateStore};
use canary_core::rollout::Rollout;
use canary_core::testing::conformance::run;
use canary_core::value::{FailureKind, Revision, Target, Timestamp, Weight};
use canary_kube::ConfigMapStore;
use canary_kube::testing::{Cluster, MemoryApi};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use serde_json::json;

const NAMESPACE: &str = "canary";

thread_local! {
    /// Where this thread's test keeps its rollouts.
    static PLACE: RefCell<Option<(Client, String)>> = const { RefCell::new(None) };
}

mod in_memory {
    use super::*;

    canary_core::store_conformance!(
        || async {
            let api = MemoryApi::new();
            PLACE.set(Some((api.client(), NAMESPACE.to_owned())));
            [api.client(), api.client()].map(|client| ConfigMapStore::new(client, NAMESPACE))
        },
        async |_: &ConfigMapStore, target| delete(target).await
    );
}

mod on_a_real_server {
    use super::*;

    canary_core::store_conformance!(
        #[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-kube -- --ignored"]
        || async {
            // Two clients share no connection.
            let (cluster, other) = (Cluster::connect().await, Cluster::connect().await);
            let namespace = cluster.namespace().await;
            PLACE.set(Some((cluster.client(), namespace.clone())));
            [cluster, other].map(|cluster| ConfigMapStore::new(cluster.client(), &namespace))
        },
        async |_: &ConfigMapStore, target| delete(target).await
    );
}

/// Deletes the only ConfigMap that is kept, behind the store's back.
async fn delete(target: &Target) {
    let (client, namespace) = PLACE.take().unwrap();
    let maps = Api::<ConfigMap>::namespaced(client, &namespace);
    let labels = ListParams::default().labels("canary-rollout/keeps=state");
    let [map] = maps.list(&labels).await.unwrap().items.try_into().unwrap();
    assert_eq!(map.metadata.annotations.unwrap()["canary-rollout/target"], target.as_str());
    maps.delete(&map.metadata.name.unwrap(), &DeleteParams::default()).await.unwrap();
}

fn target() -> Target {
    "shop/Checkout_v2".parse().unwrap()
}

fn claim(policy: &str) -> Claim {
    let hold = Duration::from_secs(60);
    let policy = Policy::builder(policy).stage("full", Weight::FULL, hold).build().unwrap();
    let policy = Arc::new(policy);
    let id = "shop-1".parse().unwrap();
    let state = Rollout::start(id, Arc::clone(&policy), Timestamp::from_millis(1)).0.snapshot();
    Claim::new(policy.spec().clone(), state)
}

fn past(count: usize) -> Vec<Past> {
    let one = |number| {
        serde_json::from_value(json!({
            "rollout": format!("shop-{number}"), "promoted": false, "outcome": "x".repeat(1_000),
            "ended_ms": number,
        }))
        .unwrap()
    };
    (0..count).map(one).collect()
}

#[test]
fn in_memory_what_is_too_large_is_told_and_the_oldest_past_left_out() {
    run(async { sizes(MemoryApi::new().client(), NAMESPACE).await });
}

#[test]
#[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-kube -- --ignored"]
fn on_a_real_server_what_is_too_large_is_told_and_the_oldest_past_left_out() {
    run(async {
        let cluster = Cluster::connect().await;
        sizes(cluster.client(), &cluster.namespace().await).await;
    });
}

async fn sizes(client: Client, namespace: &str) {
    let store = ConfigMapStore::new(client, namespace);
    let whole = past(1_000);
    let long = claim("shop").after(whole.clone());
    store.claim(&target(), &long, None).await.unwrap();
    let kept = store.load(&target()).await.unwrap().unwrap().claim.past;
    assert!(kept.len() > 100, "{} of 1,000 are kept", kept.len());
    assert_eq!(kept, whole[1_000 - kept.len()..], "the latest are kept");

    let other = "shop/other".parse().unwrap();
    let large = claim(&"x".repeat(300 * 1024));
    let error = store.claim(&other, &large, None).await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::Invalid);
    let text = error.to_string();
    assert!(text.contains("the plan has 301 KiB, and a ConfigMap has room for 256 KiB"), "{text}");
    assert_eq!(store.load(&other).await.unwrap(), None);
}

#[test]
fn in_memory_nobody_writes_blindly() {
    run(async { writes(MemoryApi::new().client(), NAMESPACE).await });
}

#[test]
#[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-kube -- --ignored"]
fn on_a_real_server_nobody_writes_blindly() {
    run(async {
        let cluster = Cluster::connect().await;
        writes(cluster.client(), &cluster.namespace().await).await;
    });
}

async fn writes(client: Client, namespace: &str) {
    let store = ConfigMapStore::new(client.clone(), namespace);
    let (target, claim) = (target(), claim("shop"));
    let first = store.claim(&target, &claim, None).await.unwrap();

    // The API server itself takes a resourceVersion of 0 for none.
    let blind = store.save(&target, &claim.state, Revision::default()).await.unwrap_err();
    assert_eq!(blind.kind(), FailureKind::Conflict, "{blind}");
    store.confirm(&target, first).await.unwrap();

    let again = store.save(&target, &claim.state, first).await.unwrap();
    assert!(again > first, "the same state, saved again, is a new revision");

    let maps = Api::<ConfigMap>::namespaced(client, namespace);
    let [map] = maps
        .list(&ListParams::default().labels("canary-rollout/keeps=state"))
        .await
        .unwrap()
        .items
        .try_into()
        .unwrap();
    let name = map.metadata.name.unwrap();
    assert!(name.starts_with("canary-shop-checkout-v2-"), "{name}");
    let foreign = json!({ "metadata": { "annotations": { "canary-rollout/target": "a/b" } } });
    maps.patch(&name, &PatchParams::default(), &Patch::Merge(foreign)).await.unwrap();
    let error = store.load(&target).await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::Invalid);
    assert!(error.to_string().contains("names a/b, not shop/Checkout_v2"), "{error}");
}

#[test]
fn a_server_that_does_not_answer_is_waited_for_no_longer_than_said() {
    run(async {
        let silent = tower::service_fn(|_: http::Request<kube::client::Body>| async {
            std::future::pending::<Result<http::Response<kube::client::Body>, kube::Error>>().await
        });
        let store = ConfigMapStore::new(Client::new(silent, "default"), NAMESPACE)
            .patience(Duration::from_millis(1));
        let error = store.load(&target()).await.unwrap_err();
        assert_eq!(error.kind(), FailureKind::Timeout);
        assert!(
            error.to_string().starts_with("ConfigMap canary/canary-shop-checkout-v2-"),
            "{error}"
        );
    });
}
