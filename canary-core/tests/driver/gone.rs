//! A route that is gone while a rollout is ended: what is decided comes to its end all the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use canary_core::driver::{Driver, DriverBuilder};
use canary_core::policy::Policy;
use canary_core::ports::{Applied, Call, Capabilities, Observed, PortError, TrafficRouter};
use canary_core::store::MemoryStore;
use canary_core::testing::{MemoryRouter, MemoryWorkload};
use canary_core::value::{FailureKind, Traffic, Version, Weight};

use crate::support::{ana, id, plain, s, until};

/// A route in memory that somebody deletes.
#[derive(Clone, Debug, Default)]
struct Deleted {
    route: MemoryRouter,
    gone: Arc<AtomicBool>,
}

impl Deleted {
    fn delete(&self) {
        self.gone.store(true, Ordering::SeqCst);
    }

    fn is_there(&self) -> Result<(), PortError> {
        if self.gone.load(Ordering::SeqCst) {
            return Err(PortError::new(FailureKind::NotFound, "there is no such route"));
        }
        Ok(())
    }
}

#[async_trait]
impl TrafficRouter for Deleted {
    fn capabilities(&self) -> Capabilities {
        self.route.capabilities()
    }

    async fn observe(&self, call: &Call) -> Result<Observed, PortError> {
        self.is_there()?;
        self.route.observe(call).await
    }

    async fn apply(
        &self,
        call: &Call,
        traffic: &Traffic,
        at: Option<&Version>,
    ) -> Result<Applied, PortError> {
        self.is_there()?;
        self.route.apply(call, traffic, at).await
    }

    async fn release(&self, call: &Call) -> Result<(), PortError> {
        self.is_there()?;
        self.route.release(call).await
    }
}

/// Keeps the canary for an hour after it was taken back.
fn kept(router: &Deleted) -> DriverBuilder {
    let mut spec = plain().spec().clone();
    spec.workload.keep_after_abort_ms = 3_600_000;
    let policy = Policy::from_spec(spec).unwrap();
    Driver::builder(policy).router(router.clone()).workload(MemoryWorkload::new())
}

#[tokio::test(start_paused = true)]
async fn a_mistyped_route_ends_a_rollout_with_a_workload_and_one_without() {
    for workload in [false, true] {
        let router = Deleted::default();
        router.delete();
        let mut builder = Driver::builder(plain()).router(router);
        if workload {
            builder = builder.workload(MemoryWorkload::new());
        }
        let handle = builder.start(id("shop-1")).await.unwrap();
        let finished = tokio::time::timeout(s(86_400), handle.finished()).await;
        let finished = finished.unwrap_or_else(|_| panic!("{:?}", handle.status().borrow()));
        assert!(!finished.unwrap().outcome().is_promoted());
    }
}

#[tokio::test(start_paused = true)]
async fn a_route_that_goes_while_the_canary_is_kept_ends_the_rollout() {
    let router = Deleted::default();
    let handle = kept(&router).start(id("shop-1")).await.unwrap();
    until(&handle, |status| status.weight == Weight::percent(50)).await;
    handle.abort("bad", &ana()).await.unwrap();
    until(&handle, |status| status.phase == "retiring").await;
    router.delete();
    let finished = tokio::time::timeout(s(86_400), handle.finished()).await;
    assert!(finished.is_ok(), "{:?}", handle.status().borrow());
}

#[tokio::test(start_paused = true)]
async fn a_route_that_is_gone_keeps_no_target_busy() {
    let (router, store) = (Deleted::default(), MemoryStore::new());
    let old = kept(&router).store(store.clone()).start(id("shop-1")).await.unwrap();
    until(&old, |status| status.weight == Weight::percent(50)).await;
    old.abort("bad", &ana()).await.unwrap();
    until(&old, |status| status.phase == "retiring").await;
    router.delete();
    let next = kept(&router).store(store).supersede(ana()).start(id("shop-2"));
    let next = tokio::time::timeout(s(86_400), next).await.expect("the target is free");
    assert!(!next.unwrap().finished().await.unwrap().outcome().is_promoted());
}
