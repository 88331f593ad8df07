//! `policy replay` on what a real Prometheus has recorded of a canary that went bad for a while.
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::fmt::Write as _;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use canary_core::record::Outcome;
use canary_core::report::Report;
use canary_core::simulate::Recording;
use canary_core::value::{Side, Timestamp};
use serde_json::Value;

#[path = "support/mod.rs"]
#[allow(dead_code, reason = "nothing is piped into the program here")]
mod program;
#[path = "../../canary-prometheus/tests/support/mod.rs"]
#[allow(dead_code, reason = "this test neither ends nor restarts its server")]
mod support;

use program::{Ran, file, run};
use support::{Exporter, PrometheusServer, eventually, get, now};

const POLICY: &str = "\
version: 1
name: checkout
every: 1s
settle: 1s
stages:
  - { name: tenth, weight: 10%,  hold: 3s }
  - { name: half,  weight: 50%,  hold: 3s }
  - { name: full,  weight: 100%, hold: 1s }
checks:
  - { name: too-many-errors, metric: error_rate, above: 20% }
  - { name: slow, metric: latency.p95, above: 400ms }
  - { name: pool, metric: pool, above: 90% }
metrics:
  pool: { query: 'pool{variant=\"{{ variant }}\", app=\"{{ app }}\"}' }
";

/// Serves as many requests by each scrape, and fails some of the canary's while it is told to.
struct Service {
    /// How many scrapes it failed at.
    bad: Arc<AtomicU64>,
    /// 1 while it fails.
    failing: Arc<AtomicU64>,
}

impl Service {
    fn new() -> Self {
        Self { bad: Arc::default(), failing: Arc::default() }
    }

    fn exporter(&self, variant: &'static str) -> Exporter {
        let (bad, failing) = (Arc::clone(&self.bad), Arc::clone(&self.failing));
        Exporter::serve(move |scrape| {
            let failing = failing.load(Ordering::SeqCst);
            let failed = 6 * (bad.fetch_add(failing, Ordering::SeqCst) + failing);
            let served = 20 * (scrape + 1);
            let mut text = format!("failing{{variant=\"{variant}\"}} {failing}\n");
            writeln!(text, "pool{{variant=\"{variant}\", app=\"checkout\"}} 0.{}", 5 + scrape % 3)
                .unwrap();
            for (status, n) in [("200", served - failed), ("503", failed)] {
                let labels = format!("variant=\"{variant}\", status=\"{status}\"");
                writeln!(text, "http_requests_total{{{labels}}} {n}").unwrap();
                // The same as the meshes tell it.
                let labels = format!(
                    "reporter=\"destination\", destination_workload=\"{variant}\", \
                     destination_workload_namespace=\"shop\", response_code=\"{status}\""
                );
                writeln!(text, "istio_requests_total{{{labels}}} {n}").unwrap();
                let class = if status == "200" { "success" } else { "failure" };
                let labels = format!(
                    "direction=\"inbound\", namespace=\"shop\", deployment=\"{variant}\", classification=\"{class}\""
                );
                writeln!(text, "response_total{{{labels}}} {n}").unwrap();
            }
            for (le, n) in [("0.1", served - failed), ("0.3", served), ("+Inf", served)] {
                let labels = format!("variant=\"{variant}\", le=\"{le}\"");
                writeln!(text, "http_request_duration_seconds_bucket{{{labels}}} {n}").unwrap();
            }
            Some(text)
        })
    }
}

/// Waits until the server has seen so much of a state, and returns since when and until when it has.
async fn seen(server: &PrometheusServer, failing: u64, seconds: u64) -> (Timestamp, Timestamp) {
    let from = eventually("a scrape", async || scraped(server, failing)).await;
    let until = eventually("scrapes for some seconds", async || {
        scraped(server, failing).filter(|at| at.since(from) >= Duration::from_secs(seconds))
    });
    (from, until.await)
}

/// Returns when the canary was scraped last, if it was in this state then.
fn scraped(server: &PrometheusServer, failing: u64) -> Option<Timestamp> {
    let seconds = now().as_millis() as f64 / 1000.0;
    let query = format!("query=failing%7Bvariant%3D%22canary%22%7D%5B3s%5D&time={seconds}");
    let answer = get(&format!("{}/api/v1/query?{query}", server.url()))?;
    let body: Value = serde_json::from_str(&answer).unwrap();
    let last = body["data"]["result"][0]["values"].as_array()?.last()?.clone();
    let at = Timestamp::from_millis((last[0].as_f64()? * 1000.0).round() as u64);
    (last[1].as_str()? == failing.to_string()).then_some(at)
}

fn instant(at: Timestamp) -> String {
    at.to_string()
}

/// A Prometheus that has seen a good time and a bad one.
struct Past {
    server: PrometheusServer,
    good: (Timestamp, Timestamp),
    bad: (Timestamp, Timestamp),
    /// They end when this does.
    _exporters: [Exporter; 2],
}

impl Past {
    async fn new() -> Self {
        let (stable, canary) = (Service::new(), Service::new());
        let exporters = [stable.exporter("stable"), canary.exporter("canary")];
        let server = PrometheusServer::start(&exporters.each_ref().map(Exporter::address)).await;
        let good = seen(&server, 0, 18).await;
        canary.failing.store(1, Ordering::SeqCst);
        let bad = seen(&server, 1, 4).await;
        canary.failing.store(0, Ordering::SeqCst);
        seen(&server, 0, 3).await;
        Self { server, good, bad, _exporters: exporters }
    }

