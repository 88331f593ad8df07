//! What the source counts while a version restarts, scrapes fail, and Prometheus itself restarts.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

mod support;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use canary_core::ports::{Call, MetricSource, PortError};
use canary_core::value::{
    BySide, Counts, EffectId, Epoch, FailureKind, Measured, Query, Reading, Side, Signal, Timestamp,
};
use canary_prometheus::Prometheus;
use serde_json::Value;
use support::{Exporter, PrometheusServer, eventually, get, now};

/// Serves requests all the time, one of seven of them badly, and counts them since its last start.
#[derive(Debug)]
struct Version {
    began: Timestamp,
    /// Milliseconds for each request.
    pace: u64,
    /// How many requests it had served when it restarted last.
    before: AtomicU64,
    silent: AtomicBool,
}

impl Version {
    fn new(pace: u64) -> Arc<Self> {
        Arc::new(Self {
            began: now(),
            pace,
            before: AtomicU64::new(0),
            silent: AtomicBool::new(false),
        })
    }

    /// Returns how many requests it has served altogether.
    fn served(&self) -> u64 {
        now().since(self.began).as_millis() as u64 / self.pace
    }

    fn restart(&self) {
        self.before.store(self.served(), Ordering::SeqCst);
    }

    fn metrics(&self, variant: &str) -> Option<String> {
        if self.silent.load(Ordering::SeqCst) {
            return None;
        }
        let served = self.served() - self.before.load(Ordering::SeqCst);
        let mut text = String::new();
        for (code, n) in [("200", served - served / 7), ("503", served / 7)] {
            let labels = format!("variant=\"{variant}\", code=\"{code}\"");
            writeln!(text, "http_requests_total{{{labels}}} {n}").unwrap();
        }
        Some(text)
    }

    fn exporter(self: &Arc<Self>, variant: &'static str) -> Exporter {
        let version = Arc::clone(self);
        Exporter::serve(move |_| version.metrics(variant))
    }
}

/// Looks again and again from where the last look ended, as a rollout does.
struct Looks {
    source: Prometheus,
    cursor: Timestamp,
    windows: Vec<Measured>,
    /// Why looks failed.
    failures: Vec<PortError>,
}

impl Looks {
    async fn look(&mut self) -> Timestamp {
        let until = now();
        let deadline = until + Duration::from_secs(2);
        let id = "checkout-42".parse().unwrap();
        let call = Call::new(id, Epoch::new(1), EffectId::new(1), 1, until, deadline);
        let queries = [Query::new(Signal::Requests, self.cursor)];
        match self.source.measure(&call, &queries, until).await.pop().unwrap() {
            Ok(measured) if measured.covered.is_empty() => {}
            Ok(measured) => {
                assert_eq!(measured.covered.after, self.cursor);
                self.cursor = measured.covered.until;
                self.windows.push(measured);
            }
            Err(error) => self.failures.push(error),
        }
        self.cursor
    }

    /// Looks until this much more is covered.
    async fn cover(&mut self, time: Duration) {
        let enough = self.cursor + time;
        eventually("a window so far", async || (self.look().await >= enough).then_some(())).await;
    }

    fn counts(&self, side: Side) -> Counts {
        let mut sum = Counts::default();
        for window in &self.windows {
            match window.sides.get(side) {
                Reading::Counts(counts) => sum.add(*counts),
                Reading::NoData => {}
                other => panic!("{side}: {other:?}"),
            }
        }
        sum
    }

    fn notes(&self) -> Vec<&str> {
        self.windows.iter().flat_map(|window| &window.notes).map(String::as_str).collect()
    }
}

