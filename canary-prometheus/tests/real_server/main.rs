//! What the source gives when a real Prometheus scrapes real counters.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

mod native;
mod presets;
#[path = "../support/mod.rs"]
mod support;

use std::fmt::Write as _;
use std::time::Duration;

use canary_core::ports::{Call, MetricSource, PortError};
use canary_core::value::{
    Buckets, Counts, EffectId, Epoch, FailureKind, Measured, Query, Reading, Side, Signal,
    Timestamp,
};
use canary_prometheus::{LatencyUnit, Prometheus, PrometheusBuilder};

use support::{Exporter, PrometheusServer, eventually, now};

/// How many requests a version serves between two scrapes, and how many fail.
const SERVED: [(u64, u64); 2] = [(90, 1), (10, 4)];

/// The scrape before which a version restarts.
const RESTART: u64 = 5;

/// Exports a version whose counters restart once. `truth` tells how much they rose by since the first scrape.
fn version(variant: &'static str, (served, failed): (u64, u64)) -> Exporter {
    Exporter::serve(move |scrape| {
        let lived = if scrape < RESTART { 40 + scrape } else { scrape - RESTART + 1 };
        let mut text = String::new();
        for (code, n) in [("200", served - failed), ("503", failed)] {
            let labels = format!("variant=\"{variant}\", code=\"{code}\"");
            writeln!(text, "http_requests_total{{{labels}}} {}", n * lived).unwrap();
        }
        for (le, n) in [("0.1", served - failed), ("0.57", served), ("+Inf", served)] {
            let labels = format!("variant=\"{variant}\", le=\"{le}\"");
            writeln!(text, "http_seconds_bucket{{{labels}}} {}", n * lived).unwrap();
        }
        writeln!(text, "truth{{variant=\"{variant}\"}} {}", served * scrape).unwrap();
        Some(text)
    })
}

