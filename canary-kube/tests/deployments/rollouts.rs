//! Whole rollouts, driven.

use std::time::Duration;

use canary_core::driver::{Driver, DriverBuilder, Handle, Shutdown};
use canary_core::policy::{GateSpec, How, Policy, PolicySpec, Stage};
use canary_core::store::MemoryStore;
use canary_core::testing::MemoryRouter;
use canary_core::testing::conformance::run;
use canary_core::value::{GateName, Weight};
use canary_kube::testing::Fate;
use futures::future::{FutureExt, join_all};
use serde_json::{Value, json};

use crate::support::Shop;

/// Half, then all, then somebody is asked.
fn policy(how: How) -> Policy {
    let second = Duration::from_secs(1);
    let mut spec = PolicySpec::new("shop");
    spec.stages = vec![
        Stage::new("half", Weight::percent(50), second),
        Stage::new("full", Weight::FULL, second),
    ];
    let last: GateName = "last".parse().unwrap();
    spec.promotion.after = vec![last.clone()];
    spec.promotion.how = how;
    spec.hard_limit = false;
    spec.every_ms = 1_000;
    spec.gates.insert(last, GateSpec::approval());
    Policy::from_spec(spec).unwrap()
}

struct World {
    shop: Shop,
    how: How,
    store: MemoryStore,
    router: MemoryRouter,
    /// Stable as it was.
    before: Value,
}

impl World {
    async fn new(how: How) -> Self {
        let shop = Shop::open(2).await;
        let before = shop.get("web").await.unwrap();
        Self { shop, how, store: MemoryStore::new(), router: MemoryRouter::new(), before }
    }

    fn builder(&self) -> DriverBuilder {
        Driver::builder(policy(self.how))
            .router(self.router.clone())
            .store(self.store.clone())
            .workload(self.shop.versions())
    }

    async fn start(&self) -> Handle {
        self.builder().start("shop-1".parse().unwrap()).await.unwrap()
    }

