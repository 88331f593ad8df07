//! What the alert gate makes of the alerts that a server has.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

#[path = "../support/mod.rs"]
#[allow(dead_code, reason = "not all of it is needed here")]
mod support;

mod answers;
mod failures;
mod rollouts;
mod servers;

use std::time::Duration;

use canary_core::policy::Moment;
use canary_core::ports::{Call, Decision, Gate, GateContext, PortError};
use canary_core::value::{EffectId, Epoch, Timestamp, Weight};
use canary_prometheus::{AlertGate, AlertGateBuilder};
use serde_json::{Value, json};
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

const PATIENT: Duration = Duration::from_secs(60);

async fn decide(gate: &AlertGate, patience: Duration) -> Result<Decision, PortError> {
    let made = Timestamp::from_millis(1_700_000_000_000);
    let rollout = "checkout-42".parse().unwrap();
    let call = Call::new(rollout, Epoch::new(1), EffectId::new(1), 1, made, made + patience);
    let name = "no-critical-alert".parse().unwrap();
    gate.decide(&call, &GateContext::new(name, Moment::Watch, "tenth", Weight::percent(10))).await
}

/// Asks a gate that answers, and returns what it says if it is closed.
async fn closed_by(gate: AlertGateBuilder) -> Option<String> {
    match decide(&gate.build().unwrap(), PATIENT).await.unwrap() {
        Decision::Open => None,
        Decision::Reject { why } => Some(why),
        Decision::Wait { .. } => panic!("it decides at once"),
    }
}

/// Answers a GET of a page.
async fn answering(page: &str, answer: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("GET")).and(path(page)).respond_with(answer).mount(&server).await;
    server
}

/// Answers as a Prometheus with these alerts, each a state and its labels.
async fn prometheus(alerts: &[(&str, Value)]) -> MockServer {
    answering("/api/v1/alerts", by_prometheus(alerts)).await
}

fn by_prometheus(alerts: &[(&str, Value)]) -> ResponseTemplate {
    let alert = |(state, labels): &(&str, Value)| {
        json!({
            "labels": labels, "annotations": { "summary": "s" }, "state": state,
            "activeAt": "2026-03-01T12:00:00.123456789Z", "value": "1e+00",
        })
    };
    let alerts: Vec<Value> = alerts.iter().map(alert).collect();
    let data = json!({ "alerts": alerts });
    ResponseTemplate::new(200).set_body_json(json!({ "status": "success", "data": data }))
}

/// Answers as an Alertmanager that has found these alerts, each its labels.
async fn alertmanager(alerts: &[Value]) -> MockServer {
    let alert = |labels: &Value| {
        json!({
            "labels": labels, "annotations": {}, "fingerprint": "2d", "receivers": [{ "name": "r" }],
            "startsAt": "2026-03-01T12:00:00.500Z", "endsAt": "2026-03-01T13:00:00.000Z",
            "updatedAt": "2026-03-01T12:00:00.000Z",
            "status": { "inhibitedBy": [], "silencedBy": [], "state": "active" },
        })
    };
    let alerts: Vec<Value> = alerts.iter().map(alert).collect();
    answering("/api/v2/alerts", ResponseTemplate::new(200).set_body_json(alerts)).await
}
