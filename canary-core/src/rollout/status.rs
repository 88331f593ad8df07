//! Where a rollout stands, for people to look at.

use serde::{Deserialize, Serialize};

use super::{Phase, Rollout, judge};
use crate::record::{Judgement, Outcome};
use crate::value::{GateName, RolloutId, Timestamp, Weight, millis};

/// Shows where a rollout stands at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Status {
    /// The rollout.
    pub rollout: RolloutId,
    /// The phase's name.
    pub phase: String,
    /// The stage's position, from 0, where it is in one.
    pub stage: Option<usize>,
    /// The stage's name.
    pub stage_name: String,
    /// How many stages there are.
    pub stages: usize,
    /// What the router last accepted for the canary.
    pub weight: Weight,
    /// How much of the stage's hold has been observed, in milliseconds.
    pub held_ms: u64,
    /// How long the hold is, in milliseconds.
    pub hold_ms: u64,
    /// Whether it is paused.
    pub paused: bool,
    /// Whether taking the canary back takes longer than it may.
    pub stuck: bool,
    /// What it waits for.
    pub waiting: Waiting,
    /// The last tick.
    pub last: Option<Judgement>,
    /// How it ended, if it has.
    pub outcome: Option<Outcome>,
}

/// Says what a rollout waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Waiting {
    /// For the router to take on a weight.
    Router,
    /// For observed time: the rest of the hold, in milliseconds.
    Hold(u64),
    /// For a verdict that lets it go on.
    Verdict,
    /// For a gate.
    Gate(GateName),
    /// For somebody to resume it.
    Resume,
    /// For nothing: it is over.
    Nothing,
}

impl Rollout {
    /// Returns where the rollout stands.
    #[must_use]
    pub fn status(&self, now: Timestamp) -> Status {
        let stage = self.state.phase.stage();
        let (held_ms, waiting) = self.waiting(now);
        Status {
            rollout: self.state.id.clone(),
            phase: self.state.phase.name().to_owned(),
            stage,
            stage_name: stage.map_or_else(String::new, |i| self.stage(i).name.clone()),
            stages: self.policy.stages().len(),
            weight: self.state.routed,
            held_ms,
            hold_ms: stage.map_or(0, |i| self.stage(i).hold_ms),
            paused: self.state.paused.is_some(),
            stuck: matches!(self.state.phase, Phase::RollingBack { since, .. }
                if now.since(since) >= self.policy.rollback_within()),
            waiting,
            last: self.state.report.last.clone(),
            outcome: self.outcome().cloned(),
        }
    }

    fn waiting(&self, now: Timestamp) -> (u64, Waiting) {
        let (stage, held_ms, opened, asked) = match self.state.phase {
            Phase::Holding { stage, held_ms, opened, asked } => (stage, held_ms, opened, asked),
            Phase::Entering { held_ms, .. } if self.may_raise(now) => {
                return (held_ms, Waiting::Router);
            }
            Phase::Entering { held_ms, .. } => {
                let paused = self.state.paused.is_some();
                return (held_ms, if paused { Waiting::Resume } else { Waiting::Verdict });
            }
            Phase::Ended { .. } => return (0, Waiting::Nothing),
            _ => return (0, Waiting::Router),
        };
        let stage = self.stage(stage);
        let live =
            !judge::measured_at(&self.policy, self.state.routed) && self.state.paused.is_none();
        let since = if live { millis(now.since(self.state.counted_to)) } else { 0 };
        let held_ms = held_ms.saturating_add(since).min(stage.hold_ms);
        let waiting = match stage.gates.get(opened) {
            _ if self.state.paused.is_some() => Waiting::Resume,
            Some(gate) if asked.is_some() => Waiting::Gate(gate.clone()),
            _ if held_ms < stage.hold_ms => Waiting::Hold(stage.hold_ms - held_ms),
            _ => Waiting::Verdict,
        };
        (held_ms, waiting)
    }
}
