//! Where a rollout stands.

use serde::{Deserialize, Serialize};

use crate::record::{Outcome, Reason};
use crate::value::Timestamp;

/// Says where a rollout stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Phase {
    /// The router is asked to send everything to stable, which also makes the route ours.
    Starting,
    /// The weight of a stage is asked for.
    Entering {
        /// The stage's position.
        stage: usize,
        /// What was observed of its hold before, in milliseconds: not zero only after a take-over.
        held_ms: u64,
        /// Whether the traffic changes: not so after a take-over that found everything in place.
        changes: bool,
        /// How many of its gates had opened before a take-over.
        opened: usize,
        /// Since when the next one was asked before a take-over.
        asked: Option<Timestamp>,
    },
    /// The weight stands, the checks run, then the gates are asked.
    Holding {
        /// The stage's position.
        stage: usize,
        /// How much of its hold has been observed, in milliseconds.
        held_ms: u64,
        /// How many of its gates have opened.
        opened: usize,
        /// Since when the next gate is asked.
        asked: Option<Timestamp>,
    },
    /// The canary is taken back.
    RollingBack {
        /// Why.
        reason: Reason,
        /// Since when.
        since: Timestamp,
        /// When it is next called stuck.
        stuck_at: Timestamp,
    },
    /// It is decided and routed; our marks are taken off the route.
    Releasing {
        /// How it ends.
        outcome: Outcome,
    },
    /// It is over.
    Ended {
        /// How it ended.
        outcome: Outcome,
    },
}

impl Phase {
    /// Returns its name as it stands in JSON.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Entering { .. } => "entering",
            Self::Holding { .. } => "holding",
            Self::RollingBack { .. } => "rolling_back",
            Self::Releasing { .. } => "releasing",
            Self::Ended { .. } => "ended",
        }
    }

    /// Returns the position of the stage that it is about, if it is about one.
    #[must_use]
    pub const fn stage(&self) -> Option<usize> {
        match self {
            Self::Entering { stage, .. } | Self::Holding { stage, .. } => Some(*stage),
            _ => None,
        }
    }
}
