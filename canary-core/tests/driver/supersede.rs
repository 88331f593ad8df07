//! A rollout that takes another one's place.

use canary_core::driver::{Driver, StartError};
use canary_core::policy::{GateSpec, Policy};
use canary_core::record::Content;
use canary_core::store::MemoryStore;
use canary_core::testing::{MemoryRouter, Recorder};
use canary_core::value::{Traffic, Weight};

use crate::support::{Kind, OpenGate, Router, ana, builder, id, s, until};

#[tokio::test(start_paused = true)]
async fn the_old_rollout_is_at_zero_before_the_new_one_begins() {
    let (store, router, recorder) = (MemoryStore::new(), Router::default(), Recorder::new());
    let ours = || builder().router(router.clone()).store(store.clone());
    let old = ours().start(id("shop-1")).await.unwrap();
    until(&old, |status| status.weight == Weight::percent(50)).await;
    let busy = ours().start(id("shop-2")).await;
    assert!(matches!(busy, Err(StartError::Busy { rollout, .. }) if rollout == id("shop-1")));

    let new = ours().supersede(ana()).observer(recorder.clone()).start(id("shop-2")).await.unwrap();
    assert_eq!(router.route.traffic(), Traffic::all_stable());
    assert!(old.finished().await.is_err(), "the first holder is out");
    assert!(new.finished().await.unwrap().outcome().is_promoted());
    // The old one's end is told, and then the new one's beginning.
    let records = recorder.records();
    let ended = records.iter().position(|r| matches!(r.content, Content::Ended { .. })).unwrap();
    let told = records[ended].content.to_string();
    assert!(told.contains("ana") && told.contains("superseded by shop-2"), "{told}");
    assert!(matches!(records[ended + 1].content, Content::Started { .. }));
    assert_eq!(records[ended + 1].number, 1);
}

#[tokio::test(start_paused = true)]
async fn what_the_old_plan_needed_is_not_needed_to_take_it_back() {
    let (store, route) = (MemoryStore::new(), MemoryRouter::new());
    let gated = Policy::builder("shop")
        .stage("half", Weight::percent(50), s(60))
        .gate("smoke", GateSpec::default())
        .stage("full", Weight::FULL, s(60))
        .without_hard_limit()
        .build()
        .unwrap();
    let old = Driver::builder(gated).router(route.clone()).store(store.clone());
    let old = old.gate("smoke", OpenGate::default()).start(id("shop-1")).await.unwrap();
    until(&old, |status| status.weight == Weight::percent(50)).await;
    let new = builder().router(route).store(store).supersede(ana());
    assert!(
        new.start(id("shop-2")).await.unwrap().finished().await.unwrap().outcome().is_promoted()
    );
}

#[tokio::test(start_paused = true)]
async fn the_same_id_again_supersedes_nothing() {
    let store = MemoryStore::new();
    let ours = || builder().store(store.clone()).supersede(ana());
    let first = ours().start(id("shop-1")).await.unwrap();
    assert!(matches!(ours().start(id("shop-1")).await, Err(StartError::Busy { .. })));
    assert!(first.finished().await.unwrap().outcome().is_promoted());
}

#[tokio::test(start_paused = true)]
async fn a_start_that_is_given_up_still_takes_the_old_one_back() {
    let (store, router) = (MemoryStore::new(), Router::default());
    let ours = || builder().router(router.clone()).store(store.clone());
    let old = ours().start(id("shop-1")).await.unwrap();
    until(&old, |status| status.weight == Weight::percent(50)).await;
    router.lowering.set(Kind::Hangs);
    let new = ours().supersede(ana()).start(id("shop-2"));
    assert!(tokio::time::timeout(s(30), new).await.is_err(), "it waits for the router");
    router.lowering.set(Kind::None);
    tokio::time::sleep(s(30)).await;
    assert_eq!(router.route.traffic(), Traffic::all_stable());
    assert!(ours().start(id("shop-3")).await.is_ok(), "the target is free");
}

#[tokio::test(start_paused = true)]
async fn of_two_that_supersede_one_begins() {
    let (store, route) = (MemoryStore::new(), MemoryRouter::new());
    let ours = || builder().router(route.clone()).store(store.clone());
    let old = ours().start(id("shop-1")).await.unwrap();
    until(&old, |status| status.weight == Weight::percent(50)).await;
    let (two, three) = tokio::join!(
        ours().supersede(ana()).start(id("shop-2")),
        ours().supersede(ana()).start(id("shop-3")),
    );
    assert_eq!([&two, &three].into_iter().filter(|started| started.is_ok()).count(), 1);
    for refused in [two, three] {
        assert!(matches!(refused, Ok(_) | Err(StartError::Busy { .. })), "{refused:?}");
    }
}
