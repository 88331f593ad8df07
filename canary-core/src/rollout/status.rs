//! Where a rollout stands, for people to look at.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Hold, Phase, Rollout, flight};
use crate::record::{Grounds, Judgement, Odds, Outcome, Ruling, Unweighed};
use crate::value::{BySide, Counts, GateName, RolloutId, Span, Timestamp, Weight, millis};

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
    /// What the canary is known to get.
    #[serde(rename = "weight_bp")]
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
    pub last: Option<Arc<Judgement>>,
    /// What the checks that weigh evidence have come to.
    #[serde(default)]
    pub evidence: Arc<[CheckEvidence]>,
    /// How it ended, if it has.
    pub outcome: Option<Outcome>,
}

/// Shows what a check has weighed so far, and between which ratios the error rates lie.
///
/// The numbers of the last look with those of all looks before it: a person may look at them as often as they
/// like.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CheckEvidence {
    /// The check.
    pub check: Arc<str>,
    /// Requests that were weighed by whether they failed; `None` where latency alone is weighed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<BySide<Counts>>,
    /// Why latency, which should be weighed, is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unweighed: Option<Unweighed>,
    /// The odds against the canary.
    pub odds: f64,
    /// The odds that convict.
    pub needed: f64,
    /// What a person wants to know of it.
    pub grounds: Grounds,
}

/// Says what a rollout waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Waiting {
    /// For the router to take on a weight.
    Router,
    /// For observed time: the rest of the hold, in milliseconds.
    #[serde(rename = "hold_ms")]
    Hold(u64),
    /// For a verdict that lets it go on.
    Verdict,
    /// For the stage's own requests to show what they must, in words.
    Pass(String),
    /// For a gate.
    Gate(GateName),
    /// For a person to say what to do about a check.
    Question(String),
    /// For the canary to become ready, and what that waits for.
    Canary(String),
    /// For what runs the versions, and what that waits for; empty until it has said so.
    Workload(String),
    /// For the store, which fails: what comes next must be saved before it is done.
    Store,
    /// For the time for which the old version is kept, in milliseconds.
    #[serde(rename = "keep_ms")]
    Keep(u64),
    /// For somebody to resume it.
    Resume,
    /// For nothing: it is over.
    Nothing,
}

/// Writes one line: `shop-42: stage 3 of 5 (tenth) at 10%, 12 min 40 s of 30 min held; waits for gate oncall`.
impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.rollout)?;
        if let Some(outcome) = &self.outcome {
            return outcome.fmt(f);
        }
        match self.stage {
            Some(stage) => {
                write!(f, "stage {} of {} ({})", stage + 1, self.stages, self.stage_name)?;
            }
            None => f.write_str(&self.phase.replace('_', " "))?,
        }
        write!(f, " at {}", self.weight)?;
        if self.hold_ms > 0 {
            write!(f, ", {} of {} held", Span(self.held_ms), Span(self.hold_ms))?;
        }
        if self.stuck {
            f.write_str(", STUCK: the canary cannot be taken back")?;
        }
        match (&self.waiting, self.last.as_ref().map(|last| last.ruling)) {
            (Waiting::Hold(ms), Some(Ruling::Hold)) => {
                write!(f, "; the clock stands with {} to go", Span(*ms))
            }
            (waiting, _) => write!(f, "; {waiting}"),
        }
    }
}

/// Writes what goes on: `waits for gate oncall`, `holds for another 12 min`.
impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Router => f.write_str("waits for the router"),
            Self::Hold(ms) => write!(f, "holds for another {}", Span(*ms)),
            Self::Verdict => f.write_str("waits for the checks to pass"),
            Self::Pass(unmet) => write!(f, "waits for what the stage must show: {unmet}"),
            Self::Gate(gate) => write!(f, "waits for gate {gate}"),
            Self::Question(check) => {
                write!(f, "waits for a person to say what to do about {check}")
            }
            Self::Canary(why) => write!(f, "waits for the canary to be ready: {why}"),
            Self::Workload(why) if why.is_empty() => {
                f.write_str("waits for what runs the versions")
            }
            Self::Workload(why) => write!(f, "waits for what runs the versions: {why}"),
            Self::Store => f.write_str("waits for the store, which fails"),
            Self::Keep(ms) => write!(f, "keeps the old version for another {}", Span(*ms)),
            Self::Resume => f.write_str("paused until somebody resumes it"),
            Self::Nothing => f.write_str("is over"),
        }
    }
}

