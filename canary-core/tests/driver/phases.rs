//! A program that ends in any phase of a rollout, in both ways.

use canary_core::driver::{Driver, DriverBuilder, DriverError, Handle, Shutdown};
use canary_core::policy::{GateSpec, How, Policy, PolicySpec, Stage};
use canary_core::store::MemoryStore;
use canary_core::testing::MemoryWorkload;
use canary_core::value::{GateName, Traffic, Weight};

use crate::support::{Fault, Kind, OpenGate, Router, Store, Versions, ana, id, s, until};

/// A plan with everything that can hold a rollout up.
fn policy() -> Policy {
    let mut spec = PolicySpec::new("shop");
    let gate = |name: &str| -> GateName { name.parse().unwrap() };
    spec.start = vec![gate("begin")];
    spec.stages = vec![
        Stage::new("half", Weight::percent(50), s(60)),
        Stage::new("full", Weight::FULL, s(60)),
    ];
    spec.promotion.after = vec![gate("last")];
    spec.promotion.how = How::InPlace;
    spec.hard_limit = false;
    for name in ["begin", "last"] {
        spec.gates.insert(gate(name), GateSpec::default());
    }
    Policy::from_spec(spec).unwrap()
}

/// The ports of a rollout, each of which can be told to hang.
#[derive(Clone, Debug, Default)]
struct World {
    router: Router,
    begin: OpenGate,
    last: OpenGate,
    versions: Versions,
    store: Store,
}

impl World {
    fn builder(&self) -> DriverBuilder {
        Driver::builder(policy())
            .router(self.router.clone())
            .gate("begin", self.begin.clone())
            .gate("last", self.last.clone())
            .workload(self.versions.clone())
            .store(self.store.clone())
    }

    fn faults(&self) -> [&Fault; 6] {
        let Self { router, begin, last, versions, .. } = self;
        [
            &router.raising,
            &router.lowering,
            &router.releasing,
            &begin.fault,
            &last.fault,
            &versions.fault,
        ]
    }

    /// Lets a rollout come to a phase and stand there, whatever that takes.
    async fn standing_in(phase: &str) -> (Self, Handle) {
        let world = Self::default();
        let hangs = |fault: &Fault| fault.set(Kind::Hangs);
        match phase {
            "starting" => hangs(&world.router.lowering),
            "opening" => hangs(&world.begin.fault),
            "entering" => hangs(&world.router.raising),
            "closing" => hangs(&world.last.fault),
            "releasing" => hangs(&world.router.releasing),
            _ => {}
        }
        let handle = world.builder().start(id("shop-1")).await.unwrap();
        match phase {
            "promoting" => {
                until(&handle, |status| status.weight == Weight::FULL).await;
                hangs(&world.versions.fault);
            }
            "rolling_back" => {
                until(&handle, |status| status.weight == Weight::percent(50)).await;
                hangs(&world.router.lowering);
                handle.abort("bad", &ana()).await.unwrap();
            }
            "retiring" => {
                until(&handle, |status| status.weight == Weight::percent(50)).await;
                hangs(&world.versions.fault);
                handle.abort("bad", &ana()).await.unwrap();
            }
            _ => {}
        }
        until(&handle, |status| status.phase == phase).await;
        tokio::time::sleep(s(1)).await;
        (world, handle)
    }

    fn recover(&self) {
        self.faults().into_iter().for_each(|fault| fault.set(Kind::None));
    }
}

const PHASES: [&str; 9] = [
    "starting",
    "opening",
    "entering",
    "holding",
    "promoting",
    "closing",
    "rolling_back",
    "retiring",
    "releasing",
];

#[tokio::test(start_paused = true)]
async fn left_in_any_phase_a_rollout_is_taken_up_and_comes_to_its_end() {
    for phase in PHASES {
        let (world, handle) = World::standing_in(phase).await;
        let left = handle.shutdown(Shutdown::LeaveToBeResumed).await;
        assert_eq!(left, Ok(None), "{phase}");
        assert!(world.faults().iter().all(|fault| fault.alive() == 0), "{phase}: no call is left");
        world.recover();
        let next = world.builder().resume().await.unwrap().expect("it is under way");
        let finished = next.finished().await.unwrap();
        let well = !matches!(phase, "rolling_back" | "retiring");
        assert_eq!(finished.outcome().is_promoted(), well, "{phase}: {}", finished.outcome());
        world.versions.inner.assert_never_down();
        assert_eq!(world.versions.inner.stable_is_new(), well, "{phase}");
    }
}

