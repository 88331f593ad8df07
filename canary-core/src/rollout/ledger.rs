//! Numbers records and effects, and keeps back what must be durable first.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Answer, Effect};
use crate::record::{Content, Judgement, Record};
use crate::value::{CommandId, EffectId, Timestamp};

/// How many tries to save the last state of an ended rollout are worth waiting for.
const LAST_TRIES: u32 = 5;

/// How many records may wait for a store before those of the same sort become one.
const PLENTY: usize = 256;

/// Counts what was given out, and holds what observers have not been told.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Ledger {
    next_effect: u64,
    next_record: u64,
    /// The number of the state that was last asked to be saved.
    rev: u64,
    /// Records that are not known to be durable, with the state that holds them.
    outbox: VecDeque<(u64, Record)>,
    #[serde(skip)]
    transient: Transient,
}

/// What a new holder begins anew.
#[derive(Clone, Debug, Default, PartialEq)]
struct Transient {
    saved: u64,
    /// The last state of which it is known whether it could be saved.
    tried: u64,
    saving: bool,
    changed: bool,
    failures: u32,
    retry_at: Option<Timestamp>,
    answers: Vec<(u64, CommandId, Answer)>,
}

impl Ledger {
    pub(super) fn effect_id(&mut self) -> EffectId {
        self.next_effect = self.next_effect.saturating_add(1);
        EffectId::new(self.next_effect)
    }

    /// Returns the number of the next state that will be saved, which holds all that has happened by now.
    pub(super) fn next_rev(&mut self) -> u64 {
        self.transient.changed = true;
        self.rev.saturating_add(1)
    }

    pub(super) fn is_saved(&self, rev: u64) -> bool {
        rev <= self.transient.saved
    }

    /// Tells whether the last try to save anything failed.
    pub(super) const fn is_failing(&self) -> bool {
        self.transient.failures > 0
    }

    /// Tells whether a state was saved, or could not be.
    pub(super) fn was_tried(&self, rev: u64) -> bool {
        rev <= self.transient.tried
    }

    pub(super) fn record(&mut self, at: Timestamp, content: Content) -> &Record {
        self.next_record = self.next_record.saturating_add(1);
        let rev = self.next_rev();
        self.outbox.push_back((rev, Record::new(self.next_record, at, content)));
        &self.outbox[self.outbox.len() - 1].1
    }

    /// Takes a look's verdict into that of a look of the same sort where a store that is down would make too many of
    /// them.
    ///
    /// Nobody was told that record yet, so it may still change.
    pub(super) fn merge(&mut self, judgement: &Judgement) -> Option<&Record> {
        let like =
            |content: &Content| matches!(content, Content::Judged(last) if last.is_like(judgement));
        let record = self.waiting(like)?;
        if let Content::Judged(last) = &mut record.content {
            Arc::make_mut(last).take_in(judgement);
        }
        Some(record)
    }

    /// Tells whether what recurs was said already where a store that is down would make too many records of it.
    pub(super) fn has_said(&mut self, content: &Content) -> bool {
        let said = match content {
            Content::CallFailed { action, failure, .. } => self.waiting(|waiting| {
                matches!(waiting, Content::CallFailed { action: of, failure: by, .. } if of == action && by == failure)
            }),
            // How the route stands is what was said of it last.
            Content::Drifted { .. } | Content::TrafficAccepted { .. } => {
                let sort = std::mem::discriminant(content);
                let last = self.waiting(|waiting| std::mem::discriminant(waiting) == sort);
                last.filter(|record| record.content == *content)
            }
            content if recurs(content) => self.waiting(|waiting| waiting == content),
            _ => None,
        };
        said.is_some()
    }

    /// Returns the last such record of those that wait since anything happened that does not recur, where there are
    /// plenty; it waits for the next state.
    fn waiting(&mut self, is_like: impl Fn(&Content) -> bool) -> Option<&mut Record> {
        if self.outbox.len() < PLENTY {
            return None;
        }
        let rev = self.next_rev();
        let mut recurring =
            self.outbox.iter_mut().rev().take_while(|(_, record)| recurs(&record.content));
        let (needs, record) = recurring.find(|(_, record)| is_like(&record.content))?;
        *needs = rev;
        Some(record)
    }

    /// Answers a command once what it changed is durable.
    pub(super) fn answer(&mut self, command: CommandId, answer: Answer) {
        let rev = self.next_rev();
        self.transient.answers.push((rev, command, answer));
    }

