//! Native histograms, scraped by a real Prometheus from a process that exposes them.

use canary_core::value::{Buckets, Reading, Side, Signal};
use canary_prometheus::{LatencyUnit, Prometheus};

use crate::support::{Exporter, PrometheusServer};
use crate::{RESTART, SERVED, both_seen, follow, truth};

/// The one form of a page in which native histograms can stand.
const PROTOBUF: &str =
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";

/// Writes messages of `io.prometheus.client`, field by field.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn raw(mut self, mut n: u64) -> Self {
        while n >= 0x80 {
            self.0.push(n as u8 | 0x80);
            n >>= 7;
        }
        self.0.push(n as u8);
        self
    }

    fn number(self, field: u64, n: u64) -> Self {
        self.raw(field << 3).raw(n)
    }

    fn signed(self, field: u64, n: i64) -> Self {
        self.number(field, ((n << 1) ^ (n >> 63)) as u64)
    }

    fn double(self, field: u64, n: f64) -> Self {
        let mut message = self.raw(field << 3 | 1);
        message.0.extend(n.to_le_bytes());
        message
    }

    fn part(self, field: u64, bytes: &[u8]) -> Self {
        let mut message = self.raw(field << 3 | 2).raw(bytes.len() as u64);
        message.0.extend(bytes);
        message
    }

    /// Begins a metric family with one metric, which holds this.
    fn family(name: &str, kind: u64, variant: &str, value: (u64, Self)) -> Vec<u8> {
        let label = Self::default().part(1, b"variant").part(2, variant.as_bytes());
        let metric = Self::default().part(1, &label.0).part(value.0, &value.1.0);
        let family = Self::default().part(1, name.as_bytes()).number(3, kind).part(4, &metric.0);
        let mut delimited = Self::default().raw(family.0.len() as u64).0;
        delimited.extend(family.0);
        delimited
    }
}

/// Makes a histogram of so many observations in each of some buckets. The bucket `i` ends at 2 to the power of `i / 2^schema`.
fn histogram(schema: i64, buckets: &[(i64, u64)]) -> Message {
    let all = buckets.iter().map(|bucket| bucket.1).sum();
    let mut message =
        Message::default().number(1, all).double(2, 1.0).signed(5, schema).double(6, 1e-128);
    let (mut next, mut last) = (0, 0);
    for (i, _) in buckets {
        let span = Message::default().signed(1, i - next).number(2, 1);
        message = message.part(12, &span.0);
        next = i + 1;
    }
    for (_, count) in buckets {
        message = message.signed(13, *count as i64 - last);
        last = *count as i64;
    }
    message
}

/// Exports a version whose histogram is as fine as this, and restarts once.
fn version(variant: &'static str, schema: i64, (served, slow): (u64, u64)) -> Exporter {
    Exporter::serve_as(PROTOBUF, move |scrape| {
        let lived = if scrape < RESTART { 40 + scrape } else { scrape - RESTART + 1 };
        // From 1/16 to 1/8 of a second, at both ends of that; and from one second to two.
        let parts = 1 << schema;
        let fast = (served - slow) * lived;
        let some = if parts > 1 { fast / 3 } else { 0 };
        let buckets = [(1 - 4 * parts, some), (-3 * parts, fast - some), (parts, slow * lived)];
        let used = if parts > 1 { &buckets[..] } else { &buckets[1..] };
        let truth = Message::default().double(1, (served * scrape) as f64);
        let mut page = Message::family("http_seconds", 4, variant, (7, histogram(schema, used)));
        page.extend(Message::family("truth", 1, variant, (2, truth)));
        Some(page)
    })
}

#[tokio::test]
#[ignore = "needs the prometheus binary: apt-get install prometheus, then cargo test -p canary-prometheus -- --ignored"]
async fn native_histograms_are_counted_between_powers_of_two_across_a_restart() {
    // The two sides need not be equally fine.
    let versions = [version("stable", 3, SERVED[0]), version("canary", 0, SERVED[1])];
    let targets = versions.each_ref().map(Exporter::address);
    let server =
        PrometheusServer::start_with(&targets, &["--enable-feature=native-histograms"]).await;
    let source = Prometheus::builder(server.url())
        .latency(r#"http_seconds{variant="{{ variant }}"}"#, LatencyUnit::Seconds)
        .value("truth", r#"truth{variant="{{ variant }}"}"#)
        .build()
        .unwrap();
    let begin = both_seen(&source).await;

    let windows = follow(&source, Signal::Latency, begin).await;
    let truth = truth(&source, begin, windows.last().unwrap().covered.until).await;
    for ((side, truth), (served, slow)) in Side::BOTH.into_iter().zip(truth).zip(SERVED) {
        let mut sum = Buckets::default();
        for window in &windows {
            match window.sides.get(side) {
                Reading::Buckets(buckets) => assert!(sum.add(buckets)),
                other => panic!("{side}: {other:?}"),
            }
        }
        let steps = truth / served;
        let bounds = sum.bounds().iter().zip(sum.counts());
        let seen: Vec<_> = bounds.filter(|(_, n)| **n > 0).map(|(b, n)| (*b, *n)).collect();
        assert_eq!(seen, [(125.0, steps * (served - slow)), (2_000.0, steps * slow)], "{side}");
        assert_eq!(sum.total(), truth, "{side}");
    }
    let notes: Vec<_> = windows.iter().flat_map(|window| &window.notes).collect();
    assert!(notes.iter().any(|note| note.contains("reset")), "{notes:?}");
}
