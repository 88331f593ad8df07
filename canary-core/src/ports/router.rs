//! What moves the traffic.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Call, PortError};
use crate::value::{RolloutId, Traffic, Version, Weight};

/// Moves traffic between the old and the new version of one target.
///
/// One value stands for one target and its two destinations. The conformance
/// suite (`canary_core::router_conformance!`) checks what the methods promise.
// Below `async_trait`, unlike the other ports: it cannot read `Option<&Version>`. So the mock's futures are boxed by hand.
#[async_trait]
#[cfg_attr(feature = "test-util", mockall::automock)]
pub trait TrafficRouter: fmt::Debug + Send + Sync + 'static {
    /// Says what this router can do; a plan that needs more is refused before it starts.
    fn capabilities(&self) -> Capabilities;

    /// Reads the traffic as the router is configured now.
    ///
    /// To be correct: it changes nothing, and the [`Version`] it returns is such that an
    /// [`apply`](Self::apply) at it is refused once any later `apply` was accepted.
    ///
    /// # Errors
    /// `NotFound` where the route or one of its two destinations is missing,
    /// `Denied`, `Unavailable`, `Invalid`.
    async fn observe(&self, call: &Call) -> Result<Observed, PortError>;

    /// Tells whose marks are on the route: which rollout has written it last and not [released](Self::release) it.
    ///
    /// It is asked before a rollout starts, since two whose stores know nothing of each other meet on the route. `None`
    /// where there are no marks, and from a router that leaves none; one that wraps another asks that one.
    ///
    /// # Errors
    /// As for [`observe`](Self::observe).
    async fn holder(&self, call: &Call) -> Result<Option<RolloutId>, PortError> {
        let _ = call;
        Ok(None)
    }

    /// Makes the traffic what is asked for, absolutely.
    ///
    /// `at` is the version that a *raise* is based on; `None` lowers, or sets what is already there, and
    /// must not be held up by anybody else's writes. Where it would raise, it is refused with `Conflict`.
    ///
    /// An `at` that is not the route's version is refused with `Conflict` *whatever the weight*: also where the route
    /// has more for the canary by now, so that what is asked for would lower it. Compare versions before weights: who
    /// asked does not know what the route holds, and has to look and decide again.
    ///
    /// To be correct:
    /// - it changes nothing but what it owns: the two weights and its own marks;
    /// - `Ok` means that the router holds the new traffic, read back from its answer;
    /// - applying the same traffic twice changes nothing the second time;
    /// - **order**: once a call returned `Ok`, no call with a smaller [`Call::order`] takes effect any more,
    ///   even if its future was dropped or timed out and its request arrives late; such a call
    ///   answers [`PortError::late`] with the epoch of the last that was accepted.
    ///
    /// # Errors
    /// `Conflict` where the route is no longer what the call was based on; the others as for
    /// [`observe`](Self::observe).
    ///
    /// # Cancel safety
    /// The future may be dropped at any `.await`; the request may then have happened or not.
    async fn apply(
        &self,
        call: &Call,
        traffic: &Traffic,
        at: Option<&Version>,
    ) -> Result<Applied, PortError>;

    /// Takes away the marks that the router left on the route for its own use, when a rollout has ended.
    ///
    /// The traffic stays as it is. To be correct: doing it twice changes nothing, and a raise that
    /// arrives afterwards is still refused. A router that leaves no marks has nothing to do here.
    ///
    /// # Errors
    /// As for [`observe`](Self::observe).
    async fn release(&self, call: &Call) -> Result<(), PortError> {
        let _ = call;
        Ok(())
    }
}

/// A router that was chosen while the program runs is one, too: `Arc<dyn TrafficRouter>`.
#[async_trait]
impl<R: TrafficRouter + ?Sized> TrafficRouter for Arc<R> {
    fn capabilities(&self) -> Capabilities {
        (**self).capabilities()
    }

    async fn observe(&self, call: &Call) -> Result<Observed, PortError> {
        (**self).observe(call).await
    }

    async fn holder(&self, call: &Call) -> Result<Option<RolloutId>, PortError> {
        (**self).holder(call).await
    }

    async fn apply(
        &self,
        call: &Call,
        traffic: &Traffic,
        at: Option<&Version>,
    ) -> Result<Applied, PortError> {
        (**self).apply(call, traffic, at).await
    }

    async fn release(&self, call: &Call) -> Result<(), PortError> {
        (**self).release(call).await
    }
}

/// Says what a router can do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Capabilities {
    /// The smallest step between two weights.
    #[serde(rename = "resolution_bp")]
    pub resolution: Weight,
    /// Whether requests can be sent to the canary by their headers.
    pub headers: bool,
    /// Whether a share of stable's requests can be copied to the canary.
    pub mirror: bool,
    /// Whether users can be chosen instead of requests.
    pub audience: bool,
}

impl Default for Capabilities {
    /// Weights in basis points, nothing else.
    fn default() -> Self {
        Self::basis_points()
    }
}

impl Capabilities {
    /// A router that takes whole percents only.
    #[must_use]
    pub const fn whole_percents() -> Self {
        Self { resolution: Weight::percent(1), ..Self::basis_points() }
    }

    const fn basis_points() -> Self {
        Self { resolution: Weight::BASIS_POINT, headers: false, mirror: false, audience: false }
    }

    /// A router that can do everything a plan may ask for.
    #[must_use]
    pub const fn everything() -> Self {
        Self { headers: true, mirror: true, audience: true, ..Self::basis_points() }
    }

    /// Tells whether the router can hold this weight exactly.
    #[must_use]
    pub const fn can_hold(&self, weight: Weight) -> bool {
        let step = self.resolution.basis_points();
        step != 0 && weight.basis_points().is_multiple_of(step)
    }
}

/// Tells how the router is configured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Observed {
    /// The traffic as configured.
    pub traffic: Traffic,
    /// What a raise may be based on.
    pub version: Version,
}

impl Observed {
    /// Puts traffic and version together.
    #[must_use]
    pub const fn new(traffic: Traffic, version: Version) -> Self {
        Self { traffic, version }
    }
}

/// Tells what the router took on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Applied {
    /// The traffic that the router accepted, read back from its answer.
    pub accepted: Traffic,
    /// Whether requests are known to follow it already, or not to; `None` where the router cannot know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective: Option<bool>,
    /// What the next raise may be based on.
    pub version: Version,
}

impl Applied {
    /// Says that the traffic was accepted; whether requests follow it is not known.
    #[must_use]
    pub const fn accepted(accepted: Traffic, version: Version) -> Self {
        Self { accepted, effective: None, version }
    }

    /// Says that the traffic was accepted and every further request follows it.
    #[must_use]
    pub const fn effective(accepted: Traffic, version: Version) -> Self {
        Self { accepted, effective: Some(true), version }
    }
}