#[tokio::test(start_paused = true)]
async fn taken_back_in_any_phase_the_canary_has_nothing_at_the_end() {
    for phase in PHASES {
        let (world, handle) = World::standing_in(phase).await;
        let going =
            handle.shutdown(Shutdown::TakeBack { actor: ana(), reason: "night".to_owned() });
        let recovery = async {
            tokio::time::sleep(s(30)).await;
            world.recover();
        };
        let (ended, ()) = tokio::join!(going, recovery);
        let finished = ended.unwrap().expect("it ended");
        // The old version is gone then.
        let too_late = phase == "releasing";
        assert_eq!(finished.outcome().is_promoted(), too_late, "{phase}: {}", finished.outcome());
        assert_eq!(world.versions.inner.stable_is_new(), too_late, "{phase}");
        assert_eq!(world.router.route.traffic(), Traffic::all_stable(), "{phase}");
        world.versions.inner.assert_never_down();
    }
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_was_replaced_leaves_what_runs_alone() {
    for phase in ["promoting", "retiring"] {
        let (world, frozen) = World::standing_in(phase).await;
        let begun = world.versions.fault.begun();
        let next = World { versions: Versions::default(), ..world.clone() };
        let _next = next.builder().resume().await.unwrap().expect("it is under way");
        // Its call is given up, and it would try again.
        assert_eq!(frozen.finished().await, Err(DriverError::Fenced), "{phase}");
        assert_eq!(world.versions.fault.begun(), begun, "{phase}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_driver_that_stops_waits_for_no_look_at_the_route() {
    let (world, handle) = World::standing_in("holding").await;
    let looking = &world.router.observing;
    looking.set(Kind::Hangs);
    while looking.alive() == 0 {
        tokio::time::sleep(s(1)).await;
    }
    let left = tokio::time::timeout(s(1), handle.shutdown(Shutdown::LeaveToBeResumed)).await;
    assert_eq!(left, Ok(Ok(None)));
    assert_eq!(looking.alive(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_being_saved_is_saved_before_a_driver_stops() {
    let world = World::default();
    let handle = world.builder().start(id("shop-1")).await.unwrap();
    until(&handle, |status| status.phase == "holding").await;
    world.store.writing.set(Kind::Slow(s(3)));
    let ana = ana();
    let (paused, left) = tokio::join!(handle.pause(&ana), async {
        tokio::time::sleep(s(1)).await;
        handle.shutdown(Shutdown::LeaveToBeResumed).await
    });
    assert_eq!(left, Ok(None));
    assert!(paused.is_err(), "whether it stays is known to nobody");
    assert_eq!(world.store.writing.alive(), 0);
    world.store.writing.set(Kind::None);
    let next = world.builder().resume().await.unwrap().unwrap();
    assert!(next.status().borrow().paused, "the pause was saved");
}

#[tokio::test(start_paused = true)]
async fn a_workload_takes_its_time_and_is_never_down() {
    for how in [How::InPlace, How::Swap] {
        let mut spec = policy().spec().clone();
        spec.promotion.how = how;
        let versions = MemoryWorkload::done_after(3);
        let builder = Driver::builder(Policy::from_spec(spec).unwrap())
            .router(Router::default())
            .gate("begin", OpenGate::default())
            .gate("last", OpenGate::default())
            .workload(versions.clone());
        let finished = builder.start(id("shop-1")).await.unwrap().finished().await.unwrap();
        assert!(finished.outcome().is_promoted(), "{}", finished.outcome());
        versions.assert_never_down();
        let expected: &[&str] = match how {
            How::Swap => &["prepare 50%", "prepare 100%", "promote by swap", "retire stable"],
            _ => &["prepare 50%", "prepare 100%", "promote in place", "retire canary"],
        };
        assert_eq!(versions.calls(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_rollout_that_runs_its_versions_is_not_taken_up_without_a_workload() {
    let store = MemoryStore::new();
    let world = World::default();
    let handle = world.builder().store(store.clone()).start(id("shop-1")).await.unwrap();
    handle.shutdown(Shutdown::LeaveToBeResumed).await.unwrap();
    let resumer = Driver::resumer("shop".parse().unwrap()).router(Router::default()).store(store);
    let resumer = resumer.gate("begin", OpenGate::default()).gate("last", OpenGate::default());
    let error = resumer.resume().await.unwrap_err();
    assert!(error.to_string().contains("it needs a workload (`.workload(..)`)"), "{error}");
}
