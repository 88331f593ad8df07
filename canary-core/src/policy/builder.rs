//! A policy in code.

use std::time::Duration;

use super::{
    Check, Comparison, Drift, GateSpec, How, Metric, MetricSpec, PassLimit, Patience, Policy,
    PolicyError, PolicySpec, Problem, Scale, Stage, Then, WorkloadSpec,
};
use crate::value::{Audience, GateName, Weight, millis};

/// Builds a [`Policy`] step by step; [`build`](Self::build) says everything that is wrong at once.
#[derive(Clone, Debug)]
#[must_use]
pub struct PolicyBuilder {
    spec: PolicySpec,
    misplaced: Vec<Problem>,
}

impl PolicyBuilder {
    pub(super) fn new(name: impl Into<String>) -> Self {
        Self { spec: PolicySpec::new(name), misplaced: Vec::new() }
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

    /// Bears a metric source that is this far behind; 1 min unless said.
    pub fn lag(mut self, time: Duration) -> Self {
        self.spec.lag_ms = millis(time);
        self
    }

    /// Lets requests with this header, besides any added before, reach the canary from the first stage on.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.spec.header.insert(name.into(), value.into());
        self
    }

    /// Chooses the canary's share by user.
    pub fn audience(mut self, audience: Audience) -> Self {
        self.spec.audience = Some(audience);
        self
    }

    /// Defines a metric beside the built-in ones.
    pub fn metric(mut self, name: impl Into<String>, metric: MetricSpec) -> Self {
        self.spec.metrics.insert(name.into(), metric);
        self
    }

    /// Asks a gate before anything else happens.
    pub fn start_gate(mut self, name: &str, spec: GateSpec) -> Self {
        if let Some(gate) = self.define(name, spec) {
            self.spec.start.push(gate);
        }
        self
    }

    /// Adds a stage.
    pub fn stage(mut self, name: impl Into<String>, weight: Weight, hold: Duration) -> Self {
        self.spec.stages.push(Stage::new(name, weight, hold));
        self
    }

    /// Asks a gate before the stage that was added last is entered.
    pub fn enter(mut self, name: &str, spec: GateSpec) -> Self {
        let gate = self.define(name, spec);
        self.last_stage(&format!("gate `{name}`"), |stage| stage.enter.extend(gate))
    }

    /// Asks a gate before the stage that was added last is left.
    pub fn gate(mut self, name: &str, spec: GateSpec) -> Self {
        let gate = self.define(name, spec);
        self.last_stage(&format!("gate `{name}`"), |stage| stage.gates.extend(gate))
    }

    /// Copies this share of stable's requests to the canary in the stage that was added last.
    pub fn mirror(self, share: Weight) -> Self {
        self.last_stage("a mirror", |stage| stage.mirror = share)
    }

    /// Makes the canary this large in the stage that was added last.
    pub fn scale(self, scale: Scale) -> Self {
        self.last_stage("a scale", |stage| stage.scale = Some(scale))
    }

    /// Leaves the stage that was added last only when the canary had this many requests in it.
    pub fn pass_samples(self, at_least: u64) -> Self {
        self.last_stage("a pass", |stage| stage.pass.samples = at_least)
    }

    /// Leaves the stage that was added last only if a metric over the whole stage was not above, or not below, this.
    ///
    /// The metric is written as in a policy file, as for [`Check::above`].
    pub fn pass(self, metric: &str, not: Comparison, limit: f64) -> Self {
        let metric = metric.parse().unwrap_or_else(|_| Metric::Custom(metric.into()));
        let limit = PassLimit::new(metric, not, limit);
        self.last_stage("a pass", |stage| stage.pass.limits.push(limit))
    }

    /// Keeps the old version at 100 % for this long after the last stage; checks go on, and an abort works.
    pub fn keep_old(mut self, time: Duration) -> Self {
        self.spec.promotion.keep_old_ms = millis(time);
        self
    }

    /// Makes the new version the stable one in this way; in place unless said.
    pub const fn promote(mut self, how: How) -> Self {
        self.spec.promotion.how = how;
        self
    }

