//! What happens to a rollout.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ports::{Applied, Decision, Observed};
use crate::value::{Actor, CommandId, EffectId, Failure, GateName, Measured};

/// Tells the machine what happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(
    clippy::exhaustive_enums,
    reason = "who steps the machine by hand wants the compiler's help"
)]
pub enum Event {
    /// A new holder has taken the rollout over from its snapshot; the first event after
    /// [`Rollout::restore`](super::Rollout::restore).
    Restored,
    /// Time has passed: send it at [`Rollout::deadline`](super::Rollout::deadline).
    Tick,
    /// The answer to [`Effect::Persist`](super::Effect::Persist).
    Persisted {
        /// The state that was to be saved.
        rev: u64,
        /// Whether it is durable now.
        result: Result<(), Failure>,
    },
    /// The answer to [`Effect::Run`](super::Effect::Run).
    Reply {
        /// The effect.
        id: EffectId,
        /// The try that it answers.
        attempt: u32,
        /// What came of it.
        reply: Reply,
    },
    /// Somebody wants something.
    Command(Command),
}

/// Answers an action.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::exhaustive_enums, reason = "there is one for each action")]
pub enum Reply {
    /// To `Route`.
    Applied(Result<Applied, Failure>),
    /// To `Observe`.
    Observed(Result<Observed, Failure>),
    /// To `Measure`: one answer for each query.
    Measured(Vec<Result<Measured, Failure>>),
    /// To `AskGate`.
    Decided(Result<Decision, Failure>),
    /// To `Release`.
    Released(Result<(), Failure>),
}

/// Asks a rollout for something; a repeat of the same id does nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Command {
    /// Tells a repeat from a new command.
    pub id: CommandId,
    /// Who gives it.
    pub actor: Actor,
    /// What is asked for.
    pub kind: CommandKind,
}

impl Command {
    /// Puts a command together.
    #[must_use]
    pub const fn new(id: CommandId, actor: Actor, kind: CommandKind) -> Self {
        Self { id, actor, kind }
    }
}

/// Says what is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CommandKind {
    /// Weight and clock stand; checks go on, and may still take the canary back.
    Pause,
    /// Go on.
    Resume,
    /// Open a gate that waits for approval.
    Approve {
        /// The gate.
        gate: GateName,
    },
    /// Take the canary back.
    Abort {
        /// Why.
        reason: String,
    },
}

impl fmt::Display for CommandKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pause => f.write_str("pause"),
            Self::Resume => f.write_str("resume"),
            Self::Approve { gate } => write!(f, "approve {gate}"),
            Self::Abort { reason } => write!(f, "abort ({reason})"),
        }
    }
}

/// Answers a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Answer {
    /// It is done, or under way.
    Done,
    /// It was so already.
    Already,
    /// It cannot be done now; nothing changed.
    Impossible {
        /// Why not.
        why: String,
    },
}

impl Answer {
    pub(super) fn impossible(why: impl Into<String>) -> Self {
        Self::Impossible { why: why.into() }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("done"),
            Self::Already => f.write_str("it is so already"),
            Self::Impossible { why } => write!(f, "not possible: {why}"),
        }
    }
}
