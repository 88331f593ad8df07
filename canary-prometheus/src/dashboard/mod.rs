//! A Grafana dashboard, written from a policy.

mod panels;

use canary_core::policy::Policy;
use serde_json::{Value, json};

use crate::names;
use crate::rules::{Recorded, Service};

/// Writes a dashboard for the services that are rolled out under a policy, as Grafana imports it.
///
/// It has the variables `datasource`, `namespace` and `service`, so that one dashboard serves every service for which
/// [`rules`](crate::rules::rules) are loaded; `service` says which mesh they are in, and how their Deployments are called. It reads what
/// those rules record, and for the rest asks what they ask.
#[must_use]
pub fn dashboard(policy: &Policy, service: &Service) -> Value {
    let shown = service.as_variables();
    let title = format!("Canary rollouts: {}", policy.name());
    json!({
        "title": title,
        "uid": uid(policy.name()),
        "tags": ["canary"],
        "schemaVersion": 39,
        "version": 1,
        "editable": true,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": { "from": "now-1h", "to": "now" },
        "templating": { "list": variables(service) },
        "annotations": { "list": annotations(&shown) },
        "panels": panels::all(policy, &shown),
    })
}

/// Makes an identifier that a later version of the dashboard has too: Grafana takes letters, digits, `-` and `_`, 40 at most.
fn uid(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    "canary-".chars().chain(name.chars().map(plain)).take(40).collect()
}

fn source() -> Value {
    json!({ "type": "prometheus", "uid": "${datasource}" })
}

fn variables(service: &Service) -> Value {
    let recorded = Recorded::RequestRate.name();
    let label = |name: &str, query: String, current: &str| {
        json!({
            "name": name,
            "type": "query",
            "datasource": source(),
            "definition": query,
            "query": { "query": query, "refId": name },
            "refresh": 2,
            "sort": 1,
            "current": { "text": current, "value": current },
        })
    };
    let of_namespace =
        format!(r#"label_values({recorded}{{namespace="${{namespace}}"}}, service)"#);
    json!([
        { "name": "datasource", "type": "datasource", "query": "prometheus" },
        label("namespace", format!("label_values({recorded}, namespace)"), &service.namespace),
        label("service", of_namespace, &service.name),
    ])
}

/// Marks stages and ends: the series hold the times at which they came.
fn annotations(shown: &Service) -> Value {
    let mark = |name: &str, metric: &str, color: &str, title: &str| {
        json!({
            "name": name,
            "datasource": source(),
            "enable": true,
            "iconColor": color,
            "expr": format!("{} * 1000", shown.rollout_series(metric, "")),
            "useValueForTime": true,
            "titleFormat": title,
            "step": "30s",
        })
    };
    json!([
        mark("Rollouts", names::STARTED, "blue", "rollout began"),
        mark("Stages", names::STAGE_ENTERED, "purple", "stage {{stage}}"),
        mark("Ends", names::ENDED, "orange", "rollout {{outcome}}"),
    ])
}

#[cfg(test)]
mod tests;
