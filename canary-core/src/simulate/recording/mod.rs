//! What was measured once, for a policy to be tried on.

use crate::policy::Policy;
use crate::rollout::queries;
use crate::value::{
    Counts, Failure, FailureKind, Measured, Query, Reading, Side, Signal, Timestamp, Window,
};

mod add;
#[cfg(feature = "json")]
mod file;
#[cfg(feature = "json")]
pub use file::RecordingError;

/// Holds what a metric source showed of both sides over a span of time, window by window.
///
/// [`Simulation::recorded`](super::Simulation::recorded) runs a policy on it. The windows of one signal follow each other
/// without a gap, the first from the begin of the span. A look is answered with all windows that end in it, so that each is
/// counted once, however a policy cuts the time.
///
/// ```
/// use std::time::Duration;
/// use canary_core::policy::{Check, Policy};
/// use canary_core::rollout::queries;
/// use canary_core::simulate::{Recording, Simulation};
/// use canary_core::value::{Counts, Measured, Reading, Signal, Timestamp, Weight, Window};
///
/// let policy = Policy::builder("checkout")
///     .stage("tenth", Weight::percent(10), Duration::from_secs(600))
///     .stage("full", Weight::FULL, Duration::from_secs(60))
///     .check(Check::above("too-many-errors", "error_rate", 0.05))
///     .build()?;
/// let at = |s: u64| Timestamp::from_millis(1_772_366_400_000 + s * 1000);
/// let mut recording = Recording::new(Window::new(at(0), at(900)), queries(&policy));
/// for s in (0..900).step_by(15) {
///     let failed = if s < 300 { 0 } else { 9 };
///     let reading = |bad| Counts::new(60, bad).map(Reading::Counts);
///     let window = Window::new(at(s), at(s + 15));
///     recording.push(&Signal::Requests, Measured::new(window, reading(0)?, reading(failed)?))?;
/// }
/// let report = Simulation::of(&policy).recorded(recording).run();
/// report.assert_rolled_back_by("too-many-errors");
/// assert!(report.rollback_decided.is_some_and(|decided| at(300) < decided && decided <= at(330)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Recording {
    span: Window,
    tracks: Vec<Track>,
}

/// Holds the windows of one signal.
#[derive(Clone, Debug, PartialEq)]
struct Track {
    /// What was asked; its `after` is where the span begins.
    query: Query,
    windows: Vec<Measured>,
}

/// Tells why a window has no place in a recording.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found}; expected {expected}")]
#[non_exhaustive]
pub struct WrongWindow {
    /// What was given.
    pub found: String,
    /// What would have had a place.
    pub expected: String,
}

impl Recording {
    /// Begins an empty recording of what these queries ask for, each signal once; [`queries`] tells what a policy asks.
    #[must_use]
    pub fn new(span: Window, asked: impl IntoIterator<Item = Query>) -> Self {
        let mut tracks: Vec<Track> = Vec::new();
        for mut query in asked {
            if tracks.iter().all(|track| track.query.signal != query.signal) {
                query.after = span.after;
                tracks.push(Track { query, windows: Vec::new() });
            }
        }
        Self { span, tracks }
    }

    /// Adds what was read of a signal in the next window.
    ///
    /// # Errors
    /// [`WrongWindow`] for a signal that is not recorded, a window that does not begin where the last one ended, is
    /// empty, or ends after the span, and for more bad requests than requests.
    pub fn push(&mut self, signal: &Signal, measured: Measured) -> Result<(), WrongWindow> {
        let Some(track) = self.tracks.iter_mut().find(|track| track.query.signal == *signal) else {
            let known = self.tracks.iter().map(|track| format!("`{}`", track.query.signal));
            return Err(WrongWindow {
                found: format!("there is a window of `{signal}`"),
                expected: known.collect::<Vec<_>>().join(" or "),
            });
        };
        let (covered, begin, end) = (measured.covered, track.end(), self.span.until);
        if covered.after != begin || covered.is_empty() || covered.until > end {
            let (after, until) = (covered.after, covered.until);
            return Err(WrongWindow {
                found: format!("a window of `{signal}` covers {after} to {until}"),
                expected: format!("one that begins at {begin} and ends later, by {end}"),
            });
        }
        for side in Side::BOTH {
            measured.sides.get(side).check().map_err(|error| WrongWindow {
                found: format!("of {side}'s `{signal}`, {error}"),
                expected: "at most as many".to_owned(),
            })?;
        }
        track.windows.push(measured);
        Ok(())
    }

    /// Returns the span of time that it is of.
    #[must_use]
    pub const fn span(&self) -> Window {
        self.span
    }

    /// Returns how many windows all signals have together.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tracks.iter().map(|track| track.windows.len()).sum()
    }

    /// Tells whether there is no window at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Counts the requests of a side after an instant.
    #[must_use]
    pub fn requests(&self, side: Side, after: Timestamp) -> Counts {
        let mut sum = Counts::default();
        let requests = |track: &&Track| track.query.signal == Signal::Requests;
        let windows = self.tracks.iter().filter(requests).flat_map(|track| &track.windows);
        for window in windows.filter(|window| window.covered.until > after) {
            if let Reading::Counts(counts) = window.sides.get(side) {
                sum.add(*counts);
            }
        }
        sum
    }

    /// Names what a policy asks for and the recording does not hold, or holds as the answer to another question.
    #[must_use]
    pub fn lacks(&self, policy: &Policy) -> Vec<Signal> {
        let holds = |asked: &Query| {
            let same = |query: &Query| (&query.signal, &query.text) == (&asked.signal, &asked.text);
            self.tracks.iter().any(|track| same(&track.query))
        };
        let lacking = queries(policy).into_iter().filter(|asked| !holds(asked));
        lacking.map(|asked| asked.signal).collect()
    }

    /// Answers a query as a metric source does, with the windows that end after its cursor and by `until`.
    pub(super) fn answer(&self, query: &Query, until: Timestamp) -> Result<Measured, Failure> {
        match self.tracks.iter().find(|track| track.query.signal == query.signal) {
            Some(track) => Ok(track.answer(query.after, until)),
            None => {
                let message = format!("the recording has no `{}`", query.signal);
                Err(Failure::new(FailureKind::Unsupported, message))
            }
        }
    }
}

impl Track {
    /// Returns where the next window must begin.
    fn end(&self) -> Timestamp {
        self.windows.last().map_or(self.query.after, |window| window.covered.until)
    }

    fn answer(&self, after: Timestamp, until: Timestamp) -> Measured {
        let first = self.windows.partition_point(|window| window.covered.until <= after);
        let behind = self.windows.partition_point(|window| window.covered.until <= until);
        let Some((window, more)) =
            self.windows.get(first..behind).and_then(|windows| windows.split_first())
        else {
            return Measured::pending(after);
        };
        let mut sum = window.clone();
        // Where a rollout looks again in the middle of a window, all of it is new: it belongs to where it ends.
        sum.covered = Window::new(after.max(self.query.after), window.covered.until);
        for next in more {
            if !add::all(&mut sum, next) {
                break;
            }
        }
        sum
    }
}
