//! Two rollouts want one route.

use canary_core::driver::StartError;
use canary_core::ports::StateStore;
use canary_core::store::MemoryStore;
use canary_core::testing::conformance::run;

use crate::process::{How, Line, Process};
use crate::shop::{HOUR, Shop, ana, ended, holds};

/// What the second is told, in words.
fn words(shop: &Shop) -> String {
    let (namespace, name, first) = (shop.object.namespace(), shop.object.name(), shop.id());
    format!(
        "{namespace}/{name} is busy with the rollout {first}: take that one up (`.resume()`), abort it where it \
         runs, or have it taken back first (`.supersede(..)`)"
    )
}

#[test]
#[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-istio -- --ignored"]
fn the_second_is_told_and_changes_nothing() {
    run(async {
        let shop = Shop::open().await;
        second_is_told(&shop, MemoryStore::new()).await;
        second_is_told(&shop, shop.store(shop.cluster.client())).await;
        shop.object.delete().await;
    });
}

async fn second_is_told(shop: &Shop, store: impl StateStore + Clone) {
    let builder = || shop.builder(shop.cluster.client(), HOUR).store(store.clone());
    let first = builder().start(shop.id()).await.unwrap();
    holds(&first, 10).await;
    let before = shop.object.read().await;
    let refused = builder().start("second".parse().unwrap()).await.unwrap_err();
    assert!(
        matches!(&refused, StartError::Busy { rollout, .. } if *rollout == shop.id()),
        "{refused:?}"
    );
    assert_eq!(refused.to_string(), words(shop));
    assert_eq!(shop.object.read().await, before);
    first.abort("bad", &ana()).await.unwrap();
    ended(&first).await;
    shop.is_as_it_was_but_for(0).await;
}

#[test]
#[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-istio -- --ignored"]
fn the_second_is_told_in_another_process() {
    run(async {
        let shop = Shop::open().await;
        let mut first = Process::start(&shop, shop.id().as_str(), How::Start).await;
        first.tells("gate_asked").await;
        let mut second = Process::start(&shop, "second", How::Start).await;
        assert_eq!(second.ends().await, "busy");
        assert_eq!(second.lines()[0], Line::Refused(words(&shop)));
        assert!(!second.front.since(0).iter().any(|asked| asked.is_of_route()));
        first.say("approve").await;
        assert_eq!(first.ends().await, "promoted");
        shop.is_as_it_was_but_for(100).await;
        shop.object.delete().await;
    });
}

/// Their stores know nothing of each other, but the route knows who wrote it last.
#[test]
#[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-istio -- --ignored"]
fn the_second_is_told_though_it_has_a_store_of_its_own() {
    run(async {
        let shop = Shop::open().await;
        let builder = || shop.builder(shop.cluster.client(), HOUR).store(MemoryStore::new());
        let first = builder().start(shop.id()).await.unwrap();
        holds(&first, 10).await;
        let refused = builder().start("second".parse().unwrap()).await.unwrap_err();
        assert_eq!(refused.to_string(), words(&shop));
        assert_eq!(shop.weight().await, 10);
        // As after a crash in which the state of the first was lost.
        first.stop();
        first.finished().await.unwrap_err();
        let second = builder().supersede(ana()).start("second".parse().unwrap()).await.unwrap();
        holds(&second, 10).await;
        second.abort("bad", &ana()).await.unwrap();
        ended(&second).await;
        shop.is_as_it_was_but_for(0).await;
        shop.object.delete().await;
    });
}
