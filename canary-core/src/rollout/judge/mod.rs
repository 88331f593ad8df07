//! Turns measurements into a verdict of each check, and these into a ruling.
//!
//! The judge keeps the cursors, so that no request is counted twice, and what its checks must remember: the
//! last stretch of covered time, the evidence, the stage's own sums, and how often each has failed.

mod ab;
mod applies;
mod compile;
mod counted;
mod gates;
mod history;
mod look;
mod memory;
mod metered;
mod pass;
mod plan;
mod ranks;
mod remember;
mod shown;
mod sight;
mod tally;
mod tracks;
mod verdicts;
mod weigh;

pub(super) use applies::{judged_at, measured_at};
pub(super) use look::{Guilt, Judged, Look};

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::policy::{Check, CheckKind, HARD_LIMIT, Policy, Then, Tolerance};
use crate::ports::Decision;
use crate::record::{CheckResult, Finding, Verdict};
use crate::rollout::CheckEvidence;
use crate::value::{Counts, Failure, GateName, Query, Split, Timestamp};
use gates::Word;
use history::History;
use memory::Memory;
use plan::{Plan, delay};
use ranks::Ranks;
use sight::Sight;
use tally::Tally;
use tracks::{State, Track};
use weigh::{Acquittal, Weighing};

/// Remembers what the checks need from look to look.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Judge {
    /// What is measured at each look, the requests first.
    tracks: Vec<Track>,
    histories: Vec<History>,
    gathered: Vec<Tally>,
    evidence: Vec<Weighing>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    as_good: Vec<Acquittal>,
    /// The canary's requests of the stage that each objective has seen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    objectives: Vec<Counts>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    ranks: Vec<Ranks>,
    /// What each comparison at the end of this stage came to.
    abs: Vec<Option<(Verdict, Finding)>>,
    gates: Vec<Word>,
    hard_limit: Memory,
    /// One for each check.
    checks: Vec<Memory>,
    /// The stage that was entered and not looked at yet: until then nothing is counted for it.
    entered: Option<usize>,
    /// Whether all of that lets the rollout go on.
    passing: bool,
    /// When that was last looked at.
    #[serde(default)]
    looked: Option<Timestamp>,
    /// Up to when all signals that a check needs were covered.
    covered_to: Timestamp,
    /// By how much the source is behind at its best, in milliseconds.
    lag_ms: Option<u64>,
    #[serde(skip)]
    work: Work,
}

/// Holds what follows from the policy, and memory that is used at each look: nothing of a rollout's state.
#[derive(Clone, Debug, Default)]
struct Work {
    plan: Option<Arc<Plan>>,
    /// What became of each query.
    states: Vec<State>,
    /// Which checks are looked at.
    active: Vec<bool>,
    /// What people are shown of the evidence, once anybody asks after a look.
    shown: OnceLock<Arc<[CheckEvidence]>>,
}

impl PartialEq for Work {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// Returns what is asked of metric sources under a policy, the requests first; each query begins with the epoch.
#[must_use]
pub fn queries(policy: &Policy) -> Vec<Query> {
    Plan::of(policy).queries
}

impl Judge {
    pub(super) fn new(policy: &Policy, now: Timestamp) -> Self {
        let plan = Plan::of(policy);
        Self {
            tracks: plan.queries.iter().map(|query| Track::new(query, now)).collect(),
            histories: vec![History::default(); plan.histories.len()],
            gathered: vec![Tally::default(); plan.gathered.len()],
            evidence: vec![Weighing::default(); plan.evidence.len()],
            as_good: vec![Acquittal::default(); plan.as_good.len()],
            objectives: vec![Counts::default(); plan.objectives.len()],
            ranks: vec![Ranks::default(); plan.ranks.len()],
            abs: vec![None; plan.abs.len()],
            gates: plan.gates.iter().map(Word::none_of).collect(),
            hard_limit: Memory::default(),
            checks: vec![Memory::default(); policy.checks().len()],
            entered: None,
            passing: false,
            looked: None,
            covered_to: now,
            lag_ms: None,
            work: Work { plan: Some(Arc::new(plan)), ..Work::default() },
        }
    }

    /// Tells whether the memory fits the policy's checks.
    pub(super) fn fits(&self, policy: &Policy) -> bool {
        let fresh = Self::new(policy, Timestamp::EPOCH);
        let asked =
            |query: &Query| (query.signal.clone(), query.source.clone(), query.text.clone());
        let queries =
            |judge: &Self| judge.tracks.iter().map(|t| asked(&t.query)).collect::<Vec<_>>();
        let gates = |judge: &Self| judge.gates.iter().map(|w| w.gate.clone()).collect::<Vec<_>>();
        let lengths = |judge: &Self| {
            let Self { histories, gathered, evidence, as_good, objectives, .. } = judge;
            let Self { abs, ranks, checks, .. } = judge;
            let counted = [as_good.len(), objectives.len(), abs.len()];
            let weighed = (evidence.len(), counted, ranks.len());
            (histories.len(), gathered.len(), weighed, checks.len())
        };
        lengths(self) == lengths(&fresh)
            && queries(self) == queries(&fresh)
            && gates(self) == gates(&fresh)
    }

    fn plan(&self, policy: &Policy) -> Arc<Plan> {
        self.work.plan.as_ref().map_or_else(|| Arc::new(Plan::of(policy)), Arc::clone)
    }

    pub(super) fn queries(&self) -> Arc<[Query]> {
        self.tracks.iter().map(|track| track.query.clone()).collect()
    }

