//! What a rollout wants done.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Answer;
use crate::policy::How;
use crate::ports::{Call, Capacity, GateContext};
use crate::record::Record;
use crate::value::{CommandId, EffectId, Query, Side, Timestamp, Traffic, Version};

/// Tells whoever steps the machine what to do now, in this order; data only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(
    clippy::exhaustive_enums,
    reason = "who steps the machine by hand wants the compiler's help"
)]
pub enum Effect {
    /// Save [`Rollout::snapshot`](super::Rollout::snapshot) as it is now, and answer with
    /// [`Event::Persisted`](super::Event::Persisted). Nothing else waits for it but what the machine holds back itself.
    Persist {
        /// The number of the state.
        rev: u64,
    },
    /// Do this once, and answer with [`Event::Reply`](super::Event::Reply), with a failure at the call's deadline at
    /// the latest. Whether it is tried again is the machine's business.
    Run {
        /// Which effect and try this is.
        call: Call,
        /// What to do.
        action: Action,
    },
    /// Stop waiting for an effect; its answer is not wanted any more.
    Cancel(EffectId),
    /// Hand a record to the observers; it is durable.
    Notify(Record),
    /// Hand the answer to who gave the command.
    Answer {
        /// The command.
        command: CommandId,
        /// The answer.
        answer: Answer,
    },
}

/// Says what to do; absolute, so that doing it twice does no harm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(
    clippy::exhaustive_enums,
    reason = "who steps the machine by hand wants the compiler's help"
)]
pub enum Action {
    /// Make the traffic so. Before one with `at`, make sure that the store is still at the revision last saved.
    Route {
        /// The traffic.
        traffic: Traffic,
        /// What it is based on; `None` lowers, and waits for nobody.
        at: Option<Version>,
    },
    /// Read the route.
    Observe,
    /// Measure both sides.
    Measure {
        /// What to ask, each after its cursor.
        queries: Arc<[Query]>,
        /// Up to when.
        until: Timestamp,
    },
    /// Ask a gate.
    AskGate {
        /// Which, and about what.
        context: GateContext,
    },
    /// Take our marks off the route.
    Release,
    /// Make the canary large enough and say how much it is ready for.
    Prepare {
        /// How large.
        capacity: Capacity,
    },
    /// Make the new version the stable one.
    Promote {
        /// How.
        how: How,
    },
    /// Make stable what it was before it was promoted.
    Restore {
        /// How it was promoted.
        how: How,
    },
    /// Remove a version that has no traffic any more.
    Retire {
        /// Which side.
        side: Side,
    },
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Route { traffic, .. } => write!(f, "route {} to the canary", traffic.canary),
            Self::Observe => f.write_str("observe the route"),
            Self::Measure { .. } => f.write_str("measure"),
            Self::AskGate { context } => write!(f, "ask gate {}", context.gate),
            Self::Release => f.write_str("take the marks off the route"),
            Self::Prepare { capacity } => {
                write!(f, "make the canary ready for {}", capacity.weight)
            }
            Self::Promote { .. } => f.write_str("make the new version the stable one"),
            Self::Restore { .. } => f.write_str("make the old version the stable one again"),
            Self::Retire { side } => write!(f, "retire {side}"),
        }
    }
}
