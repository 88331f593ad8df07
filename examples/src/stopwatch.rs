//! How long things take, finer than the milliseconds of a [`Timestamp`](canary_core::value::Timestamp).

use std::time::{Duration, Instant};

/// Measures how long something takes.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts to measure.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "a latency is measured here only")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Returns what has passed since the start.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}