    /// Fails once neither version has an available pod.
    async fn never_down(&self) {
        loop {
            let mut up = 0;
            for name in ["web", "web-canary"] {
                let seen = self.shop.get(name).await.unwrap_or_default();
                up += seen["status"]["availableReplicas"].as_u64().unwrap_or(0);
            }
            assert!(up > 0, "both versions are down");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn phase(&self, handle: &Handle, phase: &str) {
        let mut status = handle.status();
        let reached = status.wait_for(|status| status.phase == phase);
        let reached = tokio::time::timeout(Duration::from_secs(60), reached).await;
        reached
            .unwrap_or_else(|_| panic!("never {phase}: {:?}", handle.status().borrow()))
            .unwrap();
    }
}

/// Leaves out what a server writes by itself.
fn written(deployment: &Value) -> Value {
    let mut annotations = deployment["metadata"]["annotations"].clone();
    if let Some(annotations) = annotations.as_object_mut() {
        annotations.remove("deployment.kubernetes.io/revision");
    }
    json!([
        deployment["spec"],
        deployment["metadata"]["labels"],
        annotations,
        deployment["metadata"]["ownerReferences"],
    ])
}

async fn unless_down<T>(world: &World, story: impl Future<Output = T>) -> T {
    tokio::select! {
        () = world.never_down() => unreachable!("it ends by failing only"),
        told = story => told,
    }
}

/// Carries a rollout out that is promoted, with somebody ready all along.
async fn is_promoted(world: &World) {
    unless_down(world, async {
        let handle = world.start().await;
        world.phase(&handle, "closing").await;
        handle.approve("last", &"ana".parse().unwrap()).await.unwrap();
        let finished = handle.finished().await.unwrap();
        assert!(finished.outcome().is_promoted(), "{}", finished.outcome());
    })
    .await;
}

#[test]
#[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-kube -- --ignored"]
fn promoted_in_place_stable_has_the_new_image_and_nothing_else_is_left() {
    run(async {
        let world = World::new(How::InPlace).await;
        is_promoted(&world).await;
        assert_eq!(world.shop.get("web-canary").await, None);
        let mut expected = world.before.clone();
        expected["spec"]["template"]["spec"]["containers"][0]["image"] = json!("web:v2");
        let after = world.shop.get("web").await.unwrap();
        assert_eq!(written(&after), written(&expected));
        assert_eq!(after["status"]["availableReplicas"], 2);
    });
}

#[test]
#[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-kube -- --ignored"]
fn promoted_by_swap_the_canary_stays_and_the_old_one_has_no_replicas() {
    run(async {
        let world = World::new(How::Swap).await;
        is_promoted(&world).await;
        let mut expected = world.before.clone();
        expected["spec"]["replicas"] = json!(0);
        assert_eq!(written(&world.shop.get("web").await.unwrap()), written(&expected));
        // Whoever deletes the old one does not take the new one down.
        world.shop.delete("web").await;
        world.shop.until("web", Value::is_null).await;
        let new = world.shop.get("web-canary").await.unwrap();
        assert_eq!(new["status"]["availableReplicas"], 2);
        assert_eq!(new["metadata"].get("ownerReferences"), None);
        let notes = new["metadata"]["annotations"].as_object().unwrap().iter();
        let notes: Vec<_> = notes.filter(|(key, _)| key.starts_with("canary-rollout/")).collect();
        assert_eq!(notes, [(&"canary-rollout/took-over".to_owned(), &json!("shop-1"))]);
    });
}

#[test]
#[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-kube -- --ignored"]
fn aborted_in_any_phase_stable_is_as_it_was_and_the_canary_gone() {
    let phases = ["starting", "opening", "entering", "holding", "promoting", "closing"];
    let both = [How::InPlace, How::Swap];
    run(async {
        join_all(
            both.into_iter().flat_map(|how| phases.map(|phase| aborted(how, phase).boxed_local())),
        )
        .await;
    });
}

async fn aborted(how: How, phase: &str) {
    let world = World::new(how).await;
    unless_down(&world, async {
        let handle = world.start().await;
        world.phase(&handle, phase).await;
        handle.abort("bad", &"ana".parse().unwrap()).await.unwrap();
        let finished = handle.finished().await.unwrap();
        assert!(!finished.outcome().is_promoted(), "{how:?} {phase}: {}", finished.outcome());
    })
    .await;
    world.shop.until("web-canary", Value::is_null).await;
    let after = world.shop.get("web").await.unwrap();
    assert_eq!(written(&after), written(&world.before), "{how:?} {phase}");
    assert_eq!(after["status"]["availableReplicas"], 2, "{how:?} {phase}");
}

#[test]
#[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-kube -- --ignored"]
fn left_in_the_middle_of_a_promotion_another_holder_ends_it() {
    run(async {
        let both = [How::InPlace, How::Swap];
        join_all(both.map(|how| async move {
            let world = World::new(how).await;
            unless_down(&world, async {
                let handle = world.start().await;
                world.phase(&handle, "promoting").await;
                handle.shutdown(Shutdown::LeaveToBeResumed).await.unwrap();
                let handle = world.builder().resume().await.unwrap().unwrap();
                world.phase(&handle, "closing").await;
                handle.approve("last", &"ana".parse().unwrap()).await.unwrap();
                let finished = handle.finished().await.unwrap();
                assert!(finished.outcome().is_promoted(), "{}", finished.outcome());
            })
            .await;
        }))
        .await;
    });
}

#[test]
#[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-kube -- --ignored"]
fn an_image_that_does_not_exist_ends_the_rollout_in_its_own_words() {
    run(async {
        let world = World::new(How::InPlace).await;
        world.shop.kubelet.image("web:v2", Fate::Waits("ErrImagePull", "manifest unknown"));
        let handle = world.start().await;
        let finished = handle.finished().await.unwrap();
        let outcome = finished.outcome().to_string();
        let words =
            "cannot pull the image web:v2 of container web (ErrImagePull: manifest unknown)";
        assert!(outcome.contains(words), "{outcome}");
        assert!(outcome.contains("; pod web-canary-"), "{outcome}");
        world.shop.until("web-canary", Value::is_null).await;
        assert_eq!(written(&world.shop.get("web").await.unwrap()), written(&world.before));
    });
}
