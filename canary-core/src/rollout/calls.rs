//! Calls to the ports: when they run, to whom their answers go, when they are tried again.

use std::time::Duration;

use super::flight::{Pending, Slot, Status, Urgency, backoff};
use super::ledger::Ledger;
use super::{Action, Effect, Reply, Rollout};
use crate::ports::Call;
use crate::record::Content;
use crate::value::{EffectId, Failure, FailureKind, Timestamp};

impl Rollout {
    /// Runs an action at once and follows it.
    pub(super) fn run(&mut self, action: Action, now: Timestamp) -> Pending {
        let id = self.state.ledger.effect_id();
        let mut pending = Pending {
            id,
            attempt: 1,
            unconfirmed: 0,
            action,
            status: Status::Waiting { until: now },
        };
        self.send(&mut pending, now);
        pending
    }

    /// Follows an action that is run once this state is saved.
    pub(super) fn hold(&mut self, action: Action) -> Pending {
        let id = self.state.ledger.effect_id();
        let rev = self.state.ledger.next_rev();
        Pending { id, attempt: 1, unconfirmed: 0, action, status: Status::Held { rev } }
    }

    fn send(&mut self, pending: &mut Pending, now: Timestamp) {
        if matches!(pending.action, Action::Promote { .. } | Action::Retire { .. }) {
            self.flight.unsent = false;
        }
        let deadline = now + self.patience(&pending.action);
        pending.status = Status::Running { deadline };
        let call = Call::new(
            self.state.id.clone(),
            self.state.epoch.max(self.flight.epoch),
            pending.id,
            pending.attempt,
            now,
            deadline,
        );
        self.effects.push(Effect::Run { call, action: pending.action.clone() });
    }

    /// Returns how long an answer is waited for.
    fn patience(&self, action: &Action) -> Duration {
        match action {
            Action::Measure { .. } => {
                self.policy.every().clamp(Duration::from_secs(1), Duration::from_secs(30))
            }
            Action::Route { at: None, .. } => Duration::from_secs(5),
            Action::Route { .. } | Action::Observe | Action::Release | Action::AskGate { .. } => {
                Duration::from_secs(10)
            }
            Action::Prepare { .. }
            | Action::Promote { .. }
            | Action::Restore { .. }
            | Action::Retire { .. } => Duration::from_secs(30),
        }
    }

    /// Runs what was held back and is saved now, and what is due to be tried again.
    pub(super) fn run_due_calls(&mut self, now: Timestamp) {
        let ledger = &self.state.ledger;
        if !self.flight.calls().any(|pending| is_due(pending, ledger, now)) {
            return;
        }
        for slot in self.flight.slots() {
            let Some(pending) = self.flight.get(slot) else { continue };
            if !is_due(pending, &self.state.ledger, now) {
                continue;
            }
            let allowed = match &pending.action {
                Action::Route { traffic, at: Some(_) } => self.may_route(traffic, now),
                // No version is changed or removed while somebody else sends traffic to it.
                Action::Promote { .. } => self.is_running() && self.is_routed(),
                Action::Retire { .. } => self.is_routed(),
                _ => true,
            };
            let Some(mut pending) = self.flight.take(slot) else { continue };
            if allowed {
                self.send(&mut pending, now);
            } else {
                // Nothing but an event can allow it, so it is due at no time of its own.
                pending.status = Status::Held { rev: 0 };
            }
            self.flight.put(slot, pending);
        }
    }

    /// Gives up on answers that did not come.
    pub(super) fn expire_calls(&mut self, now: Timestamp) {
        if !self.flight.calls().any(|pending| pending.has_expired(now)) {
            return;
        }
        for slot in self.flight.slots() {
            let Some(pending) = self.flight.get(slot) else { continue };
            if pending.has_expired(now) {
                let (id, attempt) = (pending.id, pending.attempt);
                let failure = Failure::new(FailureKind::Timeout, "no answer came in time");
                let reply = pending.action.failed(failure);
                self.effects.push(Effect::Cancel(id));
                self.replied(id, attempt, reply, now);
            }
        }
    }

    /// Forgets a call and stops waiting for it.
    pub(super) fn cancel(&mut self, slot: Slot) {
        if let Some(pending) = self.flight.take(slot)
            && pending.is_running()
        {
            self.effects.push(Effect::Cancel(pending.id));
        }
    }

