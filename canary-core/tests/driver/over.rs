//! A rollout that is over: it is not begun again, and what follows it waits for nothing.

use canary_core::driver::{Driver, StartError};
use canary_core::policy::{How, Policy, WorkloadSpec};
use canary_core::store::MemoryStore;
use canary_core::testing::{MemoryRouter, MemoryWorkload, Recorder};
use canary_core::value::Weight;

use super::support::{ana, builder, id, s, until};

#[tokio::test(start_paused = true)]
async fn a_program_that_begins_anew_is_told_how_it_ended() {
    let (store, route) = (MemoryStore::new(), MemoryRouter::new());
    let ours = || builder().router(route.clone()).store(store.clone());
    let first = ours().start_or_resume(id("shop-1")).await.unwrap();
    let ended = first.finished().await.unwrap();
    assert_eq!(route.traffic().canary, Weight::FULL);

    let recorder = Recorder::new();
    let again = ours().observer(recorder.clone()).start_or_resume(id("shop-1")).await.unwrap();
    assert_eq!(again.finished().await.unwrap().report(), ended.report());
    assert_eq!(route.traffic().canary, Weight::FULL);
    assert!(recorder.records().is_empty(), "{:?}", recorder.records());
}

#[tokio::test(start_paused = true)]
async fn an_id_is_used_once() {
    let store = MemoryStore::new();
    for number in ["shop-1", "shop-2"] {
        let rollout = builder().store(store.clone()).start(id(number)).await.unwrap();
        rollout.finished().await.unwrap();
    }
    for number in ["shop-1", "shop-2"] {
        let refused = builder().store(store.clone()).start(id(number)).await;
        assert!(matches!(refused, Err(StartError::Over { .. })), "{refused:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_promoted_rollout_is_not_taken_back_for_the_next() {
    let policy = Policy::builder("shop")
        .stage("full", Weight::FULL, s(10))
        .without_hard_limit()
        .promote(How::Swap)
        .workload(WorkloadSpec::default().keep(s(86_400), s(0)))
        .build()
        .unwrap();
    let (store, route) = (MemoryStore::new(), MemoryRouter::new());
    let ours = || {
        Driver::builder(policy.clone())
            .router(route.clone())
            .workload(MemoryWorkload::new())
            .store(store.clone())
    };
    let old = ours().start(id("shop-1")).await.unwrap();
    until(&old, |status| status.phase == "retiring").await;
    let recorder = Recorder::new();
    let next = ours().observer(recorder.clone()).supersede(ana()).start(id("shop-2")).await;
    // After a swap it is the other version that is to be the canary.
    assert!(matches!(next, Err(StartError::Reversed { .. })), "{next:?}");
    let told: Vec<String> = recorder.records().iter().map(ToString::to_string).collect();
    assert!(!told.iter().any(|record| record.contains("taking the canary back")), "{told:?}");
    assert!(told.iter().any(|record| record.contains("promoted")), "{told:?}");
}