    /// Counts nothing up to `from`: the weight has changed, and the mesh needs a moment to follow.
    pub(super) fn skip_to(&mut self, from: Timestamp) {
        self.tracks.iter_mut().for_each(|track| track.skip_to(from));
        self.checks.iter_mut().for_each(Memory::forget_standing);
        self.hard_limit.forget_standing();
        self.covered_to = self.covered_to.max(from);
        self.passing = false;
        self.lag_ms = None;
    }

    /// Gives back the time in which nobody looked.
    pub(super) fn stood_for(&mut self, time: Duration, now: Timestamp) {
        self.checks.iter_mut().for_each(|memory| memory.stood_for(time, now));
        self.hard_limit.stood_for(time, now);
    }

    /// Begins a stage: from the first look at it on, what is counted for it alone begins anew, and nothing is
    /// excused any more. Looks at the stage before, while the weight is asked for, are that one's.
    pub(super) const fn enter_stage(&mut self, stage: usize) {
        self.entered = Some(stage);
    }

    /// Brings the stage's end near: where anything is judged there, the last look says nothing of it.
    pub(super) fn end_stage(&mut self, policy: &Policy) {
        let at_end = |check: &Check| {
            matches!(
                check.kind,
                CheckKind::Ab { .. }
                    | CheckKind::MannWhitney { .. }
                    | CheckKind::AsGoodAsStable { .. }
            )
        };
        self.passing &= !policy.checks().iter().any(at_end);
    }

    fn begin_if_entered(&mut self, stage: usize) {
        if self.entered == Some(stage) {
            self.entered = None;
            self.tracks.iter_mut().for_each(|track| track.stage = Tally::default());
            self.abs.fill(None);
            self.objectives.fill(Counts::default());
            self.ranks.fill(Ranks::default());
            self.checks.iter_mut().for_each(Memory::enter_stage);
            self.hard_limit.enter_stage();
        }
    }

    /// Remembers a watched gate's last word.
    pub(super) fn gate_said(
        &mut self,
        gate: &GateName,
        said: Result<Decision, Failure>,
        at: Timestamp,
    ) {
        if let Some(word) = self.gates.iter_mut().find(|word| word.gate == *gate) {
            word.say(said, at);
        }
    }

    /// Returns the check that takes the canary back at once because of this gate's last word: one of just that
    /// gate, that bears no failure.
    pub(super) fn gate_rejects(
        &self,
        policy: &Policy,
        gate: &GateName,
        Look { split, .. }: Look,
        now: Timestamp,
    ) -> Option<CheckResult> {
        let bears = |check: &Check| {
            let Tolerance { failures, in_a_row, .. } = check.tolerance;
            failures.is_some() || in_a_row.is_some()
        };
        let at_once = |(check, memory): &(&Check, &Memory)| {
            matches!(&check.kind, CheckKind::Gate { gate: of } if of == gate)
                && check.is_binding()
                && check.then == Then::RollBack
                && check.applies_at(split)
                && !bears(check)
                && !memory.excused
                && memory.has_begun(delay(check), now)
        };
        let (check, _) = policy.checks().iter().zip(&self.checks).find(at_once)?;
        let word = self.gates.iter().find(|word| word.gate == *gate);
        let (verdict, finding) = gates::judge(word, now, fresh(policy));
        (verdict == Verdict::Fail)
            .then(|| CheckResult::new(Arc::clone(&check.name), verdict, check.then, finding))
    }

    /// Tells whether the last look was passing and is no older than a gate's word may be, for a weight at which gates
    /// alone are looked at.
    pub(super) fn gates_pass(&self, policy: &Policy, now: Timestamp) -> bool {
        self.passing && self.looked.is_some_and(|looked| now.since(looked) <= fresh(policy))
    }

    /// Lets a check only warn for the rest of the stage; false if there is none of this name.
    pub(super) fn excuse(&mut self, policy: &Policy, check: &str) -> bool {
        let named = policy.checks().iter().zip(&mut self.checks).find(|(c, _)| *c.name == *check);
        let memory = match named {
            Some((_, memory)) => Some(memory),
            None => (check == HARD_LIMIT && policy.hard_limit()).then_some(&mut self.hard_limit),
        };
        memory.map(|memory| memory.excused = true).is_some()
    }

    /// Tells whether what was last seen was passing and does not lie too far back: two intervals, and what the
    /// source is always behind, up to what the policy allows.
    pub(super) fn is_passing(&self, policy: &Policy, now: Timestamp) -> bool {
        let lag = Duration::from_millis(self.lag_ms.unwrap_or(0)).min(policy.lag());
        self.passing && now.since(self.covered_to) <= fresh(policy).saturating_add(lag)
    }

    /// Shows what is remembered, with nothing measured.
    fn sight<'a>(
        &'a self,
        policy: &Policy,
        plan: &'a Plan,
        split: Split,
        now: Timestamp,
    ) -> Sight<'a> {
        Sight {
            plan,
            split,
            now,
            fresh: fresh(policy),
            at_end: false,
            at_last_end: false,
            nothing_new: false,
            answers: &[],
            states: &[],
            tracks: &self.tracks,
            histories: &self.histories,
            gathered: &self.gathered,
            evidence: &self.evidence,
            as_good: &self.as_good,
            objectives: &self.objectives,
            ranks: &self.ranks,
            abs: &self.abs,
            gates: &self.gates,
        }
    }
}

/// Returns how old what was last learnt may be.
fn fresh(policy: &Policy) -> Duration {
    policy.every().saturating_mul(2)
}

#[cfg(test)]
mod tests;
