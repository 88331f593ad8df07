//! How a rollout ends, and why.

use serde::{Deserialize, Serialize};

use super::{CheckResult, Silent};
use crate::value::{Actor, Failure, GateName, Traffic};

/// Says how a rollout ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// The canary has all of the traffic.
    Promoted,
    /// Stable has all of the traffic.
    RolledBack {
        /// Why.
        reason: Reason,
    },
}

impl Outcome {
    /// Tells whether the canary won.
    #[must_use]
    pub const fn is_promoted(&self) -> bool {
        matches!(self, Self::Promoted)
    }

    /// Returns why the canary was taken back, if it was.
    #[must_use]
    pub const fn reason(&self) -> Option<&Reason> {
        match self {
            Self::Promoted => None,
            Self::RolledBack { reason } => Some(reason),
        }
    }
}

/// Says why a canary was taken back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// A check failed.
    Check(CheckResult),
    /// The metric source was silent for longer than the policy bears.
    Silence {
        /// For how long, in milliseconds.
        for_ms: u64,
        /// Of whom it showed nothing at last, where that is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sides: Option<Silent>,
    },
    /// The metric source, or a watched gate, answered with errors for longer than the policy bears.
    SourceFailed {
        /// For how long, in milliseconds.
        for_ms: u64,
        /// The check that it kept from judging, with the error that came last.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        check: Option<CheckResult>,
    },
    /// The canary did not become ready in time.
    NotReady {
        /// What it waited for.
        why: String,
        /// How long it had, in milliseconds.
        after_ms: u64,
    },
    /// What runs the versions could not do what was asked, as often as it was tried.
    WorkloadFailed {
        /// What it said last.
        failure: Failure,
    },
    /// The rollout stood still for longer than the policy bears.
    NoProgress {
        /// For how long, in milliseconds.
        for_ms: u64,
    },
    /// A person said no to a gate or to a check that asked.
    Rejected {
        /// Who.
        actor: Actor,
        /// The gate or check.
        gate: GateName,
        /// Why.
        reason: String,
    },
    /// Somebody said so.
    Aborted {
        /// Who.
        actor: Actor,
        /// Why.
        reason: String,
    },
    /// The router would not take the next weight, as often as it was tried.
    RouterFailed {
        /// What it said last.
        failure: Failure,
    },
    /// Somebody else has taken traffic away from the canary.
    TakenBack {
        /// What it should have been.
        expected: Traffic,
        /// What it was found to be.
        found: Traffic,
    },
    /// A gate said no.
    GateRejected {
        /// The gate.
        gate: GateName,
        /// Why not.
        why: String,
    },
    /// A gate did not open in time.
    GateTimedOut {
        /// The gate.
        gate: GateName,
        /// How long it had, in milliseconds.
        after_ms: u64,
    },
}

impl Reason {
    /// Returns the name of the check that failed, if one did.
    #[must_use]
    pub fn check(&self) -> Option<&str> {
        match self {
            Self::Check(result) => Some(&result.check),
            _ => None,
        }
    }
}
