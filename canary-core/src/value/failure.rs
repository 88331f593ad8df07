//! What went wrong outside, as plain data.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Epoch;

/// Sorts what can go wrong in the world by what can be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FailureKind {
    /// The other side could not be reached or is in trouble itself; another try may work.
    Unavailable,
    /// No answer came in time; what was asked for may or may not have happened.
    Timeout,
    /// The other side asks to be called less often.
    RateLimited,
    /// The object is no longer what the write was based on: look again, then decide again.
    Conflict,
    /// The store says that another holder has the rollout: whoever meets this stops at once.
    Fenced,
    /// The store could not be asked whether the rollout is still ours, so that nothing was asked of the other side.
    Unconfirmed,
    /// What the call is about does not exist.
    NotFound,
    /// The caller is not known, or may not do this.
    Denied,
    /// The request or the answer makes no sense, and would not at a second try either.
    Invalid,
    /// The other side cannot do this at all.
    Unsupported,
    /// A defect of this side, such as a panic.
    Internal,
}

impl FailureKind {
    /// Tells whether the same call may work a little later.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        matches!(
            self,
            Self::Unavailable
                | Self::Timeout
                | Self::RateLimited
                | Self::Conflict
                | Self::Unconfirmed
        )
    }

    /// Returns its stable name, as it stands in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::Timeout => "timeout",
            Self::RateLimited => "rate_limited",
            Self::Conflict => "conflict",
            Self::Fenced => "fenced",
            Self::Unconfirmed => "unconfirmed",
            Self::NotFound => "not_found",
            Self::Denied => "denied",
            Self::Invalid => "invalid",
            Self::Unsupported => "unsupported",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Says what went wrong outside: a kind for the machine, a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{kind}: {message}")]
#[non_exhaustive]
pub struct Failure {
    /// What can be done about it.
    pub kind: FailureKind,
    /// What happened, with no secret in it.
    pub message: String,
    /// How long the other side asked to be left alone, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// The holder whose call was accepted last, where a router refuses one for being of an earlier holder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub later: Option<Epoch>,
}

impl Failure {
    /// Puts a kind and a sentence together.
    #[must_use]
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), retry_after_ms: None, later: None }
    }

    /// Refuses a call because one of this holder, made later, was accepted: a `Conflict`.
    #[must_use]
    pub fn late(later: Epoch, message: impl Into<String>) -> Self {
        Self { later: Some(later), ..Self::new(FailureKind::Conflict, message) }
    }
}
