//! Asking the gates that stand between stages, and what their answers mean.

use std::time::Duration;

use super::flight::Slot;
use super::{Action, Asking, Phase, Rollout};
use crate::policy::{Ask, GateKind, Moment, Otherwise};
use crate::ports::{Decision, GateContext};
use crate::record::{Content, Reason};
use crate::value::{Actor, Timestamp};

const MINUTE_MS: u64 = 60_000;

impl Rollout {
    /// Returns how many gates are asked before the canary is made ready.
    pub(super) fn start_gates(&self) -> usize {
        self.policy.spec().start.len()
    }

    /// Returns the gate that is asked next where the rollout stands.
    pub(super) fn next_ask(&self) -> Option<&Ask> {
        self.ask_at(self.state.phase.asking()?.opened)
    }

    /// Returns the gate at a position of those that are asked where the rollout stands.
    fn ask_at(&self, position: usize) -> Option<&Ask> {
        match &self.state.phase {
            Phase::Opening { .. } if self.state.first == 0 => {
                self.policy.asks_before_first().get(position)
            }
            // The stages before the first one are passed over, and so are their gates.
            Phase::Opening { .. } => {
                let start = self.policy.asks_before_first().iter();
                let entering = self.policy.asks_after(self.state.first - 1).iter();
                start
                    .filter(|ask| ask.moment == Moment::Start)
                    .chain(entering.filter(|ask| ask.moment == Moment::Entering))
                    .nth(position)
            }
            Phase::Holding { hold } => self.policy.asks_after(hold.stage).get(position),
            Phase::Closing { .. } => self.policy.asks_after_promotion().get(position),
            _ => None,
        }
    }

    /// Asks the next gate; tells whether there is one.
    pub(super) fn ask_next_gate(&mut self, now: Timestamp) -> bool {
        if let Some(Asking { opened, .. }) = self.state.phase.asking().copied()
            && opened > 0
            && self.ask_at(opened).is_none()
        {
            // The checks may have kept the rollout here since the last gate opened.
            self.ask_calendars_again(opened - 1, now);
        }
        let Some(Ask { gate, moment, stage, .. }) = self.next_ask().cloned() else {
            return false;
        };
        let stage = stage.map_or_else(String::new, |stage| self.stage(stage).name.clone());
        if let Some(asking) = self.state.phase.asking_mut()
            && asking.since.is_none()
        {
            asking.since = Some(now);
            let (gate, stage) = (gate.clone(), stage.clone());
            self.record(now, Content::GateAsked { gate, moment, stage });
        }
        if self.policy.gate(&gate).kind != GateKind::Approval
            && self.flight.get(Slot::Gate).is_none()
        {
            let context = GateContext::new(gate, moment, stage, self.weight());
            let pending = self.run(Action::AskGate { context }, now);
            self.flight.put(Slot::Gate, pending);
        }
        true
    }

    /// Returns the gate that is being asked, and where; since when stands in the [phase](Phase::asking).
    #[must_use]
    pub fn asked(&self) -> Option<&Ask> {
        self.state.phase.asking()?.since?;
        self.next_ask()
    }

    /// Returns when the gate that is asked has had its time.
    pub(super) fn gate_times_out(&self) -> Option<Timestamp> {
        let timeout_ms = self.policy.gate(&self.asked()?.gate).timeout_ms?;
        Some(self.state.phase.asking()?.since? + Duration::from_millis(timeout_ms))
    }

    /// Does what the policy says where the gate that is asked has had its time.
    pub(super) fn time_out_gate(&mut self, now: Timestamp) {
        if self.gate_times_out().is_none_or(|at| now < at) {
            return;
        }
        let Some(Ask { gate, .. }) = self.asked().cloned() else { return };
        let spec = self.policy.gate(&gate);
        match spec.otherwise {
            Otherwise::Open => {
                if let Some(asking) = self.state.phase.asking_mut() {
                    asking.timed_out = true;
                }
                self.pass_gate(None, now);
            }
            Otherwise::RollBack => {
                let after_ms = spec.timeout_ms.unwrap_or_default();
                self.roll_back(Reason::GateTimedOut { gate, after_ms }, now);
            }
        }
    }

