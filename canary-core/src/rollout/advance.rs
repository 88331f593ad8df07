//! What is due at a time, in which order, and when something is due next.

use std::time::Duration;

use super::{Phase, Rollout, judge};
use crate::policy::{PROGRESS, Patience, Then};
use crate::record::{Content, Reason};
use crate::value::{Timestamp, Window, millis};

impl Rollout {
    /// Does what has become due at this time.
    pub(super) fn advance(&mut self, now: Timestamp) {
        self.expire_calls(now);
        self.count_live_time(now);
        self.look_if_due(now);
        // One phase may lead to the next at once; the plan has an end, and so has this.
        self.flight.went = true;
        while std::mem::take(&mut self.flight.went) {
            self.move_on(now);
            self.give_up_if_unseen(now);
            self.call_stalled(now);
            self.work_if_wanted(now);
            self.route_if_wanted(now);
        }
        self.call_stuck(now);
        self.run_due_calls(now);
    }

    pub(super) fn phase_deadline(&self) -> Option<Timestamp> {
        match &self.state.phase {
            Phase::Releasing { .. } | Phase::Ended { .. } => None,
            Phase::RollingBack { stuck_at, .. } => Some(*stuck_at),
            Phase::Retiring { due, .. } if *due > self.state.seen => Some(*due),
            Phase::Retiring { .. } => self.stalls_at(),
            Phase::Starting { .. }
            | Phase::Opening { .. }
            | Phase::Entering { .. }
            | Phase::Holding { .. }
            | Phase::Promoting { .. }
            | Phase::Closing { .. } => {
                let gate = if self.is_running() { self.gate_times_out() } else { None };
                let all = [
                    self.state.next_tick,
                    gate,
                    self.live_hold_ends(),
                    self.ready_by(),
                    self.stalls_at(),
                ];
                all.into_iter().flatten().min()
            }
        }
    }

    /// Tells whether nobody has paused the rollout.
    pub(super) const fn is_running(&self) -> bool {
        self.state.paused.is_none()
    }

    /// Tells whether a hold's clock follows the time by itself: nothing is measured, and no watched gate says no.
    pub(super) fn counts_live(&self, now: Timestamp) -> bool {
        let split = self.judged_split();
        self.is_running()
            && !judge::measured_at(&self.policy, split)
            && (!judge::judged_at(&self.policy, split)
                || self.state.judge.gates_pass(&self.policy, now))
    }

    /// Counts live time towards the hold where the plan leaves nothing to measure.
    pub(super) fn count_live_time(&mut self, now: Timestamp) {
        // Most events come at the time of another one.
        if now <= self.state.counted_to {
            return;
        }
        let since = now.since(self.state.counted_to);
        self.state.counted_to = now;
        // A process that stood still has seen nothing, though it was not restarted.
        let seen = since <= self.policy.every().saturating_mul(2);
        // The rules are looked up only where they matter: this is asked for at each event.
        if seen && self.state.phase.is_holding() && self.counts_live(now) {
            self.add_to_hold(millis(since), now);
        }
    }

    /// Adds observed time to the hold; the rollout comes further by it while the hold lasts.
    pub(super) fn add_to_hold(&mut self, ms: u64, now: Timestamp) {
        let Phase::Holding { hold } = &mut self.state.phase else { return };
        let comes_further = hold.held_ms < self.policy.stages()[hold.stage].hold_ms;
        hold.held_ms = hold.held_ms.saturating_add(ms);
        if comes_further {
            self.moved(now);
        }
    }

    /// Returns when a hold whose clock follows the time is over.
    fn live_hold_ends(&self) -> Option<Timestamp> {
        let Phase::Holding { hold } = &self.state.phase else { return None };
        if !self.counts_live(self.state.seen) {
            return None;
        }
        let held = Duration::from_millis(hold.held_ms);
        let left = self.stage(hold.stage).hold().saturating_sub(held);
        (!left.is_zero()).then(|| self.state.counted_to + left)
    }

    /// Lets a span of time count for no hold, whatever is measured of it later.
    pub(super) fn nobody_looked(&mut self, span: Window) {
        if !span.is_empty() {
            let after =
                self.state.blind.map_or(span.after, |earlier| earlier.after.min(span.after));
            self.state.blind = Some(Window::new(after, span.until));
        }
    }

    /// Takes note that the rollout has come further.
    pub(super) fn moved(&mut self, now: Timestamp) {
        self.state.moved = self.state.moved.max(now);
        self.state.stalled = false;
        self.state.questions.retain(|question| **question != *PROGRESS);
    }

    /// Tells whether the rollout stands for a reason that has a time of its own, or because a person said so.
    fn waits_for_somebody(&self) -> bool {
        let asking = self.state.phase.asking().is_some_and(|gates| gates.since.is_some());
        asking || !self.is_running()
    }

    /// Returns when the rollout has stood still for too long.
    fn stalls_at(&self) -> Option<Timestamp> {
        self.stands().map(|(since, patience)| since + patience.after())
    }

    /// Returns since when the rollout has come no further, and for how long it may, where that is not told yet.
    fn stands(&self) -> Option<(Timestamp, Patience)> {
        let (spec, moved) = (self.policy.spec(), self.state.moved);
        match (&self.state.phase, spec.progress) {
            _ if self.state.stalled => None,
            // Nothing is taken back any more: it is only told.
            (Phase::Retiring { due, .. }, _) => {
                Some((moved.max(*due), Patience::new(self.policy.rollback_within(), Then::Hold)))
            }
            (phase, _) if !phase.goes_forward() || self.waits_for_somebody() => None,
            (_, Some(progress)) => Some((moved, progress)),
            // A version that never takes the other's place is told, though the policy asks for no progress.
            (Phase::Promoting { replaced: false }, None) => {
                let within = Duration::from_millis(spec.workload.ready_within_ms);
                Some((moved, Patience::new(within, Then::Hold)))
            }
            _ => None,
        }
    }

    fn call_stalled(&mut self, now: Timestamp) {
        if self.waits_for_somebody() {
            self.state.moved = self.state.moved.max(now);
            return;
        }
        let Some((since, Patience { then, .. })) = self.stands() else { return };
        if self.stalls_at().is_none_or(|at| now < at) {
            return;
        }
        let for_ms = millis(now.since(since));
        let why = self.flight.work_waits.clone();
        self.record(now, Content::Stalled { for_ms, then, why });
        match then {
            Then::RollBack => self.roll_back(Reason::NoProgress { for_ms }, now),
            Then::Ask => {
                self.state.stalled = true;
                self.state.questions.push(PROGRESS.into());
            }
            Then::Hold | Then::Warn => self.state.stalled = true,
        }
    }
}
