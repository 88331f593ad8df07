//! Why a rollout could not be started, or not be driven to its end.

use std::sync::Arc;

use crate::policy::PolicyError;
use crate::ports::PortError;
use crate::rollout::SnapshotError;
use crate::value::{GateName, RolloutId, Target, Weight};

/// Tells why a rollout did not begin; nothing was changed unless said.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Another rollout has the target, or its marks are on the route though the store knows nothing of it: that one may
    /// have another store, or have lost it. `.supersede(..)` takes the route from one that runs no more.
    #[error(
        "{target} is busy with the rollout {rollout}: take that one up (`.resume()`), abort it where it runs, or \
         have it taken back first (`.supersede(..)`)"
    )]
    Busy {
        /// The target.
        target: Target,
        /// The rollout that has it.
        rollout: RolloutId,
    },
    /// The canary has all of the traffic, and no rollout gave it: what is to be made ready as the canary, and begins with
    /// nothing, is what serves.
    #[error(
        "the canary of {target} has all of the traffic, as after a promotion by swap: name it as stable, or give stable \
         the traffic first"
    )]
    Reversed {
        /// The target.
        target: Target,
    },
    /// A rollout of this id has ended already; what became of it is in the store.
    #[error(
        "the rollout {rollout} of {target} is over: give a new one an id of its own, or ask how it ended \
         (`.start_or_resume(..)`)"
    )]
    Over {
        /// The target.
        target: Target,
        /// The rollout.
        rollout: RolloutId,
    },
    /// The rollout that has the target was to be superseded and could not be driven to its end; it is aborted, and
    /// left to be resumed.
    #[error("the rollout {rollout} that has {target} could not be taken back")]
    NotSuperseded {
        /// The target.
        target: Target,
        /// The rollout that has it.
        rollout: RolloutId,
        /// Why not.
        source: DriverError,
    },
    /// No router was given.
    #[error("a rollout needs a router (`.router(..)`)")]
    NoRouter,
    /// The rollout in the store runs its versions, and nothing was given that does.
    #[error("the rollout {rollout} runs its versions, so it needs a workload (`.workload(..)`)")]
    NoWorkload {
        /// The rollout.
        rollout: RolloutId,
    },
    /// The router cannot do what the policy asks for.
    #[error("the router cannot {}", .lacks.join("; it cannot "))]
    RouterLacks {
        /// What it cannot do, and which part of the policy asks for it.
        lacks: Vec<String>,
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
    /// The policy looks at requests, but no metric source was given.
    #[error(
        "the policy `{policy}` looks at requests, so it needs a metric source (`.metrics(..)`); what looks at them: {}",
        .looking.join(", ")
    )]
    NoMetrics {
        /// The policy's name.
        policy: String,
        /// Which parts of the policy look at requests, or at a number of the source without a name.
        looking: Vec<String>,
    },
    /// The policy names metric sources that nobody supplies.
    #[error("the policy asks metric sources that nobody supplies: {}; supply them (`.source(name, ..)`), or correct their names", .sources.join(", "))]
    MissingSources {
        /// Their names.
        sources: Vec<Arc<str>>,
    },
    /// Metric sources cannot be asked what the policy asks them.
    #[error("the policy asks what a metric source cannot answer: {}", told(.queries))]
    WrongQueries {
        /// What, and why not.
        queries: Vec<WrongQuery>,
    },
    /// The policy names gates that nobody supplies.
    #[error("the policy asks gates that nobody supplies: {}", listed(.gates))]
    MissingGates {
        /// Which, and what to do about each.
        gates: Vec<MissingGate>,
    },
    /// Gates were supplied that the policy does not ask: most likely they are misspelt.
    #[error("the policy `{policy}` asks no gate {}; it asks: {}", quoted(.gates), asked(.known))]
    UnknownGates {
        /// The policy's name.
        policy: String,
        /// What was supplied for nothing.
        gates: Vec<GateName>,
        /// What the policy asks.
        known: Vec<GateName>,
    },
    /// A name given in code is none.
    #[error(transparent)]
    Name(#[from] crate::value::InvalidName),
    /// The store failed.
    ///
    /// The route was not touched; but a claim whose answer was lost may be in the store. So what follows is
    /// [`start_or_resume`](super::DriverBuilder::start_or_resume), which takes it up, rather than another id.
    #[error("the store failed")]
    Store(#[source] PortError),
    /// The policy in the store is not valid for this library.
    #[error("the policy in the store is not valid")]
    Policy(#[from] PolicyError),
    /// The state in the store cannot be taken up.
    #[error("the state in the store cannot be taken up")]
    Snapshot(#[from] SnapshotError),
}

/// Names a gate that nobody supplies.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MissingGate {
    /// Its name.
    pub gate: GateName,
    /// Why the policy alone does not make it, and what to do.
    pub why: String,
}

/// Names something that a metric source cannot be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WrongQuery {
    /// Where the policy asks for it: `metrics.pool`, or a signal that it needs.
    pub path: String,
    /// Why it cannot be asked.
    pub why: String,
}

fn told(queries: &[WrongQuery]) -> String {
    let one = |wrong: &WrongQuery| format!("{}: {}", wrong.path, wrong.why);
    queries.iter().map(one).collect::<Vec<_>>().join("; ")
}

fn listed(gates: &[MissingGate]) -> String {
    let one = |missing: &MissingGate| format!("{} ({})", missing.gate, missing.why);
    gates.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn quoted(gates: &[GateName]) -> String {
    gates.iter().map(|gate| format!("`{gate}`")).collect::<Vec<_>>().join(", ")
}

fn asked(known: &[GateName]) -> String {
    if known.is_empty() { "none".to_owned() } else { quoted(known) }
}

/// Tells why a rollout is not driven any more though it has not ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DriverError {
    /// Another holder has taken the rollout over; this one does nothing any more.
    #[error(
        "another holder has taken the rollout over: whatever is wanted of it must be asked there"
    )]
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
