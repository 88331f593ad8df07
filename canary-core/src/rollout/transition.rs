//! How a rollout moves from phase to phase.
//!
//! [`Rollout::advance`] runs after every event and does what has become due;
//! the other functions are the transitions themselves.

use std::time::Duration;

use super::judge::{self, Guilt, Judged};
use super::{Action, Effect, Phase, Rollout};
use crate::record::{Content, Outcome, Reason, Ruling};
use crate::value::{Epoch, Timestamp, Traffic, Weight, Window, millis};

impl Rollout {
    /// Does what has become due at this time.
    pub(super) fn advance(&mut self, now: Timestamp) {
        self.expire_calls(now);
        self.count_live_time(now);
        self.tick_if_due(now);
        self.move_on(now);
        self.route_if_wanted(now);
        self.run_due_calls(now);
        self.call_stuck(now);
    }

    pub(super) fn phase_deadline(&self) -> Option<Timestamp> {
        let hold_ends = |held_ms: u64, hold: Duration| {
            let left = hold.saturating_sub(Duration::from_millis(held_ms));
            (!left.is_zero()).then(|| self.state.counted_to + left)
        };
        match &self.state.phase {
            Phase::Starting | Phase::Releasing { .. } | Phase::Ended { .. } => None,
            Phase::Entering { .. } => self.state.next_tick,
            Phase::RollingBack { stuck_at, .. } => Some(*stuck_at),
            Phase::Holding { stage, held_ms, opened, asked } => {
                let running = self.state.paused.is_none();
                let live = running && !judge::measured_at(&self.policy, self.state.routed);
                let hold = if live { hold_ends(*held_ms, self.stage(*stage).hold()) } else { None };
                let gate =
                    if running { self.gate_times_out(*stage, *opened, *asked) } else { None };
                [self.state.next_tick, hold, gate].into_iter().flatten().min()
            }
        }
    }

    /// Counts live time towards the hold where the plan leaves nothing to check.
    pub(super) fn count_live_time(&mut self, now: Timestamp) {
        let since = now.since(self.state.counted_to);
        self.state.counted_to = self.state.counted_to.max(now);
        let unchecked = !judge::measured_at(&self.policy, self.state.routed);
        if self.state.paused.is_none()
            && let Phase::Holding { held_ms, .. } = &mut self.state.phase
            && unchecked
        {
            *held_ms = held_ms.saturating_add(millis(since));
        }
    }

    fn tick_if_due(&mut self, now: Timestamp) {
        let watching = matches!(self.state.phase, Phase::Entering { .. } | Phase::Holding { .. });
        let Some(due) = self.state.next_tick.filter(|due| watching && *due <= now) else {
            return;
        };
        // A look that is a whole interval late is not made up for.
        let next = due + self.policy.every();
        self.state.next_tick = Some(if next > now { next } else { now + self.policy.every() });
        if self.flight.measure.is_none()
            && self.state.routed != Weight::ZERO
            && self.policy.is_judged()
        {
            let action = Action::Measure { queries: self.state.judge.queries(), until: now };
            self.flight.measure = Some(self.run(action, now));
        }
    }

    /// Takes in what a tick showed.
    pub(super) fn judged(&mut self, judged: Judged, now: Timestamp) {
        let Judged { mut judgement, covered, guilty, asks: _ } = judged;
        if let (Ruling::GoOn, Some(window), None) = (judgement.ruling, covered, self.state.paused) {
            let seen = self.observed(window);
            if let Phase::Holding { held_ms, .. } = &mut self.state.phase {
                *held_ms = held_ms.saturating_add(seen);
            }
        }
        if let Phase::Holding { held_ms, .. } | Phase::Entering { held_ms, .. } = &self.state.phase
        {
            judgement.held_ms = *held_ms;
        }
        self.record(now, Content::Judged(judgement));
        match guilty {
            Some(Guilt::Check(result)) => self.roll_back(Reason::Check(result), now),
            Some(Guilt::Silence { for_ms }) => self.roll_back(Reason::Silence { for_ms }, now),
            Some(Guilt::Errors { for_ms }) => self.roll_back(Reason::SourceFailed { for_ms }, now),
            None => {}
        }
    }

    /// Returns the milliseconds of a window in which somebody looked: downtime counts for nothing.
    fn observed(&self, window: Window) -> u64 {
        let blind = self.state.blind.map_or(Duration::ZERO, |blind| {
            blind.until.min(window.until).since(blind.after.max(window.after))
        });
        millis(window.length().saturating_sub(blind))
    }

    /// Goes on to the next gate, stage or end when everything that is needed is there.
    fn move_on(&mut self, now: Timestamp) {
        if self.state.paused.is_some() {
            return;
        }
        self.time_out_gate(now);
        let Phase::Holding { stage, held_ms, opened, asked } = self.state.phase else { return };
        let held = Duration::from_millis(held_ms) >= self.stage(stage).hold();
        if !held || !self.may_leave(now) {
            return;
        }
        if opened < self.stage(stage).gates.len() {
            self.ask_gate(stage, opened, asked, now);
        } else if stage + 1 < self.policy.stages().len() {
            self.enter(stage + 1, now);
        } else {
            self.state.next_tick = None;
            self.cancel_all();
            self.state.phase = Phase::Releasing { outcome: Outcome::Promoted };
        }
    }

    /// Tells whether the last verdict lets the rollout go on: passing and fresh, where any check applies.
    fn may_leave(&self, now: Timestamp) -> bool {
        !judge::measured_at(&self.policy, self.state.routed)
            || self.state.judge.is_passing(&self.policy, now)
    }

