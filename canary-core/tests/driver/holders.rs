//! Who holds a rollout: slow stores, other clocks, a second holder.

use std::time::Duration;

use async_trait::async_trait;
use canary_core::driver::{Clock, Driver, DriverBuilder, DriverError, StartError};
use canary_core::policy::{Check, How, Policy, PolicySpec, Stage};
use canary_core::ports::{Applied, Call, Capabilities, Observed, PortError, TrafficRouter};
use canary_core::store::MemoryStore;
use canary_core::testing::{MemoryRouter, MemoryWorkload, WorldPorts};
use canary_core::value::{RolloutId, Timestamp, Traffic, Version, Weight};

use crate::support::{
    Fault, Kind, Router, Store, ana, builder, id, in_world, plain, s, simulation, until,
};

/// A time of the system's clock.
const T: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// Longer than a store may take.
const LATE: Kind = Kind::Late(Duration::from_secs(11));

#[tokio::test(start_paused = true)]
async fn a_second_rollout_of_the_target_is_told_who_has_it() {
    let store = MemoryStore::new();
    let ports = WorldPorts::new(simulation(0.001).world());
    let first =
        in_world(&ports).store(store.clone()).start("shop-1".parse().unwrap()).await.unwrap();
    let second = in_world(&ports).store(store.clone()).start("shop-2".parse().unwrap()).await;
    match second {
        Err(StartError::Busy { rollout, .. }) => assert_eq!(rollout.as_str(), "shop-1"),
        other => panic!("{other:?}"),
    }
    first.finished().await.unwrap();
    // An ended rollout gives the target free.
    let third = in_world(&ports).store(store).start("shop-3".parse().unwrap()).await.unwrap();
    third.stop();
    assert_eq!(third.finished().await, Err(DriverError::Stopped));
}

