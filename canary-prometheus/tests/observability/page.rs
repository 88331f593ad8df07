//! A real Prometheus scrapes the page of rollout metrics.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use canary_core::policy::{Check, Policy};
use canary_core::ports::Observer as _;
use canary_core::simulate::Simulation;
use canary_core::value::Weight;
use canary_prometheus::export::RolloutMetrics;
use serde_json::Value;

use crate::support::{PrometheusServer, eventually};

/// Asks a Prometheus for the value of an expression now.
pub(crate) fn ask(url: &str, query: &str) -> Value {
    let escaped: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let body = format!("query={escaped}");
    let address = url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "POST /api/v1/query HTTP/1.0\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap()
}

/// Serves a page to whoever asks, for as long as the test runs.
fn serve(page: impl Fn() -> String + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            // A scraper that goes away comes again.
            let _ = stream.and_then(|stream| answer(stream, &page()));
        }
    });
    address
}

fn answer(mut stream: TcpStream, page: &str) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        request.push(byte[0]);
    }
    let kind = RolloutMetrics::CONTENT_TYPE;
    write!(
        stream,
        "HTTP/1.0 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{page}",
        page.len()
    )
}

#[tokio::test]
#[ignore = "needs Prometheus: .ci/cluster/prometheus, then cargo test -p canary-prometheus --all-features -- --ignored"]
async fn a_prometheus_reads_the_page() {
    let metrics = RolloutMetrics::new();
    let observer = metrics.of("shop/checkout".parse().unwrap());
    let policy = Policy::builder("check \"out\"\\")
        .stage("tenth", Weight::percent(10), Duration::from_secs(600))
        .stage("full", Weight::FULL, Duration::from_secs(600))
        .check(Check::worse_than_stable("errors", 1.25))
        .build()
        .unwrap();
    let id = "checkout-42".parse().unwrap();
    let mut told = 0;
    Simulation::of(&policy).traffic(200.0).seed(7).run_observed(|record| {
        // Some looks into the first stage.
        told += 1;
        if told <= 12 {
            observer.notice(&id, record);
        }
    });
    let server = PrometheusServer::start(&[serve(move || metrics.text())]).await;
    let value =
        |answer: &Value| answer["data"]["result"][0]["value"][1].as_str().map(str::to_owned);
    for (query, expected) in [
        (r#"canary_rollout_weight_ratio{target="shop/checkout"}"#, "0.1"),
        (r#"canary_rollout_info{policy="check \"out\"\\"}"#, "1"),
        (r#"canary_rollout_phase{phase="holding"}"#, "1"),
        ("canary_rollout_drifts_total", "0"),
        (r#"canary_rollout_check_verdict{check="errors",verdict="pass"}"#, "1"),
    ] {
        let found = eventually(query, async || value(&ask(server.url(), query))).await;
        assert_eq!(found, expected, "{query}");
    }
}
