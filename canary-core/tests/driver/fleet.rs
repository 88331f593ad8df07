//! Many rollouts in one process.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use canary_core::driver::{Clock, Driver, Fleet, Shutdown};
use canary_core::policy::{Check, Policy};
use canary_core::ports::{Call, MetricSource, PortError, StateStore};
use canary_core::store::MemoryStore;
use canary_core::testing::MemoryRouter;
use canary_core::value::{Counts, Measured, Query, Reading, Target, Timestamp, Weight, Window};

use crate::support::{BEGIN, Fault, Kind, Router, ana, builder, id, s};

/// Takes half a second for a query and counts how many are under way.
#[derive(Clone, Debug, Default)]
struct Busy {
    now: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    /// Fails every request of the canary of these.
    bad: BTreeSet<String>,
}

#[async_trait]
impl MetricSource for Busy {
    async fn measure(
        &self,
        call: &Call,
        queries: &[Query],
        until: Timestamp,
    ) -> Vec<Result<Measured, PortError>> {
        let now = self.now.fetch_add(queries.len(), Ordering::SeqCst) + queries.len();
        self.most.fetch_max(now, Ordering::SeqCst);
        tokio::time::sleep(s(1) / 2).await;
        self.now.fetch_sub(queries.len(), Ordering::SeqCst);
        let bad = if self.bad.contains(call.rollout.as_str()) { 1000 } else { 0 };
        let counts = |bad| Reading::Counts(Counts::new(1000, bad).unwrap());
        let answer =
            |q: &Query| Ok(Measured::new(Window::new(q.after, until), counts(0), counts(bad)));
        queries.iter().map(answer).collect()
    }
}

fn policy() -> Arc<Policy> {
    let policy = Policy::builder("any")
        .every(s(15))
        .stage("half", Weight::percent(50), s(60))
        .stage("full", Weight::FULL, s(60))
        .check(Check::above("errors", "error_rate", 0.05))
        .build()
        .unwrap();
    Arc::new(policy)
}

#[tokio::test(start_paused = true)]
async fn a_thousand_rollouts_end_as_they_should_and_ask_no_more_at_once_than_they_may() {
    const MOST: u32 = 64;
    let fleet = Fleet::new(MOST);
    let bad: BTreeSet<String> = (0..1000).step_by(10).map(|n| format!("service-{n}")).collect();
    let source = Busy { bad: bad.clone(), ..Busy::default() };
    let (policy, clock) = (policy(), Clock::starting_at(BEGIN));
    for n in 0..1000 {
        let name = format!("service-{n}");
        let builder = Driver::builder(policy.clone())
            .target(name.parse().unwrap())
            .router(MemoryRouter::new())
            .metrics(source.clone())
            .clock(clock);
        fleet.start(builder, id(&name)).await.unwrap();
    }
    assert_eq!(fleet.handles().len(), 1000);
    for handle in fleet.handles() {
        let finished = handle.finished().await.unwrap();
        let well = !bad.contains(handle.id().as_str());
        assert_eq!(finished.outcome().is_promoted(), well, "{}", finished.outcome());
    }
    let most = source.most.load(Ordering::SeqCst);
    assert!(most <= MOST as usize, "{most} at once");
    assert!(most > MOST as usize / 2, "it asks as many as it may: {most}");
    assert!(fleet.statuses().iter().all(|(_, status)| status.outcome.is_some()));
}

#[tokio::test(start_paused = true)]
async fn a_fleet_is_left_and_taken_up_by_the_next_process() {
    let (store, router) = (MemoryStore::new(), Router::default());
    let fleet = Fleet::new(8);
    for name in ["a", "b", "c"] {
        let target: Target = format!("prod/{name}").parse().unwrap();
        let builder = builder().target(target).store(store.clone());
        fleet.start(builder, id(name)).await.unwrap();
    }
    tokio::time::sleep(s(5)).await;
    let left = fleet.shutdown(Shutdown::LeaveToBeResumed).await;
    assert!(left.iter().all(|(_, left)| *left == Ok(None)), "{left:?}");

    let next = Fleet::new(8);
    let resumed = next
        .resume_all(store.targets().await.unwrap(), |target| {
            let resumer = Driver::resumer(target.clone()).store(store.clone());
            // One of them cannot be taken up, which is no matter of the others.
            if target.as_str() == "prod/b" { resumer } else { resumer.router(router.clone()) }
        })
        .await;
    for (target, handle) in resumed {
        assert_eq!(handle.is_ok(), target.as_str() != "prod/b", "{target}: {handle:?}");
    }
    let ended =
        next.shutdown(Shutdown::TakeBack { actor: ana(), reason: "enough".to_owned() }).await;
    assert_eq!(ended.len(), 2);
    for (target, ended) in ended {
        assert!(!ended.unwrap().unwrap().outcome().is_promoted(), "{target}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_that_hung_for_a_while_has_all_its_slots_again() {
    let fault = Fault::of(Kind::Hangs);
    let fleet = Fleet::new(2);
    for n in 0..8 {
        let name = format!("service-{n}");
        let builder = Driver::builder(policy())
            .target(name.parse().unwrap())
            .router(MemoryRouter::new())
            .metrics(Sometimes { fault: fault.clone(), source: Busy::default() });
        fleet.start(builder, id(&name)).await.unwrap();
    }
    tokio::time::sleep(s(200)).await;
    assert!(fault.begun() > 0);
    fault.set(Kind::None);
    for handle in fleet.handles() {
        let ended = tokio::time::timeout(s(3600), handle.finished()).await.unwrap();
        assert!(ended.unwrap().outcome().is_promoted());
    }
}

/// Measures where nothing is wrong with it.
#[derive(Clone, Debug)]
struct Sometimes {
    fault: Fault,
    source: Busy,
}

#[async_trait]
impl MetricSource for Sometimes {
    async fn measure(
        &self,
        call: &Call,
        queries: &[Query],
        until: Timestamp,
    ) -> Vec<Result<Measured, PortError>> {
        let measured = async { Ok(self.source.measure(call, queries, until).await) };
        self.fault.around(measured).await.unwrap()
    }
}
