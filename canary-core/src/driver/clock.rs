//! The one place that reads the time.

use crate::value::{Timestamp, millis};

/// Tells the time as a start plus monotonic time, so that it never goes back or jumps within a process.
///
/// Under tokio's paused clock it is paused as well.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Timestamp,
    since: tokio::time::Instant,
}

impl Clock {
    /// Starts from the system's time.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the time")]
    pub fn system() -> Self {
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Self::starting_at(Timestamp::EPOCH + since_epoch.unwrap_or_default())
    }

    /// Starts from a given time; for tests, and for replaying the past.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the time")]
    pub fn starting_at(start: Timestamp) -> Self {
        Self { start, since: tokio::time::Instant::now() }
    }

    /// Moves the clock on where it is behind this time.
    pub(super) fn not_before(self, earliest: Timestamp) -> Self {
        let behind = earliest.since(self.now());
        Self { start: self.start + behind, ..self }
    }

    /// Returns the time now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.start + self.since.elapsed()
    }

    /// Returns the instant to sleep until for a time.
    pub(super) fn instant(&self, at: Timestamp) -> tokio::time::Instant {
        self.since + std::time::Duration::from_millis(millis(at.since(self.start)))
    }
}

/// Returns the time by which threads wait, whether tokio's clock is paused or not.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the time")]
pub(super) fn wall_time() -> std::time::Instant {
    std::time::Instant::now()
}

/// Tells whether tokio's clock goes with the system's, as it does but where a test has paused it.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the time")]
pub(super) fn is_live() -> bool {
    let before = std::time::Instant::now();
    let told = tokio::time::Instant::now().into_std();
    (before..=std::time::Instant::now()).contains(&told)
}
