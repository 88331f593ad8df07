//! How much an answer may cost.

use std::time::Duration;

/// Bounds what one query may cost, so that a selector that matches too much is an error and not an outage.
///
/// ```
/// use canary_prometheus::Limits;
///
/// let limits = Limits::default().series(10_000).bytes(64 << 20);
/// # drop(limits);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// How many series an answer may have: 5,000 unless said.
    pub series: usize,
    /// How many samples all of them may have together: 500,000 unless said.
    pub samples: usize,
    /// How long an answer may be, unpacked: 16 MiB unless said. Memory for a few times as much is needed.
    pub bytes: usize,
    /// How long the server may work on one query: 10 s unless said, and never longer than the rollout waits. The
    /// server is told, so that it does not go on for nobody.
    pub time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { series: 5_000, samples: 500_000, bytes: 16 << 20, time: Duration::from_secs(10) }
    }
}

impl Limits {
    /// Sets how many series an answer may have.
    #[must_use]
    pub const fn series(mut self, most: usize) -> Self {
        self.series = most;
        self
    }

    /// Sets how many samples all series of an answer may have together.
    #[must_use]
    pub const fn samples(mut self, most: usize) -> Self {
        self.samples = most;
        self
    }

    /// Sets how many bytes an answer may have, unpacked.
    #[must_use]
    pub const fn bytes(mut self, most: usize) -> Self {
        self.bytes = most;
        self
    }

    /// Sets how long the server may work on one query.
    #[must_use]
    pub const fn time(mut self, most: Duration) -> Self {
        self.time = most;
        self
    }
}