    /// Tells whether a command has an answer that is not given out yet.
    pub(super) fn owes(&self, command: &CommandId) -> bool {
        self.transient.answers.iter().any(|(_, waiting, _)| waiting == command)
    }

    /// Gives out every answer, saved or not.
    pub(super) fn answer_all(&mut self, effects: &mut Vec<Effect>) {
        for (_, command, answer) in self.transient.answers.drain(..) {
            effects.push(Effect::Answer { command, answer });
        }
    }

    /// Asks for the state to be saved if anything changed and no other save is under way.
    pub(super) fn seal(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let transient = &mut self.transient;
        let waits = transient.retry_at.is_some_and(|at| now < at);
        if transient.changed && !transient.saving && !waits {
            transient.changed = false;
            transient.saving = true;
            transient.retry_at = None;
            self.rev = self.rev.saturating_add(1);
            effects.push(Effect::Persist { rev: self.rev });
        }
    }

    /// Takes note that a state was saved, and gives out what waited for it.
    ///
    /// An `ended` rollout is saved once more when its last records were told, so that they need not be told again.
    pub(super) fn saved(&mut self, rev: u64, ended: bool, effects: &mut Vec<Effect>) {
        if rev != self.rev || !self.transient.saving {
            return;
        }
        self.transient.saving = false;
        self.transient.failures = 0;
        self.transient.saved = rev;
        self.transient.tried = rev;
        self.transient.changed |= self.give_out(rev, effects) && ended;
    }

    /// Takes note that a state could not be saved; `ended` rollouts stop waiting after a few tries.
    pub(super) fn not_saved(
        &mut self,
        rev: u64,
        now: Timestamp,
        ended: bool,
        effects: &mut Vec<Effect>,
    ) {
        if rev != self.rev || !self.transient.saving {
            return;
        }
        let transient = &mut self.transient;
        transient.saving = false;
        transient.tried = rev;
        transient.changed = true;
        transient.failures += 1;
        let wait = 200_u64 << transient.failures.min(6);
        transient.retry_at = Some(now + std::time::Duration::from_millis(wait));
        if ended && transient.failures >= LAST_TRIES {
            transient.changed = false;
            transient.retry_at = None;
            self.give_out(u64::MAX, effects);
        }
    }

    /// Gives out what these states hold; tells whether there were any records.
    fn give_out(&mut self, rev: u64, effects: &mut Vec<Effect>) -> bool {
        let waiting = self.outbox.len();
        while self.outbox.front().is_some_and(|(needs, _)| *needs <= rev) {
            effects.extend(self.outbox.pop_front().map(|(_, record)| Effect::Notify(record)));
        }
        self.transient.answers.retain(|(needs, command, answer)| {
            let ready = *needs <= rev;
            if ready {
                effects.push(Effect::Answer { command: command.clone(), answer: answer.clone() });
            }
            !ready
        });
        self.outbox.len() < waiting
    }

    /// Forgets what is not saved, so that a snapshot is the same in memory and on disk.
    pub(super) fn forget_transient(&mut self) {
        self.transient = Transient::default();
    }

    /// Gives out again what the saved state says observers may not have been told.
    pub(super) fn restored(&mut self, ended: bool, effects: &mut Vec<Effect>) {
        self.transient = Transient { saved: self.rev, tried: self.rev, ..Transient::default() };
        self.transient.changed = self.give_out(self.rev, effects) && ended;
    }

    pub(super) fn deadline(&self) -> Option<Timestamp> {
        self.transient.retry_at
    }

    /// Tells whether everything that happened was given out.
    pub(super) fn is_settled(&self) -> bool {
        self.is_told()
            && self.transient.answers.is_empty()
            && !self.transient.saving
            && !self.transient.changed
    }

    /// Tells whether observers were told every record.
    pub(super) fn is_told(&self) -> bool {
        self.outbox.is_empty()
    }
}

/// Tells whether a record is of a sort that a rollout which stands where it is makes again and again.
const fn recurs(content: &Content) -> bool {
    matches!(
        content,
        Content::Judged(_)
            | Content::CallFailed { .. }
            | Content::Drifted { .. }
            | Content::TrafficAccepted { .. }
            | Content::CanaryReady { .. }
            | Content::CanaryNotReady { .. }
            | Content::GateAsked { .. }
            | Content::GateOpened { by: None, .. }
    )
}
