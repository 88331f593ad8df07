//! What a rollout asks before it goes on.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Call, PortError};
use crate::policy::Moment;
#[cfg(feature = "calendar")]
use crate::policy::{CalendarError, OpeningHours};
#[cfg(feature = "calendar")]
use crate::value::Timestamp;
use crate::value::{GateName, Weight, millis};

/// How soon a gate is asked again of which nobody knows when it opens.
#[cfg(feature = "calendar")]
const UNKNOWN: Duration = Duration::from_secs(3600);

/// Decides whether a rollout may go on.
#[cfg_attr(feature = "test-util", mockall::automock)]
#[async_trait]
pub trait Gate: fmt::Debug + Send + Sync + 'static {
    /// Decides now; asked again after `retry_after` for as long as it says [`Decision::Wait`].
    ///
    /// To be correct: asking twice is harmless, and it answers rather than waits: by [`Call::deadline`], 10 s after it was
    /// asked, the call is given up and counts as failed. A test that takes longer runs by itself, and each call says
    /// how far it is.
    ///
    /// # Errors
    /// Whatever keeps it from deciding; it is asked again.
    async fn decide(&self, call: &Call, context: &GateContext) -> Result<Decision, PortError>;
}

/// Tells a gate what it is asked about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct GateContext {
    /// The gate's name in the policy.
    pub gate: GateName,
    /// Where in the rollout it is asked.
    pub moment: Moment,
    /// The stage that is entered or left; empty where it is about none.
    pub stage: String,
    /// The canary's weight now.
    #[serde(rename = "weight_bp")]
    pub weight: Weight,
}

impl GateContext {
    /// Puts the context together.
    #[must_use]
    pub fn new(gate: GateName, moment: Moment, stage: impl Into<String>, weight: Weight) -> Self {
        Self { gate, moment, stage: stage.into(), weight }
    }
}

/// Answers for a gate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(
    clippy::exhaustive_enums,
    reason = "who steps the machine by hand wants the compiler's help"
)]
pub enum Decision {
    /// Go on.
    Open,
    /// Not yet.
    Wait {
        /// When to ask again, in milliseconds from now.
        retry_after_ms: u64,
        /// What it waits for.
        why: String,
    },
    /// Never: take the canary back.
    Reject {
        /// Why not.
        why: String,
    },
}

impl Decision {
    /// Asks for another look after this time.
    #[must_use]
    pub fn wait(retry_after: Duration, why: impl Into<String>) -> Self {
        Self::Wait { retry_after_ms: millis(retry_after), why: why.into() }
    }

    /// Decides by opening hours: a gate that is closed is asked again when it opens.
    ///
    /// # Errors
    /// [`CalendarError`] where the time lies beyond all calendars.
    #[cfg(feature = "calendar")]
    pub(crate) fn by_calendar(hours: &OpeningHours, now: Timestamp) -> Result<Self, CalendarError> {
        if hours.is_open(now)? {
            return Ok(Self::Open);
        }
        Ok(match hours.next_change(now)? {
            Some(opens) => Self::wait(opens.since(now), format!("it opens at {opens}")),
            None => Self::wait(UNKNOWN, "it opens in a month at the earliest"),
        })
    }

    /// Refuses for good.
    #[must_use]
    pub fn reject(why: impl Into<String>) -> Self {
        Self::Reject { why: why.into() }
    }
}
