//! Policies, and ports that do as they are told.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use canary_core::driver::{Clock, Driver, DriverBuilder, Handle};
use canary_core::policy::{Check, GateSpec, Policy};
use canary_core::ports::{
    Applied, Call, Capabilities, Capacity, Claim, Decision, Gate, GateContext, MetricSource,
    Observed, PortError, Progress, Readiness, StateStore, Stored, TrafficRouter, Workload,
};
use canary_core::rollout::{Snapshot, Status};
use canary_core::simulate::{Service, Simulation};
use canary_core::store::MemoryStore;
use canary_core::testing::{MemoryRouter, MemoryWorkload, WorldPorts};
use canary_core::value::{
    Actor, FailureKind, Measured, Query, Revision, RolloutId, Side, Target, Timestamp, Traffic,
    Version, Weight,
};

/// When simulated rollouts begin.
pub(crate) const BEGIN: Timestamp = Timestamp::from_millis(1_767_225_600_000);

pub(crate) fn s(n: u64) -> Duration {
    Duration::from_secs(n)
}

pub(crate) fn ana() -> Actor {
    "ana".parse().unwrap()
}

pub(crate) fn id(text: &str) -> RolloutId {
    text.parse().unwrap()
}

/// Three stages, one gate, and a check that measures.
pub(crate) fn judged() -> Policy {
    Policy::builder("shop")
        .every(s(15))
        .stage("tenth", Weight::percent(10), s(60))
        .gate("smoke", GateSpec::default())
        .stage("half", Weight::percent(50), s(60))
        .stage("full", Weight::FULL, s(30))
        .check(Check::worse_than_stable("errors", 1.25))
        .build()
        .unwrap()
}

/// Two stages of a minute and nothing to measure.
pub(crate) fn plain() -> Policy {
    Policy::builder("shop")
        .every(s(10))
        .stage("half", Weight::percent(50), s(60))
        .stage("full", Weight::FULL, s(60))
        .without_hard_limit()
        .build()
        .unwrap()
}

/// Drives the plain policy on a route in memory.
pub(crate) fn builder() -> DriverBuilder {
    Driver::builder(plain()).router(MemoryRouter::new())
}

pub(crate) fn simulation(errors: f64) -> Simulation {
    Simulation::of(&judged()).traffic(200.0).canary(Service::healthy().errors(errors)).seed(3)
}

/// Drives the judged policy in a simulated world.
pub(crate) fn in_world(ports: &WorldPorts) -> DriverBuilder {
    Driver::builder(judged())
        .router(ports.clone())
        .metrics(ports.clone())
        .gate("smoke", ports.clone())
        .clock(Clock::starting_at(BEGIN))
}

/// Waits until a rollout's status is so.
pub(crate) async fn until(handle: &Handle, is: impl Fn(&Status) -> bool) {
    let waited = tokio::time::timeout(s(100_000), handle.status().wait_for(|status| is(status)))
        .await
        .map(|status| status.is_ok());
    assert_eq!(waited, Ok(true), "it never came to that: {:?}", handle.status().borrow());
}

/// Collects what is written to it.
#[derive(Clone, Default)]
pub(crate) struct Sink(Arc<Mutex<Vec<u8>>>);

impl Sink {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }
}

impl std::io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What a port does when it is called, as the test says; clones do the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fault {
    kind: Arc<Mutex<Kind>>,
    begun: Arc<AtomicUsize>,
    alive: Arc<AtomicUsize>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Kind {
    #[default]
    None,
    Hangs,
    Panics,
    /// So many times.
    Fails(usize),
    /// It does what it is asked, and answers this much later.
    Late(Duration),
    /// It does what it is asked this much later.
    Slow(Duration),
}

/// Lives as long as the call that it counts.
struct Alive(Arc<AtomicUsize>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Fault {
    pub(crate) fn of(kind: Kind) -> Self {
        let fault = Self::default();
        fault.set(kind);
        fault
    }

    pub(crate) fn set(&self, kind: Kind) {
        *self.kind.lock().unwrap() = kind;
    }

    /// Returns how many calls have begun, faulty or not.
    pub(crate) fn begun(&self) -> usize {
        self.begun.load(Ordering::SeqCst)
    }

    /// Returns how many calls are waited for.
    pub(crate) fn alive(&self) -> usize {
        self.alive.load(Ordering::SeqCst)
    }

    pub(crate) async fn around<T>(
        &self,
        call: impl Future<Output = Result<T, PortError>>,
    ) -> Result<T, PortError> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        self.alive.fetch_add(1, Ordering::SeqCst);
        let _alive = Alive(Arc::clone(&self.alive));
        let kind = *self.kind.lock().unwrap();
        match kind {
            Kind::None | Kind::Fails(0) => call.await,
            Kind::Hangs => std::future::pending().await,
            Kind::Panics => panic!("a defect of the port"),
            Kind::Fails(times) => {
                self.set(Kind::Fails(times - 1));
                Err(PortError::new(FailureKind::Unavailable, "down"))
            }
            Kind::Slow(by) => {
                tokio::time::sleep(by).await;
                call.await
            }
            Kind::Late(by) => {
                let answer = call.await;
                tokio::time::sleep(by).await;
                answer
            }
        }
    }
}

/// A route in memory; what is asked of it goes wrong as it is told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Router {
    pub(crate) route: MemoryRouter,
    pub(crate) observing: Fault,
    pub(crate) raising: Fault,
    pub(crate) lowering: Fault,
    pub(crate) releasing: Fault,
}

