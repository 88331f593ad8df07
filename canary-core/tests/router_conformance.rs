//! The conformance suite accepts the reference router, and finds each fault put into it.
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use async_trait::async_trait;
use canary_core::ports::{Applied, Call, Capabilities, Observed, PortError, TrafficRouter};
use canary_core::testing::{MemoryRouter, conformance};
use canary_core::value::{Epoch, RolloutId, Traffic, Version, Weight};

mod reference {
    use super::MemoryRouter;

    canary_core::router_conformance!(|| async { MemoryRouter::new() });
}

mod chosen_while_it_runs {
    use std::sync::Arc;

    use super::{MemoryRouter, TrafficRouter};

    canary_core::router_conformance!(|| async {
        Arc::new(MemoryRouter::new()) as Arc<dyn TrafficRouter>
    });
}

mod made_up_world {
    use canary_core::simulate::{Service, World};
    use canary_core::testing::WorldPorts;
    use canary_core::value::BySide;

    canary_core::router_conformance!(|| async {
        let services = BySide { stable: Service::healthy(), canary: Service::healthy() };
        WorldPorts::new(World::new(100.0, services, 1))
    });
}

mod with_attributes {
    use super::Faulty;

    canary_core::router_conformance!(
        #[should_panic]
        || async { Faulty::new(super::Fault::Everything) }
    );
}

/// Breaks one promise of the reference router.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    AnswersWithoutDoing,
    ChangesWhenObserved,
    Everything,
    ForgetsAttempts,
    ForgetsEpochs,
    ForgetsOrder,
    ForgetsVersionsAtRelease,
    IgnoresVersions,
    LandsLate,
    OverlooksWhatChangesNothing,
    RaisesWithoutVersion,
    ReleasesTheTraffic,
    RoundsToPercents,
}

#[derive(Debug)]
struct Faulty {
    inner: MemoryRouter,
    fault: Fault,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    on_its_way: Option<Traffic>,
    calls: u64,
    released: bool,
}

impl Faulty {
    fn new(fault: Fault) -> Self {
        Self { inner: MemoryRouter::new(), fault, state: Mutex::default() }
    }

    /// Names a rollout that nobody has seen before.
    fn stranger(&self) -> RolloutId {
        let mut state = self.state.lock().unwrap();
        state.calls += 1;
        format!("stranger-{}", state.calls).parse().unwrap()
    }

    /// Writes with no question asked.
    async fn force(&self, call: &Call, traffic: &Traffic) -> Result<Applied, PortError> {
        let version = self.inner.observe(call).await?.version;
        let mut call = call.clone();
        call.rollout = self.stranger();
        self.inner.apply(&call, traffic, Some(&version)).await
    }
}

#[async_trait]
impl TrafficRouter for Faulty {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn observe(&self, call: &Call) -> Result<Observed, PortError> {
        let landed = self.state.lock().unwrap().on_its_way.take();
        if let Some(traffic) = landed {
            self.force(call, &traffic).await?;
        }
        if self.fault == Fault::ChangesWhenObserved {
            self.force(call, &self.inner.traffic()).await?;
        }
        if self.fault == Fault::Everything {
            let nonsense = Traffic::to_canary(Weight::percent(42));
            return Ok(Observed::new(nonsense, Version::new("")));
        }
        self.inner.observe(call).await
    }

    async fn apply(
        &self,
        call: &Call,
        traffic: &Traffic,
        at: Option<&Version>,
    ) -> Result<Applied, PortError> {
        let (mut call, mut traffic) = (call.clone(), traffic.clone());
        let current = self.inner.observe(&call).await?.version;
        let mut at = at;
        match self.fault {
            Fault::AnswersWithoutDoing => return Ok(Applied::accepted(traffic, current)),
            Fault::ForgetsAttempts => call.attempt = 1,
            Fault::ForgetsEpochs => call.epoch = Epoch::new(1),
            Fault::ForgetsOrder => call.rollout = self.stranger(),
            Fault::ForgetsVersionsAtRelease if self.state.lock().unwrap().released => {
                call.rollout = self.stranger();
                at = Some(&current);
            }
            Fault::IgnoresVersions => at = at.and(Some(&current)),
            Fault::LandsLate if at.is_some() => {
                self.state.lock().unwrap().on_its_way = Some(traffic.clone());
                tokio::task::yield_now().await;
                self.state.lock().unwrap().on_its_way = None;
            }
            Fault::OverlooksWhatChangesNothing if traffic == self.inner.traffic() => {
                return Ok(Applied::accepted(traffic, current));
            }
            Fault::RaisesWithoutVersion => at = at.or(Some(&current)),
            Fault::RoundsToPercents => {
                let percent = traffic.canary.basis_points() / 100;
                traffic = Traffic::to_canary(Weight::percent(u8::try_from(percent).unwrap()));
            }
            _ => {}
        }
        self.inner.apply(&call, &traffic, at).await
    }

    async fn release(&self, call: &Call) -> Result<(), PortError> {
        self.state.lock().unwrap().released = true;
        if self.fault == Fault::ReleasesTheTraffic {
            self.force(call, &Traffic::all_stable()).await?;
        }
        Ok(())
    }
}

macro_rules! is_found {
    ($($test:ident: $fault:ident by $check:ident;)*) => { $(
        #[test]
        fn $test() {
            let check = || {
                conformance::run(conformance::$check(|| async { Faulty::new(Fault::$fault) }));
            };
            let found = catch_unwind(AssertUnwindSafe(check));
            assert!(found.is_err(), "{:?} passes as correct", Fault::$fault);
        }
    )* };
}

is_found! {
    rounding: RoundsToPercents by what_was_applied_is_observed;
    an_empty_answer: AnswersWithoutDoing by applying_twice_is_applying_once;
    a_look_that_changes: ChangesWhenObserved by observing_changes_nothing;
    a_version_that_is_not_kept: IgnoresVersions by a_raise_at_a_stale_version_is_refused;
    a_lowering_that_leaves_no_trace: OverlooksWhatChangesNothing by a_raise_at_a_stale_version_is_refused;
    a_raise_in_disguise: RaisesWithoutVersion by without_a_version_nothing_rises;
    a_lost_order: ForgetsOrder by an_earlier_call_is_refused;
    a_lost_attempt: ForgetsAttempts by an_earlier_call_is_refused;
    a_lost_epoch: ForgetsEpochs by an_earlier_holder_is_refused;
    a_late_landing: LandsLate by a_dropped_raise_never_lands_after_an_abort;
    a_release_that_moves_traffic: ReleasesTheTraffic by releasing_leaves_the_traffic;
    a_release_that_forgets: ForgetsVersionsAtRelease by a_late_raise_after_the_release_is_refused;
}
