//! The driver under a paused clock, in the simulator's world and against faulty ports.
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::io::BufReader;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use canary_core::driver::{Clock, Driver, DriverBuilder, DriverError, StartError};
use canary_core::policy::{Check, GateSpec, Policy};
use canary_core::ports::{
    Applied, Call, Capabilities, Claim, MetricSource, Observed, PortError, StateStore, Stored,
    TrafficRouter,
};
use canary_core::record::{Content, Outcome, Record};
use canary_core::rollout::{Answer, Snapshot};
use canary_core::simulate::{Service, Simulation};
use canary_core::store::{FileStore, MemoryStore};
use canary_core::testing::{MemoryRouter, Recorder, WorldPorts};
use canary_core::value::{
    Actor, FailureKind, Measured, Query, Revision, Target, Timestamp, Traffic, Version, Weight,
};

/// When simulated rollouts begin.
const BEGIN: Timestamp = Timestamp::from_millis(1_767_225_600_000);

fn policy() -> Policy {
    Policy::builder("shop")
        .every(Duration::from_secs(15))
        .stage("tenth", Weight::percent(10), Duration::from_secs(60))
        .gate("smoke", GateSpec::default())
        .stage("half", Weight::percent(50), Duration::from_secs(60))
        .stage("full", Weight::FULL, Duration::from_secs(30))
        .check(Check::worse_than_stable("errors", 1.25))
        .build()
        .unwrap()
}

fn ana() -> Actor {
    "ana".parse().unwrap()
}

fn simulation(errors: f64) -> Simulation {
    Simulation::of(&policy()).traffic(200.0).canary(Service::healthy().errors(errors)).seed(3)
}

fn in_world(ports: &WorldPorts) -> DriverBuilder {
    Driver::builder(policy())
        .router(ports.clone())
        .metrics(ports.clone())
        .gate("smoke", ports.clone())
        .clock(Clock::starting_at(BEGIN))
}

/// Collects what is written to it.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn the_driver_gives_what_the_simulator_gives_and_its_journal_the_same_again() {
    for errors in [0.001, 0.2] {
        let simulation = simulation(errors);
        let mut simulated = Vec::new();
        let report = simulation.run_observed(|record| simulated.push(record.clone()));

        let (recorder, journal) = (Recorder::new(), Sink::default());
        let ports = WorldPorts::new(simulation.world());
        let builder = in_world(&ports).observer(recorder.clone()).journal(journal.clone());
        let handle = builder.start("simulated-3".parse().unwrap()).await.unwrap();
        let finished = handle.finished().await.unwrap();

        assert_eq!(recorder.records(), simulated);
        assert_eq!(*finished.report(), report);
        let written = journal.0.lock().unwrap().clone();
        assert_eq!(canary_core::journal::replay(BufReader::new(&written[..])).unwrap(), simulated);
    }
}

/// A router whose raises arrive late: the request leaves, the caller gives up, and it lands when the test says so.
#[derive(Clone, Debug)]
struct Delayed {
    route: MemoryRouter,
    /// Holds back the raise to this weight.
    weight: Weight,
    late: Arc<Mutex<Option<(Call, Traffic, Version)>>>,
    held: Arc<tokio::sync::Notify>,
}