#[async_trait]
impl TrafficRouter for Router {
    fn capabilities(&self) -> Capabilities {
        self.route.capabilities()
    }

    async fn observe(&self, call: &Call) -> Result<Observed, PortError> {
        self.observing.around(self.route.observe(call)).await
    }

    async fn apply(
        &self,
        call: &Call,
        traffic: &Traffic,
        at: Option<&Version>,
    ) -> Result<Applied, PortError> {
        let fault = if at.is_some() { &self.raising } else { &self.lowering };
        fault.around(self.route.apply(call, traffic, at)).await
    }

    async fn release(&self, call: &Call) -> Result<(), PortError> {
        self.releasing.around(self.route.release(call)).await
    }
}

/// A source in the simulated world, or one that only goes wrong.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) world: WorldPorts,
    pub(crate) fault: Fault,
}

#[async_trait]
impl MetricSource for Source {
    async fn measure(
        &self,
        call: &Call,
        queries: &[Query],
        until: Timestamp,
    ) -> Vec<Result<Measured, PortError>> {
        let measured = async { Ok(self.world.measure(call, queries, until).await) };
        match self.fault.around(measured).await {
            Ok(answers) => answers,
            Err(error) => {
                let failure = error.into_failure();
                queries.iter().map(|_| Err(failure.clone().into())).collect()
            }
        }
    }
}

/// A gate that is open, or goes wrong.
#[derive(Clone, Debug, Default)]
pub(crate) struct OpenGate {
    pub(crate) fault: Fault,
}

#[async_trait]
impl Gate for OpenGate {
    async fn decide(&self, _: &Call, _: &GateContext) -> Result<Decision, PortError> {
        self.fault.around(async { Ok(Decision::Open) }).await
    }
}

/// Versions in memory; everything that is asked of them goes wrong as it is told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Versions {
    pub(crate) inner: MemoryWorkload,
    pub(crate) fault: Fault,
}

#[async_trait]
impl Workload for Versions {
    async fn prepare(&self, call: &Call, wanted: &Capacity) -> Result<Readiness, PortError> {
        self.fault.around(self.inner.prepare(call, wanted)).await
    }

    async fn promote(
        &self,
        call: &Call,
        how: canary_core::policy::How,
    ) -> Result<Progress, PortError> {
        self.fault.around(self.inner.promote(call, how)).await
    }

    async fn restore(
        &self,
        call: &Call,
        how: canary_core::policy::How,
    ) -> Result<Progress, PortError> {
        self.fault.around(self.inner.restore(call, how)).await
    }

    async fn retire(&self, call: &Call, side: Side) -> Result<Progress, PortError> {
        self.fault.around(self.inner.retire(call, side)).await
    }
}

/// A store in memory whose writes go wrong as they are told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Store {
    pub(crate) inner: MemoryStore,
    pub(crate) writing: Fault,
    pub(crate) confirming: Fault,
    /// What is kept since everything was lost, if it was.
    pub(crate) anew: Arc<Mutex<Option<MemoryStore>>>,
}

impl Store {
    /// Loses all that is kept.
    pub(crate) fn lose(&self) {
        *self.anew.lock().unwrap() = Some(MemoryStore::new());
    }

    fn kept(&self) -> MemoryStore {
        self.anew.lock().unwrap().clone().unwrap_or_else(|| self.inner.clone())
    }
}

#[async_trait]
impl StateStore for Store {
    async fn load(&self, target: &Target) -> Result<Option<Stored>, PortError> {
        self.kept().load(target).await
    }

    async fn claim(
        &self,
        target: &Target,
        claim: &Claim,
        expect: Option<Revision>,
    ) -> Result<Revision, PortError> {
        self.writing.around(self.kept().claim(target, claim, expect)).await
    }

    async fn save(
        &self,
        target: &Target,
        state: &Snapshot,
        expect: Revision,
    ) -> Result<Revision, PortError> {
        self.writing.around(self.kept().save(target, state, expect)).await
    }

    async fn confirm(&self, target: &Target, expect: Revision) -> Result<(), PortError> {
        self.confirming.around(self.kept().confirm(target, expect)).await
    }
}
