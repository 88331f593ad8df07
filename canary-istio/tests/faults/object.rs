//! The object goes, comes back, or changes under the rollout's hands.

use canary_core::record::Content;
use canary_core::testing::conformance::run;
use canary_core::value::{FailureKind, Weight};
use futures::FutureExt as _;
use kube::api::{DeleteParams, DynamicObject, PostParams};
use serde_json::Value;

use crate::front::{Fate, Front};
use crate::shop::{Shop, admin, ana, ended, holds, kubeconfig, set_weight, wait};

impl Shop {
    /// Deletes the object, and returns what makes it anew.
    async fn take_away(&self) -> Value {
        let mut object = self.object.read().await;
        self.api().delete(self.object.name(), &DeleteParams::default()).await.unwrap();
        wait(async || self.api().get_opt(self.object.name()).await.unwrap().is_none()).await;
        let metadata = object["metadata"].as_object_mut().unwrap();
        metadata.retain(|key, _| ["name", "annotations"].contains(&key.as_str()));
        metadata["annotations"].as_object_mut().unwrap().remove(canary_kube::FENCE);
        object
    }

    /// Creates the object anew.
    async fn bring_back(&self, object: &Value) {
        let object: DynamicObject = serde_json::from_value(object.clone()).unwrap();
        self.api().create(&PostParams::default(), &object).await.unwrap();
    }

    /// Fails unless the object is as it was, in the same place or not.
    async fn has(&self, mut expected: Value, weight: u64) {
        set_weight(&mut expected, weight);
        let object = self.object.read().await;
        assert_eq!(object["spec"], expected["spec"]);
        assert_eq!(object["metadata"]["annotations"], expected["metadata"]["annotations"]);
    }
}

/// Tells of a fourth try to take the canary back.
fn tried_often(content: &Content) -> bool {
    matches!(content, Content::CallFailed { action, attempt: 4, .. } if action == "route 0% to the canary")
}

#[test]
#[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-istio -- --ignored"]
fn created_anew_as_it_once_was_it_gets_the_stages_weight_again() {
    run(async {
        let shop = Shop::open().await;
        let handle = shop.start(shop.cluster.client()).await;
        holds(&handle, 50).await;
        let mut object = shop.take_away().await;
        set_weight(&mut object, 0);
        shop.bring_back(&object).await;
        let outcome = ended(&handle).await;
        assert!(outcome.is_promoted(), "{outcome}");
        shop.has(object, 100).await;
        shop.object.delete().await;
    });
}

/// It is gone when the next raise is due, and comes back with the weights that it had.
#[test]
#[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-istio -- --ignored"]
fn gone_for_too_long_the_rollout_gives_up_and_takes_back_what_comes_back() {
    run(async {
        let shop = Shop::open().await;
        let handle = shop.start(shop.cluster.client()).await;
        holds(&handle, 50).await;
        let object = shop.take_away().await;
        shop.told(tried_often).await;
        assert_eq!(handle.status().borrow().weight, Weight::percent(50));
        shop.bring_back(&object).await;
        let outcome = ended(&handle).await;
        let outcome = outcome.to_string();
        let place = format!("VirtualService {}/{}", shop.object.namespace(), shop.object.name());
        assert!(outcome.contains(&place) && outcome.contains("404"), "{outcome}");
        assert!(shop.failures().iter().all(|(_, failed)| failed.kind == FailureKind::NotFound));
        shop.has(object, 0).await;
        shop.object.delete().await;
    });
}

#[test]
#[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-istio -- --ignored"]
fn aborted_while_it_is_gone_what_comes_back_is_taken_back() {
    run(async {
        let shop = Shop::open().await;
        let handle = shop.start(shop.cluster.client()).await;
        holds(&handle, 50).await;
        let object = shop.take_away().await;
        handle.abort("bad", &ana()).await.unwrap();
        shop.told(tried_often).await;
        shop.bring_back(&object).await;
        let outcome = ended(&handle).await;
        assert!(!outcome.is_promoted(), "{outcome}");
        shop.has(object, 0).await;
        shop.object.delete().await;
    });
}

/// Each write finds the two routes in each other's place, though they were read, or seen, where they stood.
#[test]
#[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-istio -- --ignored"]
fn reordered_before_each_write_only_the_right_route_is_written() {
    run(async {
        for abort in [false, true] {
            reordered(abort).await;
        }
    });
}

async fn reordered(abort: bool) {
    let shop = Shop::open().await;
    let front = Front::to(&kubeconfig()).await;
    let handle = shop.start(front.client(&admin()).await).await;
    holds(&handle, 10).await;
    let (mut writes, others) = (0, shop.clone());
    front.rule(move |asked| {
        writes += usize::from(asked.writes_route());
        if !asked.writes_route() || writes.is_multiple_of(2) {
            return Fate::Pass;
        }
        let others = others.clone();
        Fate::Behind(async move { others.reorder().await }.boxed())
    });
    let before = front.count();
    if abort {
        handle.abort("bad", &ana()).await.unwrap();
    }
    let outcome = ended(&handle).await;
    assert_eq!(outcome.is_promoted(), !abort, "{outcome}");
    let asked = front.since(before);
    let refused = asked.iter().filter(|asked| asked.writes_route() && asked.code == Some(422));
    assert!(refused.count() > 0, "the routes have changed places for nothing: {asked:?}");
    let beta = &shop.object.read().await["spec"]["http"].as_array().unwrap().clone();
    let beta = beta.iter().find(|route| route["name"] == "beta").unwrap();
    let weights = [0, 1].map(|side| beta["route"][side]["weight"].as_u64());
    assert_eq!(weights, [Some(100), Some(0)]);
    assert_eq!(shop.weight().await, if abort { 0 } else { 100 });
    shop.object.delete().await;
}
