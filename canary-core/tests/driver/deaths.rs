//! A process that dies, and the next one that goes on from its files.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use canary_core::driver::{Clock, DriverBuilder, DriverError, StartError};
use canary_core::ports::{
    Applied, Call, Capabilities, Claim, MetricSource, Observed, PortError, StateStore, Stored,
    TrafficRouter,
};
use canary_core::record::{Content, Outcome, Record};
use canary_core::rollout::Snapshot;
use canary_core::store::FileStore;
use canary_core::testing::{Recorder, WorldPorts};
use canary_core::value::{Measured, Query, Revision, Target, Timestamp, Traffic, Version};

use crate::support::{BEGIN, in_world, simulation};

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
