//! What the driver does with calls it gave up on, with commands that come too late, and with its own defects.
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use canary_core::driver::{Driver, DriverBuilder, DriverError};
use canary_core::policy::Policy;
use canary_core::ports::{Applied, Call, Capabilities, Observed, PortError, TrafficRouter};
use canary_core::rollout::Answer;
use canary_core::testing::MemoryRouter;
use canary_core::value::{Actor, Traffic, Version, Weight};

fn ana() -> Actor {
    "ana".parse().unwrap()
}

fn builder() -> DriverBuilder {
    let policy = Policy::builder("shop")
        .stage("half", Weight::percent(50), Duration::from_secs(60))
        .stage("full", Weight::FULL, Duration::from_secs(60))
        .without_hard_limit()
        .build()
        .unwrap();
    Driver::builder(policy).router(MemoryRouter::new())
}

/// A router that stops answering when the test says so, and counts the calls that wait for it.
#[derive(Clone, Debug, Default)]
struct Hanging {
    route: MemoryRouter,
    hangs: Arc<AtomicBool>,
    alive: Arc<AtomicUsize>,
    begun: Arc<AtomicUsize>,
}

/// Lives as long as the call that it counts.
struct Alive(Arc<AtomicUsize>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl TrafficRouter for Hanging {
    fn capabilities(&self) -> Capabilities {
        self.route.capabilities()
    }

    async fn observe(&self, call: &Call) -> Result<Observed, PortError> {
        self.route.observe(call).await
    }

    async fn apply(
        &self,
        call: &Call,
        traffic: &Traffic,
        at: Option<&Version>,
    ) -> Result<Applied, PortError> {
        if self.hangs.load(Ordering::SeqCst) {
            self.begun.fetch_add(1, Ordering::SeqCst);
            self.alive.fetch_add(1, Ordering::SeqCst);
            let _alive = Alive(Arc::clone(&self.alive));
            std::future::pending::<()>().await;
        }
        self.route.apply(call, traffic, at).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_given_up_is_dropped() {
    let router = Hanging::default();
    let handle = builder().router(router.clone()).start("shop-1".parse().unwrap()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    router.hangs.store(true, Ordering::SeqCst);
    handle.abort("bad", &ana()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(router.begun.load(Ordering::SeqCst) > 2, "it is tried again and again");
    assert!(router.alive.load(Ordering::SeqCst) <= 1, "{router:?}");
}

#[tokio::test(start_paused = true)]
async fn a_command_after_the_end_is_told_how_it_ended() {
    let handle = builder().start("shop-1".parse().unwrap()).await.unwrap();
    handle.finished().await.unwrap();
    match handle.abort("late", &ana()).await {
        Ok(Answer::Impossible { why }) => assert_eq!(why, "the rollout is over: promoted"),
        other => panic!("{other:?}"),
    }
}

/// What an observer panics with: it panics again where it is dropped.
struct Payload;

impl Drop for Payload {
    fn drop(&mut self) {
        panic!("a defect");
    }
}

#[tokio::test(start_paused = true)]
async fn an_observer_that_panics_twice_harms_nothing() {
    let handle = builder()
        .observe(|_| std::panic::panic_any(Payload))
        .start("shop-1".parse().unwrap())
        .await
        .unwrap();
    assert!(handle.finished().await.unwrap().outcome().is_promoted());
}

#[test]
fn a_driver_whose_runtime_is_gone_was_stopped() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let first = runtime();
    let handle = first.block_on(builder().start("shop-1".parse().unwrap())).unwrap();
    drop(first);
    runtime().block_on(async {
        assert_eq!(handle.finished().await, Err(DriverError::Stopped));
        assert_eq!(handle.abort("late", &ana()).await, Err(DriverError::Stopped));
    });
}
