//! Checks that a router keeps the promises of [`TrafficRouter`]; [`store`] and [`workload`] check the other ports.
//!
//! [`router_conformance!`](crate::router_conformance) writes one test for each
//! function here. Each gets a router of its own and panics where a promise is broken.

mod route;
pub mod store;
pub mod workload;

use std::future::Future;

use self::route::{Cut, Holder, Route, accepted, refused};
use crate::ports::{PortError, TrafficRouter};
use crate::value::{EffectId, Weight};

/// Writes one test for each promise of [`TrafficRouter`](crate::ports::TrafficRouter).
///
/// The argument makes a router whose route is fresh: it observes 0 %, and no other test uses it. An attribute in
/// front of it goes to each test.
///
/// ```
/// # use canary_core::testing::MemoryRouter;
/// mod in_memory {
///     # use super::MemoryRouter;
///     canary_core::router_conformance!(|| async { MemoryRouter::new() });
/// }
/// mod on_a_server {
///     # use super::MemoryRouter;
///     canary_core::router_conformance!(#[ignore = "needs a server"] || async { MemoryRouter::new() });
/// }
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! router_conformance {
    (#[$attribute:meta] $make:expr) => {
        $crate::router_conformance!(@all [#[$attribute]] [$make]);
    };
    (@all $attributes:tt $make:tt) => {
        $crate::router_conformance!(@each $attributes $make
            what_was_applied_is_observed
            applying_twice_is_applying_once
            a_raise_may_be_based_on_an_answer
            a_raise_at_a_stale_version_is_refused
            a_stale_version_is_refused_whatever_the_weight
            without_a_version_nothing_rises
            an_earlier_call_is_refused
            an_earlier_holder_is_refused
            a_dropped_raise_never_lands_after_an_abort
            observing_changes_nothing
            releasing_leaves_the_traffic
            a_late_raise_after_the_release_is_refused
        );
    };
    (@each $attributes:tt $make:tt $($promise:ident)*) => {
        $($crate::router_conformance!(@one $attributes $make $promise);)*
    };
    (@one [$(#[$attribute:meta])?] [$make:expr] $promise:ident) => {
        #[test]
        $(#[$attribute])?
        fn $promise() {
            $crate::testing::conformance::run($crate::testing::conformance::$promise($make));
        }
    };
    ($make:expr) => {
        $crate::router_conformance!(@all [] [$make]);
    };
}

/// Runs one check to its end on a runtime of its own.
pub fn run(check: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a tokio runtime can be built")
        .block_on(check);
}

/// Each weight that the capabilities promise is held exactly, on the way up and on the way down.
pub async fn what_was_applied_is_observed<R: TrafficRouter>(make: impl AsyncFnOnce() -> R) {
    let mut route = Route::of(make().await).await;
    let weights = route.weights();
    for &weight in &weights {
        route.raise(weight).await;
        route.expect(weight, "after raising to it").await;
    }
    for &weight in weights.iter().rev().chain([&Weight::ZERO]) {
        route.lower(weight).await;
        route.expect(weight, "after lowering to it").await;
    }
}

/// The same traffic, applied again, is accepted again and changes nothing.
pub async fn applying_twice_is_applying_once<R: TrafficRouter>(make: impl AsyncFnOnce() -> R) {
    let mut route = Route::of(make().await).await;
    let [small, _] = route.two_weights();
    route.lower(Weight::ZERO).await;
    route.expect(Weight::ZERO, "after setting what was there").await;
    route.raise(small).await;
    route.raise(small).await;
    route.expect(small, "after raising to it twice").await;
    route.lower(small).await;
    route.expect(small, "after setting what was there").await;
    for _ in 0..2 {
        route.lower(Weight::ZERO).await;
        route.expect(Weight::ZERO, "after lowering").await;
    }
}

/// The version in an answer serves the next raise: no look in between is needed.
pub async fn a_raise_may_be_based_on_an_answer<R: TrafficRouter>(make: impl AsyncFnOnce() -> R) {
    let mut route = Route::of(make().await).await;
    let [small, large] = route.two_weights();
    let lowered = route.lower(Weight::ZERO).await;
    let raised = route.apply(small, Some(&lowered.version)).await;
    let raised = accepted(raised, small, "a raise at the version of a lowering");
    let raised = route.apply(large, Some(&raised.version)).await;
    accepted(raised, large, "a raise at the version of a raise");
    route.expect(large, "after both").await;
}

/// Once anything was accepted, a raise at an older version is refused, even if the weight did not change.
pub async fn a_raise_at_a_stale_version_is_refused<R: TrafficRouter>(
    make: impl AsyncFnOnce() -> R,
) {
    let mut route = Route::of(make().await).await;
    let [small, large] = route.two_weights();

    let fresh = route.version().await;
    route.raise(small).await;
    let raise = route.apply(large, Some(&fresh)).await;
    refused(raise, "a raise at a version from before a raise");
    route.expect(small, "after the refused raise").await;

    let raised = route.version().await;
    route.lower(Weight::ZERO).await;
    let raise = route.apply(large, Some(&raised)).await;
    refused(raise, "a raise at a version from before a lowering");

    let at_zero = route.version().await;
    route.lower(Weight::ZERO).await;
    let raise = route.apply(large, Some(&at_zero)).await;
    refused(raise, "a raise at a version from before a lowering that found 0 %");
    route.expect(Weight::ZERO, "after the refused raises").await;
}

/// Where the canary has more by now than is asked for, a stale version is refused all the same: who asked did not know
/// that, and has to look and decide again.
pub async fn a_stale_version_is_refused_whatever_the_weight<R: TrafficRouter>(
    make: impl AsyncFnOnce() -> R,
) {
    let mut route = Route::of(make().await).await;
    let [small, large] = route.two_weights();
    let before = route.version().await;
    route.raise(large).await;
    for weight in [small, large, Weight::ZERO] {
        let stale = route.apply(weight, Some(&before)).await;
        refused(stale, "what was decided at a version from before the route was changed");
        route.expect(large, "after the refused call").await;
    }
    route.lower(small).await;
    route.expect(small, "after lowering without a version").await;
}

/// What would raise the canary's weight without a version is refused.
pub async fn without_a_version_nothing_rises<R: TrafficRouter>(make: impl AsyncFnOnce() -> R) {
    let mut route = Route::of(make().await).await;
    let [small, large] = route.two_weights();
    let raise = route.apply(small, None).await;
    refused(raise, "a raise from 0 % without a version");
    route.expect(Weight::ZERO, "after the refused raise").await;
    route.raise(small).await;
    let raise = route.apply(large, None).await;
    refused(raise, "a raise without a version");
    route.expect(small, "after the refused raise").await;
}

/// Once a call was accepted, one with a smaller [`Call::order`](crate::ports::Call::order) is refused and changes nothing.
pub async fn an_earlier_call_is_refused<R: TrafficRouter>(make: impl AsyncFnOnce() -> R) {
    let mut route = Route::of(make().await).await;
    let [small, large] = route.two_weights();

    let late = route.holder.call();
    route.lower(Weight::ZERO).await;
    let now = route.version().await;
    let raise = route.apply_as(&late, small, Some(&now)).await;
    refused(raise, "a raise that was decided before a lowering");
    route.expect(Weight::ZERO, "after the refused raise").await;

    let late = route.holder.call();
    route.raise(small).await;
    let now = route.version().await;
    let raise = route.apply_as(&late, large, Some(&now)).await;
    refused(raise, "a raise that was decided before another");
    let lowering = route.apply_as(&late, Weight::ZERO, None).await;
    refused(lowering, "a lowering that was decided before a raise");
    route.expect(small, "after the refused calls").await;

    let mut again = route.holder.call();
    let late = again.clone();
    again.attempt += 1;
    let lowered = route.apply_as(&again, Weight::ZERO, None).await;
    accepted(lowered, Weight::ZERO, "a second attempt");
    let lowering = route.apply_as(&late, Weight::ZERO, None).await;
    refused(lowering, "a first attempt that comes after the second");
}

/// Once a new holder was accepted, the one before it is refused, however many effects it is ahead.
pub async fn an_earlier_holder_is_refused<R: TrafficRouter>(make: impl AsyncFnOnce() -> R) {
    let mut route = Route::of(make().await).await;
    let [small, large] = route.two_weights();
    route.raise(small).await;
    let version = route.version().await;

    let mut frozen = route.holder.clone();
    frozen.next = EffectId::new(1_000_000);
    route.holder = Holder::new(frozen.epoch.next());
    route.lower(small).await;

    let raise = route.apply_as(&frozen.call(), large, Some(&version)).await;
    refused(raise, "a raise by an earlier holder");
    let now = route.version().await;
    let raise = route.apply_as(&frozen.call(), large, Some(&now)).await;
    refused(raise, "a raise by an earlier holder that looked again");
    let lowering = route.apply_as(&frozen.call(), Weight::ZERO, None).await;
    let later = lowering.as_ref().err().and_then(PortError::later);
    assert_eq!(later, Some(route.holder.epoch), "who is said to come later");
    refused(lowering, "a lowering by an earlier holder");
    route.expect(small, "after the refused calls").await;
}

/// A raise whose future was dropped at any point has no effect once a later lowering was accepted.
pub async fn a_dropped_raise_never_lands_after_an_abort<R: TrafficRouter>(
    make: impl AsyncFnOnce() -> R,
) {
    /// Each look goes where the dropped request went: it has had its chance to land.
    const LOOKS: usize = 8;
    let mut route = Route::of(make().await).await;
    let [small, large] = route.two_weights();
    for cut in [Cut::FirstPoll, Cut::OneLook, Cut::TwoLooks] {
        for from in [Weight::ZERO, small] {
            if from > Weight::ZERO {
                route.raise(from).await;
            }
            let at = route.version().await;
            let call = route.holder.call();
            route.drop_raise(&call, large, &at, cut).await;
            route.lower(Weight::ZERO).await;
            for _ in 0..LOOKS {
                let when = format!("after the abort of a raise from {from}, dropped at {cut:?}");
                route.expect(Weight::ZERO, &when).await;
            }
            let raise = route.apply_as(&call, large, Some(&at)).await;
            refused(raise, "the dropped raise, sent again");
        }
    }
}

/// Looking leaves the traffic and the version as they are.
pub async fn observing_changes_nothing<R: TrafficRouter>(make: impl AsyncFnOnce() -> R) {
    let mut route = Route::of(make().await).await;
    let [small, large] = route.two_weights();
    for weight in [small, large] {
        let version = route.version().await;
        for _ in 0..3 {
            assert_eq!(route.version().await, version, "a look changed the version");
        }
        let raised = route.apply(weight, Some(&version)).await;
        accepted(raised, weight, "a raise at a version that was looked at again");
    }
}

/// Releasing, once or twice, takes the router's marks away and leaves the traffic.
pub async fn releasing_leaves_the_traffic<R: TrafficRouter>(make: impl AsyncFnOnce() -> R) {
    let mut route = Route::of(make().await).await;
    let [small, _] = route.two_weights();
    route.release().await;
    route.expect(Weight::ZERO, "after releasing what was never written").await;
    route.raise(small).await;
    for _ in 0..2 {
        route.release().await;
        route.expect(small, "after releasing").await;
    }
}

/// A raise from before the end of a rollout is refused after its marks were taken away.
pub async fn a_late_raise_after_the_release_is_refused<R: TrafficRouter>(
    make: impl AsyncFnOnce() -> R,
) {
    let mut route = Route::of(make().await).await;
    let [small, large] = route.two_weights();
    let before = route.version().await;
    route.raise(small).await;
    let raised = route.version().await;
    let late = route.holder.call();
    route.lower(Weight::ZERO).await;
    route.release().await;
    for version in [&before, &raised] {
        let raise = route.apply_as(&late, large, Some(version)).await;
        refused(raise, "a raise that was decided before the abort");
        let raise = route.apply(large, Some(version)).await;
        refused(raise, "a raise at a version from before the release");
    }
    route.expect(Weight::ZERO, "after the refused raises").await;
}
