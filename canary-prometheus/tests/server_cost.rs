//! What looks cost the server, next to the usual `increase()`: what each of them asks, asked here directly.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

mod support;

use std::fmt::Write as _;

use serde_json::Value;
use support::{Exporter, PrometheusServer, eventually, get, now};

/// How many series there are.
const SERIES: usize = 100;

/// How often each is asked.
const TIMES: u32 = 20;

fn version(variant: &'static str) -> Exporter {
    Exporter::serve(move |scrape| {
        let mut text = String::new();
        for path in 0..SERIES {
            let labels = format!("variant=\"{variant}\", path=\"/{path}\"");
            writeln!(text, "http_requests_total{{{labels}}} {}", 10 * scrape).unwrap();
        }
        Some(text)
    })
}

/// Asks a query again and again; returns how many samples the server loaded for it, its mean time in microseconds, and
/// the answer's length.
fn cost(server: &PrometheusServer, query: &str, at: f64) -> (u64, f64, usize) {
    let url = format!("{}/api/v1/query?query={query}&time={at}&stats=all", server.url());
    let (mut samples, mut time, mut length) = (0, 0.0, 0);
    for _ in 0..TIMES {
        let answer = get(&url).unwrap();
        length = answer.len();
        let stats = &serde_json::from_str::<Value>(&answer).unwrap()["data"]["stats"];
        samples = stats["samples"]["totalQueryableSamples"].as_u64().unwrap();
        time += stats["timings"]["execTotalTime"].as_f64().unwrap();
    }
    (samples, time / f64::from(TIMES) * 1e6, length)
}

#[tokio::test]
#[ignore = "needs the prometheus binary: apt-get install prometheus, then cargo test -p canary-prometheus -- --ignored"]
async fn a_look_loads_little_more_than_increase_does() {
    let versions = [version("stable")];
    let server = PrometheusServer::start(&versions.each_ref().map(Exporter::address)).await;
    // As with a scrape every 15 s and a look as often, in a fifteenth of the time.
    let raw = "http_requests_total%5B5s%5D";
    let at = eventually("samples for all of that", async || {
        let at = now().as_millis() as f64 / 1000.0;
        (cost(&server, "http_requests_total%5B21s%5D", at).0 >= 20 * SERIES as u64).then_some(at)
    });
    let at = at.await;
    println!("{SERIES} series, scraped once in the time between two looks");
    println!("{:<32}{:>8}{:>12}{:>10}", "", "samples", "evaluation", "answer");
    let mut loaded = Vec::new();
    for (name, query) in [
        ("a look", raw),
        ("a look when a series is new", "http_requests_total%5B21s%5D"),
        ("sum(increase()) over 4 scrapes", "sum(increase(http_requests_total%5B4s%5D))"),
        ("sum(rate()) over 20 scrapes", "sum(rate(http_requests_total%5B20s%5D))"),
    ] {
        let (samples, micros, bytes) = cost(&server, query, at);
        println!("{name:<32}{samples:>8}{micros:>9.0} µs{bytes:>8} B");
        loaded.push(samples);
    }
    assert!(loaded[0] <= loaded[2] * 3 / 2, "{loaded:?}");
}