/// Writes `ratio 1.2 (0.4 – 3.1), evidence 1.3 : 1, takes 100 : 1`; where latency is weighed, how slow each side is
/// comes first.
impl fmt::Display for CheckEvidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(slow) = self.grounds.slow {
            write!(f, "{slow}, ")?;
        }
        if let Some(ratio) = self.grounds.ratio {
            write!(f, "ratio {ratio}, ")?;
        }
        write!(f, "evidence {}, takes {}", Odds(self.odds), Odds(self.needed))?;
        self.unweighed.iter().try_for_each(|why| write!(f, "; {why}"))
    }
}

impl Rollout {
    /// Returns where the rollout stands.
    #[must_use]
    pub fn status(&self, now: Timestamp) -> Status {
        let stage = self.state.phase.stage();
        Status {
            rollout: self.state.id.clone(),
            phase: self.state.phase.name().to_owned(),
            stage,
            stage_name: self.stage_name(),
            stages: self.policy.stages().len(),
            weight: self.weight(),
            held_ms: self.held_ms(now),
            hold_ms: stage.map_or(0, |i| self.stage(i).hold_ms),
            paused: !self.is_running(),
            stuck: matches!(self.state.phase, Phase::RollingBack { since, .. }
                if now.since(since) >= self.policy.rollback_within()),
            waiting: self.waiting(now),
            last: self.state.report.last.clone(),
            evidence: self.state.judge.shown(&self.policy),
            outcome: self.outcome().cloned(),
        }
    }

    fn held_ms(&self, now: Timestamp) -> u64 {
        match &self.state.phase {
            Phase::Entering { hold, .. } => hold.held_ms,
            Phase::Holding { hold } => {
                let live = self.counts_live(now);
                let since = if live { millis(now.since(self.state.counted_to)) } else { 0 };
                hold.held_ms.saturating_add(since).min(self.stage(hold.stage).hold_ms)
            }
            _ => 0,
        }
    }

    fn waiting(&self, now: Timestamp) -> Waiting {
        let forward = self.state.phase.goes_forward();
        if forward && !self.is_running() {
            return Waiting::Resume;
        }
        if let Some(question) = self.state.questions.first().filter(|_| forward) {
            return Waiting::Question(question.to_string());
        }
        if let Some(ask) = self.asked() {
            return Waiting::Gate(ask.gate.clone());
        }
        if self.waits_for_store() {
            return Waiting::Store;
        }
        if let Some((_, why)) = self.waits_for_canary(now).filter(|_| forward) {
            return Waiting::Canary(why.to_owned());
        }
        match &self.state.phase {
            Phase::Ended { .. } => Waiting::Nothing,
            Phase::Retiring { due, .. } if now < *due => Waiting::Keep(millis(due.since(now))),
            Phase::Retiring { .. } | Phase::Promoting { replaced: false } if self.is_routed() => {
                Waiting::Workload(self.flight.work_waits.clone())
            }
            Phase::RollingBack { emptied, .. } if *emptied || self.restores_first() => {
                Waiting::Workload(self.flight.work_waits.clone())
            }
            Phase::Entering { hold, .. }
                if !self.may_route(&self.policy.traffic(hold.stage), now) =>
            {
                Waiting::Verdict
            }
            Phase::Closing { .. } if !self.may_leave(now) => Waiting::Verdict,
            Phase::Holding { hold } => self.waiting_in(hold, now),
            _ => Waiting::Router,
        }
    }

    /// Tells whether something is held back until it is saved, and saving fails.
    fn waits_for_store(&self) -> bool {
        let ledger = &self.state.ledger;
        ledger.is_failing()
            && self.flight.calls().any(|call| match call.status {
                flight::Status::Held { rev } => !ledger.is_saved(rev),
                _ => false,
            })
    }

    fn waiting_in(&self, hold: &Hold, now: Timestamp) -> Waiting {
        let (held_ms, hold_ms) = (self.held_ms(now), self.stage(hold.stage).hold_ms);
        if held_ms < hold_ms {
            return Waiting::Hold(hold_ms - held_ms);
        }
        match self.state.judge.passed(&self.policy, hold.stage) {
            Err(unmet) if !hold.waived => Waiting::Pass(unmet.to_string()),
            _ => Waiting::Verdict,
        }
    }
}