/// Adds up by itself what consecutive samples of the server rose by, since `after` and up to `until`.
fn increments(server: &str, after: Timestamp, until: Timestamp) -> BySide<Counts> {
    let seconds = until.as_millis() as f64 / 1000.0;
    let query = format!("query=http_requests_total%5B5m%5D&time={seconds}");
    let answer = get(&format!("{server}/api/v1/query?{query}")).unwrap();
    let body: Value = serde_json::from_str(&answer).unwrap();
    let mut sums = BTreeMap::<(String, bool), u64>::new();
    for series in body["data"]["result"].as_array().unwrap() {
        let samples: Vec<(u64, u64)> = (series["values"].as_array().unwrap().iter())
            .map(|pair| {
                let ms = (pair[0].as_f64().unwrap() * 1000.0).round() as u64;
                (ms, pair[1].as_str().unwrap().parse().unwrap())
            })
            .collect();
        let label = |name: &str| series["metric"][name].as_str().unwrap().to_owned();
        let sum = sums.entry((label("variant"), label("code") == "503")).or_default();
        for pair in samples.windows(2).filter(|pair| pair[1].0 > after.as_millis()) {
            let [(_, was), (_, is)] = pair else { unreachable!() };
            *sum += is.checked_sub(*was).unwrap_or(*is);
        }
    }
    BySide::from_fn(|side| {
        let [good, bad] = [false, true].map(|bad| sums[&(side.to_string(), bad)]);
        Counts::new(good + bad, bad).unwrap()
    })
}

#[tokio::test]
#[ignore = "needs the prometheus binary: apt-get install prometheus, then cargo test -p canary-prometheus -- --ignored"]
async fn the_looks_add_up_to_what_was_scraped_whatever_is_interrupted() {
    let (stable, canary) = (Version::new(2), Version::new(9));
    let exporters = [stable.exporter("stable"), canary.exporter("canary")];
    let mut server = PrometheusServer::start(&exporters.each_ref().map(Exporter::address)).await;
    let requests = r#"http_requests_total{variant="{{ variant }}"}"#;
    let bad = r#"http_requests_total{variant="{{ variant }}", code=~"5.."}"#;
    let source = Prometheus::builder(server.url()).requests(requests, bad).build().unwrap();
    let begin = now();
    let mut looks = Looks { source, cursor: begin, windows: Vec::new(), failures: Vec::new() };
    let both = |measured: &Measured| {
        Side::BOTH.into_iter().all(|side| matches!(measured.sides.get(side), Reading::Counts(_)))
    };
    let scraped = async || {
        looks.look().await;
        looks.windows.last().is_some_and(both).then_some(())
    };
    eventually("counts of both versions", scraped).await;
    let first = looks.cursor;
    looks.cover(Duration::from_secs(2)).await;

    canary.restart();
    looks.cover(Duration::from_secs(4)).await;
    assert!(looks.notes().contains(&"canary: 2 counters were reset"), "{:?}", looks.windows);

    canary.silent.store(true, Ordering::SeqCst);
    let before = looks.windows.len();
    looks.cover(Duration::from_secs(10)).await;
    let silent = |window: &&Measured| window.sides.canary == Reading::NoData;
    assert!(looks.windows[before..].iter().filter(silent).count() > 3, "{:?}", looks.windows);
    canary.silent.store(false, Ordering::SeqCst);
    looks.cover(Duration::from_secs(4)).await;
    let missed = "canary: 2 series were not scraped for up to 1";
    assert!(looks.notes().iter().any(|note| note.starts_with(missed)), "{:?}", looks.notes());

    server.end();
    let failed = looks.failures.len();
    let gone = async || {
        looks.look().await;
        (looks.failures.len() > failed + 20).then_some(())
    };
    eventually("looks at nobody", gone).await;
    assert!(looks.failures.iter().all(|error| error.kind() == FailureKind::Unavailable));
    server.start_again().await;
    looks.cover(Duration::from_secs(9)).await;
    let missed = "stable: 2 series were not scraped for up to ";
    assert!(looks.notes().iter().any(|note| note.starts_with(missed)), "{:?}", looks.notes());

    let scraped = increments(server.url(), begin, looks.cursor);
    for (side, version) in Side::BOTH.into_iter().zip([stable, canary]) {
        let (counts, served) = (looks.counts(side), version.served());
        assert_eq!(counts, *scraped.get(side), "{side}: {:?}", looks.windows);
        // Before the first samples, between the last one before the restart and that, since the newest one.
        let unseen = Duration::from_millis((served - counts.total) * version.pace);
        println!("{side}: {} of {served} requests counted; {unseen:?} fell outside", counts.total);
        let outside = Duration::from_secs(3 * 2) + first.since(version.began);
        assert!(unseen < outside, "{side}: {unseen:?} of requests are missing, not {outside:?}");
    }
}
