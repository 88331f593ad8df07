//! Two holders at the same moment, a store that has lost what it kept or cannot be asked, and who may fence.

use std::time::Duration;

use async_trait::async_trait;
use canary_core::driver::{Clock, Driver, DriverError, Shutdown};
use canary_core::policy::{GateSpec, How, Policy};
use canary_core::ports::{
    Applied, Call, Capabilities, Decision, Gate, GateContext, Observed, PortError, TrafficRouter,
};
use canary_core::store::MemoryStore;
use canary_core::testing::{MemoryRouter, MemoryWorkload};
use canary_core::value::{FailureKind, Timestamp, Traffic, Version, Weight};
use tokio::time::{sleep, timeout};

use crate::support::{Fault, Kind, Router, Store, Versions, ana, builder, id, plain, s, until};

const T: Timestamp = Timestamp::from_millis(1_700_000_000_000);

const HALF: Weight = Weight::percent(50);

/// A store that takes its time, so that two writes meet.
fn slow() -> Store {
    Store { writing: Fault::of(Kind::Slow(Duration::from_millis(3))), ..Store::default() }
}

#[tokio::test(start_paused = true)]
async fn of_two_that_start_the_same_rollout_at_once_one_holds_it() {
    let (store, route) = (slow(), MemoryRouter::new());
    let one = || builder().router(route.clone()).store(store.clone()).clock(Clock::starting_at(T));
    let (a, b) = tokio::join!(one().start(id("shop-1")), one().start(id("shop-1")));
    assert_eq!([a.is_ok(), b.is_ok()].iter().filter(|held| **held).count(), 1, "{a:?} {b:?}");
}

#[tokio::test(start_paused = true)]
async fn of_two_that_resume_by_clocks_that_are_behind_one_holds_it() {
    let (store, router) = (Store::default(), Router::default());
    let at = |t| builder().router(router.clone()).store(store.clone()).clock(Clock::starting_at(t));
    let first = at(T).start(id("shop-1")).await.unwrap();
    sleep(s(5)).await;
    first.stop();
    first.finished().await.unwrap_err();
    store.writing.set(Kind::Slow(Duration::from_millis(3)));
    // Both begin at what was seen last.
    let a = at(T - s(3600)).resume().await.unwrap().unwrap();
    let b = at(T - s(1800)).resume().await.unwrap().unwrap();
    sleep(s(20)).await;
    let fenced = async |handle: &canary_core::driver::Handle| {
        let end = timeout(Duration::from_millis(1), handle.finished()).await;
        matches!(end, Ok(Err(DriverError::Fenced)))
    };
    let lost = [fenced(&a).await, fenced(&b).await];
    assert!(lost == [true, false] || lost == [false, true], "{lost:?}");
    let holder = if lost[0] { b } else { a };
    holder.abort("bad", &ana()).await.unwrap();
    assert!(!holder.finished().await.unwrap().outcome().is_promoted());
    sleep(s(600)).await;
    assert_eq!(router.route.traffic(), Traffic::all_stable());
}

#[tokio::test(start_paused = true)]
async fn a_rollout_that_the_store_has_lost_is_written_anew() {
    let (store, route) = (Store::default(), MemoryRouter::new());
    let ours = || builder().router(route.clone()).store(store.clone());
    let handle = ours().start(id("shop-1")).await.unwrap();
    until(&handle, |status| status.weight == HALF).await;
    store.lose();
    until(&handle, |status| status.weight == Weight::FULL).await;
    // Another one sees whose the target is.
    ours().start(id("shop-2")).await.unwrap_err();
    assert!(handle.finished().await.unwrap().outcome().is_promoted());
}