#[async_trait]
impl TrafficRouter for Delayed {
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
        match at {
            Some(version) if traffic.canary == self.weight => {
                *self.late.lock().unwrap() = Some((call.clone(), traffic.clone(), version.clone()));
                self.held.notify_one();
                std::future::pending().await
            }
            _ => self.route.apply(call, traffic, at).await,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_raise_that_lands_after_an_abort_leaves_weight_zero() {
    let route = MemoryRouter::new();
    let held = Arc::new(tokio::sync::Notify::new());
    let router = Delayed {
        route: route.clone(),
        weight: Weight::percent(10),
        late: Arc::default(),
        held: Arc::clone(&held),
    };
    let late = Arc::clone(&router.late);
    let ports = WorldPorts::new(simulation(0.001).world());
    let handle = in_world(&ports).router(router).start("shop-1".parse().unwrap()).await.unwrap();
    held.notified().await;
    assert_eq!(handle.abort("changed my mind", &ana()).await.unwrap(), Answer::Done);
    handle.finished().await.unwrap();
    let (call, traffic, version) = late.lock().unwrap().take().expect("a raise was held back");
    let landed = route.apply(&call, &traffic, Some(&version)).await;
    assert_eq!(landed.unwrap_err().kind(), FailureKind::Conflict);
    assert_eq!(route.traffic(), Traffic::all_stable());
}

/// A source that never answers.
#[derive(Debug)]
struct Hanging;

#[async_trait]
impl MetricSource for Hanging {
    async fn measure(
        &self,
        _: &Call,
        _: &[Query],
        _: Timestamp,
    ) -> Vec<Result<Measured, PortError>> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn abort_reaches_zero_at_once_while_the_source_hangs() {
    let ports = WorldPorts::new(simulation(0.001).world());
    let clock = Clock::starting_at(BEGIN);
    let handle = in_world(&ports)
        .metrics(Hanging)
        .clock(clock)
        .start("shop-1".parse().unwrap())
        .await
        .unwrap();
    // Into the middle of a measurement.
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(ports.weight_at(clock.now()), Weight::percent(10));
    let asked = clock.now();
    handle.abort("stop", &ana()).await.unwrap();
    let finished = handle.finished().await.unwrap();
    assert_eq!(finished.report().zero_accepted, Some(asked));
    assert_eq!(ports.weight_at(clock.now()), Weight::ZERO);
}

/// A source that panics.
#[derive(Debug)]
struct Panicking;

#[async_trait]
impl MetricSource for Panicking {
    async fn measure(
        &self,
        _: &Call,
        _: &[Query],
        _: Timestamp,
    ) -> Vec<Result<Measured, PortError>> {
        panic!("a defect of the source")
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_that_panics_is_an_error_and_not_the_end() {
    let ports = WorldPorts::new(simulation(0.001).world());
    let recorder = Recorder::new();
    let builder = in_world(&ports).metrics(Panicking).observer(recorder.clone());
    let handle = builder.start("shop-1".parse().unwrap()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(handle.status().borrow().weight, Weight::percent(10));
    let judged =
        recorder.records().into_iter().find(|r| matches!(r.content, Content::Judged(_))).unwrap();
    assert!(
        judged.content.to_string().contains("errors cannot be measured: internal: it panicked"),
        "{judged}"
    );
    handle.abort("stop", &ana()).await.unwrap();
    handle.finished().await.unwrap();
}

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

#[tokio::test(start_paused = true)]
async fn a_holder_that_was_replaced_raises_nothing_any_more() {
    let store = MemoryStore::new();
    let ports = WorldPorts::new(simulation(0.001).world());
    let frozen =
        in_world(&ports).store(store.clone()).start("shop-1".parse().unwrap()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(20)).await;
    let new = in_world(&ports).store(store).resume().await.unwrap().expect("one is under way");
    assert_eq!(frozen.finished().await, Err(DriverError::Fenced));
    assert!(new.finished().await.unwrap().outcome().is_promoted());
}

#[tokio::test(start_paused = true)]
async fn what_the_router_cannot_do_or_nobody_supplies_refuses_the_start() {
    let missing = Driver::builder(policy()).router(MemoryRouter::new()).metrics(Hanging);
    let error = missing.start("shop-1".parse().unwrap()).await.unwrap_err();
    assert!(error.to_string().contains("gates that nobody supplies: smoke"), "{error}");
    let error = Driver::builder(policy())
        .router(MemoryRouter::new())
        .start("shop-1".parse().unwrap())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("needs a metric source"), "{error}");
    let error = Driver::builder(policy()).start("shop-1".parse().unwrap()).await.unwrap_err();
    assert!(error.to_string().contains("needs a router"), "{error}");
}

/// Dies after so many effects that reach the world: from then on nothing is answered.
#[derive(Clone, Debug)]
struct Mortal {
    ports: WorldPorts,
    store: FileStore,
    left: Arc<AtomicUsize>,
    died: Arc<tokio::sync::Notify>,
}

impl Mortal {
    /// Lets one more effect through, and dies after it if it was the last.
    async fn after<T>(&self, effect: impl Future<Output = T>) -> T {
        let step = |left: usize| left.checked_sub(1);
        if self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, step).is_err() {
            self.died.notify_one();
            std::future::pending::<()>().await;
        }
        let done = effect.await;
        if self.left.load(Ordering::SeqCst) == 0 {
            self.died.notify_one();
            std::future::pending::<()>().await;
        }
        done
    }
}

#[async_trait]
impl TrafficRouter for Mortal {
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    async fn observe(&self, call: &Call) -> Result<Observed, PortError> {
        self.after(self.ports.observe(call)).await
    }

    async fn apply(
        &self,
        call: &Call,
        traffic: &Traffic,
        at: Option<&Version>,
    ) -> Result<Applied, PortError> {
        self.after(self.ports.apply(call, traffic, at)).await
    }

    async fn release(&self, call: &Call) -> Result<(), PortError> {
        self.after(self.ports.release(call)).await
    }
}

#[async_trait]
impl MetricSource for Mortal {
    async fn measure(
        &self,
        call: &Call,
        queries: &[Query],
        until: Timestamp,
    ) -> Vec<Result<Measured, PortError>> {
        self.after(self.ports.measure(call, queries, until)).await
    }
}

#[async_trait]
impl StateStore for Mortal {
    async fn load(&self, target: &Target) -> Result<Option<Stored>, PortError> {
        self.store.load(target).await
    }

    async fn claim(
        &self,
        target: &Target,
        claim: &Claim,
        expect: Option<Revision>,
    ) -> Result<Revision, PortError> {
        self.after(self.store.claim(target, claim, expect)).await
    }

    async fn save(
        &self,
        target: &Target,
        state: &Snapshot,
        expect: Revision,
    ) -> Result<Revision, PortError> {
        self.after(self.store.save(target, state, expect)).await
    }

    async fn confirm(&self, target: &Target, expect: Revision) -> Result<(), PortError> {
        self.store.confirm(target, expect).await
    }
}

/// Takes a rollout over, or starts it where it never began, and returns how it ends.
async fn taken_over(next: impl Fn() -> DriverBuilder, store: &FileStore) -> Outcome {
    loop {
        let target = "shop".parse().unwrap();
        if let Some(stored) = store.load(&target).await.unwrap()
            && stored.claim.state.is_settled()
        {
            // It died with its work done.
            return stored.claim.state.report().outcome.clone().unwrap();
        }
        let handle = match next().start_or_resume("simulated-3".parse().unwrap()).await {
            Ok(handle) => handle,
            Err(StartError::Busy { .. }) => continue,
            Err(error) => panic!("{error}"),
        };
        match handle.finished().await {
            Ok(finished) => return finished.outcome().clone(),
            // A file that the dead one was just writing was finished after we had looked: this process lives on.
            Err(DriverError::Fenced) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// Runs a rollout whose process dies after `effects`, and a second process that takes over; says whether it died.
async fn with_a_death(effects: usize, errors: f64) -> (bool, Vec<Record>, String) {
    let folder = tempfile::tempdir().unwrap();
    let store = FileStore::new(folder.path());
    let ports = WorldPorts::new(simulation(errors).world());
    let clock = Clock::starting_at(BEGIN);
    let recorder = Recorder::new();
    let mortal = Mortal {
        ports: ports.clone(),
        store: store.clone(),
        left: Arc::new(AtomicUsize::new(effects)),
        died: Arc::default(),
    };
    let first = in_world(&ports)
        .router(mortal.clone())
        .metrics(mortal.clone())
        .store(mortal.clone())
        .clock(clock)
        .observer(recorder.clone());
    let started = tokio::select! {
        handle = first.start("simulated-3".parse().unwrap()) => Some(handle.unwrap()),
        () = mortal.died.notified() => None,
    };
    let finished = match started {
        None => None,
        Some(handle) => tokio::select! {
            finished = handle.finished() => Some(finished.unwrap()),
            () = mortal.died.notified() => {
                handle.stop();
                assert_eq!(handle.finished().await, Err(DriverError::Stopped));
                None
            }
        },
    };
    let died = finished.is_none();
    let outcome = match finished {
        Some(finished) => finished.outcome().clone(),
        None => {
            let next =
                || in_world(&ports).store(store.clone()).clock(clock).observer(recorder.clone());
            taken_over(next, &store).await
        }
    };
    (died, recorder.records(), outcome.to_string())
}

#[tokio::test(start_paused = true)]
async fn a_process_that_dies_after_any_effect_is_taken_over_from_its_files() {
    for (errors, expected) in [(0.001, "promoted"), (0.2, "rolled back: errors fails")] {
        let mut deaths = 0;
        for effects in 1.. {
            let (died, mut records, outcome) = with_a_death(effects, errors).await;
            assert!(outcome.starts_with(expected), "after {effects} effects: {outcome}");
            records.sort_by_key(|record| record.number);
            records.dedup();
            let numbers: Vec<u64> = records.iter().map(|record| record.number).collect();
            assert_eq!(
                numbers,
                (1..=records.len() as u64).collect::<Vec<_>>(),
                "after {effects} effects"
            );
            assert!(
                matches!(records.last().unwrap().content, Content::Ended { .. }),
                "after {effects} effects"
            );
            if !died {
                break;
            }
            deaths += 1;
        }
        assert!(deaths > 10, "only {deaths} deaths");
    }
}