    fn replay(&self, policy: &str, (from, to): (Timestamp, Timestamp), more: &[&str]) -> Ran {
        let (from, to) = (instant(from), instant(to));
        let server = ["replay", policy, "--prometheus", self.server.url()];
        let span = ["--from", &from, "--to", &to, "--var", "app=checkout"];
        run(&[&server[..], &span, more].concat())
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the prometheus binary: apt-get install prometheus, then cargo test -p canary-examples --features mesh -- --ignored"]
async fn an_incident_is_caught_and_a_good_time_passes_online_and_offline() {
    let past = Past::new().await;
    let (_directory, policy) = file(POLICY);

    let good = past.replay(&policy, past.good, &[]);
    good.said(0, &["failed 0% of them", "\nWould have been promoted at ", " after the begin.\n"]);

    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("incident.jsonl");
    let kept = kept.to_str().unwrap();
    let span = (past.bad.0 - Duration::from_secs(5), past.bad.1 + Duration::from_secs(3));
    let bad = past.replay(&policy, span, &["--record", kept]);
    bad.said(
        3,
        &["\nWould have been taken back at ", " UTC, ", "too-many-errors fails: error_rate"],
    );
    println!("{}", bad.out);
    let report = past.replay(&policy, span, &["--json"]);
    report.said(3, &[]);
    let report: Report = serde_json::from_str(&report.out).unwrap();
    assert!(matches!(report.outcome, Some(Outcome::RolledBack { .. })));
    let decided = report.rollback_decided.unwrap();
    let late = decided.since(past.bad.0);
    // A scrape, a look, a step of the recording and the settling time, a second each; and a scrape may be late.
    assert!(past.bad.0 <= decided && late <= Duration::from_secs(5), "{late:?} late: {bad:#?}");

    let offline = run(&["replay", &policy, "--recording", kept]);
    assert_eq!((&offline.out, offline.code), (&bad.out, bad.code));

    for mesh in ["istio", "linkerd"] {
        let of_mesh = ["namespace=shop", "stable=stable", "canary=canary"];
        let named = of_mesh.iter().flat_map(|variable| ["--var", variable]);
        let more: Vec<_> = ["--mesh", mesh].into_iter().chain(named).collect();
        let told = past.replay(&policy, span, &more);
        // No latency is told of the meshes here, so that check waits; the errors are the same.
        told.said(3, &["\nWould have been taken back at ", "too-many-errors fails: error_rate"]);
        let requests = |ran: &Ran| ran.out.lines().nth(1).map(str::to_owned);
        assert_eq!(requests(&told), requests(&bad), "{mesh}");
    }

    // What was recorded is what was served: 20 requests between two scrapes, 6 of them failed in the bad time.
    let recording = Recording::read(fs::read(kept).unwrap().as_slice()).unwrap();
    let [stable, canary] = Side::BOTH.map(|side| recording.requests(side, span.0));
    assert_eq!((stable.total % 20, stable.bad), (0, 0));
    assert_eq!((canary.total % 20, canary.bad % 6), (0, 0));
    assert!(canary.bad >= 6 * 4, "{canary:?}");
    let quiet = recording.requests(Side::Canary, past.bad.1 + Duration::from_secs(2));
    assert_eq!(quiet.bad, 0, "{quiet:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the prometheus binary: apt-get install prometheus, then cargo test -p canary-examples --features mesh -- --ignored"]
async fn a_span_or_a_side_without_samples_is_refused_with_the_query() {
    let service = Service::new();
    let exporter = service.exporter("stable");
    let server = PrometheusServer::start(&[exporter.address()]).await;
    let (_directory, policy) = file(POLICY);
    let seen = async || {
        let query = "query=count_over_time(failing%5B1m%5D)%20%3E%203";
        let answer = get(&format!("{}/api/v1/query?{query}", server.url()))?;
        answer.contains("\"value\"").then(now)
    };
    let until = eventually("some scrapes", seen).await;
    let url = server.url().to_owned();
    let replay = |from: Timestamp, until: Timestamp, more: &[&str]| {
        let (from, to) = (instant(from), instant(until));
        let server = ["replay", &policy, "--prometheus", &url, "--var", "app=checkout"];
        run(&[&server[..], &["--from", &from, "--to", &to], more].concat())
    };
    let from = until - Duration::from_secs(10);
    replay(from, until, &[])
        .said(1, &["requests of canary: ", r#"`http_requests_total{ variant="canary"}`"#]);
    let (long_ago, day) = (until - Duration::from_secs(86_400), Duration::from_secs(600));
    replay(long_ago - day, long_ago, &[]).said(1, &[r#"`http_requests_total{ variant="stable"}`"#]);
    replay(until, from, &[]).said(1, &["does not lie after --from"]);
    replay(from, until, &["--mesh", "istio"]).said(1, &["--mesh istio needs --var namespace=.."]);
    replay(from, until, &["--var", "app"]).said(1, &["expected NAME=VALUE"]);
    replay(from, until, &["--record", "no/where.jsonl"]).said(1, &["cannot write no/where.jsonl"]);
    replay(from, until, &["--samples", "3"])
        .said(1, &["answers with more than 3 samples", "select less, or raise the limits"]);
    drop(server);
    replay(from, until, &[]).said(1, &["cannot be reached"]);
    // Nothing is left behind, and nothing that was there is lost.
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("incident.jsonl");
    let record = ["--record", kept.to_str().unwrap()];
    replay(from, until, &record).said(1, &["cannot be reached"]);
    assert!(!kept.exists());
    fs::write(&kept, "earlier").unwrap();
    replay(from, until, &record).said(1, &["cannot be reached"]);
    assert_eq!(fs::read_to_string(&kept).unwrap(), "earlier");
}
