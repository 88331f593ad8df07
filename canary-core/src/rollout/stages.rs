//! From stage to stage, and what lies before the first and after the last.

use std::time::Duration;

use super::flight::Slot;
use super::phase::Asking;
use super::{Hold, Phase, Rollout, judge};
use crate::policy::How;
use crate::record::{Content, Outcome};
use crate::value::{Epoch, Split, Timestamp, Traffic, Window, millis};

impl Rollout {
    /// Goes on to the next gate, stage or end when everything that is needed is there.
    pub(super) fn move_on(&mut self, now: Timestamp) {
        if !self.is_running() {
            return;
        }
        self.time_out_gate(now);
        match self.state.phase {
            Phase::Opening { .. } => self.open_up(now),
            Phase::Holding { hold } if self.is_held(&hold) && self.may_leave(now) => {
                self.leave(&hold, now);
            }
            Phase::Closing { .. } => self.close(now),
            _ => {}
        }
    }

    /// Asks the last gates, and ends where the new version is well still.
    fn close(&mut self, now: Timestamp) {
        if self.flight.claimed && !self.ask_next_gate(now) && self.may_leave(now) {
            self.retire(Outcome::Promoted, now);
        }
    }

    /// Asks the gates of the start, has the canary made ready, asks those of the first stage, and enters it.
    fn open_up(&mut self, now: Timestamp) {
        if self.is_ready() && !self.ask_next_gate(now) {
            self.enter(self.state.first, now);
        }
    }

    /// Tells whether a stage has lasted and shown what it must.
    fn is_held(&self, hold: &Hold) -> bool {
        let held = Duration::from_millis(hold.held_ms) >= self.stage(hold.stage).hold();
        held && (hold.waived || self.state.judge.passed(&self.policy, hold.stage).is_ok())
    }

    /// Tells whether the last verdict lets the rollout go on: passing and fresh, where any check applies.
    pub(super) fn may_leave(&self, now: Timestamp) -> bool {
        let split = self.judged_split();
        let judge = &self.state.judge;
        self.state.questions.is_empty()
            && if judge::measured_at(&self.policy, split) {
                judge.is_passing(&self.policy, now)
            } else {
                !judge::judged_at(&self.policy, split) || judge.gates_pass(&self.policy, now)
            }
    }

    /// Returns the split at which a verdict is needed: where somebody took all traffic away, still what the plan gives.
    pub(super) fn judged_split(&self) -> Split {
        let split = self.state.traffic.split();
        if split.reaches_canary() {
            return split;
        }
        let planned = match &self.state.phase {
            Phase::Holding { hold } => self.stage(hold.stage).split(),
            _ => Split::default(),
        };
        self.state.confirmed.split().max(planned)
    }

    fn leave(&mut self, hold: &Hold, now: Timestamp) {
        if self.ask_next_gate(now) {
            return;
        }
        if hold.stage + 1 < self.policy.stages().len() {
            return self.enter(hold.stage + 1, now);
        }
        if !self.state.workload {
            return self.go(Phase::Promoting { replaced: true }, now);
        }
        // Where other traffic was accepted, the canary has all of it first: stable is about to go.
        if !self.is_at(hold.stage) {
            self.ready_anew();
            return self.go(Phase::Entering { hold: *hold, changes: true, forced: false }, now);
        }
        let how = self.policy.spec().promotion.how;
        if how == How::InPlace {
            self.record(now, Content::PointOfNoReturn);
        }
        self.state.replaced = Some(how);
        self.go(Phase::Promoting { replaced: false }, now);
        self.flight.unsent = true;
    }

    /// Tells whether the traffic is that of a stage.
    fn is_at(&self, stage: usize) -> bool {
        self.state.traffic == self.policy.traffic(stage)
    }

    /// Enters a stage; one whose traffic is there already begins to hold at once.
    fn enter(&mut self, stage: usize, now: Timestamp) {
        self.begin_stage(stage, now);
        let hold = Hold::begin(stage);
        // While the route is still put back, what it was found at is not what it will be.
        let settled = self.flight.claimed && self.flight.get(Slot::Route).is_none();
        if self.is_at(stage) && settled {
            // The next look covers some of what was before.
            self.nobody_looked(Window::new(Timestamp::EPOCH, now));
            self.go(Phase::Holding { hold }, now);
        } else {
            self.go(Phase::Entering { hold, changes: true, forced: false }, now);
        }
    }

    /// Enters a stage from wherever the rollout is, because a person said so.
    pub(super) fn enter_forced(&mut self, stage: usize, forced: bool, now: Timestamp) {
        self.cancel_all();
        self.state.restores = false;
        self.begin_stage(stage, now);
        self.state.next_tick.get_or_insert(now + self.policy.every());
        self.go(Phase::Entering { hold: Hold::begin(stage), changes: true, forced }, now);
    }

