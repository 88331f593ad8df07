//! How a made-up service behaves.

use std::time::Duration;

/// Describes how one version behaves.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Service {
    pub(super) error_rate: f64,
    /// The median of the time that requests take, in milliseconds.
    pub(super) median_ms: f64,
    pub(super) silent: bool,
}

/// The spread of the logarithm of latency: p95 is about 2.3 times the median.
pub(super) const SPREAD: f64 = 0.5;

impl Service {
    /// A service that fails one request in a thousand and answers half of them within 50 ms.
    pub const fn healthy() -> Self {
        Self { error_rate: 0.001, median_ms: 50.0, silent: false }
    }

    /// Fails this share of the requests, 0 to 1; what lies outside counts as the nearer end.
    pub const fn errors(mut self, rate: f64) -> Self {
        self.error_rate = if rate.is_nan() { 0.0 } else { rate.clamp(0.0, 1.0) };
        self
    }

    /// Answers half of the requests within this time.
    pub fn median(mut self, time: Duration) -> Self {
        self.median_ms = time.as_secs_f64() * 1000.0;
        self
    }

    /// Takes requests, but tells the metric source nothing.
    pub const fn silent(mut self) -> Self {
        self.silent = true;
        self
    }
}
