//! The way back: looked at first, and it waits for nothing but the router.

use std::time::Duration;

use super::flight::Slot;
use super::{Action, Phase, Rollout};
use crate::policy::How;
use crate::record::{Content, Outcome, Reason};
use crate::value::{Timestamp, millis};

impl Rollout {
    /// Takes the canary back.
    pub(super) fn roll_back(&mut self, reason: Reason, now: Timestamp) {
        let stuck_at = now + self.policy.rollback_within();
        if self.flight.unsent && matches!(self.state.phase, Phase::Promoting { .. }) {
            // Nobody was asked to replace stable yet, so there is nothing to restore.
            self.state.replaced = None;
        }
        self.record(now, Content::RollbackDecided { reason: reason.clone() });
        self.state.next_tick = None;
        self.state.paused = None;
        self.state.drifted = false;
        self.state.restores = false;
        self.state.questions.clear();
        self.go(Phase::RollingBack { reason, since: now, stuck_at, emptied: false }, now);
        self.cancel_all();
    }

    /// Tells whether the traffic has to wait: stable has not the old version yet.
    pub(super) fn restores_first(&self) -> bool {
        self.state.replaced == Some(How::InPlace)
    }

    /// Takes in that the router has accepted that nothing reaches the canary.
    pub(super) fn emptied(&mut self, now: Timestamp) {
        // Who gave the abort need not wait for a store that is down.
        self.state.ledger.answer_all(&mut self.effects);
        if let Phase::RollingBack { reason, since, stuck_at, .. } = self.state.phase.clone() {
            self.go(Phase::RollingBack { reason, since, stuck_at, emptied: true }, now);
        }
        self.end_rollback(now);
    }

    /// Goes on when nothing reaches the canary and stable is the old version.
    pub(super) fn end_rollback(&mut self, now: Timestamp) {
        if let Phase::RollingBack { reason, emptied: true, .. } = &self.state.phase
            && self.state.replaced.is_none()
        {
            let outcome = Outcome::RolledBack { reason: reason.clone() };
            self.retire(outcome, now);
        }
    }

    /// Removes what has no traffic any more, after the time for which it is kept.
    pub(super) fn retire(&mut self, outcome: Outcome, now: Timestamp) {
        self.state.next_tick = None;
        self.cancel_all();
        if !self.state.workload {
            return self.go(Phase::Releasing { outcome }, now);
        }
        let kept_ms = match outcome {
            Outcome::Promoted => self.policy.spec().workload.keep_after_success_ms,
            Outcome::RolledBack { .. } => self.policy.spec().workload.keep_after_abort_ms,
        };
        // Proxies may still send to what has lost its traffic.
        let settles = if self.state.raised { self.policy.settle() } else { Duration::ZERO };
        let due = now + Duration::from_millis(kept_ms).max(settles);
        self.go(Phase::Retiring { outcome, due, going: false }, now);
    }

    /// Ends without removing the version that has no traffic any more: what is left behind harms nobody, and the record
    /// of what failed says so.
    pub(super) fn leave_behind(&mut self, now: Timestamp) {
        if let Phase::Retiring { outcome, .. } = self.state.phase.clone() {
            self.cancel_all();
            self.go(Phase::Releasing { outcome }, now);
        }
    }

    pub(super) fn released(&mut self, now: Timestamp) {
        if let Phase::Releasing { outcome } = self.state.phase.clone() {
            self.record(now, Content::Ended { outcome: outcome.clone() });
            self.go(Phase::Ended { outcome }, now);
        }
    }

    pub(super) fn call_stuck(&mut self, now: Timestamp) {
        let within = self.policy.rollback_within();
        if let Phase::RollingBack { since, stuck_at, .. } = &mut self.state.phase
            && *stuck_at <= now
        {
            *stuck_at = now + within;
            let for_ms = millis(now.since(*since));
            self.record(now, Content::Stuck { for_ms });
        }
    }

    /// Forgets every call, and stops waiting for those that run.
    pub(super) fn cancel_all(&mut self) {
        for slot in self.flight.slots() {
            self.cancel(slot);
        }
    }

    /// Returns what is still to be done to the route on the way back.
    pub(super) fn way_back(&self) -> Option<Action> {
        let Phase::RollingBack { emptied, .. } = self.state.phase else { return None };
        let wait = emptied || self.restores_first() || self.flight.get(Slot::Route).is_some();
        (!wait).then(Action::empty)
    }
}
