//! What people and bots ask of a rollout.

use std::sync::Arc;

use super::flight::{Pending, Slot};
use super::{Answer, Command, CommandKind, Effect, Phase, Rollout};
use crate::policy::GateKind;
use crate::record::{Content, Outcome, Reason};
use crate::value::{Actor, GateName, StageRef, Timestamp, Window};

/// How many commands are remembered, so that a repeat is known as one.
const REMEMBERED: usize = 32;

/// What a command comes to: its answer, and why the canary is taken back where it is.
type Verdict = (Answer, Option<Reason>);

impl Rollout {
    /// Carries out a command and answers it.
    pub(super) fn commanded(&mut self, command: Command, now: Timestamp) {
        let Command { id, actor, kind, stage } = command;
        if let Some((_, answer)) = self.state.commands.iter().find(|(known, _)| *known == id) {
            // One that is not durable yet is answered when it is.
            if !self.state.ledger.owes(&id) {
                let answer = answer.clone();
                self.effects.push(Effect::Answer { command: id, answer });
            }
            return;
        }
        if let Phase::Ended { outcome } = &self.state.phase {
            let answer = Answer::impossible(format!("the rollout is over: {outcome}"));
            return self.effects.push(Effect::Answer { command: id, answer });
        }
        let text = kind.to_string();
        let (answer, back) = match self.too_late(&kind, stage.as_ref()) {
            Some(answer) => (answer, None),
            None => self.carry_out(kind, stage.as_ref(), &actor, now),
        };
        self.record(
            now,
            Content::Commanded { id: id.clone(), actor, command: text, answer: answer.to_string() },
        );
        if let Some(reason) = back {
            self.roll_back(reason, now);
        }
        if self.state.commands.len() == REMEMBERED {
            self.state.commands.pop_front();
        }
        self.state.commands.push_back((id.clone(), answer.clone()));
        // It has taken effect; that it stays so after a crash is known once it is saved.
        self.state.ledger.answer(id, answer);
    }

    /// Answers a command that means another stage; an abort means the rollout, whatever stage it names.
    fn too_late(&self, kind: &CommandKind, stage: Option<&StageRef>) -> Option<Answer> {
        let stage = stage.filter(|_| !matches!(kind, CommandKind::Abort { .. }))?;
        let stages = self.policy.stages().iter().map(|stage| stage.name.as_str());
        let places = [StageRef::START, StageRef::PROMOTION];
        if !places.contains(stage) && !stages.clone().any(|known| known == stage.as_str()) {
            let known: Vec<&str> = stages.collect();
            let why = format!("there is no stage {stage}; stages are: {}", known.join(", "));
            return Some(Answer::impossible(why));
        }
        let here = self.state.phase.place(|stage| self.stage(stage).name.clone());
        (*stage != here).then_some(Answer::Late { stage: here })
    }

    fn carry_out(
        &mut self,
        kind: CommandKind,
        stage: Option<&StageRef>,
        actor: &Actor,
        now: Timestamp,
    ) -> Verdict {
        if let CommandKind::Abort { reason } = kind {
            return self.abort(reason, actor);
        }
        if let (CommandKind::Retry, Phase::Retiring { due, .. }) = (&kind, &mut self.state.phase) {
            *due = (*due).min(now);
            return (Answer::Done, None);
        }
        if !self.state.phase.goes_forward() {
            let why = match &self.state.phase {
                Phase::RollingBack { .. } => "the canary is being taken back",
                _ => "the rollout is about to end",
            };
            return (Answer::impossible(why), None);
        }
        match kind {
            CommandKind::Pause => (self.pause(now), None),
            CommandKind::Resume => (self.resume(now), None),
            CommandKind::Approve { gate } => (self.approve(&gate, actor, now), None),
            CommandKind::Reject { gate, reason } => self.reject(gate, reason, actor),
            CommandKind::Advance => (self.waive(stage, now), None),
            CommandKind::PromoteFull => (self.promote_full(now), None),
            CommandKind::Retry => (self.start_over(now), None),
            CommandKind::Abort { .. } => (Answer::Already, None),
        }
    }

    fn abort(&self, reason: String, actor: &Actor) -> Verdict {
        match &self.state.phase {
            Phase::RollingBack { .. }
            | Phase::Retiring { outcome: Outcome::RolledBack { .. }, .. }
            | Phase::Releasing { outcome: Outcome::RolledBack { .. } } => (Answer::Already, None),
            Phase::Releasing { .. } if self.state.workload => {
                (Answer::impossible("the old version is gone"), None)
            }
            _ if self.old_is_going() => (Answer::impossible("the old version is going"), None),
            _ => (Answer::Done, Some(Reason::Aborted { actor: actor.clone(), reason })),
        }
    }

