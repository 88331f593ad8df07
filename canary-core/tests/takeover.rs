//! Slow stores, other clocks and late answers: who holds a rollout, and who goes on with it.
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::Duration;

use async_trait::async_trait;
use canary_core::driver::{Clock, Driver};
use canary_core::policy::{Check, Policy};
use canary_core::ports::{
    Applied, Call, Capabilities, Claim, Observed, PortError, StateStore, Stored, TrafficRouter,
};
use canary_core::rollout::Snapshot;
use canary_core::store::MemoryStore;
use canary_core::testing::MemoryRouter;
use canary_core::value::{
    Actor, FailureKind, Revision, Target, Timestamp, Traffic, Version, Weight,
};

fn s(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn ana() -> Actor {
    "ana".parse().unwrap()
}

fn policy() -> Policy {
    Policy::builder("shop")
        .every(s(10))
        .stage("half", Weight::percent(50), s(60))
        .stage("full", Weight::FULL, s(60))
        .without_hard_limit()
        .build()
        .unwrap()
}

/// Writes, but answers too late.
#[derive(Clone, Debug, Default)]
struct Slow {
    store: MemoryStore,
    slow: Arc<AtomicBool>,
}

#[async_trait]
impl StateStore for Slow {
    async fn load(&self, t: &Target) -> Result<Option<Stored>, PortError> {
        self.store.load(t).await
    }
    async fn claim(
        &self,
        t: &Target,
        c: &Claim,
        e: Option<Revision>,
    ) -> Result<Revision, PortError> {
        let r = self.store.claim(t, c, e).await;
        if self.slow.load(SeqCst) {
            tokio::time::sleep(s(11)).await;
        }
        r
    }
    async fn save(&self, t: &Target, st: &Snapshot, e: Revision) -> Result<Revision, PortError> {
        let r = self.store.save(t, st, e).await;
        if r.is_ok() && self.slow.load(SeqCst) {
            tokio::time::sleep(s(11)).await;
        }
        r
    }
    async fn confirm(&self, t: &Target, e: Revision) -> Result<(), PortError> {
        self.store.confirm(t, e).await
    }
}

#[tokio::test(start_paused = true)]
async fn one_slow_save_is_no_other_holder() {
    let store = Slow::default();
    let route = MemoryRouter::new();
    let h = Driver::builder(policy())
        .router(route.clone())
        .store(store.clone())
        .start("shop-1".parse().unwrap())
        .await
        .unwrap();
    tokio::time::sleep(s(5)).await;
    store.slow.store(true, SeqCst);
    h.pause(&ana()).await.unwrap(); // changes the state: one save
    tokio::time::sleep(s(1)).await;
    store.slow.store(false, SeqCst);
    h.resume(&ana()).await.unwrap();
    let end = h.finished().await;
    assert!(end.is_ok(), "{end:?}, and the route stands at {:?}", route.traffic());
}

/// Lowering hangs for a while.
#[derive(Clone, Debug)]
struct Sticky {
    route: MemoryRouter,
    fails: Arc<AtomicUsize>,
}

#[async_trait]
impl TrafficRouter for Sticky {
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }
    async fn observe(&self, c: &Call) -> Result<Observed, PortError> {
        self.route.observe(c).await
    }
    async fn apply(
        &self,
        c: &Call,
        t: &Traffic,
        at: Option<&Version>,
    ) -> Result<Applied, PortError> {
        if at.is_none()
            && self.route.traffic().canary > Weight::ZERO
            && self.fails.fetch_update(SeqCst, SeqCst, |n| n.checked_sub(1)).is_ok()
        {
            return Err(PortError::new(FailureKind::Unavailable, "API server down"));
        }
        self.route.apply(c, t, at).await
    }
}

#[tokio::test(start_paused = true)]
async fn an_abort_is_not_left_because_a_save_was_slow() {
    let store = Slow::default();
    let route = MemoryRouter::new();
    let router = Sticky { route: route.clone(), fails: Arc::new(AtomicUsize::new(12)) };
    let h = Driver::builder(policy())
        .router(router)
        .store(store.clone())
        .start("shop-1".parse().unwrap())
        .await
        .unwrap();
    tokio::time::sleep(s(5)).await;
    store.slow.store(true, SeqCst);
    h.abort("bad", &ana()).await.unwrap();
    tokio::time::sleep(s(60)).await;
    assert_eq!(
        route.traffic(),
        Traffic::all_stable(),
        "{:?}",
        tokio::time::timeout(s(1), h.finished()).await
    );
}