    /// Opens the gate that is asked.
    pub(super) fn open_gate(&mut self, by: Option<Actor>, now: Timestamp) {
        let is_calendar = self.asked().is_some_and(|ask| self.goes_by_calendar(ask));
        if let Some(asking) = self.state.phase.asking_mut().filter(|_| is_calendar) {
            asking.calendar.get_or_insert(now);
        }
        self.pass_gate(by, now);
    }

    /// Goes on to the gate that follows the one that is asked.
    fn pass_gate(&mut self, by: Option<Actor>, now: Timestamp) {
        let Some(Ask { gate, .. }) = self.asked().cloned() else { return };
        self.cancel(Slot::Gate);
        self.moved(now);
        self.record(now, Content::GateOpened { gate, by });
        let Some(Asking { opened, again, .. }) = self.state.phase.asking().copied() else { return };
        let end = self.end_of_place(opened);
        let next = if again { self.next_calendar(opened + 1, end) } else { opened + 1 };
        if let Some(asking) = self.state.phase.asking_mut() {
            (asking.opened, asking.since) = (next, None);
        }
        if next == end {
            self.ask_calendars_again(opened, now);
        }
    }

    /// Goes back to the calendars of a place of which all gates have opened, where one of them opened in a minute that
    /// is over: it may have closed while others were waited for.
    fn ask_calendars_again(&mut self, position: usize, now: Timestamp) {
        let minute = |at: Timestamp| at.as_millis() / MINUTE_MS;
        let (end, starting) = (self.end_of_place(position), self.is_at_start(position));
        let again = self.next_calendar(if starting { 0 } else { self.place_after_start() }, end);
        let Some(asking) = self.state.phase.asking_mut() else { return };
        if asking.calendar.is_some_and(|at| minute(at) != minute(now)) {
            (asking.opened, asking.again, asking.calendar) = (again, true, None);
        } else if starting {
            *asking = Asking::opened(end);
        }
    }

    /// Tells whether a gate at this position belongs to the start, which is a place of its own.
    fn is_at_start(&self, position: usize) -> bool {
        position < self.place_after_start()
    }

    fn place_after_start(&self) -> usize {
        if matches!(self.state.phase, Phase::Opening { .. }) { self.start_gates() } else { 0 }
    }

    /// Returns the position behind the last gate that is asked at the place of this one.
    fn end_of_place(&self, position: usize) -> usize {
        if self.is_at_start(position) {
            return self.start_gates();
        }
        (position..).find(|later| self.ask_at(*later).is_none()).unwrap_or(position)
    }

    /// Returns the position of the next gate of a place that is asked again; its end where there is none.
    fn next_calendar(&self, from: usize, end: usize) -> usize {
        let timed_out = self.state.phase.asking().is_some_and(|asking| asking.timed_out);
        let again = |ask: &Ask| {
            let given_up = timed_out && self.policy.gate(&ask.gate).otherwise == Otherwise::Open;
            self.goes_by_calendar(ask) && !given_up
        };
        (from..end).find(|position| self.ask_at(*position).is_some_and(again)).unwrap_or(end)
    }

    fn goes_by_calendar(&self, ask: &Ask) -> bool {
        matches!(self.policy.gate(&ask.gate).kind, GateKind::Window(_))
    }

    /// Takes in what a gate said; its call is answered.
    pub(super) fn gate_decided(&mut self, decision: Decision, now: Timestamp) {
        let Some(mut pending) = self.flight.take(Slot::Gate) else { return };
        match (decision, &pending.action) {
            (Decision::Open, _) => self.open_gate(None, now),
            (Decision::Reject { why }, Action::AskGate { context }) => {
                let gate = context.gate.clone();
                self.roll_back(Reason::GateRejected { gate, why }, now);
            }
            (Decision::Wait { retry_after_ms, .. }, _) => {
                pending
                    .wait_until(now + Duration::from_millis(retry_after_ms.clamp(100, 3_600_000)));
                self.flight.put(Slot::Gate, pending);
            }
            (Decision::Reject { .. }, _) => {}
        }
    }
}
