//! Ports that hang, panic, fail or answer late: an abort waits for none of them.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use canary_core::driver::{Clock, Driver};
use canary_core::policy::{GateSpec, Policy};
use canary_core::ports::{Applied, Call, Capabilities, Observed, PortError, TrafficRouter};
use canary_core::record::Content;
use canary_core::rollout::Answer;
use canary_core::testing::{MemoryRouter, Recorder, WorldPorts};
use canary_core::value::{FailureKind, Traffic, Version, Weight};

use crate::support::{
    BEGIN, Fault, Kind, OpenGate, Router, Source, Store, Versions, ana, builder, id, in_world,
    plain, s, simulation, until,
};

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

#[tokio::test(start_paused = true)]
async fn abort_reaches_zero_at_once_while_the_source_hangs() {
    let ports = WorldPorts::new(simulation(0.001).world());
    let source = Source { world: ports.clone(), fault: Fault::of(Kind::Hangs) };
    let clock = Clock::starting_at(BEGIN);
    let builder = in_world(&ports).metrics(source.clone()).clock(clock);
    let handle = builder.start(id("shop-1")).await.unwrap();
    // Into the middle of a measurement.
    tokio::time::sleep(s(20)).await;
    assert_eq!((ports.weight_at(clock.now()), source.fault.alive()), (Weight::percent(10), 1));
    let asked = clock.now();
    handle.abort("stop", &ana()).await.unwrap();
    let finished = handle.finished().await.unwrap();
    assert_eq!(finished.report().zero_accepted, Some(asked));
    assert_eq!(ports.weight_at(clock.now()), Weight::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_panics_is_an_error_and_not_the_end() {
    let ports = WorldPorts::new(simulation(0.001).world());
    let source = Source { world: ports.clone(), fault: Fault::of(Kind::Panics) };
    let recorder = Recorder::new();
    let builder = in_world(&ports).metrics(source).observer(recorder.clone());
    let handle = builder.start(id("shop-1")).await.unwrap();
    tokio::time::sleep(s(200)).await;
    assert_eq!(handle.status().borrow().weight, Weight::percent(10));
    let records = recorder.records();
    let judged = records.iter().find(|r| matches!(r.content, Content::Judged(_))).unwrap();
    let told = judged.content.to_string();
    assert!(told.contains("errors cannot be measured: internal: it panicked"), "{judged}");
    handle.abort("stop", &ana()).await.unwrap();
    handle.finished().await.unwrap();
}

/// Where a plan with everything is held up by one port.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Port {
    Raising,
    Gate,
    Workload,
    Saving,
}

#[tokio::test(start_paused = true)]
async fn an_abort_waits_for_no_port_that_hangs_or_panics() {
    for port in [Port::Raising, Port::Gate, Port::Workload, Port::Saving] {
        for kind in [Kind::Hangs, Kind::Panics] {
            let (router, gate) = (Router::default(), OpenGate::default());
            let (versions, store) = (Versions::default(), Store::default());
            let policy = Policy::builder("shop")
                .stage("half", Weight::percent(50), s(60))
                .gate("smoke", GateSpec::default())
                .stage("full", Weight::FULL, s(60))
                .without_hard_limit()
                .build()
                .unwrap();
            let clock = Clock::starting_at(BEGIN);
            let handle = Driver::builder(policy)
                .router(router.clone())
                .gate("smoke", gate.clone())
                .workload(versions.clone())
                .store(store.clone())
                .clock(clock)
                .start(id("shop-1"))
                .await
                .unwrap();
            until(&handle, |status| status.weight == Weight::percent(50)).await;
            let fault = match port {
                Port::Raising => &router.raising,
                Port::Gate => &gate.fault,
                Port::Workload => &versions.fault,
                Port::Saving => &store.writing,
            };
            fault.set(kind);
            let before = fault.begun();
            // At the end of the stage it is asked.
            while fault.begun() == before {
                tokio::time::sleep(s(1) / 10).await;
            }
            let asked = clock.now();
            assert_eq!(
                handle.abort("stop", &ana()).await.unwrap(),
                Answer::Done,
                "{port:?} {kind:?}"
            );
            assert_eq!(router.route.traffic(), Traffic::all_stable(), "{port:?} {kind:?}");
            assert_eq!(clock.now(), asked, "{port:?} {kind:?}");
            fault.set(Kind::None);
            assert!(!handle.finished().await.unwrap().outcome().is_promoted());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_given_up_is_dropped() {
    let router = Router::default();
    let handle = builder().router(router.clone()).start(id("shop-1")).await.unwrap();
    tokio::time::sleep(s(5)).await;
    router.lowering.set(Kind::Hangs);
    let before = router.lowering.begun();
    handle.abort("bad", &ana()).await.unwrap();
    tokio::time::sleep(s(60)).await;
    assert!(router.lowering.begun() > before + 2, "it is tried again and again");
    assert!(router.lowering.alive() <= 1, "{router:?}");
    assert!(!handle.status().borrow().stuck);
    tokio::time::sleep(plain().rollback_within()).await;
    assert!(handle.status().borrow().stuck);
}

#[tokio::test(start_paused = true)]
async fn what_others_do_to_the_route_is_noticed_and_put_back() {
    let (route, recorder) = (MemoryRouter::new(), Recorder::new());
    let builder = builder().router(route.clone()).observer(recorder.clone());
    let handle = builder.start(id("shop-1")).await.unwrap();
    tokio::time::sleep(s(5)).await;
    route.meddle(Traffic::to_canary(Weight::percent(80)));
    tokio::time::sleep(s(20)).await;
    assert_eq!(route.traffic(), Traffic::to_canary(Weight::percent(50)));
    let drifted =
        |record: &canary_core::record::Record| matches!(record.content, Content::Drifted { .. });
    assert!(recorder.records().iter().any(drifted));
    assert!(handle.finished().await.unwrap().outcome().is_promoted());
}
