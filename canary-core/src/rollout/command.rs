//! What people and bots ask of a rollout.

use super::{Answer, Command, CommandKind, Effect, Phase, Rollout};
use crate::policy::GateKind;
use crate::record::{Content, Outcome, Reason};
use crate::value::{Actor, GateName, Timestamp, Window};

/// How many commands are remembered, so that a repeat is known as one.
const REMEMBERED: usize = 32;

impl Rollout {
    /// Carries out a command and answers it.
    pub(super) fn commanded(&mut self, command: Command, now: Timestamp) {
        let Command { id, actor, kind, stage: _ } = command;
        if let Some((_, answer)) = self.state.commands.iter().find(|(known, _)| *known == id) {
            let answer = answer.clone();
            return self.effects.push(Effect::Answer { command: id, answer });
        }
        if let Phase::Ended { outcome } = &self.state.phase {
            let answer = Answer::impossible(format!("the rollout is over: {outcome}"));
            return self.effects.push(Effect::Answer { command: id, answer });
        }
        let text = kind.to_string();
        let (answer, abort) = match kind {
            CommandKind::Pause => (self.pause(now), None),
            CommandKind::Resume => (self.resume(now), None),
            CommandKind::Approve { gate } => (self.approve(&gate, &actor, now), None),
            CommandKind::Reject { .. }
            | CommandKind::Advance
            | CommandKind::PromoteFull
            | CommandKind::Retry => (Answer::impossible("not yet"), None),
            CommandKind::Abort { reason } => match self.state.phase {
                Phase::RollingBack { .. }
                | Phase::Releasing { outcome: Outcome::RolledBack { .. } } => {
                    (Answer::Already, None)
                }
                _ => (Answer::Done, Some(Reason::Aborted { actor: actor.clone(), reason })),
            },
        };
        self.record(
            now,
            Content::Commanded { id: id.clone(), actor, command: text, answer: answer.to_string() },
        );
        if let Some(reason) = abort {
            self.roll_back(reason, now);
        }
        if self.state.commands.len() == REMEMBERED {
            self.state.commands.pop_front();
        }
        self.state.commands.push_back((id.clone(), answer.clone()));
        // It has taken effect; that it stays so after a crash is known once it is saved.
        self.state.ledger.answer(id, answer);
    }

    fn pause(&mut self, now: Timestamp) -> Answer {
        match &self.state.phase {
            _ if self.state.paused.is_some() => Answer::Already,
            Phase::RollingBack { .. } => Answer::impossible("the canary is being taken back"),
            Phase::Releasing { .. } => Answer::impossible("the rollout is about to end"),
            _ => {
                self.state.paused = Some(now);
                Answer::Done
            }
        }
    }

    fn resume(&mut self, now: Timestamp) -> Answer {
        let Some(since) = self.state.paused.take() else { return Answer::Already };
        self.nobody_looked(Window::new(since, now));
        // A gate's time stood as well.
        if let Phase::Holding { asked: Some(asked), .. } = &mut self.state.phase {
            *asked = *asked + now.since(since);
        }
        Answer::Done
    }

    fn approve(&mut self, gate: &GateName, actor: &Actor, now: Timestamp) -> Answer {
        if !self.policy.gates().any(|known| known == gate) {
            let known: Vec<&str> = self.policy.gates().map(GateName::as_str).collect();
            return Answer::impossible(format!(
                "no stage asks a gate {gate}; there are: {}",
                known.join(", ")
            ));
        }
        let Phase::Holding { stage, opened, asked: Some(_), .. } = self.state.phase else {
            return Answer::impossible(format!("gate {gate} is not being asked"));
        };
        match self.stage(stage).gates.get(opened) {
            Some(asked) if asked != gate => {
                Answer::impossible(format!("gate {asked} is being asked, not {gate}"))
            }
            Some(asked) if self.policy.gate(asked).kind != GateKind::Approval => {
                Answer::impossible(format!("gate {gate} is no approval: it decides by itself"))
            }
            _ => {
                self.open_gate(Some(actor.clone()), now);
                Answer::Done
            }
        }
    }
}
