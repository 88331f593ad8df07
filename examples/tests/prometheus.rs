//! The quickstart's services, judged from a real Prometheus that scrapes them.
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::time::Duration;

use canary_core::driver::Driver;
use canary_core::policy::{Check, Policy};
use canary_core::report::Report;
use canary_core::value::{BySide, Weight};
use canary_examples::load::Load;
use canary_examples::loopback::Loopback;
use canary_examples::service::Behaviour;
use canary_prometheus::{LatencyUnit, Prometheus};

#[path = "../../canary-prometheus/tests/support/mod.rs"]
#[allow(dead_code, reason = "this test needs the server alone")]
mod support;

fn policy() -> Policy {
    Policy::builder("scraped")
        .every(Duration::from_secs(2))
        .settle(Duration::from_millis(500))
        .stage("quarter", Weight::percent(25), Duration::from_secs(6))
        .stage("half", Weight::percent(50), Duration::from_secs(4))
        .stage("full", Weight::FULL, Duration::from_secs(4))
        .check(Check::worse_than_stable("errors", 1.25))
        .check(Check::above("too-many-errors", "error_rate", 0.1))
        .check(Check::above("slow", "latency.p95", 1_000.0))
        .build()
        .unwrap()
}

/// Rolls out a canary that fails this share of its requests.
async fn roll_out(error_rate: f64) -> Report {
    let stable = Behaviour {
        variant: "stable",
        error_rate: 0.001,
        median: Duration::from_millis(10),
        slower_by: Duration::ZERO,
        seed: 1,
    };
    let canary = Behaviour { variant: "canary", error_rate, seed: 2, ..stable.clone() };
    let world = Loopback::start(BySide { stable, canary }).await.unwrap();
    let load = Load::start(world.proxy.address(), 200).unwrap();
    let targets = [world.services.stable.address(), world.services.canary.address()];
    let prometheus = support::PrometheusServer::start(&targets).await;
    let metrics = Prometheus::builder(prometheus.url())
        .requests(
            r#"http_requests_total{variant="{{ variant }}"}"#,
            r#"http_requests_total{variant="{{ variant }}", code=~"5.."}"#,
        )
        .latency(
            r#"http_request_duration_seconds_bucket{variant="{{ variant }}"}"#,
            LatencyUnit::Seconds,
        )
        .build()
        .unwrap();
    let rollout = Driver::builder(policy())
        .router(world.split.clone())
        .metrics(metrics)
        .clock(world.clock)
        .observe(|record| println!("{record}"))
        .start("scraped-1".parse().unwrap())
        .await
        .unwrap();
    let finished = rollout.finished().await.unwrap();
    drop(load);
    finished.report().clone()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the prometheus binary: apt-get install prometheus, then cargo test -p canary-examples --features mesh -- --ignored"]
async fn a_good_canary_is_promoted_on_what_prometheus_says() {
    let report = roll_out(0.001).await;
    report.assert_promoted();
    for stage in &report.stages[..2] {
        let (canary, stable) = (stage.requests.canary.total, stage.requests.stable.total);
        let share = canary as f64 / (canary + stable) as f64;
        // The scrapes of the two services lie up to a second apart, out of some six.
        assert!((share - stage.weight.fraction()).abs() < 0.2, "{}: {share}", stage.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the prometheus binary: apt-get install prometheus, then cargo test -p canary-examples --features mesh -- --ignored"]
async fn a_bad_canary_is_taken_back_on_what_prometheus_says() {
    let report = roll_out(0.3).await;
    report.assert_rolled_back();
    assert_eq!(report.highest_weight(), Weight::percent(25));
}