#[tokio::test(start_paused = true)]
async fn a_claim_whose_answer_is_late_is_ours_all_the_same() {
    let store = Slow::default();
    store.slow.store(true, SeqCst);
    let builder = Driver::builder(policy()).router(MemoryRouter::new()).store(store.clone());
    let rollout = builder.start("shop-1".parse().unwrap()).await.unwrap();
    store.slow.store(false, SeqCst);
    assert!(rollout.finished().await.unwrap().outcome().is_promoted());
}

#[tokio::test(start_paused = true)]
async fn a_clock_behind_does_not_stop_the_next_holder() {
    let store = MemoryStore::new();
    let route = MemoryRouter::new();
    let t = Timestamp::from_millis(1_700_000_000_000);
    let b = || Driver::builder(policy()).router(route.clone()).store(store.clone());
    let h = b().clock(Clock::starting_at(t)).start("shop-1".parse().unwrap()).await.unwrap();
    tokio::time::sleep(s(5)).await;
    h.stop();
    let _ = h.finished().await;
    let h = b().clock(Clock::starting_at(t - s(3600))).resume().await.unwrap().unwrap();
    let end = tokio::time::timeout(s(1800), h.finished()).await;
    assert!(
        end.is_ok(),
        "two minutes of holds are left, half an hour has passed: {:?}",
        h.status().borrow().waiting
    );
}

#[tokio::test(start_paused = true)]
async fn an_id_again_with_an_earlier_clock() {
    let route = MemoryRouter::new();
    let t = Timestamp::from_millis(1_700_000_000_000);
    let store = MemoryStore::new();
    let h = Driver::builder(policy())
        .router(route.clone())
        .store(store.clone())
        .clock(Clock::starting_at(t))
        .start("shop-1".parse().unwrap())
        .await
        .unwrap();
    h.finished().await.unwrap();
    let h = Driver::builder(policy())
        .router(route.clone())
        .store(store.clone())
        .clock(Clock::starting_at(t - s(3600)))
        .start("shop-1".parse().unwrap())
        .await
        .unwrap();
    let end = tokio::time::timeout(s(7200), h.finished()).await;
    assert!(end.is_ok(), "never ends: {:?}", h.status().borrow().phase);
}

#[tokio::test(start_paused = true)]
async fn what_ended_while_the_store_was_down_is_not_raised_again() {
    #[derive(Clone, Debug, Default)]
    struct Down {
        store: MemoryStore,
        down: Arc<AtomicBool>,
    }
    #[async_trait]
    impl StateStore for Down {
        async fn load(&self, t: &Target) -> Result<Option<Stored>, PortError> {
            self.store.load(t).await
        }
        async fn claim(
            &self,
            t: &Target,
            c: &Claim,
            e: Option<Revision>,
        ) -> Result<Revision, PortError> {
            self.store.claim(t, c, e).await
        }
        async fn save(
            &self,
            t: &Target,
            st: &Snapshot,
            e: Revision,
        ) -> Result<Revision, PortError> {
            if self.down.load(SeqCst) {
                return Err(PortError::new(FailureKind::Unavailable, "down"));
            }
            self.store.save(t, st, e).await
        }
        async fn confirm(&self, t: &Target, e: Revision) -> Result<(), PortError> {
            self.store.confirm(t, e).await
        }
    }
    let store = Down::default();
    let route = MemoryRouter::new();
    let b = || Driver::builder(policy()).router(route.clone()).store(store.clone());
    let h = b().start("shop-1".parse().unwrap()).await.unwrap();
    tokio::time::sleep(s(5)).await;
    store.down.store(true, SeqCst);
    h.abort("bad", &ana()).await.unwrap();
    let f = h.finished().await.unwrap();
    assert!(!f.outcome().is_promoted());
    assert_eq!(route.traffic(), Traffic::all_stable());
    store.down.store(false, SeqCst);
    let h = b().resume().await.unwrap().expect("taken up");
    let again = h.finished().await.unwrap();
    assert!(
        !again.outcome().is_promoted(),
        "finished() said `{}`, and after the next start: {}; {:?}",
        f.outcome(),
        again.outcome(),
        route.traffic()
    );
}

#[tokio::test(start_paused = true)]
async fn a_rollout_goes_on_by_its_own_policy() {
    let store = MemoryStore::new();
    let route = MemoryRouter::new();
    let h = Driver::builder(policy())
        .router(route.clone())
        .store(store.clone())
        .start("shop-1".parse().unwrap())
        .await
        .unwrap();
    tokio::time::sleep(s(5)).await;
    h.stop();
    let _ = h.finished().await;
    let other = Policy::builder("shop")
        .stage("full", Weight::FULL, s(1))
        .check(Check::above("e", "error_rate", 0.1))
        .build()
        .unwrap();
    let r = Driver::builder(other).router(route.clone()).store(store.clone()).resume().await;
    assert!(r.is_ok(), "{}", r.unwrap_err());
}