/// A route with the marks of a rollout on it.
#[derive(Debug)]
struct Marked(&'static str);

#[async_trait]
impl TrafficRouter for Marked {
    fn capabilities(&self) -> Capabilities {
        MemoryRouter::new().capabilities()
    }

    async fn observe(&self, call: &Call) -> Result<Observed, PortError> {
        MemoryRouter::new().observe(call).await
    }

    async fn holder(&self, _: &Call) -> Result<Option<RolloutId>, PortError> {
        Ok(Some(id(self.0)))
    }

    async fn apply(
        &self,
        call: &Call,
        traffic: &Traffic,
        at: Option<&Version>,
    ) -> Result<Applied, PortError> {
        MemoryRouter::new().apply(call, traffic, at).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_route_with_the_marks_of_a_rollout_that_the_store_does_not_know_is_busy() {
    let on = |marks| builder().router(Marked(marks));
    match on("other").start(id("shop-1")).await {
        Err(StartError::Busy { rollout, .. }) => assert_eq!(rollout.as_str(), "other"),
        other => panic!("{other:?}"),
    }
    on("shop-1").start(id("shop-1")).await.expect("the marks are its own").stop();
    on("other").supersede(ana()).start(id("shop-1")).await.expect("it was told to").stop();

    // Rollouts that are over, and have left their marks.
    let store = MemoryStore::new();
    for (marks, next) in [("shop-1", "shop-1"), ("shop-1", "shop-2"), ("shop-1", "shop-3")] {
        let started = on(marks).store(store.clone()).start(id(next)).await;
        let handle = started.expect("the marks are of one that is over");
        handle.abort("enough", &ana()).await.unwrap();
        handle.finished().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn what_serves_is_not_made_ready_as_the_canary() {
    let mut spec = PolicySpec::new("shop");
    spec.stages = vec![Stage::new("full", Weight::FULL, s(1))];
    spec.promotion.how = How::Swap;
    spec.hard_limit = false;
    let policy = Policy::from_spec(spec).unwrap();
    let router = MemoryRouter::new();
    let plain = || Driver::builder(policy.clone()).router(router.clone());
    let with_versions = || plain().workload(MemoryWorkload::new());
    let first = with_versions().start(id("shop-1")).await.unwrap();
    assert!(first.finished().await.unwrap().outcome().is_promoted());
    for next in [with_versions(), with_versions().supersede(ana())] {
        match next.start(id("shop-2")).await {
            Err(error @ StartError::Reversed { .. }) => {
                assert!(error.to_string().contains("name it as stable"), "{error}");
            }
            other => panic!("{other:?}"),
        }
    }
    plain().start(id("shop-3")).await.expect("nothing is made or removed").stop();
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_was_replaced_raises_nothing_any_more() {
    let store = MemoryStore::new();
    let ports = WorldPorts::new(simulation(0.001).world());
    let frozen =
        in_world(&ports).store(store.clone()).start("shop-1".parse().unwrap()).await.unwrap();
    tokio::time::sleep(s(20)).await;
    let new = in_world(&ports).store(store).resume().await.unwrap().expect("one is under way");
    assert_eq!(frozen.finished().await, Err(DriverError::Fenced));
    assert!(new.finished().await.unwrap().outcome().is_promoted());
}

/// What is raised is saved first, and that the save was accepted says whose the rollout is.
#[tokio::test(start_paused = true)]
async fn a_raise_asks_the_store_where_its_word_is_not_fresh() {
    let fresh = Duration::from_millis(200);
    for (takes, is_asked) in [(fresh, false), (fresh + Duration::from_millis(1), true)] {
        let store = Store { writing: Fault::of(Kind::Late(takes)), ..Store::default() };
        let ours = builder().router(MemoryRouter::new()).store(store.clone());
        let handle = ours.start(id("shop-1")).await.unwrap();
        assert!(handle.finished().await.unwrap().outcome().is_promoted());
        assert_eq!(store.confirming.begun() > 0, is_asked, "saves take {takes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_slow_save_is_no_other_holder() {
    let (store, route) = (Store::default(), MemoryRouter::new());
    let ours = builder().router(route.clone()).store(store.clone());
    let handle = ours.start(id("shop-1")).await.unwrap();
    tokio::time::sleep(s(5)).await;
    store.writing.set(LATE);
    // It changes the state, so it is saved.
    handle.pause(&ana()).await.unwrap();
    store.writing.set(Kind::None);
    handle.resume(&ana()).await.unwrap();
    let end = handle.finished().await;
    assert!(end.is_ok(), "{end:?}, and the route stands at {:?}", route.traffic());
}

#[tokio::test(start_paused = true)]
async fn an_abort_is_not_left_because_a_save_was_slow() {
    let (store, router) = (Store::default(), Router::default());
    let ours = builder().router(router.clone()).store(store.clone());
    let handle = ours.start(id("shop-1")).await.unwrap();
    until(&handle, |status| status.weight == Weight::percent(50)).await;
    router.lowering.set(Kind::Fails(12));
    store.writing.set(LATE);
    handle.abort("bad", &ana()).await.unwrap();
    tokio::time::sleep(s(60)).await;
    assert_eq!(router.route.traffic(), Traffic::all_stable());
}

#[tokio::test(start_paused = true)]
async fn a_claim_whose_answer_is_late_is_ours_all_the_same() {
    let store = Store { writing: Fault::of(LATE), ..Store::default() };
    let rollout = builder().store(store.clone()).start(id("shop-1")).await.unwrap();
    store.writing.set(Kind::None);
    assert!(rollout.finished().await.unwrap().outcome().is_promoted());
}

#[tokio::test(start_paused = true)]
async fn a_clock_behind_does_not_stop_the_next_holder() {
    let (store, route) = (MemoryStore::new(), MemoryRouter::new());
    let at = |t| builder().router(route.clone()).store(store.clone()).clock(Clock::starting_at(t));
    let first = at(T).start(id("shop-1")).await.unwrap();
    tokio::time::sleep(s(5)).await;
    first.stop();
    first.finished().await.unwrap_err();
    let next = at(T - s(3600)).resume().await.unwrap().unwrap();
    let end = tokio::time::timeout(s(1800), next.finished()).await;
    assert!(end.is_ok(), "two minutes of holds are left: {:?}", next.status().borrow().waiting);
}

#[tokio::test(start_paused = true)]
async fn a_target_may_come_again_with_an_earlier_clock() {
    let (store, route) = (MemoryStore::new(), MemoryRouter::new());
    let at = |t| builder().router(route.clone()).store(store.clone()).clock(Clock::starting_at(t));
    at(T).start(id("shop-1")).await.unwrap().finished().await.unwrap();
    let again = at(T - s(3600)).start(id("shop-2")).await.unwrap();
    let end = tokio::time::timeout(s(7200), again.finished()).await;
    assert!(end.is_ok(), "never ends: {:?}", again.status().borrow().phase);
}

#[tokio::test(start_paused = true)]
async fn what_ended_while_the_store_was_down_is_not_raised_again() {
    let (store, route) = (Store::default(), MemoryRouter::new());
    let ours = || builder().router(route.clone()).store(store.clone());
    let handle = ours().start(id("shop-1")).await.unwrap();
    tokio::time::sleep(s(5)).await;
    store.writing.set(Kind::Fails(usize::MAX));
    handle.abort("bad", &ana()).await.unwrap();
    let ended = handle.finished().await.unwrap();
    assert!(!ended.outcome().is_promoted());
    assert_eq!(route.traffic(), Traffic::all_stable());
    store.writing.set(Kind::None);
    let again = ours().resume().await.unwrap().expect("it is taken up to be told");
    let again = again.finished().await.unwrap();
    assert!(!again.outcome().is_promoted(), "{} then {}", ended.outcome(), again.outcome());
}

#[tokio::test(start_paused = true)]
async fn a_rollout_goes_on_by_its_own_policy() {
    let (store, route) = (MemoryStore::new(), MemoryRouter::new());
    let ours = |builder: DriverBuilder| builder.router(route.clone()).store(store.clone());
    let first = ours(builder()).start(id("shop-1")).await.unwrap();
    tokio::time::sleep(s(5)).await;
    first.stop();
    first.finished().await.unwrap_err();
    // This one would need a metric source.
    let other = Policy::builder("shop")
        .stage("full", Weight::FULL, s(1))
        .check(Check::above("e", "error_rate", 0.1))
        .build()
        .unwrap();
    let resumed = ours(Driver::builder(other)).resume().await.unwrap().unwrap();
    let report = resumed.finished().await.unwrap().report().clone();
    assert_eq!(report.stages.len(), plain().stages().len());
}

#[tokio::test(start_paused = true)]
async fn a_rollout_is_taken_up_without_its_policy() {
    let store = MemoryStore::new();
    let target: canary_core::value::Target = "shop".parse().unwrap();
    let resumer = || Driver::resumer(target.clone()).store(store.clone());
    assert!(resumer().resume().await.unwrap().is_none());
    let route = MemoryRouter::new();
    let first = builder().router(route.clone()).store(store.clone());
    let first = first.start(id("shop-1")).await.unwrap();
    tokio::time::sleep(s(5)).await;
    first.stop();
    first.finished().await.unwrap_err();
    assert!(matches!(resumer().resume().await, Err(StartError::NoRouter)));
    let next = resumer().router(route).resume().await.unwrap().unwrap();
    assert_eq!((next.id(), next.target()), (&id("shop-1"), &target));
    assert!(next.finished().await.unwrap().outcome().is_promoted());
}
