//! A service that is as good or as bad as one wants.

use std::collections::VecDeque;
use std::f64::consts::TAU;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::proxy::PICK;
use crate::server::Server;
use crate::stopwatch::Stopwatch;

/// How many of the newest pick numbers a service remembers.
const RECEIPTS: usize = 100_000;

/// Says how a service behaves.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "each example says all of it")]
pub struct Behaviour {
    /// What it calls itself in its metrics and answers: `stable`, `canary`.
    pub variant: &'static str,
    /// The share of requests that it answers with 500, 0 to 1.
    pub error_rate: f64,
    /// How long half of the requests take at most; one in twenty takes half as long again.
    pub median: Duration,
    /// What every request takes on top.
    pub slower_by: Duration,
    /// Two services with the same seed are unlucky with the same requests.
    pub seed: u64,
}

/// A running service on loopback, with its metrics under `/metrics`.
#[derive(Debug)]
pub struct Service {
    server: Server,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    behaviour: Behaviour,
    received: AtomicU64,
    receipts: Mutex<VecDeque<u64>>,
    metrics: Metrics,
}

impl Service {
    /// Starts a service.
    ///
    /// # Errors
    /// If loopback cannot be listened on.
    pub async fn start(behaviour: Behaviour) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            behaviour,
            received: AtomicU64::new(0),
            receipts: Mutex::default(),
            metrics: Metrics::new(),
        });
        let router = Router::new()
            .route("/metrics", get(scrape))
            .fallback(answer)
            .with_state(Arc::clone(&shared));
        let server = Server::start(router).await?;
        Ok(Self { server, shared })
    }

    /// Returns where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Counts the requests it received whose side was picked after the pick of this number; of the newest
    /// hundred thousand.
    #[must_use]
    pub fn received_after(&self, pick: u64) -> usize {
        let receipts = self.shared.receipts.lock().unwrap_or_else(PoisonError::into_inner);
        receipts.iter().filter(|&&number| number > pick).count()
    }

    /// Answers what has begun, then ends.
    pub async fn stop(self) {
        self.server.stop().await;
    }
}

async fn answer(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> impl IntoResponse {
    shared.note(&headers);
    let watch = Stopwatch::start();
    let number = shared.received.fetch_add(1, Ordering::Relaxed);
    let (took, status) = shared.behaviour.toward(number);
    tokio::time::sleep(took).await;
    shared.metrics.finished(shared.behaviour.variant, status, watch.elapsed());
    (status, shared.behaviour.variant)
}

async fn scrape(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    let mut text = String::new();
    match encode(&mut text, &shared.metrics.registry) {
        Ok(()) => Ok(([(header::CONTENT_TYPE, OPEN_METRICS)], text)),
        Err(error) => Err((StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
    }
}

impl Shared {
    fn note(&self, headers: &HeaderMap) {
        let number = headers.get(PICK).and_then(|text| text.to_str().ok());
        if let Some(number) = number.and_then(|text| text.parse().ok()) {
            let mut receipts = self.receipts.lock().unwrap_or_else(PoisonError::into_inner);
            if receipts.len() == RECEIPTS {
                receipts.pop_front();
            }
            receipts.push_back(number);
        }
    }
}

impl Behaviour {
    /// Decides how long the request of this number takes, and how it is answered.
    fn toward(&self, number: u64) -> (Duration, StatusCode) {
        let [luck, u, v] = [0, 1, 2].map(|n| uniform(self.seed, number * 3 + n));
        let status =
            if luck < self.error_rate { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK };
        // Box and Muller's way from two uniform numbers to a normal one; times of services are
        // roughly log-normal.
        let normal = (-2.0 * (1.0 - u).ln()).sqrt() * (TAU * v).cos();
        let factor = (0.25 * normal).exp().min(10.0);
        (self.median.mul_f64(factor) + self.slower_by, status)
    }
}

/// Returns the `number`th number of a stream, 0 to below 1 (SplitMix64).
#[expect(clippy::cast_precision_loss, reason = "53 bits are kept")]
fn uniform(seed: u64, number: u64) -> f64 {
    let mut z = seed.wrapping_add(number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    variant: &'static str,
    code: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Variant {
    variant: &'static str,
}

#[derive(Debug)]
struct Metrics {
    registry: Registry,
    requests: Family<Answered, Counter>,
    duration: Family<Variant, Histogram>,
}

impl Metrics {
    fn new() -> Self {
        let mut registry = Registry::default();
        let requests = Family::default();
        // Registered names get their `_total` when they are written.
        registry.register("http_requests", "Requests answered", requests.clone());
        let duration = Family::new_with_constructor(histogram as fn() -> Histogram);
        registry.register(
            "http_request_duration_seconds",
            "How long requests took",
            duration.clone(),
        );
        Self { registry, requests, duration }
    }

    fn finished(&self, variant: &'static str, status: StatusCode, took: Duration) {
        let code = status.as_u16();
        self.requests.get_or_create(&Answered { variant, code }).inc();
        self.duration.get_or_create(&Variant { variant }).observe(took.as_secs_f64());
    }
}

fn histogram() -> Histogram {
    Histogram::new([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn behaviour(error_rate: f64) -> Behaviour {
        Behaviour {
            variant: "stable",
            error_rate,
            median: Duration::from_millis(20),
            slower_by: Duration::ZERO,
            seed: 7,
        }
    }

    #[test]
    fn it_fails_as_often_as_it_was_told() {
        let failures = |error_rate| {
            let service = behaviour(error_rate);
            let status = |number| service.toward(number).1;
            (0..10_000).filter(|&n| status(n) != StatusCode::OK).count()
        };
        assert_eq!(failures(0.0), 0);
        assert_eq!(failures(1.0), 10_000);
        assert!((1_900..2_100).contains(&failures(0.2)), "{}", failures(0.2));
    }

    #[test]
    fn its_times_spread_around_the_median() {
        let service = behaviour(0.0);
        let mut times: Vec<_> = (0..10_000).map(|n| service.toward(n).0.as_millis()).collect();
        times.sort_unstable();
        assert!((19..=21).contains(&times[5_000]), "median {}", times[5_000]);
        assert!((28..=32).contains(&times[9_500]), "p95 {}", times[9_500]);
        let slow = Behaviour { slower_by: Duration::from_millis(400), ..behaviour(0.0) };
        assert!((0..100).all(|n| slow.toward(n).0 > Duration::from_millis(400)));
    }
}
