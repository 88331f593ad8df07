//! Asking the gates that stand between stages, and what their answers mean.

use std::time::Duration;

use super::flight::Slot;
use super::{Action, Phase, Rollout};
use crate::policy::{Ask, GateKind, Moment, Otherwise};
use crate::ports::{Decision, GateContext};
use crate::record::{Content, Reason};
use crate::value::{Actor, Timestamp};

impl Rollout {
    /// Returns how many gates are asked before the canary is made ready.
    pub(super) fn start_gates(&self) -> usize {
        self.policy.spec().start.len()
    }

    /// Returns the gate that is asked next where the rollout stands.
    pub(super) fn next_ask(&self) -> Option<&Ask> {
        let opened = self.state.phase.asking()?.opened;
        match &self.state.phase {
            Phase::Opening { .. } if self.state.first == 0 => {
                self.policy.asks_before_first().get(opened)
            }
            // The stages before the first one are passed over, and so are their gates.
            Phase::Opening { .. } => {
                let start = self.policy.asks_before_first().iter();
                let entering = self.policy.asks_after(self.state.first - 1).iter();
                start
                    .filter(|ask| ask.moment == Moment::Start)
                    .chain(entering.filter(|ask| ask.moment == Moment::Entering))
                    .nth(opened)
            }
            Phase::Holding { hold } => self.policy.asks_after(hold.stage).get(opened),
            Phase::Closing { .. } => self.policy.asks_after_promotion().get(opened),
            _ => None,
        }
    }

    /// Asks the next gate; tells whether there is one.
    pub(super) fn ask_next_gate(&mut self, now: Timestamp) -> bool {
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
            Otherwise::Open => self.open_gate(None, now),
            Otherwise::RollBack => {
                let after_ms = spec.timeout_ms.unwrap_or_default();
                self.roll_back(Reason::GateTimedOut { gate, after_ms }, now);
            }
        }
    }

    /// Opens the gate that is asked.
    pub(super) fn open_gate(&mut self, by: Option<Actor>, now: Timestamp) {
        let Some(Ask { gate, .. }) = self.asked().cloned() else { return };
        if let Some(asking) = self.state.phase.asking_mut() {
            (asking.opened, asking.since) = (asking.opened + 1, None);
        }
        self.cancel(Slot::Gate);
        self.moved(now);
        self.record(now, Content::GateOpened { gate, by });
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
