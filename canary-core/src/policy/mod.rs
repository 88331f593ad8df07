//! What a rollout shall do: stages, checks, gates.
//!
//! A [`Policy`] is always valid. It is made from its stable form, a
//! [`PolicySpec`], by a [builder](Policy::builder), or (feature `yaml`) from
//! the text that people write.
//!
//! ```
//! use std::time::Duration;
//! use canary_core::policy::{Check, Policy, Then};
//! use canary_core::value::Weight;
//!
//! let policy = Policy::builder("checkout")
//!     .every(Duration::from_secs(15))
//!     .stage("first", Weight::percent(5), Duration::from_secs(300))
//!     .stage("half", Weight::percent(50), Duration::from_secs(600))
//!     .stage("full", Weight::FULL, Duration::from_secs(600))
//!     .check(Check::worse_than_stable("errors", 1.25))
//!     .check(Check::above("too-many-errors", "error_rate", 0.05).lasting(Duration::from_secs(120)))
//!     .check(Check::above_stable("slow", "latency.p95", 1.5).then(Then::Hold))
//!     .build()?;
//! assert_eq!(policy.stages().len(), 3);
//! # Ok::<(), canary_core::policy::PolicyError>(())
//! ```

mod builder;
mod metric;
mod problem;
mod spec;
#[cfg(feature = "yaml")]
mod text;
mod validate;

pub use builder::PolicyBuilder;
pub use metric::{Metric, Quantile, Unit, UnknownMetric};
pub use problem::{Place, PolicyError, Problem};
pub use spec::{
    Check, CheckKind, Comparison, GateKind, GateSpec, Limit, NoData, Otherwise, PolicySpec, Stage,
    Then,
};

use std::time::Duration;

use crate::value::GateName;

/// The name under which the built-in hard limit stands in records and reports.
pub const HARD_LIMIT: &str = "hard-limit";

/// Plans a rollout; always valid.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    spec: PolicySpec,
}

impl Policy {
    /// Begins a policy in code.
    pub fn builder(name: impl Into<String>) -> PolicyBuilder {
        PolicyBuilder::new(name)
    }

    /// Checks the stable form and takes it as a policy.
    ///
    /// # Errors
    /// [`PolicyError`] with everything that is wrong with it.
    pub fn from_spec(spec: PolicySpec) -> Result<Self, PolicyError> {
        let problems = validate::problems(&spec);
        if problems.is_empty() { Ok(Self { spec }) } else { Err(PolicyError::new(problems)) }
    }

    /// Reads a policy in the form that people write, as YAML or JSON.
    ///
    /// # Errors
    /// [`PolicyError`]: a syntax error alone, otherwise everything that is wrong, each with its
    /// place in the text, what was expected, and what to write instead.
    #[cfg(feature = "yaml")]
    pub fn from_yaml(text: &str) -> Result<Self, PolicyError> {
        Self::from_yaml_named("policy.yaml", text)
    }

    /// Reads a policy as [`from_yaml`](Self::from_yaml) does, with the file's name for its errors.
    ///
    /// # Errors
    /// As for [`from_yaml`](Self::from_yaml).
    #[cfg(feature = "yaml")]
    pub fn from_yaml_named(file: &str, text: &str) -> Result<Self, PolicyError> {
        text::read(file, text)
    }

    /// Returns the stable form.
    #[must_use]
    pub const fn spec(&self) -> &PolicySpec {
        &self.spec
    }

    /// Returns the policy's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// Returns the time between two looks at the metrics.
    #[must_use]
    pub const fn every(&self) -> Duration {
        Duration::from_millis(self.spec.every_ms)
    }

    /// Returns the time after a change of weight that is left out of what is measured.
    #[must_use]
    pub const fn settle(&self) -> Duration {
        Duration::from_millis(self.spec.settle_ms)
    }

    /// Returns the stages, at least one, with rising weights, the last at 100 %.
    #[must_use]
    pub fn stages(&self) -> &[Stage] {
        &self.spec.stages
    }

    /// Returns the checks.
    #[must_use]
    pub fn checks(&self) -> &[Check] {
        &self.spec.checks
    }

    /// Tells whether anything is judged at all: without checks and hard limit nothing needs to be measured.
    #[must_use]
    pub fn is_judged(&self) -> bool {
        self.hard_limit() || !self.checks().is_empty()
    }

    /// Tells whether half of twenty or more requests failing, while stable is well, takes the canary back at once.
    #[must_use]
    pub const fn hard_limit(&self) -> bool {
        self.spec.hard_limit
    }

    /// Returns what silence of the metric source means.
    #[must_use]
    pub const fn no_data(&self) -> NoData {
        self.spec.no_data
    }

    /// Returns how a gate is asked; one that only the stages name is supplied in code and waited for.
    #[must_use]
    pub fn gate(&self, name: &GateName) -> GateSpec {
        self.spec.gates.get(name).copied().unwrap_or_default()
    }

    /// Returns every gate that a stage names, each once, in the order of the stages.
    pub fn gates(&self) -> impl Iterator<Item = &GateName> {
        let all = || self.stages().iter().flat_map(|stage| &stage.gates);
        all()
            .enumerate()
            .filter(move |(i, name)| !all().take(*i).any(|n| n == *name))
            .map(|(_, n)| n)
    }

    /// Returns how long a roll-back may take before it is called stuck.
    #[must_use]
    pub const fn rollback_within(&self) -> Duration {
        Duration::from_millis(self.spec.rollback_within_ms)
    }

    /// Returns the time spent at weights strictly between 0 % and 100 % if all goes well.
    #[must_use]
    pub fn mixed_time(&self) -> Duration {
        let mixed = |stage: &&Stage| stage.weight.is_mixed();
        self.stages()
            .iter()
            .filter(mixed)
            .map(Stage::hold)
            .fold(Duration::ZERO, Duration::saturating_add)
    }
}
