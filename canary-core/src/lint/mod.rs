//! What is legal in a policy, and unwise.
//!
//! ```
//! use std::time::Duration;
//! use canary_core::lint::{self, Assumptions};
//! use canary_core::policy::{Check, Policy};
//! use canary_core::value::Weight;
//!
//! let policy = Policy::builder("checkout")
//!     .settle(Duration::from_secs(5))
//!     .stage("half", Weight::percent(50), Duration::from_secs(600))
//!     .stage("full", Weight::FULL, Duration::from_secs(600))
//!     .check(Check::worse_than_stable("errors", 1.25))
//!     .build()?;
//! let findings = lint::findings(&policy, &Assumptions::default());
//! let names: Vec<&str> = findings.iter().map(|finding| finding.name).collect();
//! assert_eq!(names, ["large-first-stage", "nothing-at-full"]);
//! # Ok::<(), canary_core::policy::PolicyError>(())
//! ```

mod allow;
mod chance;
mod checks;
mod finding;
mod gates;
mod names;
mod plan;
mod traffic;

pub use allow::NAMES;
pub use finding::Finding;

use std::time::Duration;

use crate::policy::{Limit, Metric, Policy, Stage};
use crate::value::Split;

/// Says what is known of the service; what is not known is not judged.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Assumptions {
    /// How many requests a second reach both versions together, above 0.
    pub requests_per_second: Option<f64>,
    /// The share of its requests that stable fails, 0 to 1.
    pub base_error_rate: Option<f64>,
    /// How often the metric source looks at the service.
    pub scrape_interval: Option<Duration>,
}

impl Assumptions {
    /// Assumes this many requests a second, both versions together.
    #[must_use]
    pub const fn requests_per_second(mut self, rate: f64) -> Self {
        self.requests_per_second = Some(rate);
        self
    }

    /// Assumes that stable fails this share of its requests.
    #[must_use]
    pub const fn base_error_rate(mut self, rate: f64) -> Self {
        self.base_error_rate = Some(rate);
        self
    }

    /// Assumes that the metric source looks at the service this often.
    #[must_use]
    pub const fn scrape_interval(mut self, interval: Duration) -> Self {
        self.scrape_interval = Some(interval);
        self
    }
}

/// Returns what is unwise in a policy, in the order of its parts; what it accepts by `allow` is marked so.
#[must_use]
pub fn findings(policy: &Policy, assumptions: &Assumptions) -> Vec<Finding> {
    let mut found = Vec::new();
    names::findings(policy, &mut found);
    plan::findings(policy, &mut found);
    checks::findings(policy, assumptions, &mut found);
    traffic::findings(policy, assumptions, &mut found);
    gates::findings(policy, &mut found);
    allow::apply(policy, assumptions, &mut found);
    found
}

/// Returns the stages in which both sides have traffic, each with its position.
fn mixed(policy: &Policy) -> impl Iterator<Item = (usize, &Stage)> {
    policy.stages().iter().enumerate().filter(|(_, stage)| stage.split().is_mixed())
}

/// Returns where a stage stands in the policy; the bake stands with the promotion.
fn place_of(policy: &Policy, stage: usize) -> String {
    if stage > policy.full_stage() {
        "promotion.keep_old".to_owned()
    } else {
        format!("stages[{stage}]")
    }
}

/// Writes a limit as it stands in a policy.
fn show(metric: &Metric, limit: Limit) -> String {
    match limit {
        Limit::Absolute(value) => metric.unit().show(value),
        Limit::TimesStable(times) => format!("{times} times stable's"),
    }
}

/// Returns how many requests the canary gets in a time, copies included.
fn requests(per_second: f64, split: Split, time: Duration) -> f64 {
    per_second * split.shares().canary * time.as_secs_f64()
}
