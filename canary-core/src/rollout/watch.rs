//! Looking: measurements, gates that are watched, and the verdicts that follow.

use std::sync::Arc;

use super::flight::{Pending, Slot};
use super::judge::{Guilt, Judged, Look};
use super::{Action, Phase, Rollout};
use crate::policy::Moment;
use crate::ports::{Decision, GateContext};
use crate::record::{CheckResult, Content, Judgement, Reason, Ruling};
use crate::value::{Failure, Measured, Timestamp, millis};

impl Rollout {
    /// Looks at the metrics and at the watched gates when it is time to.
    pub(super) fn look_if_due(&mut self, now: Timestamp) {
        let watching = self.state.phase.goes_forward();
        let Some(due) = self.state.next_tick.filter(|due| watching && *due <= now) else {
            return;
        };
        // A look that is a whole interval late is not made up for.
        let next = due + self.policy.every();
        self.state.next_tick = Some(if next > now { next } else { now + self.policy.every() });
        if self.flight.get(Slot::Measure).is_none() && self.is_measured() {
            let action = Action::Measure { queries: self.state.judge.queries(), until: now };
            let pending = self.run(action, now);
            self.flight.put(Slot::Measure, pending);
        }
        self.ask_watched(now);
    }

    /// Tells whether there is anything to measure now.
    fn is_measured(&self) -> bool {
        self.state.traffic.split().reaches_canary() && self.policy.is_judged()
    }

    fn ask_watched(&mut self, now: Timestamp) {
        if !self.flight.watches() {
            return;
        }
        let policy = Arc::clone(&self.policy);
        for (i, gate) in policy.watched_gates().enumerate() {
            if self.flight.get(Slot::Watched(i)).is_none() {
                let stage = self.stage_name();
                let context = GateContext::new(gate.clone(), Moment::Watch, stage, self.weight());
                let pending = self.run(Action::AskGate { context }, now);
                self.flight.put(Slot::Watched(i), pending);
            }
        }
    }

    /// Takes in what a watched gate said: a no that takes the canary back does so at once.
    pub(super) fn watched_said(
        &mut self,
        gate: usize,
        said: Result<Decision, Failure>,
        now: Timestamp,
    ) {
        // It is asked again with the next look, whatever it said.
        let asked = self.flight.take(Slot::Watched(gate));
        let failures = self.flight.watched_failed(gate, said.is_err());
        if let (Err(failure), Some(asked)) = (&said, asked) {
            self.note_failed(asked.action.to_string(), failures, failure, now);
        }
        let Some(name) = self.policy.watched_gates().nth(gate).cloned() else { return };
        self.state.judge.gate_said(&name, said, now);
        if let Some(result) = self.state.judge.gate_rejects(&self.policy, &name, self.look(), now) {
            return self.roll_back(Reason::Check(result), now);
        }
        let waits =
            |slot: Slot| matches!(slot, Slot::Watched(_)) && self.flight.get(slot).is_some();
        if !self.flight.slots().any(waits) && !self.is_measured() {
            let look = self.look();
            let judged = self.state.judge.judge(&self.policy, look, (&[], now), &[], now);
            self.judged(judged, now);
        }
    }

    pub(super) fn measured(&mut self, answers: &[Result<Measured, Failure>], now: Timestamp) {
        let Some(Pending { action: Action::Measure { queries, until }, .. }) =
            self.flight.take(Slot::Measure)
        else {
            return;
        };
        let look = self.look();
        let judged = self.state.judge.judge(&self.policy, look, (&queries, until), answers, now);
        self.judged(judged, now);
    }

    /// Returns what is looked at: while a stage is entered, still the one that is left.
    fn look(&self) -> Look {
        let last = self.policy.stages().len().saturating_sub(1);
        let stage = match &self.state.phase {
            Phase::Entering { changes: true, .. } => self.state.held,
            Phase::Entering { hold, .. } | Phase::Holding { hold } => hold.stage,
            Phase::Starting { .. } | Phase::Opening { .. } => 0,
            _ => last,
        };
        let left = match &self.state.phase {
            Phase::Holding { hold } | Phase::Entering { hold, changes: false, .. } => {
                let held = std::time::Duration::from_millis(hold.held_ms);
                self.stage(hold.stage).hold().saturating_sub(held)
            }
            _ => std::time::Duration::MAX,
        };
        Look { stage, split: self.state.traffic.split(), left, blind: self.state.blind }
    }

    /// Takes in what a look came to.
    fn judged(&mut self, judged: Judged, now: Timestamp) {
        let Judged { judgement, observed, guilty, asks } = judged;
        let goes_on = judgement.ruling == Ruling::GoOn && self.is_running();
        if let Some(seen) = observed.filter(|seen| goes_on && !seen.is_zero()) {
            self.add_to_hold(millis(seen), now);
        }
        let held_ms = self.state.phase.hold().map_or(0, |hold| hold.held_ms);
        let judgement = Arc::new(Judgement { held_ms, ..judgement });
        match self.state.ledger.merge(&judgement) {
            Some(record) => self.state.report.fold_merged(record, &judgement, now),
            None => self.record(now, Content::Judged(judgement)),
        }
        match guilty {
            Some(Guilt::Check(result)) => self.roll_back(Reason::Check(result), now),
            Some(Guilt::Silence { for_ms, sides }) => {
                self.roll_back(Reason::Silence { for_ms, sides }, now);
            }
            Some(Guilt::Errors { for_ms, check }) => {
                self.roll_back(Reason::SourceFailed { for_ms, check }, now);
            }
            None => self.ask_people(asks, now),
        }
    }

    /// Asks a person about each check that asks. A question stands until it is answered, though the check passes again:
    /// what was wrong for a while is what a person wants to see.
    fn ask_people(&mut self, asks: Vec<CheckResult>, now: Timestamp) {
        for check in asks {
            if !self.state.questions.contains(&check.check) {
                self.state.questions.push(check.check.clone());
                self.record(now, Content::Asked { check });
            }
        }
    }

    pub(super) fn stage_name(&self) -> String {
        self.state.phase.stage().map_or_else(String::new, |stage| self.stage(stage).name.clone())
    }
}