fn source(server: &PrometheusServer) -> PrometheusBuilder {
    Prometheus::builder(server.url())
        .requests(
            r#"http_requests_total{variant="{{ variant }}"}"#,
            r#"http_requests_total{variant="{{ variant }}", code=~"5.."}"#,
        )
        .latency(r#"http_seconds_bucket{variant="{{ variant }}"}"#, LatencyUnit::Seconds)
        .value("truth", r#"truth{variant="{{ variant }}"}"#)
}

async fn measure(
    source: &Prometheus,
    signal: Signal,
    after: Timestamp,
    until: Timestamp,
) -> Result<Measured, PortError> {
    let (made, deadline) = (until, until + Duration::from_secs(30));
    let call = Call::new(
        "checkout-42".parse().unwrap(),
        Epoch::new(1),
        EffectId::new(1),
        1,
        made,
        deadline,
    );
    let queries = [Query::new(signal, after)];
    let mut answers = source.measure(&call, &queries, until).await;
    answers.pop().expect("one answer a query")
}

fn custom(name: &str) -> Signal {
    Signal::Custom(name.into())
}

/// Waits until both versions have been scraped, and returns that instant.
async fn both_seen(source: &Prometheus) -> Timestamp {
    eventually("a sample of each version", async || {
        let at = now();
        let truth = measure(source, custom("truth"), at - Duration::from_secs(1), at).await;
        let sides = truth.unwrap().sides;
        let seen = |side| matches!(sides.get(side), Reading::Value(_));
        Side::BOTH.into_iter().all(seen).then_some(at)
    })
    .await
}

/// Follows a signal with a cursor, as a rollout does, until a restart is well behind it.
async fn follow(source: &Prometheus, signal: Signal, mut cursor: Timestamp) -> Vec<Measured> {
    let enough = cursor + Duration::from_secs(RESTART + 4);
    let mut windows = Vec::new();
    eventually("the windows beyond a restart", async || {
        let measured = measure(source, signal.clone(), cursor, now()).await.unwrap();
        if !measured.covered.is_empty() {
            assert_eq!(measured.covered.after, cursor);
            cursor = measured.covered.until;
            windows.push(measured);
        }
        (cursor >= enough).then_some(())
    })
    .await;
    assert!(windows.len() > 3, "too few windows: {windows:?}");
    windows
}

/// Returns how much the counters of each side rose by between two instants, as the versions themselves tell.
async fn truth(source: &Prometheus, after: Timestamp, until: Timestamp) -> [u64; 2] {
    let [mut before, mut behind] = [[0; 2]; 2];
    for (at, values) in [(after, &mut before), (until, &mut behind)] {
        let measured = measure(source, custom("truth"), Timestamp::EPOCH, at);
        let sides = measured.await.unwrap().sides;
        *values = Side::BOTH.map(|side| match sides.get(side) {
            Reading::Value(value) => *value as u64,
            other => panic!("no truth at {at}: {other:?}"),
        });
    }
    [behind[0] - before[0], behind[1] - before[1]]
}

#[tokio::test]
#[ignore = "needs the prometheus binary: apt-get install prometheus, then cargo test -p canary-prometheus -- --ignored"]
async fn windows_add_up_to_what_the_counters_rose_by_across_a_restart() {
    let versions = [version("stable", SERVED[0]), version("canary", SERVED[1])];
    let server = PrometheusServer::start(&versions.each_ref().map(Exporter::address)).await;
    let source = source(&server).build().unwrap();
    let begin = both_seen(&source).await;

    let windows = follow(&source, Signal::Requests, begin).await;
    let end = windows.last().unwrap().covered.until;
    let truth = truth(&source, begin, end).await;
    for ((side, truth), (served, failed)) in Side::BOTH.into_iter().zip(truth).zip(SERVED) {
        let mut sum = Counts::default();
        for window in &windows {
            match window.sides.get(side) {
                Reading::Counts(counts) => sum.add(*counts),
                other => panic!("{side}: {other:?}"),
            }
        }
        assert_eq!(sum.total, truth, "{side}: {windows:?}");
        assert_eq!(sum.bad * served, truth * failed, "{side}: {windows:?}");
    }
    let notes: Vec<_> = windows.iter().flat_map(|window| &window.notes).collect();
    assert!(notes.iter().any(|note| note.contains("reset")), "{notes:?}");
}

#[tokio::test]
#[ignore = "needs the prometheus binary: apt-get install prometheus, then cargo test -p canary-prometheus -- --ignored"]
async fn buckets_count_what_each_holds_across_a_restart() {
    let versions = [version("stable", SERVED[0]), version("canary", SERVED[1])];
    let server = PrometheusServer::start(&versions.each_ref().map(Exporter::address)).await;
    let source = source(&server).build().unwrap();
    let begin = both_seen(&source).await;

    let windows = follow(&source, Signal::Latency, begin).await;
    let end = windows.last().unwrap().covered.until;
    let truth = truth(&source, begin, end).await;
    for ((side, truth), (served, slow)) in Side::BOTH.into_iter().zip(truth).zip(SERVED) {
        let mut sum = Buckets::default();
        for window in &windows {
            match window.sides.get(side) {
                Reading::Buckets(buckets) => assert!(sum.add(buckets)),
                other => panic!("{side}: {other:?}"),
            }
        }
        let steps = truth / served;
        assert_eq!(sum.bounds(), [100.0, 570.0]);
        assert_eq!(sum.counts(), [steps * (served - slow), steps * slow, 0]);
    }
}

#[tokio::test]
#[ignore = "needs the prometheus binary: apt-get install prometheus, then cargo test -p canary-prometheus -- --ignored"]
async fn an_empty_answer_nan_several_series_and_an_error_are_four_outcomes() {
    let versions = [version("stable", SERVED[0]), version("canary", SERVED[1])];
    let server = PrometheusServer::start(&versions.each_ref().map(Exporter::address)).await;
    let requests = r#"http_requests_total{variant="{{ variant }}"}"#;
    let source = source(&server)
        .value("empty", r#"truth{variant="{{ variant }}", code="none"}"#)
        .value("nan", r#"0 * truth{variant="{{ variant }}"} / 0"#)
        .value("several", requests)
        .value("failing", format!("{requests} * on(variant) {requests}"))
        .build()
        .unwrap();
    let begin = both_seen(&source).await;

    let until = now();
    let both = async |name: &str| measure(&source, custom(name), begin, until).await;
    let expected = |reading: Reading| {
        let window = canary_core::value::Window::new(begin, until);
        Measured::new(window, reading.clone(), reading)
    };
    assert_eq!(both("empty").await.unwrap(), expected(Reading::NoData));
    assert_eq!(both("nan").await.unwrap(), expected(Reading::NotFinite));
    let several = both("several").await.unwrap_err();
    assert_eq!(several.kind(), FailureKind::Invalid);
    let text = several.to_string();
    assert!(text.contains("the query gives 2 series"), "{text}");
    assert!(text.contains(r#"code="200""#) && text.contains(r#"code="503""#), "{text}");
    let failing = both("failing").await.unwrap_err();
    assert_eq!(failing.kind(), FailureKind::Invalid);
    let text = failing.to_string();
    assert!(text.contains("422") && text.contains("duplicate series"), "{text}");
}

#[tokio::test]
#[ignore = "needs the prometheus binary: apt-get install prometheus, then cargo test -p canary-prometheus -- --ignored"]
async fn a_side_that_nobody_scrapes_is_no_data_and_nothing_newer_is_pending() {
    let stable = version("stable", SERVED[0]);
    let server = PrometheusServer::start(&[stable.address()]).await;
    let source = source(&server).build().unwrap();

    let begin = now();
    let measured = eventually("counts of stable", async || {
        let measured = measure(&source, Signal::Requests, begin, now()).await.unwrap();
        matches!(measured.sides.stable, Reading::Counts(_)).then_some(measured)
    })
    .await;
    assert_eq!(measured.sides.canary, Reading::NoData);
    // As of the same instant, there is nothing behind what was covered.
    let cursor = measured.covered.until;
    let again = measure(&source, Signal::Requests, cursor, cursor + Duration::from_millis(1)).await;
    assert_eq!(again.unwrap().covered, Measured::pending(cursor).covered);
}
