//! What happens to a rollout.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ports::{Applied, Decision, Observed, Progress, Readiness};
#[cfg(any(feature = "driver", feature = "simulate"))]
use crate::value::FailureKind;
use crate::value::{Actor, CommandId, EffectId, Failure, GateName, Measured, StageRef, Timestamp};

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
    /// The route was looked at without being asked: by a watch, or every now and then.
    Observed {
        /// How it is.
        observed: Observed,
        /// When the look began: the route may have been changed by us since.
        began: Timestamp,
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
    /// To `Prepare`.
    Prepared(Result<Readiness, Failure>),
    /// To `Promote`, `Restore` and `Retire`.
    Progressed(Result<Progress, Failure>),
}

impl Reply {
    /// Tells whether the call failed because another holder has the rollout.
    #[cfg(any(feature = "driver", feature = "simulate"))]
    pub(crate) fn is_fenced(&self) -> bool {
        let failure = match self {
            Self::Applied(answer) => answer.as_ref().err(),
            Self::Observed(answer) => answer.as_ref().err(),
            Self::Decided(answer) => answer.as_ref().err(),
            Self::Released(answer) => answer.as_ref().err(),
            Self::Prepared(answer) => answer.as_ref().err(),
            Self::Progressed(answer) => answer.as_ref().err(),
            // A source knows of no holder.
            Self::Measured(_) => None,
        };
        failure.is_some_and(|failure| failure.kind == FailureKind::Fenced)
    }
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
    /// The stage that it means; `None` for the one that it finds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<StageRef>,
}

impl Command {
    /// Puts a command together.
    #[must_use]
    pub const fn new(id: CommandId, actor: Actor, kind: CommandKind) -> Self {
        Self { id, actor, kind, stage: None }
    }

    /// Means this stage: in any other the command changes nothing.
    #[must_use]
    pub fn at(mut self, stage: StageRef) -> Self {
        self.stage = Some(stage);
        self
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
    /// Open a gate that waits for approval, or go on in spite of a check that asks.
    Approve {
        /// The gate, or the check by its name.
        gate: GateName,
    },
    /// Close a gate that waits for approval for good, or say that a check that asks is right: the canary is taken back.
    Reject {
        /// The gate, or the check by its name.
        gate: GateName,
        /// Why.
        reason: String,
    },
    /// Take the rest of the stage's hold, and what it must show, as done: what comes next is asked and judged as
    /// ever. The command must name the stage that it means.
    Advance,
    /// Give the canary all of the traffic now, whatever checks and gates say; the last stage's hold, the bake and
    /// their gates follow.
    PromoteFull,
    /// Start over from the first stage; what was learnt of the canary is kept. Where a version is only kept for a
    /// while, it goes now.
    Retry,
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
            Self::Reject { gate, reason } => write!(f, "reject {gate} ({reason})"),
            Self::Advance => f.write_str("advance"),
            Self::PromoteFull => f.write_str("promote fully"),
            Self::Retry => f.write_str("retry"),
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
    /// It means a stage that the rollout is not in; nothing changed.
    Late {
        /// The stage that it is in.
        stage: StageRef,
    },
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
            Self::Late { stage } => write!(f, "too late or too early: the rollout is in {stage}"),
            Self::Impossible { why } => write!(f, "not possible: {why}"),
        }
    }
}