    /// Asks a gate before the new version becomes the stable one.
    pub fn promotion_gate(mut self, name: &str, spec: GateSpec) -> Self {
        if let Some(gate) = self.define(name, spec) {
            self.spec.promotion.gates.push(gate);
        }
        self
    }

    /// Asks a gate once the new version is the stable one, before the old one goes.
    pub fn promoted_gate(mut self, name: &str, spec: GateSpec) -> Self {
        if let Some(gate) = self.define(name, spec) {
            self.spec.promotion.after.push(gate);
        }
        self
    }

    /// Adds a check.
    pub fn check(mut self, check: Check) -> Self {
        self.spec.checks.push(check);
        self
    }

    /// Adds a check that watches a gate all along: it fails when the gate rejects.
    pub fn watched_gate(mut self, name: &str, spec: GateSpec, then: Then) -> Self {
        if let Some(gate) = self.define(name, spec) {
            self.spec.checks.push(Check::gate(name, gate).then(then));
        }
        self
    }

    /// Says what silence of the metric source means.
    pub const fn no_data(mut self, no_data: Patience) -> Self {
        self.spec.no_data = no_data;
        self
    }

    /// Says what errors of the metric source mean.
    pub const fn errors(mut self, errors: Patience) -> Self {
        self.spec.errors = errors;
        self
    }

    /// Asks, or takes the canary back, where the rollout stands still for this long.
    pub const fn progress(mut self, progress: Patience) -> Self {
        self.spec.progress = Some(progress);
        self
    }

    /// Says what is done where somebody else has changed the route; it is put back unless said.
    pub const fn drift(mut self, drift: Drift) -> Self {
        self.spec.drift = drift;
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

    /// Says how the two versions are run.
    pub const fn workload(mut self, workload: WorkloadSpec) -> Self {
        self.spec.workload = workload;
        self
    }

    /// Remembers this many past rollouts of a target; 10 unless said.
    pub const fn keep(mut self, rollouts: u32) -> Self {
        self.spec.keep = rollouts;
        self
    }

    /// Takes a version that is among this many promoted last straight to the last stage.
    pub const fn fast_return(mut self, versions: u32) -> Self {
        self.spec.fast_return = versions;
        self
    }

    /// Accepts a finding of the linter by its name.
    pub fn allow(mut self, finding: impl Into<String>) -> Self {
        self.spec.allow.push(finding.into());
        self
    }

    /// Checks the whole and returns the policy.
    ///
    /// # Errors
    /// [`PolicyError`] with everything that is wrong.
    pub fn build(self) -> Result<Policy, PolicyError> {
        let mut problems = self.misplaced;
        problems.extend(super::validate::problems(&self.spec));
        if problems.is_empty() {
            Policy::from_spec(self.spec)
        } else {
            Err(PolicyError::new(problems))
        }
    }

    /// Says how a gate is asked; `None` where it cannot be, which is noted.
    fn define(&mut self, name: &str, spec: GateSpec) -> Option<GateName> {
        let path = format!("gates.{name}");
        let gate = match GateName::new(name) {
            Ok(gate) => gate,
            Err(error) => {
                self.misplaced.push(Problem::new(
                    path,
                    error.to_string(),
                    "give it a plain name such as `oncall`",
                ));
                return None;
            }
        };
        if self.spec.gates.get(&gate).is_some_and(|known| *known != spec) {
            self.misplaced.push(Problem::new(
                path,
                format!("it is said in two ways how gate `{name}` is asked"),
                "say the same wherever it is asked, or give the other one a name of its own",
            ));
        }
        self.spec.gates.insert(gate.clone(), spec);
        Some(gate)
    }

    fn last_stage(mut self, what: &str, change: impl FnOnce(&mut Stage)) -> Self {
        match self.spec.stages.last_mut() {
            Some(stage) => change(stage),
            None => self.misplaced.push(Problem::new(
                "stages",
                format!("{what} stands before the first stage"),
                "add the stage first: this is about the stage that was added last",
            )),
        }
        self
    }
}
