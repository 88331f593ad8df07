//! A router under test, and who calls it.

use std::fmt::Debug;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use futures::future::{Either, select};

use crate::ports::{Applied, Call, PortError, TrafficRouter};
use crate::value::{EffectId, Epoch, FailureKind, Timestamp, Traffic, Version, Weight};

/// Says when a raise's future is dropped.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cut {
    /// After it was polled once.
    FirstPoll,
    /// When a look that began after it has its answer, or the raise has its own.
    OneLook,
    /// One look later.
    TwoLooks,
}

/// Numbers the calls of one holder.
#[derive(Clone, Debug)]
pub(super) struct Holder {
    pub(super) epoch: Epoch,
    pub(super) next: EffectId,
}

impl Holder {
    pub(super) const fn new(epoch: Epoch) -> Self {
        Self { epoch, next: EffectId::new(1) }
    }

    pub(super) fn call(&mut self) -> Call {
        let id = self.next;
        self.next = id.next();
        let made = Timestamp::EPOCH;
        let rollout = "conformance".parse().expect("a plain name");
        Call::new(rollout, self.epoch, id, 1, made, made + Duration::from_secs(30))
    }
}

/// A router and who calls it.
#[derive(Debug)]
pub(super) struct Route<R> {
    router: R,
    pub(super) holder: Holder,
}

impl<R: TrafficRouter> Route<R> {
    pub(super) async fn of(router: R) -> Self {
        let holder = Holder::new(Epoch::new(1));
        let mut route = Self { router, holder };
        route.expect(Weight::ZERO, "at first").await;
        route
    }

    /// Lists weights above zero that the router says it can hold, rising.
    pub(super) fn weights(&self) -> Vec<Weight> {
        let points = [1, 5, 50, 99, 100, 500, 1234, 2500, 3333, 5000, 9999, 10_000];
        let weights =
            points.into_iter().filter_map(|points| Weight::from_basis_points(points).ok());
        let capabilities = self.router.capabilities();
        weights.filter(|&weight| capabilities.can_hold(weight)).collect()
    }

    pub(super) fn two_weights(&self) -> [Weight; 2] {
        match self.weights()[..] {
            [.., small, large, _] | [small, large] => [small, large],
            _ => panic!("a router must be able to hold two weights above 0 %"),
        }
    }

    pub(super) async fn version(&mut self) -> Version {
        let observed = self.router.observe(&self.holder.call()).await;
        ok(observed, "observing").version
    }

    pub(super) async fn expect(&mut self, weight: Weight, when: &str) {
        let observed = ok(self.router.observe(&self.holder.call()).await, "observing");
        assert_eq!(observed.traffic, Traffic::to_canary(weight), "observed {when}");
    }

    pub(super) async fn apply(
        &mut self,
        weight: Weight,
        at: Option<&Version>,
    ) -> Result<Applied, PortError> {
        let call = self.holder.call();
        self.apply_as(&call, weight, at).await
    }

    pub(super) async fn apply_as(
        &self,
        call: &Call,
        weight: Weight,
        at: Option<&Version>,
    ) -> Result<Applied, PortError> {
        let traffic = Traffic::to_canary(weight);
        self.router.apply(call, &traffic, at).await
    }

    pub(super) async fn raise(&mut self, weight: Weight) -> Applied {
        let version = self.version().await;
        let raised = self.apply(weight, Some(&version)).await;
        accepted(raised, weight, "a raise at the version just observed")
    }

    pub(super) async fn lower(&mut self, weight: Weight) -> Applied {
        accepted(self.apply(weight, None).await, weight, "a lowering")
    }

    pub(super) async fn release(&mut self) {
        let call = self.holder.call();
        ok(self.router.release(&call).await, "releasing");
    }

    /// Begins a raise and drops it.
    pub(super) async fn drop_raise(&mut self, call: &Call, weight: Weight, at: &Version, cut: Cut) {
        let look = self.holder.call();
        let mut raise = pin!(self.apply_as(call, weight, Some(at)));
        let looks = match cut {
            Cut::FirstPoll => {
                poll_fn(|context| Poll::Ready(raise.as_mut().poll(context).is_ready())).await;
                return;
            }
            Cut::OneLook => 1,
            Cut::TwoLooks => 2,
        };
        for _ in 0..looks {
            match select(raise, self.router.observe(&look)).await {
                Either::Left(_) => return,
                Either::Right((_, rest)) => raise = rest,
            }
        }
    }
}

pub(super) fn ok<T>(answer: Result<T, PortError>, what: &str) -> T {
    answer.unwrap_or_else(|error| panic!("{what} failed: {}", error.into_failure()))
}

pub(super) fn accepted(answer: Result<Applied, PortError>, weight: Weight, what: &str) -> Applied {
    let applied = ok(answer, what);
    assert_eq!(applied.accepted, Traffic::to_canary(weight), "accepted by {what}");
    applied
}

pub(super) fn refused(answer: Result<impl Debug, PortError>, what: &str) {
    match answer {
        Ok(answer) => panic!("{what} was accepted: {answer:?}"),
        Err(error) => assert_eq!(error.kind(), FailureKind::Conflict, "{what}: {error}"),
    }
}
