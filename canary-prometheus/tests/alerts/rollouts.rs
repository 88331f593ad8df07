//! What becomes of a rollout whose alert gate is asked all along, or by a stage.

use std::time::Duration;

use canary_core::driver::Driver;
use canary_core::policy::{GateSpec, Policy, PolicyBuilder, Then};
use canary_core::report::Report;
use canary_core::testing::MemoryRouter;
use canary_core::value::{Traffic, Weight};
use canary_prometheus::AlertGate;
use serde_json::json;
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::by_prometheus;

fn policy() -> PolicyBuilder {
    Policy::builder("shop")
        .every(Duration::from_millis(100))
        .settle(Duration::ZERO)
        .without_hard_limit()
        .stage("tenth", Weight::percent(10), Duration::from_millis(500))
}

/// Runs a rollout; the server has no alert when it is first asked, twice, and then answers so.
async fn roll_out(policy: PolicyBuilder, then: ResponseTemplate) -> (Report, Traffic) {
    let policy = policy.stage("full", Weight::FULL, Duration::from_millis(500)).build().unwrap();
    let server = MockServer::start().await;
    let alerts = || Mock::given(path("/api/v1/alerts"));
    alerts().respond_with(by_prometheus(&[])).up_to_n_times(2).mount(&server).await;
    alerts().respond_with(then).mount(&server).await;
    let gate = AlertGate::prometheus(server.uri()).severity("critical").build().unwrap();
    let router = MemoryRouter::new();
    let rollout = Driver::builder(policy)
        .router(router.clone())
        .gate("no-critical-alert", gate)
        .start("checkout-42".parse().unwrap())
        .await
        .unwrap();
    let finished = rollout.finished().await.unwrap();
    (finished.report().clone(), router.traffic())
}

fn watched() -> PolicyBuilder {
    policy().watched_gate("no-critical-alert", GateSpec::default(), Then::RollBack)
}

fn firing() -> ResponseTemplate {
    by_prometheus(&[("firing", json!({ "alertname": "Outage", "severity": "critical" }))])
}

#[tokio::test]
async fn a_canary_is_taken_back_when_an_alert_begins_to_fire() {
    let (report, traffic) = roll_out(watched(), firing()).await;
    report.assert_rolled_back();
    assert_eq!(traffic.canary, Weight::ZERO);
    let told = report.to_markdown();
    assert!(told.contains("1 alert fires: Outage"), "{told}");
    assert!(told.contains("since 2026-03-01T12:00:00Z"), "{told}");
}

#[tokio::test]
async fn a_canary_is_taken_back_by_an_alert_when_it_would_leave_a_stage() {
    // The gates of a stage are asked once each, so the third question is that of the third gate.
    let gated = policy().gate("no-critical-alert", GateSpec::default());
    let more = |policy: PolicyBuilder, name, weight| {
        policy
            .stage(name, Weight::percent(weight), Duration::from_millis(200))
            .gate("no-critical-alert", GateSpec::default())
    };
    let (report, traffic) = roll_out(more(more(gated, "b", 20), "c", 30), firing()).await;
    report.assert_rolled_back();
    assert_eq!((report.highest_weight(), traffic.canary), (Weight::percent(30), Weight::ZERO));
}

#[tokio::test]
async fn a_canary_to_which_no_alert_objects_is_promoted() {
    let (report, traffic) = roll_out(watched(), by_prometheus(&[])).await;
    report.assert_promoted();
    assert_eq!(traffic.canary, Weight::FULL);
}
