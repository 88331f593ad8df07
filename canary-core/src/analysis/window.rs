//! What evidence is made of: both sides' requests in covered windows that share no request.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::value::{BySide, Counts, InvalidReading, Timestamp, Window, millis};

/// Holds both sides' requests in one covered window, which can be and covers some time.
///
/// What takes ticks in lets each window in once, in the order of time: overlapping windows would count a request
/// twice, and with requests that count four times one innocent canary in ten is convicted instead of one in a
/// hundred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tick {
    covered: Window,
    sides: BySide<Counts>,
}

impl Tick {
    /// Takes what both sides served in a window.
    ///
    /// # Errors
    /// [`Refused::Empty`] for a window without time, [`Refused::Invalid`] for numbers that cannot be.
    pub fn new(covered: Window, sides: BySide<Counts>) -> Result<Self, Refused> {
        for Counts { total, bad, .. } in [sides.stable, sides.canary] {
            Counts::new(total, bad)?;
        }
        if covered.is_empty() {
            return Err(Refused::Empty { at: covered.after });
        }
        Ok(Self { covered, sides })
    }

    /// Returns the window.
    #[must_use]
    pub const fn covered(&self) -> Window {
        self.covered
    }

    /// Returns both sides' requests.
    #[must_use]
    pub const fn sides(&self) -> BySide<Counts> {
        self.sides
    }
}

/// Lets each covered window in once, in the order of time. It begins before all time; gaps between windows are well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Streak {
    /// Up to where all was counted.
    until: Timestamp,
    /// The time that the windows cover.
    live_ms: u64,
}

impl Streak {
    /// Begins at a time: nothing before it is let in.
    pub(super) const fn after(until: Timestamp) -> Self {
        Self { until, live_ms: 0 }
    }

    /// Moves to the end of a window that shares nothing with the earlier ones, and returns the time that those
    /// covered.
    pub(super) fn admit(&mut self, covered: Window) -> Result<Duration, Refused> {
        if covered.is_empty() {
            return Err(Refused::Empty { at: covered.after });
        }
        if covered.after < self.until {
            return Err(Refused::Overlap { covered, until: self.until });
        }
        let live = Duration::from_millis(self.live_ms);
        self.until = covered.until;
        self.live_ms = self.live_ms.saturating_add(millis(covered.length()));
        Ok(live)
    }
}

/// Tells why a window cannot be evidence.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// No time lies in it.
    #[error("the window at {at} covers no time")]
    Empty {
        /// Where it lies.
        at: Timestamp,
    },
    /// A part of it was counted before.
    #[error(
        "the window from {} to {} begins before {until}, up to where requests were counted already",
        covered.after, covered.until
    )]
    Overlap {
        /// The window.
        covered: Window,
        /// Up to where requests were counted.
        until: Timestamp,
    },
    /// Its numbers cannot be.
    #[error(transparent)]
    Invalid(#[from] InvalidReading),
}

#[cfg(test)]
mod tests;