#[tokio::test(start_paused = true)]
async fn a_store_that_cannot_be_asked_is_no_fault_of_the_canary() {
    let (store, route) = (Store::default(), MemoryRouter::new());
    let handle = builder().router(route.clone()).store(store.clone()).start(id("shop-1"));
    let handle = handle.await.unwrap();
    until(&handle, |status| status.weight == HALF).await;
    // What it says of a write is too old to go by.
    store.writing.set(Kind::Late(s(1)));
    for down in [Kind::Fails(usize::MAX), Kind::Hangs] {
        store.confirming.set(down);
        sleep(s(1_800)).await;
        assert_eq!(handle.status().borrow().weight, HALF);
    }
    store.confirming.set(Kind::None);
    assert!(handle.finished().await.unwrap().outcome().is_promoted());
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_after_an_abort_goes_when_another_rollout_or_a_shutdown_asks() {
    let mut spec = plain().spec().clone();
    spec.workload.keep_after_abort_ms = 3_600_000;
    let policy = Policy::from_spec(spec).unwrap();
    let (store, route, versions) = (MemoryStore::new(), MemoryRouter::new(), MemoryWorkload::new());
    let ours = || {
        let driver = Driver::builder(policy.clone()).router(route.clone()).store(store.clone());
        driver.workload(versions.clone())
    };
    let clock = Clock::system();
    let old = ours().start(id("shop-1")).await.unwrap();
    until(&old, |status| status.weight == HALF).await;
    let began = clock.now();
    let new = ours().supersede(ana()).start(id("shop-2")).await.unwrap();
    let took = clock.now().since(began);
    assert!(took < s(60), "{took:?}");
    assert!(versions.calls().contains(&"retire canary".to_owned()), "{:?}", versions.calls());
    until(&new, |status| status.weight == HALF).await;
    let began = clock.now();
    new.shutdown(Shutdown::TakeBack { actor: ana(), reason: "bye".into() }).await.unwrap();
    let took = clock.now().since(began);
    assert!(took < s(60), "{took:?}");
}

/// Answers everything with one kind of failure.
#[derive(Clone, Debug)]
struct Says(FailureKind);

#[async_trait]
impl Gate for Says {
    async fn decide(&self, _: &Call, _: &GateContext) -> Result<Decision, PortError> {
        Err(PortError::new(self.0, "no"))
    }
}

#[async_trait]
impl TrafficRouter for Says {
    fn capabilities(&self) -> Capabilities {
        Capabilities::everything()
    }

    async fn observe(&self, _: &Call) -> Result<Observed, PortError> {
        Err(PortError::new(self.0, "no"))
    }

    async fn apply(
        &self,
        _: &Call,
        _: &Traffic,
        _: Option<&Version>,
    ) -> Result<Applied, PortError> {
        Err(PortError::new(self.0, "no"))
    }
}

#[tokio::test(start_paused = true)]
async fn a_gate_that_says_fenced_does_not_stop_the_holder() {
    let policy = Policy::builder("shop")
        .stage("half", HALF, s(60))
        .gate("smoke", GateSpec::default())
        .stage("full", Weight::FULL, s(60))
        .without_hard_limit()
        .build()
        .unwrap();
    let route = MemoryRouter::new();
    let says = Says(FailureKind::Fenced);
    let handle = Driver::builder(policy).router(route.clone()).gate("smoke", says);
    let handle = handle.start(id("shop-1")).await.unwrap();
    sleep(s(600)).await;
    assert_eq!(route.traffic().canary, HALF);
    handle.abort("enough", &ana()).await.unwrap();
    handle.finished().await.unwrap();
    assert_eq!(route.traffic(), Traffic::all_stable());
}

#[tokio::test(start_paused = true)]
async fn a_route_that_is_not_there_ends_the_rollout() {
    for kind in [FailureKind::NotFound, FailureKind::Denied] {
        let handle = builder().router(Says(kind)).start(id("shop-1")).await.unwrap();
        let end = timeout(s(600), handle.finished()).await.expect("it ends").unwrap();
        assert!(!end.outcome().is_promoted());
    }
}

#[tokio::test(start_paused = true)]
async fn an_abort_is_carried_out_while_a_promotion_waits_for_the_store() {
    let mut spec = plain().spec().clone();
    spec.promotion.how = How::InPlace;
    let (store, route, versions) = (Store::default(), MemoryRouter::new(), Versions::default());
    let handle = Driver::builder(Policy::from_spec(spec).unwrap())
        .router(route.clone())
        .store(store.clone())
        .workload(versions.clone());
    let handle = handle.start(id("shop-1")).await.unwrap();
    until(&handle, |status| status.weight == Weight::FULL).await;
    store.writing.set(Kind::Fails(usize::MAX));
    sleep(s(120)).await;
    assert!(!versions.inner.calls().iter().any(|call| call.contains("promote")));
    versions.fault.set(Kind::Hangs);
    handle.abort("bad", &ana()).await.unwrap();
    assert_eq!(route.traffic(), Traffic::all_stable());
}

#[tokio::test(start_paused = true)]
async fn an_abort_is_carried_out_while_the_old_version_s_end_waits_for_the_store() {
    let mut spec = plain().spec().clone();
    spec.promotion.how = How::Swap;
    spec.workload.keep_after_success_ms = 600_000;
    let (store, route, versions) = (Store::default(), MemoryRouter::new(), MemoryWorkload::new());
    let handle = Driver::builder(Policy::from_spec(spec).unwrap())
        .router(route.clone())
        .store(store.clone())
        .workload(versions.clone());
    let handle = handle.start(id("shop-1")).await.unwrap();
    until(&handle, |status| status.phase == "retiring").await;
    store.writing.set(Kind::Fails(usize::MAX));
    sleep(s(700)).await;
    handle.abort("bad", &ana()).await.unwrap();
    assert_eq!(route.traffic(), Traffic::all_stable());
    store.writing.set(Kind::None);
    assert!(!handle.finished().await.unwrap().outcome().is_promoted());
    assert!(versions.up().stable, "{:?}", versions.calls());
}
