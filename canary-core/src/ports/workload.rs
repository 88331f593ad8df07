//! What runs the two versions.

use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Call, PortError};
use crate::policy::{How, Scale};
use crate::value::{Side, Weight};

/// Runs the two versions of one target; without one, a rollout only routes.
///
/// Every method says what shall be and answers how far it is, without waiting for it: it is asked again until it is
/// done. To be correct, doing any of them twice does no harm, none touches the route, and at no time are both
/// versions down.
#[cfg_attr(feature = "test-util", mockall::automock)]
#[async_trait]
pub trait Workload: fmt::Debug + Send + Sync + 'static {
    /// Makes the canary large enough and tells how much it is ready for.
    ///
    /// To be correct: [`Readiness::ready_for`] counts only what is ready now.
    ///
    /// # Errors
    /// `Invalid` where it can never become ready, such as an image that does not exist: the canary is taken back
    /// soon then; the others are tried again.
    async fn prepare(&self, call: &Call, wanted: &Capacity) -> Result<Readiness, PortError>;

    /// Makes the new version the stable one.
    ///
    /// In place, stable takes the new version while the canary has all of the traffic; with a swap, the canary is
    /// the stable one from then on. To be correct: what was stable before can be had again by
    /// [`restore`](Self::restore) until it is retired.
    ///
    /// # Errors
    /// As for [`prepare`](Self::prepare).
    async fn promote(&self, call: &Call, how: How) -> Result<Progress, PortError>;

    /// Makes stable what it was before [`promote`](Self::promote), done when it is ready for all of the traffic.
    ///
    /// # Errors
    /// As for [`prepare`](Self::prepare); it is tried until it succeeds.
    async fn restore(&self, call: &Call, how: How) -> Result<Progress, PortError>;

    /// Removes the side that has no traffic any more.
    ///
    /// # Errors
    /// As for [`prepare`](Self::prepare).
    async fn retire(&self, call: &Call, side: Side) -> Result<Progress, PortError>;
}

/// Says how large the canary shall be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Capacity {
    /// The share of the traffic that it is to get.
    #[serde(rename = "weight_bp")]
    pub weight: Weight,
    /// How large the plan says it shall be; as large as the weight needs unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<Scale>,
}

impl Capacity {
    /// Puts weight and scale together.
    #[must_use]
    pub const fn new(weight: Weight, scale: Option<Scale>) -> Self {
        Self { weight, scale }
    }
}

/// Tells how much of the traffic the canary is ready for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Readiness {
    /// The highest weight that its ready capacity was declared for; `None` while it is not ready for any, not even
    /// for requests by header.
    #[serde(rename = "ready_for_bp")]
    pub ready_for: Option<Weight>,
    /// What it waits for, in words, where it is not ready for what was wanted.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
}

impl Readiness {
    /// Says that it is ready for this weight.
    #[must_use]
    pub const fn ready_for(weight: Weight) -> Self {
        Self { ready_for: Some(weight), why: String::new() }
    }

    /// Says that it is not ready, and what it waits for.
    #[must_use]
    pub fn waiting(why: impl Into<String>) -> Self {
        Self { ready_for: None, why: why.into() }
    }
}

/// Tells how far something is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::exhaustive_enums, reason = "it is done or it is not")]
pub enum Progress {
    /// It is as it shall be.
    Done,
    /// Not yet.
    Wait {
        /// What it waits for.
        why: String,
    },
}
