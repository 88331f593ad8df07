//! What people ask of a rollout, in time and too late.

use canary_core::driver::{Driver, DriverError};
use canary_core::policy::{GateSpec, Policy};
use canary_core::rollout::Answer;
use canary_core::store::MemoryStore;
use canary_core::testing::{MemoryRouter, Recorder};
use canary_core::value::{StageRef, Weight};

use crate::support::{Kind, Router, ana, builder, id, plain, s, until};

fn with_approvals() -> canary_core::driver::DriverBuilder {
    let policy = Policy::builder("shop")
        .stage("half", Weight::percent(50), s(60))
        .gate("oncall", GateSpec::approval())
        .stage("most", Weight::percent(80), s(60))
        .gate("oncall", GateSpec::approval())
        .stage("full", Weight::FULL, s(60))
        .without_hard_limit()
        .build()
        .unwrap();
    Driver::builder(policy).router(MemoryRouter::new())
}

fn asks(status: &canary_core::rollout::Status) -> bool {
    matches!(status.waiting, canary_core::rollout::Waiting::Gate(_))
}

#[tokio::test(start_paused = true)]
async fn an_approval_for_one_stage_opens_no_gate_of_the_next() {
    let handle = with_approvals().start(id("shop-1")).await.unwrap();
    let (half, ana) = (StageRef::new("half"), ana());
    until(&handle, asks).await;
    let approve = || handle.approve_at(half.clone(), "oncall", &ana);
    assert_eq!(approve().await.unwrap(), Answer::Done);
    until(&handle, |status| status.stage_name == "most" && asks(status)).await;
    assert_eq!(approve().await.unwrap(), Answer::Late { stage: StageRef::new("most") });
    assert_eq!(handle.approve("oncall", &ana).await.unwrap(), Answer::Done);
    assert!(handle.finished().await.unwrap().outcome().is_promoted());
}

#[tokio::test(start_paused = true)]
async fn an_approval_of_what_is_no_gate_says_so_and_opens_nothing() {
    let handle = with_approvals().start(id("shop-1")).await.unwrap();
    until(&handle, asks).await;
    for (gate, says) in [("on call", "only ASCII"), ("onduty", "onduty")] {
        let half = || StageRef::new("half");
        for answer in [
            handle.approve(gate, &ana()).await,
            handle.approve_at(half(), gate, &ana()).await,
            handle.reject(gate, "bad", &ana()).await,
        ] {
            match answer.unwrap() {
                Answer::Impossible { why } => assert!(why.contains(says), "{why}"),
                other => panic!("{other:?}"),
            }
        }
    }
    assert!(asks(&handle.status().borrow()));
}

#[tokio::test(start_paused = true)]
async fn a_rejection_takes_the_canary_back() {
    let handle = with_approvals().start(id("shop-1")).await.unwrap();
    until(&handle, asks).await;
    let answer = handle.reject("oncall", "too slow", &ana()).await;
    assert_eq!(answer.unwrap(), Answer::Done);
    let outcome = handle.finished().await.unwrap().outcome().to_string();
    assert!(outcome.contains("ana") && outcome.contains("too slow"), "{outcome}");
}

#[tokio::test(start_paused = true)]
async fn a_stage_is_cut_short_passed_over_or_begun_again() {
    let recorder = Recorder::new();
    let handle = builder().observer(recorder.clone()).start(id("shop-1")).await.unwrap();
    until(&handle, |status| status.weight == Weight::percent(50)).await;
    assert_eq!(handle.advance(StageRef::new("half"), &ana()).await.unwrap(), Answer::Done);
    until(&handle, |status| status.weight == Weight::FULL).await;
    assert_eq!(handle.retry(&ana()).await.unwrap(), Answer::Done);
    until(&handle, |status| status.weight == Weight::percent(50)).await;
    assert_eq!(handle.promote_full(&ana()).await.unwrap(), Answer::Done);
    until(&handle, |status| status.weight == Weight::FULL).await;
    assert!(handle.finished().await.unwrap().outcome().is_promoted());
    let records = recorder.records();
    let time = records.last().unwrap().at.since(records[0].at);
    assert!(time < s(70), "only the last stage was held: {time:?}");
}

#[tokio::test(start_paused = true)]
async fn a_command_after_the_end_is_told_how_it_ended() {
    let handle = builder().start(id("shop-1")).await.unwrap();
    handle.finished().await.unwrap();
    match handle.abort("late", &ana()).await {
        Ok(Answer::Impossible { why }) => assert_eq!(why, "the rollout is over: promoted"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_command_to_a_holder_that_was_replaced_is_told_so_and_changes_nothing() {
    let (store, route) = (MemoryStore::new(), MemoryRouter::new());
    let ours = || builder().router(route.clone()).store(store.clone());
    let frozen = ours().start(id("shop-1")).await.unwrap();
    tokio::time::sleep(s(5)).await;
    let new = ours().resume().await.unwrap().unwrap();
    // Whether the frozen one knows already or learns it from this very command.
    let answer = frozen.pause(&ana()).await;
    assert_eq!(answer, Err(DriverError::Fenced));
    assert_eq!(frozen.abort("bad", &ana()).await, Err(DriverError::Fenced));
    assert!(answer.unwrap_err().to_string().contains("asked there"));
    assert!(new.finished().await.unwrap().outcome().is_promoted());
}

#[test]
fn a_driver_whose_runtime_is_gone_was_stopped() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let first = runtime();
    let handle = first.block_on(builder().start(id("shop-1"))).unwrap();
    drop(first);
    runtime().block_on(async {
        assert_eq!(handle.finished().await, Err(DriverError::Stopped));
        assert_eq!(handle.abort("late", &ana()).await, Err(DriverError::Stopped));
    });
}

#[tokio::test(start_paused = true)]
async fn a_pause_stops_a_raise_that_is_under_way_and_a_resume_goes_on_with_it() {
    let router = Router::default();
    router.raising.set(Kind::Slow(s(4)));
    let handle = Driver::builder(plain()).router(router.clone()).start(id("shop-1")).await.unwrap();
    until(&handle, |status| status.phase == "entering").await;
    tokio::time::sleep(s(1)).await;
    assert_eq!(handle.pause(&ana()).await.unwrap(), Answer::Done);
    tokio::time::sleep(s(60)).await;
    assert_eq!(router.route.traffic().canary, Weight::ZERO);
    assert_eq!(handle.status().borrow().weight, Weight::ZERO);
    handle.resume(&ana()).await.unwrap();
    assert!(handle.finished().await.unwrap().outcome().is_promoted());
}
