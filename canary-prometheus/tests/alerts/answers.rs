//! Which alerts close the gate, and what it says of them.

use canary_prometheus::{AlertGate, Endpoint};
use serde_json::{Value, json};
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::{alertmanager, closed_by, prometheus};

#[tokio::test]
async fn an_alert_closes_it_that_fires_and_has_the_labels_and_severity() {
    let alert = |name: &str, service: &str, severity: &str| json!({ "alertname": name, "service": service, "severity": severity, "pod": "a" });
    let server = prometheus(&[
        ("firing", alert("Meant", "checkout", "critical")),
        ("pending", alert("Pending", "checkout", "critical")),
        ("inactive", alert("Inactive", "checkout", "critical")),
        ("firing", alert("Warning", "checkout", "warning")),
        ("firing", alert("Elsewhere", "cart", "critical")),
        ("firing", json!({ "alertname": "Nowhere", "severity": "critical" })),
        ("firing", alert("CanaryAutomatedRollbackRecommended", "checkout", "critical")),
    ])
    .await;
    let gate = || AlertGate::prometheus(server.uri()).label("service", "checkout");
    let since = "since 2026-03-01T12:00:00Z";
    let meant = format!(r#"Meant {{pod="a", severity="critical"}} {since}"#);
    let warning = format!(r#"Warning {{pod="a", severity="warning"}} {since}"#);
    let pending = format!(r#"Pending {{pod="a", severity="critical"}} pending {since}"#);

    let critical = gate().severity("critical");
    assert_eq!(closed_by(critical.clone()).await.unwrap(), format!("1 alert fires: {meant}"));
    let all = format!("2 alerts fire or are pending: {meant}; {pending}");
    assert_eq!(closed_by(critical.clone().or_pending()).await.unwrap(), all);
    let two = format!("2 alerts fire: {meant}; {warning}");
    assert_eq!(closed_by(critical.severity("warning")).await.unwrap(), two);
    assert_eq!(closed_by(gate()).await.unwrap(), two);
    assert_eq!(closed_by(gate().severity("info")).await, None);
    let nowhere = AlertGate::prometheus(server.uri()).label("service", "");
    let nowhere = closed_by(nowhere).await.unwrap();
    assert!(nowhere.starts_with("1 alert fires: Nowhere"), "{nowhere}");
}

#[tokio::test]
async fn labels_may_hold_the_rollout_and_variables() {
    let labels = json!({ "alertname": "A", "rollout": "checkout-42", "place": "shop/checkout" });
    let server = prometheus(&[("firing", labels)]).await;
    let gate = |namespace| {
        AlertGate::prometheus(server.uri())
            .label("rollout", "{{ rollout }}")
            .label("place", "{{ namespace }}/checkout")
            .variable("namespace", namespace)
    };
    assert_eq!(
        closed_by(gate("shop")).await.unwrap(),
        "1 alert fires: A since 2026-03-01T12:00:00Z"
    );
    assert_eq!(closed_by(gate("else")).await, None);
}

/// Returns the parameters of the only request that a server got.
async fn asked(server: &MockServer) -> Vec<(String, String)> {
    let requests = server.received_requests().await.unwrap();
    let [request] = &*requests else { panic!("{requests:?}") };
    request.url.query_pairs().into_owned().collect()
}

#[tokio::test]
async fn an_alertmanager_is_asked_for_what_is_meant_and_neither_silenced_nor_inhibited() {
    let server = alertmanager(&[
        json!({ "alertname": "Meant", "severity": "critical", "service": "a\"b\\c\nd" }),
        json!({ "alertname": "Not", "severity": "warning", "service": "a\"b\\c\nd" }),
    ])
    .await;
    let gate = AlertGate::alertmanager(server.uri())
        .severity("critical")
        .label("service", "{{ odd }}")
        .variable("odd", "a\"b\\c\nd");
    assert_eq!(
        closed_by(gate).await.unwrap(),
        r#"1 alert fires: Meant {severity="critical"} since 2026-03-01T12:00:00Z"#
    );
    let expected = [
        ("active", "true"),
        ("silenced", "false"),
        ("inhibited", "false"),
        ("filter", r#"service="a\"b\\c\nd""#),
        ("filter", r#"severity="critical""#),
    ];
    let asked = asked(&server).await;
    let asked: Vec<_> = asked.iter().map(|(name, value)| (&**name, &**value)).collect();
    assert_eq!(asked, expected);
}

#[tokio::test]
async fn of_several_severities_all_alerts_are_asked_for_and_some_are_meant() {
    let alert = |severity: &str| json!({ "alertname": severity, "severity": severity });
    let server = alertmanager(&[alert("page"), alert("critical"), alert("info")]).await;
    let gate = AlertGate::alertmanager(server.uri()).severity("critical").severity("page");
    let why = closed_by(gate).await.unwrap();
    assert!(why.starts_with("2 alerts fire: critical "), "{why}");
    assert!(asked(&server).await.iter().all(|(name, _)| name != "filter"));
}

#[tokio::test]
async fn the_endpoint_is_spoken_to_as_a_source_would() {
    let server = MockServer::start().await;
    let none = ResponseTemplate::new(200).set_body_json(json!([]));
    Mock::given(path("/alertmanager/api/v2/alerts")).respond_with(none).mount(&server).await;
    let endpoint = Endpoint::new(format!("{}/alertmanager/", server.uri()))
        .basic_auth("ana", "secret")
        .tenant("shop");
    let gate = AlertGate::alertmanager(endpoint);
    assert!(!format!("{gate:?}").contains("secret"));
    assert_eq!(closed_by(gate).await, None);
    let request = server.received_requests().await.unwrap().pop().unwrap();
    assert_eq!(request.method.as_str(), "GET");
    assert_eq!(request.headers["authorization"], "Basic YW5hOnNlY3JldA==");
    assert_eq!(request.headers["x-scope-orgid"], "shop");
}

#[tokio::test]
async fn however_many_and_however_long_alerts_are_the_sentence_is_short() {
    let long = "\u{1}ä".repeat(500);
    let alerts: Vec<(&str, Value)> = (0..1000)
        .map(|i| {
            let name = format!("{i:03}{long}");
            (
                "firing",
                json!({ "alertname": name, "b": "short", "c": long, (format!("d{long}")): "e" }),
            )
        })
        .collect();
    let server = prometheus(&alerts).await;
    let why = closed_by(AlertGate::prometheus(server.uri())).await.unwrap();
    assert!(why.starts_with("1000 alerts fire: 000 ä"), "{why}");
    assert!(why.ends_with("; 997 more"), "{why}");
    assert!(why.contains(r#"{b="short", …}"#), "{why}");
    assert!(why.chars().count() < 1000 && !why.contains('\u{1}'), "{why}");
}
