//! What the source makes of every kind of answer, and what it asks for.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

mod client;
mod counts;
mod failures;
mod histograms;
mod numbers;
mod refusals;
mod windows;
mod wire;

use std::time::Duration;

use canary_core::ports::{Call, MetricSource, PortError};
use canary_core::value::{EffectId, Epoch, Measured, Query, Side, Signal, Timestamp};
use canary_prometheus::{LatencyUnit, Prometheus};
use serde_json::{Value, json};
use wiremock::matchers::{body_string_contains, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

const BEGIN: u64 = 1_700_000_000_000;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis(BEGIN + seconds * 1000)
}

fn source(address: &str) -> Prometheus {
    Prometheus::builder(address)
        .variable("app", "checkout")
        .variant(Side::Canary, "v2")
        .requests(
            r#"requests{app="{{ app }}", variant="{{ variant }}"}"#,
            r#"requests{app="{{ app }}", variant="{{ variant }}", code=~"5.."}"#,
        )
        .latency(r#"seconds_bucket{variant="{{ variant }}"}"#, LatencyUnit::Seconds)
        .value("pool", r#"pool{variant="{{ variant }}"}"#)
        .build()
        .unwrap()
}

async fn measure(
    source: &Prometheus,
    signal: Signal,
    patience: Duration,
) -> Result<Measured, PortError> {
    let (made, deadline) = (at(60), at(60) + patience);
    let call = Call::new(
        "checkout-42".parse().unwrap(),
        Epoch::new(1),
        EffectId::new(1),
        1,
        made,
        deadline,
    );
    let mut answers = source.measure(&call, &[Query::new(signal, at(30))], at(60)).await;
    answers.pop().unwrap()
}

const PATIENT: Duration = Duration::from_secs(60);

fn pool() -> Signal {
    Signal::Custom("pool".into())
}

fn success(kind: &str, result: Value) -> ResponseTemplate {
    let data = json!({ "resultType": kind, "result": result });
    ResponseTemplate::new(200).set_body_json(json!({ "status": "success", "data": data }))
}

/// Answers every query alike.
async fn always(answer: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/api/v1/query"))
        .respond_with(answer)
        .mount(&server)
        .await;
    server
}

/// Adds an answer to queries in whose form body a text occurs; mounted first, asked first.
async fn to(server: &MockServer, query: &str, answer: ResponseTemplate) {
    Mock::given(body_string_contains(query)).respond_with(answer).mount(server).await;
}

/// One series with a sample every 15 s from second 15 on.
fn series(labels: Value, values: &[&str]) -> Value {
    let values: Vec<_> = (1..)
        .zip(values)
        .map(|(n, value)| json!([(BEGIN / 1000 + 15 * n) as f64 + 0.123, value]))
        .collect();
    json!({ "metric": labels, "values": values })
}