    /// Takes in an answer; one to an unknown or old call changes nothing, nor does one of another sort.
    pub(super) fn replied(&mut self, id: EffectId, attempt: u32, reply: Reply, now: Timestamp) {
        let Some(slot) = self.flight.asked(id, attempt) else { return };
        if !self.flight.get(slot).is_some_and(|pending| pending.action.is_answered_by(&reply)) {
            return;
        }
        match (slot, reply) {
            (Slot::Route, Reply::Applied(result)) => self.applied(result, now),
            (Slot::Route, Reply::Observed(result)) => self.observed_route(result, now),
            (Slot::Route, Reply::Released(result)) => self.release_answered(result, now),
            (Slot::Measure, Reply::Measured(answers)) => self.measured(&answers, now),
            (Slot::Gate, Reply::Decided(Ok(decision))) => self.gate_decided(decision, now),
            (Slot::Gate, Reply::Decided(Err(failure))) => {
                self.retry(Slot::Gate, Urgency::Patient, &failure, now);
            }
            (Slot::Watched(gate), Reply::Decided(said)) => self.watched_said(gate, said, now),
            (Slot::Work, Reply::Prepared(result)) => self.prepared(result, now),
            (Slot::Work, Reply::Progressed(result)) => self.progressed(result, now),
            _ => {}
        }
    }

    /// Tries a call again later.
    pub(super) fn retry(
        &mut self,
        slot: Slot,
        urgency: Urgency,
        failure: &Failure,
        now: Timestamp,
    ) {
        self.note_failure(slot, failure, now);
        self.again(slot, urgency, Some(failure), now);
    }

    /// Makes a call again later.
    pub(super) fn again(
        &mut self,
        slot: Slot,
        urgency: Urgency,
        failure: Option<&Failure>,
        now: Timestamp,
    ) {
        if let Some(pending) = self.flight.get_mut(slot) {
            if failure.is_some_and(|failure| failure.kind == FailureKind::Unconfirmed) {
                pending.unconfirmed = pending.unconfirmed.saturating_add(1);
            }
            let wait = backoff(urgency, &self.state.id, pending.id, pending.attempt, failure);
            pending.wait_until(now + wait);
        }
    }

    /// Makes every call that waits for its time at once.
    pub(super) fn hurry(&mut self, now: Timestamp) {
        for slot in self.flight.slots() {
            if let Some(pending) = self.flight.get_mut(slot)
                && let Status::Waiting { until } = &mut pending.status
            {
                *until = (*until).min(now);
            }
        }
    }

    /// Records that a call has failed; of a long row of failures only each that doubles its length.
    pub(super) fn note_failure(&mut self, slot: Slot, failure: &Failure, now: Timestamp) {
        if let Some(pending) = self.flight.get(slot) {
            self.note_failed(pending.action.to_string(), pending.attempt, failure, now);
        }
    }

    /// Records that an action has failed so often in a row.
    pub(super) fn note_failed(
        &mut self,
        action: String,
        attempt: u32,
        failure: &Failure,
        now: Timestamp,
    ) {
        if attempt <= 4 || attempt.is_power_of_two() {
            self.record(now, Content::CallFailed { action, attempt, failure: failure.clone() });
        }
    }
}

/// Tells whether a call may run now: it was held back and is saved, or its next try's time has come.
fn is_due(pending: &Pending, ledger: &Ledger, now: Timestamp) -> bool {
    match pending.status {
        Status::Held { rev } => ledger.is_saved(rev),
        Status::Tried { rev, until } => ledger.was_tried(rev) || until <= now,
        Status::Waiting { until } => until <= now,
        Status::Running { .. } => false,
    }
}

impl Action {
    /// Tells whether a reply is of the sort that answers this action.
    const fn is_answered_by(&self, reply: &Reply) -> bool {
        matches!(
            (self, reply),
            (Self::Route { .. }, Reply::Applied(_))
                | (Self::Observe, Reply::Observed(_))
                | (Self::Measure { .. }, Reply::Measured(_))
                | (Self::AskGate { .. }, Reply::Decided(_))
                | (Self::Release, Reply::Released(_))
                | (Self::Prepare { .. }, Reply::Prepared(_))
                | (
                    Self::Promote { .. } | Self::Restore { .. } | Self::Retire { .. },
                    Reply::Progressed(_)
                )
        )
    }

    /// Returns the reply that says that this action failed.
    #[must_use]
    pub fn failed(&self, failure: Failure) -> Reply {
        match self {
            Self::Route { .. } => Reply::Applied(Err(failure)),
            Self::Observe => Reply::Observed(Err(failure)),
            Self::Measure { queries, .. } => Reply::Measured(vec![Err(failure); queries.len()]),
            Self::AskGate { .. } => Reply::Decided(Err(failure)),
            Self::Release => Reply::Released(Err(failure)),
            Self::Prepare { .. } => Reply::Prepared(Err(failure)),
            Self::Promote { .. } | Self::Restore { .. } | Self::Retire { .. } => {
                Reply::Progressed(Err(failure))
            }
        }
    }
}