    fn begin_stage(&mut self, stage: usize, now: Timestamp) {
        let (name, weight) = (self.stage(stage).name.clone(), self.stage(stage).weight);
        self.state.questions.clear();
        self.ready_anew();
        self.state.judge.enter_stage(stage);
        self.record(now, Content::StageEntered { stage, name, weight });
    }

    /// Tells whether this traffic may be asked for: what raises needs a verdict, and a canary that is ready for it.
    pub(super) fn may_route(&self, wanted: &Traffic, now: Timestamp) -> bool {
        if wanted.is_within(&self.state.traffic) {
            return true;
        }
        // Where the old version is going there is nothing else to send the traffic to.
        let forced = matches!(
            self.state.phase,
            Phase::Entering { forced: true, .. } | Phase::Retiring { .. }
        );
        let forced = forced || (self.state.restores && wanted.is_within(&self.state.confirmed));
        self.is_running() && self.is_ready() && (forced || self.may_leave(now))
    }

    /// Returns the traffic that stays when the rollout was promoted.
    pub(super) fn lasting_traffic(&self) -> Traffic {
        let in_place = self.state.workload && self.policy.spec().promotion.how == How::InPlace;
        if in_place {
            return Traffic::all_stable();
        }
        let last = self.policy.full_stage();
        Traffic::to_canary(self.stage(last).weight)
    }

    /// Takes in what the router accepted.
    pub(super) fn routed(&mut self, traffic: Traffic, effective: Option<bool>, now: Timestamp) {
        let weight = traffic.canary;
        // What was left as somebody made it is only made ours: what was meant comes back with a resume.
        if !self.state.drifted {
            self.state.confirmed = traffic.clone();
        }
        self.state.restores = false;
        self.state.traffic = traffic;
        self.flight.claimed = true;
        self.flight.routed_at = now;
        self.record(now, Content::TrafficAccepted { weight, effective });
        match self.state.phase {
            Phase::Starting { gates } => {
                self.state.next_tick = Some(now + self.policy.every());
                self.go(Phase::Opening { gates }, now);
            }
            Phase::Entering { hold, changes, .. }
                if !self.state.drifted && (!changes || self.is_at(hold.stage)) =>
            {
                // What was asked for to take the route over says nothing about the canary's readiness.
                self.ready_anew();
                if changes {
                    self.measure_from(now + self.policy.settle());
                }
                self.go(Phase::Holding { hold }, now);
            }
            Phase::RollingBack { .. } => self.emptied(now),
            _ => {}
        }
    }

    /// Asks the last gates once the traffic is what it shall stay.
    pub(super) fn close_if_routed(&mut self, now: Timestamp) {
        if matches!(self.state.phase, Phase::Promoting { replaced: true })
            && self.flight.claimed
            && self.state.traffic == self.lasting_traffic()
        {
            // What was asked of the traffic before is answered by what it is now.
            self.state.questions.clear();
            self.state.confirmed = self.state.traffic.clone();
            self.go(Phase::Closing { gates: Asking::default() }, now);
        }
    }

    /// Counts nothing before this time: the weight has changed, and the mesh needs a moment to follow.
    fn measure_from(&mut self, from: Timestamp) {
        self.cancel(Slot::Measure);
        self.state.judge.skip_to(from);
        self.state.counted_to = from;
        self.state.next_tick = Some(from + self.policy.every());
    }

    /// Gives back the time up to now in which nobody could do anything: to a gate, a canary that gets ready, the
    /// checks, and the rollout.
    pub(super) fn stood_for(&mut self, time: Duration, now: Timestamp) {
        self.state.judge.stood_for(time, now);
        // What began in the meantime has lost a part of it alone.
        let later = |since: Timestamp| (since + time).min(now);
        if let Some(asked) = self.state.phase.gates_mut().and_then(|gates| gates.since.as_mut()) {
            *asked = later(*asked);
        }
        self.state.preparing = self.state.preparing.map(later);
        self.state.moved = later(self.state.moved);
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
        if self.state.phase.goes_forward() {
            self.state.next_tick.get_or_insert(now + self.policy.every());
        }
        self.state.counted_to = self.state.counted_to.max(now);
        self.nobody_looked(down);
        if self.is_running() {
            self.stood_for(down.length(), now);
        }
        match self.state.phase {
            Phase::Opening { gates } => self.go(Phase::Starting { gates }, now),
            // The holder before may have died before it could save that it took the canary back.
            Phase::Releasing { outcome: Outcome::Promoted } if !self.state.workload => {
                let opened = self.policy.asks_after_promotion().len();
                self.state.next_tick = Some(now + self.policy.every());
                self.go(Phase::Closing { gates: Asking::opened(opened) }, now);
            }
            Phase::Holding { hold } => {
                self.go(Phase::Entering { hold, changes: false, forced: false }, now);
            }
            _ => {}
        }
    }
}
