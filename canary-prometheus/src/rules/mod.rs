//! Alert and recording rules for Prometheus, written from a policy.

mod alerts;
mod limits;
mod query;
mod service;

pub(crate) use limits::Limited;
pub(crate) use query::Recorded;
pub use service::{InvalidService, Mesh, Service, UnknownMesh};

use std::collections::BTreeMap;
use std::time::Duration;

use canary_core::policy::Policy;
use canary_core::value::millis;
use serde::Serialize;

/// Writes the rules for a service that is rolled out under a policy.
///
/// What is recorded comes first, then what alerts; all in one group, which Prometheus evaluates in order, so that the
/// alerts see what was recorded at the same moment. The policy's checks say where the alerts' limits lie and how long they
/// are borne; where it says nothing, widely used figures stand in.
///
/// ```
/// use std::time::Duration;
/// use canary_core::policy::{Check, Policy};
/// use canary_core::value::Weight;
/// use canary_prometheus::rules::{Mesh, Service, rules};
///
/// let policy = Policy::builder("checkout")
///     .stage("half", Weight::percent(50), Duration::from_secs(600))
///     .stage("full", Weight::FULL, Duration::from_secs(600))
///     .check(Check::above("errors", "error_rate", 0.02).lasting(Duration::from_secs(60)))
///     .build()?;
/// let service = Service::new(Mesh::Istio, "shop", "checkout")?;
/// let file = serde_json::to_string(&rules(&policy, &service))?; // JSON is YAML too
/// assert!(file.contains("> 0.02"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn rules(policy: &Policy, service: &Service) -> RuleFile {
    let labels = BTreeMap::from([
        ("namespace", service.namespace.clone()),
        ("service", service.name.clone()),
    ]);
    let recording = Recorded::ALL.into_iter().map(|rule| Rule::Recording {
        record: rule.name(),
        expr: service.records(rule),
        labels: labels.clone(),
    });
    let alerts = alerts::all(policy, service).into_iter().map(|alert| alert.rule(service, &labels));
    let name = format!("canary {}/{}", service.namespace, service.name);
    RuleFile { groups: vec![Group { name, rules: recording.chain(alerts).collect() }] }
}

/// Holds a file of rules as Prometheus reads it; serialise it as YAML or JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RuleFile {
    /// The groups, each evaluated by itself.
    pub groups: Vec<Group>,
}

/// Holds rules that are evaluated one after the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Group {
    /// The name, which no other group in the file has.
    pub name: String,
    /// The rules.
    pub rules: Vec<Rule>,
}

/// Describes one rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum Rule {
    /// Records what an expression gives under a name.
    Recording {
        /// The name.
        record: &'static str,
        /// The expression.
        expr: String,
        /// What is put on the recorded series.
        labels: BTreeMap<&'static str, String>,
    },
    /// Tells people.
    Alert {
        /// The name.
        alert: &'static str,
        /// It fires where this gives anything.
        expr: String,
        /// For how long, as Prometheus writes durations.
        #[serde(rename = "for")]
        lasting: String,
        /// What is put on the alert: `severity`, `namespace` and `service`.
        labels: BTreeMap<&'static str, String>,
        /// What people read: `summary`, `description` and, where there is one, `runbook_url`.
        annotations: BTreeMap<&'static str, String>,
    },
}

/// Writes a duration as Prometheus reads it.
fn written(duration: Duration) -> String {
    match millis(duration) {
        0 => "0s".to_owned(),
        ms if ms.is_multiple_of(60_000) => format!("{}m", ms / 60_000),
        ms if ms.is_multiple_of(1000) => format!("{}s", ms / 1000),
        ms => format!("{ms}ms"),
    }
}

/// Writes a text such that the template engine of annotations leaves it as it is.
fn literal(text: &str) -> String {
    text.replace("{{", r#"{{ "{{" }}"#)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_prometheus_reads_them() {
        let of = |ms| written(Duration::from_millis(ms));
        assert_eq!([of(0), of(500), of(90_000), of(120_000)], ["0s", "500ms", "90s", "2m"]);
    }

    #[test]
    fn what_people_wrote_is_no_template() {
        assert_eq!(literal("a {{ .b }}"), r#"a {{ "{{" }} .b }}"#);
    }
}
