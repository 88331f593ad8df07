//! A policy in code.

use std::time::Duration;

use super::{Check, GateSpec, Patience, Policy, PolicyError, PolicySpec, Stage};
use crate::value::{GateName, Weight, millis};

/// Builds a [`Policy`] step by step; [`build`](Self::build) says everything that is wrong at once.
#[derive(Clone, Debug)]
#[must_use]
pub struct PolicyBuilder {
    spec: PolicySpec,
    bad_names: Vec<super::Problem>,
}

impl PolicyBuilder {
    pub(super) fn new(name: impl Into<String>) -> Self {
        Self { spec: PolicySpec::new(name), bad_names: Vec::new() }
    }

    /// Looks at the metrics this often; 15 s unless said.
    pub fn every(mut self, interval: Duration) -> Self {
        self.spec.every_ms = millis(interval);
        self
    }

    /// Leaves this much time after each change of weight out of what is measured.
    pub fn settle(mut self, time: Duration) -> Self {
        self.spec.settle_ms = millis(time);
        self
    }

    /// Adds a stage.
    pub fn stage(mut self, name: impl Into<String>, weight: Weight, hold: Duration) -> Self {
        self.spec.stages.push(Stage::new(name, weight, hold));
        self
    }

    /// Asks a gate before the stage that was added last is left.
    pub fn gate(mut self, name: &str, spec: GateSpec) -> Self {
        let path = format!("gates.{name}");
        match (GateName::new(name), self.spec.stages.last_mut()) {
            (Ok(gate), Some(stage)) => {
                stage.gates.push(gate.clone());
                self.spec.gates.insert(gate, spec);
            }
            (Ok(_), None) => self.bad_names.push(super::Problem::new(
                path,
                format!("gate `{name}` stands before the first stage"),
                "add the stage first: a gate is asked before the stage added last is left",
            )),
            (Err(error), _) => self.bad_names.push(super::Problem::new(
                path,
                error.to_string(),
                "give it a plain name such as `oncall`",
            )),
        }
        self
    }

    /// Adds a check.
    pub fn check(mut self, check: Check) -> Self {
        self.spec.checks.push(check);
        self
    }

    /// Says what silence of the metric source means.
    pub const fn no_data(mut self, no_data: Patience) -> Self {
        self.spec.no_data = no_data;
        self
    }

    /// Turns the hard limit off: half of the requests failing is then no reason of its own.
    pub const fn without_hard_limit(mut self) -> Self {
        self.spec.hard_limit = false;
        self
    }

    /// Calls a roll-back stuck after this time; 5 min unless said.
    pub fn rollback_within(mut self, time: Duration) -> Self {
        self.spec.rollback_within_ms = millis(time);
        self
    }

    /// Checks the whole and returns the policy.
    ///
    /// # Errors
    /// [`PolicyError`] with everything that is wrong.
    pub fn build(self) -> Result<Policy, PolicyError> {
        let mut problems = self.bad_names;
        problems.extend(super::validate::problems(&self.spec));
        if problems.is_empty() {
            Policy::from_spec(self.spec)
        } else {
            Err(PolicyError::new(problems))
        }
    }
}
