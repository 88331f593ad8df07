//! Holds a rollout up while alerts fire.

mod answer;
mod builder;
mod told;

use std::collections::BTreeMap;

use async_trait::async_trait;
use canary_core::ports::{Call, Decision, Gate, GateContext, PortError};
use canary_core::value::RolloutId;

pub use builder::AlertGateBuilder;

use crate::error::invalid;
use crate::http::Http;
use crate::limits::Limits;
use crate::names::ROLLBACK_RECOMMENDED;
use crate::template::Template;
use answer::{Alert, Server, State};

/// Is open while no alert fires that has the labels asked for, and else takes the canary back.
///
/// It asks a Prometheus or an Alertmanager; [`AlertGateBuilder`] tells what differs. Named by a stage it is asked there, named
/// by a check it is asked all along. What it says names the alerts, with since when they fire and what tells them apart.
///
/// ```
/// use canary_core::driver::Driver;
/// use canary_core::policy::Policy;
/// use canary_prometheus::AlertGate;
///
/// let policy = Policy::from_yaml("
/// version: 1
/// name: checkout
/// stages:
///   - { weight: 10%,  hold: 10m }
///   - { weight: 100%, hold: 10m }
/// checks:
///   - { name: alerts, gate: no-critical-alert }
/// gates:
///   no-critical-alert: { alerts: { severity: critical } }
/// hard_limit: off
/// ")?;
/// let alerts = AlertGate::alertmanager("http://alertmanager:9093")
///     .severity("critical")
///     .label("namespace", "shop")
///     .label("service", "checkout")
///     .build()?;
/// let driver = Driver::builder(policy).gate("no-critical-alert", alerts);
/// # drop(driver);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct AlertGate {
    http: Http,
    server: Server,
    limits: Limits,
    variables: BTreeMap<String, String>,
    /// Which labels an alert must have.
    labels: BTreeMap<String, Template>,
    /// Any of these, or any at all where there is none.
    severities: Vec<String>,
    pending: bool,
}

#[async_trait]
impl Gate for AlertGate {
    async fn decide(&self, call: &Call, _context: &GateContext) -> Result<Decision, PortError> {
        let labels = self.labels_of(&call.rollout)?;
        let time = call.deadline.since(call.made).min(self.limits.time);
        let filters = self.filters(&labels);
        let mut alerts = self.server.alerts(&self.http, &filters, time, self.limits).await?;
        alerts.retain(|alert| self.is_meant(alert, &labels));
        Ok(match told::sentence(alerts, &labels) {
            None => Decision::Open,
            Some(why) => Decision::reject(why),
        })
    }
}

impl AlertGate {
    fn labels_of(&self, rollout: &RolloutId) -> Result<BTreeMap<&str, String>, PortError> {
        let rendered = self.labels.iter().map(|(name, template)| {
            let value = template.text(&self.variables, rollout.as_str());
            let value = value.map_err(|problem| invalid(format!("label {name}: {problem}")))?;
            Ok((&**name, value))
        });
        rendered.collect()
    }

    /// Writes what a server that can choose is asked for. It may answer more than that.
    fn filters(&self, labels: &BTreeMap<&str, String>) -> Vec<String> {
        let only = match &*self.severities {
            [only] => Some(("severity", &**only)),
            _ => None,
        };
        let labels = labels.iter().map(|(name, value)| (*name, &**value));
        labels.chain(only).map(|(name, value)| format!("{name}={}", quoted(value))).collect()
    }

    fn is_meant(&self, alert: &Alert, labels: &BTreeMap<&str, String>) -> bool {
        // As everywhere in Prometheus, a label that is not there is empty.
        let has = |name: &str, value: &str| alert.label(name) == value;
        let state = match alert.state {
            State::Firing => true,
            State::Pending => self.pending,
            State::Other => false,
        };
        let severities = &self.severities;
        state
            && alert.label("alertname") != ROLLBACK_RECOMMENDED
            && labels.iter().all(|(name, value)| has(name, value))
            && (severities.is_empty() || severities.iter().any(|value| has("severity", value)))
    }
}

/// Writes a value between quotes, as Alertmanager reads it.
fn quoted(value: &str) -> String {
    let escaped = value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
    format!("\"{escaped}\"")
}
