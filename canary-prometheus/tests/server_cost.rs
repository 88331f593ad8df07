//! What looks cost the server, next to the usual `increase()`.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

mod support;

use std::fmt::Write as _;
use std::time::Duration;

use canary_core::ports::{Call, MetricSource};
use canary_core::value::{EffectId, Epoch, Query, Signal, Timestamp};
use canary_prometheus::Prometheus;
use support::{Exporter, PrometheusServer, eventually, get, now};

/// How many series each version has.
const SERIES: usize = 50;

/// How often each is asked.
const TIMES: u32 = 50;

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

/// Reads one of the server's counters of itself.
fn own(server: &PrometheusServer, name: &str) -> f64 {
    let metrics = get(&format!("{}/metrics", server.url())).unwrap();
    let line = metrics.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|value| value.trim().parse().ok()).unwrap_or_else(|| panic!("no {name}"))
}

fn cost(server: &PrometheusServer) -> (f64, f64) {
    let time = r#"prometheus_engine_query_duration_seconds_sum{slice="inner_eval"}"#;
    (own(server, "prometheus_engine_query_samples_total "), own(server, time))
}

async fn look(source: &Prometheus, after: Timestamp, until: Timestamp) -> Timestamp {
    let id = "checkout-42".parse().unwrap();
    let deadline = until + Duration::from_secs(30);
    let call = Call::new(id, Epoch::new(1), EffectId::new(1), 1, until, deadline);
    let queries = [Query::new(Signal::Requests, after)];
    source.measure(&call, &queries, until).await.pop().unwrap().unwrap().covered.until
}

#[tokio::test]
#[ignore = "needs the prometheus binary: apt-get install prometheus, then cargo test -p canary-prometheus -- --ignored"]
async fn a_look_loads_little_more_than_increase_does() {
    let versions = [version("stable"), version("canary")];
    let server = PrometheusServer::start(&versions.each_ref().map(Exporter::address)).await;
    let requests = r#"http_requests_total{variant="{{ variant }}"}"#;
    let source = Prometheus::builder(server.url()).requests(requests, requests).build().unwrap();
    let begin = now();
    let long = async || {
        (look(&source, begin, now()).await >= begin + Duration::from_secs(20)).then_some(())
    };
    eventually("twenty seconds of samples", long).await;

    // As with a scrape every 15 s and a look as often, in a fifteenth of the time.
    let (until, before) = (begin + Duration::from_secs(20), cost(&server));
    for _ in 0..TIMES {
        look(&source, until - Duration::from_secs(1), until).await;
    }
    let looked = cost(&server);
    let at = until.as_millis() as f64 / 1000.0;
    for _ in 0..TIMES {
        for variant in ["stable", "canary"] {
            let query = format!(
                "sum(increase(http_requests_total%7Bvariant=%22{variant}%22%7D%5B4s%5D))&time={at}"
            );
            get(&format!("{}/api/v1/query?query={query}", server.url())).unwrap();
        }
    }
    let increased = cost(&server);
    let each = |from: (f64, f64), to: (f64, f64)| {
        let times = f64::from(TIMES);
        ((to.0 - from.0) / times, (to.1 - from.1) / times * 1e6)
    };
    let (ours, theirs) = (each(before, looked), each(looked, increased));
    println!("{} series          samples    evaluation", 2 * SERIES);
    println!("a look             {:>7} {:>10.0} µs", ours.0, ours.1);
    println!("increase() over 4  {:>7} {:>10.0} µs", theirs.0, theirs.1);
    assert!(ours.0 <= theirs.0 * 1.5, "{ours:?} {theirs:?}");
}