    /// Tells whether the weight of the stage that is entered may be asked for: what raises needs a verdict.
    pub(super) fn may_raise(&self, now: Timestamp) -> bool {
        let Phase::Entering { stage, .. } = self.state.phase else { return false };
        let rises = self.stage(stage).weight > self.state.routed;
        !rises || (self.state.paused.is_none() && self.may_leave(now))
    }

    fn enter(&mut self, stage: usize, now: Timestamp) {
        let (name, weight) = (self.stage(stage).name.clone(), self.stage(stage).weight);
        self.state.phase =
            Phase::Entering { stage, held_ms: 0, changes: true, opened: 0, asked: None };
        self.record(now, Content::StageEntered { stage, name, weight });
    }

    /// Takes the canary back: looked at first, and waits for nothing but the router.
    pub(super) fn roll_back(&mut self, reason: Reason, now: Timestamp) {
        let stuck_at = now + self.policy.rollback_within();
        self.record(now, Content::RollbackDecided { reason: reason.clone() });
        self.state.next_tick = None;
        self.state.paused = None;
        self.state.phase = Phase::RollingBack { reason, since: now, stuck_at };
        self.cancel_all();
    }

    fn call_stuck(&mut self, now: Timestamp) {
        let within = self.policy.rollback_within();
        if let Phase::RollingBack { since, stuck_at, .. } = &mut self.state.phase
            && *stuck_at <= now
        {
            *stuck_at = now + within;
            let for_ms = millis(now.since(*since));
            self.record(now, Content::Stuck { for_ms });
        }
    }

    /// Takes in what the router accepted.
    pub(super) fn routed(&mut self, weight: Weight, effective: Option<bool>, now: Timestamp) {
        self.state.routed = weight;
        self.record(now, Content::TrafficAccepted { weight, effective });
        match self.state.phase.clone() {
            Phase::Starting => self.enter(0, now),
            Phase::Entering { stage, held_ms, changes, opened, asked }
                if weight == self.stage(stage).weight =>
            {
                if changes {
                    self.measure_from(now + self.policy.settle());
                }
                self.state.phase = Phase::Holding { stage, held_ms, opened, asked };
            }
            Phase::RollingBack { reason, .. } => {
                // Who gave the abort need not wait for a store that is down.
                self.state.ledger.answer_all(&mut self.effects);
                self.state.phase = Phase::Releasing { outcome: Outcome::RolledBack { reason } };
            }
            _ => {}
        }
    }

    /// Counts nothing before this time: the weight has changed, and the mesh needs a moment to follow.
    fn measure_from(&mut self, from: Timestamp) {
        self.cancel(|flight| &mut flight.measure);
        self.state.judge.skip_to(from);
        self.state.counted_to = from;
        self.state.next_tick = Some(from + self.policy.every());
    }

    pub(super) fn released(&mut self, now: Timestamp) {
        if let Phase::Releasing { outcome } = self.state.phase.clone() {
            self.record(now, Content::Ended { outcome: outcome.clone() });
            self.state.phase = Phase::Ended { outcome };
        }
    }

    /// Takes the rollout over: nothing is known of the route, and nothing was observed in between.
    pub(super) fn restored(&mut self, now: Timestamp) {
        let ended = self.outcome().is_some();
        self.state.ledger.restored(ended, &mut self.effects);
        if ended {
            return;
        }
        let down = Window::new(self.state.seen, now);
        self.state.epoch = self.state.epoch.next().max(Epoch::begun_at(now));
        self.record(
            now,
            Content::Restored { epoch: self.state.epoch, down_ms: millis(down.length()) },
        );
        self.state.version = None;
        self.state.counted_to = self.state.counted_to.max(now);
        self.nobody_looked(down);
        if let Phase::Holding { stage, held_ms, opened, asked } = self.state.phase {
            self.state.phase = Phase::Entering { stage, held_ms, changes: false, opened, asked };
        }
    }

    /// Lets a span of time count for no hold, whatever is measured of it later.
    pub(super) fn nobody_looked(&mut self, span: Window) {
        if !span.is_empty() {
            let after = self.state.blind.map_or(span.after, |earlier| earlier.after);
            self.state.blind = Some(Window::new(after, span.until));
        }
    }

    /// Asks the router for what the phase wants, where nothing is under way.
    fn route_if_wanted(&mut self, now: Timestamp) {
        if self.flight.route.is_some() {
            return;
        }
        let none = Action::Route { traffic: Traffic::all_stable(), at: None };
        let pending = match &self.state.phase {
            Phase::Starting => self.hold(none),
            // Until the first save the target may be somebody else's.
            Phase::RollingBack { .. } if !self.state.ledger.is_saved(1) => self.hold(none),
            Phase::RollingBack { .. } => self.run(none, now),
            Phase::Releasing { .. } => self.run(Action::Release, now),
            Phase::Entering { stage, .. } => match self.state.version.clone() {
                Some(at) => {
                    let traffic = Traffic::to_canary(self.stage(*stage).weight);
                    self.hold(Action::Route { traffic, at: Some(at) })
                }
                None => self.run(Action::Observe, now),
            },
            Phase::Holding { .. } | Phase::Ended { .. } => return,
        };
        self.flight.route = Some(pending);
    }

    fn cancel_all(&mut self) {
        for slot in self.flight.slots() {
            if let Some(pending) = slot.take()
                && pending.is_running()
            {
                self.effects.push(Effect::Cancel(pending.id));
            }
        }
    }
}
