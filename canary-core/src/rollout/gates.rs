//! Asking gates, and what their answers mean.

use std::time::Duration;

use super::{Action, Phase, Rollout};
use crate::policy::{GateKind, Otherwise};
use crate::ports::{Decision, GateContext};
use crate::record::{Content, Reason};
use crate::value::{Actor, Timestamp};

impl Rollout {
    /// Asks the next gate of a stage.
    pub(super) fn ask_gate(
        &mut self,
        stage: usize,
        opened: usize,
        asked: Option<Timestamp>,
        now: Timestamp,
    ) {
        let name = self.stage(stage).gates[opened].clone();
        let stage_name = self.stage(stage).name.clone();
        if asked.is_none() {
            if let Phase::Holding { asked, .. } = &mut self.state.phase {
                *asked = Some(now);
            }
            self.record(
                now,
                Content::GateAsked {
                    gate: name.clone(),
                    moment: crate::policy::Moment::Leaving,
                    stage: stage_name.clone(),
                },
            );
        }
        if self.policy.gate(&name).kind == GateKind::Supplied && self.flight.gate.is_none() {
            let context = GateContext::new(
                name,
                crate::policy::Moment::Leaving,
                stage_name,
                self.state.routed,
            );
            self.flight.gate = Some(self.run(Action::AskGate { context }, now));
        }
    }

    /// Returns when the gate that is asked has had its time.
    pub(super) fn gate_times_out(
        &self,
        stage: usize,
        opened: usize,
        asked: Option<Timestamp>,
    ) -> Option<Timestamp> {
        let gate = self.stage(stage).gates.get(opened)?;
        Some(asked? + Duration::from_millis(self.policy.gate(gate).timeout_ms?))
    }

    /// Does what the policy says where the gate that is asked has had its time.
    pub(super) fn time_out_gate(&mut self, now: Timestamp) {
        let Phase::Holding { stage, opened, asked, .. } = self.state.phase else { return };
        if self.gate_times_out(stage, opened, asked).is_none_or(|at| now < at) {
            return;
        }
        let Some(gate) = self.stage(stage).gates.get(opened).cloned() else { return };
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
        let Phase::Holding { stage, opened, asked, .. } = &mut self.state.phase else {
            return;
        };
        let (stage, at) = (*stage, *opened);
        (*opened, *asked) = (at + 1, None);
        if let Some(gate) = self.stage(stage).gates.get(at).cloned() {
            self.cancel(|flight| &mut flight.gate);
            self.record(now, Content::GateOpened { gate, by });
        }
    }

    /// Takes in what a gate said; its call is answered.
    pub(super) fn gate_decided(&mut self, decision: Decision, now: Timestamp) {
        let Some(mut pending) = self.flight.gate.take() else {
            return;
        };
        match (decision, &pending.action) {
            (Decision::Open, _) => self.open_gate(None, now),
            (Decision::Reject { why }, Action::AskGate { context }) => {
                let gate = context.gate.clone();
                self.roll_back(Reason::GateRejected { gate, why }, now);
            }
            (Decision::Wait { retry_after_ms, .. }, _) => {
                pending
                    .wait_until(now + Duration::from_millis(retry_after_ms.clamp(100, 3_600_000)));
                self.flight.gate = Some(pending);
            }
            (Decision::Reject { .. }, _) => {}
        }
    }
}