    fn pause(&mut self, now: Timestamp) -> Answer {
        if !self.is_running() {
            return Answer::Already;
        }
        let replaces = |work: &Pending| work.is_running() || work.attempt > 1;
        if matches!(self.state.phase, Phase::Promoting { replaced: false })
            && self.flight.get(Slot::Work).is_some_and(replaces)
        {
            return Answer::impossible("stable is being replaced");
        }
        self.state.paused = Some(now);
        self.stop_raising();
        Answer::Done
    }

    fn resume(&mut self, now: Timestamp) -> Answer {
        let Some(since) = self.state.paused.take() else { return Answer::Already };
        self.nobody_looked(Window::new(since, now));
        self.stood_for(now.since(since), now);
        self.moved(now);
        if matches!(self.state.phase, Phase::Opening { .. } | Phase::Entering { .. }) {
            self.ready_anew();
        }
        if self.state.drifted {
            // Who resumes means what was there before: without it there may be nothing to judge.
            self.state.restores = !self.state.confirmed.is_within(&self.state.traffic);
            self.put_back(now);
        }
        Answer::Done
    }

    /// Opens a gate that waits for a person, or lets the rollout go on in spite of a check that asks.
    fn approve(&mut self, name: &GateName, actor: &Actor, now: Timestamp) -> Answer {
        if let Some(check) = self.question(name) {
            self.state.questions.retain(|question| *question != check);
            self.state.judge.excuse(&self.policy, &check);
            self.moved(now);
            self.record(now, Content::Excused { check, by: actor.clone() });
            return Answer::Done;
        }
        match self.waits_for(name) {
            Ok(()) => {
                self.open_gate(Some(actor.clone()), now);
                Answer::Done
            }
            Err(answer) => answer,
        }
    }

    fn reject(&self, name: GateName, reason: String, actor: &Actor) -> Verdict {
        if self.question(&name).is_none()
            && let Err(answer) = self.waits_for(&name)
        {
            return (answer, None);
        }
        (Answer::Done, Some(Reason::Rejected { actor: actor.clone(), gate: name, reason }))
    }

    /// Returns the check of this name about which a person is asked.
    fn question(&self, name: &GateName) -> Option<Arc<str>> {
        self.state.questions.iter().find(|question| ***question == *name.as_str()).cloned()
    }

    /// Tells whether a person is waited for at this gate.
    fn waits_for(&self, gate: &GateName) -> Result<(), Answer> {
        if !self.policy.gates().any(|known| known == gate) {
            let known: Vec<&str> = self.policy.gates().map(GateName::as_str).collect();
            let why = format!("nobody asks about {gate}; gates are: {}", known.join(", "));
            return Err(Answer::impossible(why));
        }
        match self.asked() {
            None => Err(Answer::impossible(format!("gate {gate} is not being asked"))),
            Some(ask) if ask.gate != *gate => {
                Err(Answer::impossible(format!("gate {} is being asked, not {gate}", ask.gate)))
            }
            Some(_) if self.policy.gate(gate).kind != GateKind::Approval => {
                Err(Answer::impossible(format!("gate {gate} is no approval: it decides by itself")))
            }
            Some(_) => Ok(()),
        }
    }

    /// Takes the rest of a stage as done.
    fn waive(&mut self, stage: Option<&StageRef>, now: Timestamp) -> Answer {
        if stage.is_none() {
            return Answer::impossible("it must name the stage that it means");
        }
        let policy = Arc::clone(&self.policy);
        let Phase::Holding { hold } = &mut self.state.phase else {
            return Answer::impossible("no stage is being held");
        };
        let whole = policy.stages().get(hold.stage).map_or(0, |stage| stage.hold_ms);
        if hold.waived || hold.gates.since.is_some() {
            return Answer::Already;
        }
        hold.waived = true;
        hold.held_ms = hold.held_ms.max(whole);
        // What is judged at a stage's end is judged all the same.
        self.state.judge.end_stage(&policy);
        self.moved(now);
        Answer::Done
    }

    fn promote_full(&mut self, now: Timestamp) -> Answer {
        let full = self.policy.full_stage();
        let there = match &self.state.phase {
            Phase::Entering { hold, forced, .. } => hold.stage > full || *forced,
            Phase::Holding { hold } => hold.stage >= full,
            Phase::Promoting { .. } | Phase::Closing { .. } => true,
            _ => false,
        };
        if there {
            return Answer::Already;
        }
        self.resume(now);
        self.enter_forced(full, true, now);
        Answer::Done
    }

    fn start_over(&mut self, now: Timestamp) -> Answer {
        match &self.state.phase {
            Phase::Entering { .. } | Phase::Holding { .. } => {
                self.resume(now);
                self.enter_forced(self.state.first, false, now);
                Answer::Done
            }
            Phase::Starting { .. } | Phase::Opening { .. } => {
                self.hurry(now);
                Answer::Done
            }
            _ => Answer::impossible("the new version is becoming the stable one"),
        }
    }
}
