//! Why a rollout could not be started, or not be driven to its end.

use crate::policy::PolicyError;
use crate::ports::PortError;
use crate::rollout::SnapshotError;
use crate::value::{GateName, RolloutId, Target, Weight};

/// Tells why a rollout did not begin; nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Another rollout has the target.
    #[error(
        "{target} is busy with the rollout {rollout}: take that one up with `.resume()`, or abort it where it runs"
    )]
    Busy {
        /// The target.
        target: Target,
        /// The rollout that has it.
        rollout: RolloutId,
    },
    /// No router was given.
    #[error("a rollout needs a router: call `.router(..)`")]
    NoRouter,
    /// The policy has checks, but no metric source was given.
    #[error("the policy `{policy}` has checks, so it needs a metric source: call `.metrics(..)`")]
    NoMetrics {
        /// The policy's name.
        policy: String,
    },
    /// The policy names gates that nobody supplies.
    #[error("the policy asks gates that nobody supplies: {}; call `.gate(name, ..)`, or make them approvals", names(.gates))]
    MissingGates {
        /// Their names.
        gates: Vec<GateName>,
    },
    /// The router cannot hold a weight of the policy.
    #[error("stage `{stage}`: the router cannot hold {weight}; it moves in steps of {resolution}")]
    WeightTooFine {
        /// The stage.
        stage: String,
        /// Its weight.
        weight: Weight,
        /// The router's smallest step.
        resolution: Weight,
    },
    /// A name given in code is none.
    #[error(transparent)]
    Name(#[from] crate::value::InvalidName),
    /// The store failed.
    #[error("the store failed")]
    Store(#[source] PortError),
    /// The policy in the store is not valid for this library.
    #[error("the policy in the store is not valid")]
    Policy(#[from] PolicyError),
    /// The state in the store cannot be taken up.
    #[error("the state in the store cannot be taken up")]
    Snapshot(#[from] SnapshotError),
}

fn names(gates: &[GateName]) -> String {
    gates.iter().map(GateName::as_str).collect::<Vec<_>>().join(", ")
}

/// Tells why a rollout is not driven any more though it has not ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DriverError {
    /// Another holder has taken the rollout over; this one does nothing any more.
    #[error("another holder has taken the rollout over")]
    Fenced,
    /// The driver was stopped; the rollout is left to be resumed.
    #[error("the driver was stopped; the rollout can be resumed from its store")]
    Stopped,
    /// The driver has a defect that made it panic; the rollout is left to be resumed.
    #[error(
        "the driver panicked, which is a defect of it; the rollout can be resumed from its store"
    )]
    Panicked,
}
