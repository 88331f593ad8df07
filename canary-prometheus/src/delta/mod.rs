//! Counts what happened in a window, from the raw samples of counters.
//!
//! A *track* is one counter, or several that are scraped and reset together, as
//! the buckets of a histogram are. Four rules make its counts exact:
//!
//! 1. **A step belongs to where it ends.** What a counter rose by between two
//!    samples counts in the window that holds the later one. So consecutive
//!    windows are disjoint and add up to the whole, however time is cut; nothing
//!    is extrapolated to a window's edges.
//! 2. **A fall is a reset**: the counter began again at zero, so the step is the
//!    new value, for all counters of the track at once.
//! 3. **The first sample only starts the clock**, also after a silence of more
//!    than [`LINK`]: what a counter stood at before it was seen is nobody's.
//! 4. **A window ends where every track is known.** A track is known up to its
//!    newest sample. One that has gone quiet, because its process ended or its
//!    scrape failed, is known up to one usual scrape interval before the newest
//!    sample of all: a scrape's samples carry the time at which it began, and it
//!    ends within its interval. So no sample turns up behind a window that was
//!    already counted, and a process that is gone holds the others up for one
//!    interval at most.
//!
//! The interval of a track is the median distance of its samples; one with a
//! single sample is taken to have the longest interval of the others.

use std::time::Duration;

use canary_core::value::{BySide, Side, Timestamp, Window};

#[cfg(test)]
mod tests;

/// How long a series may be silent and still go on where it stopped; Prometheus itself takes it for gone after that.
pub(crate) const LINK: Duration = Duration::from_secs(5 * 60);

/// Holds what the counters of one track stood at when they were scraped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sample {
    pub(crate) at: Timestamp,
    pub(crate) values: Vec<u64>,
}

/// Holds the samples of counters that are scraped and reset together, in rising order of time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Track {
    samples: Vec<Sample>,
}

/// Says what is known of the tracks of both sides in a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cover {
    /// There is no sample of either side.
    Nothing,
    /// Nothing newer can be said of both sides at once yet.
    Pending,
    /// Everything in this window is known.
    Known(Window),
}

/// Adds up the steps of some tracks in a window.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// By counter; empty where no step ended in the window.
    pub(crate) rises: Option<Vec<u64>>,
    /// How many of the steps were resets.
    pub(crate) resets: usize,
}

impl Track {
    /// Takes samples in rising order of time, each with as many values as the others.
    pub(crate) fn new(samples: Vec<Sample>) -> Self {
        debug_assert!(samples.is_sorted_by(|a, b| a.at < b.at));
        Self { samples }
    }

    fn newest(&self) -> Option<Timestamp> {
        self.samples.last().map(|sample| sample.at)
    }

    /// Returns the median distance between samples, the longer one of two.
    fn usual_interval(&self) -> Option<Duration> {
        let mut gaps: Vec<_> =
            (self.samples.windows(2)).map(|pair| pair[1].at.since(pair[0].at)).collect();
        gaps.sort_unstable();
        gaps.get(gaps.len() / 2).copied()
    }

    /// Yields each sample with the one before it, where both are of one uninterrupted series.
    fn steps(&self) -> impl Iterator<Item = (&Sample, &Sample)> {
        (self.samples.windows(2))
            .map(|pair| (&pair[0], &pair[1]))
            .filter(|(before, after)| after.at.since(before.at) <= LINK)
    }
}

/// Returns how far the samples must reach back from a window's end, so that each step in it has its begin.
pub(crate) fn reach(window: Window) -> Duration {
    window.length() + LINK
}

/// Finds the part of a window in which everything is known.
///
/// `main` are the tracks that tell whether a side is there at all; `others` are counted over the same
/// window. A side that has something after the known part but nothing in it is waited for, so that no
/// window shows one side only because the scrapes of the two do not coincide.
pub(crate) fn cover(window: Window, main: BySide<&[Track]>, others: &[&[Track]]) -> Cover {
    let all =
        || (Side::BOTH.iter().map(|side| *main.get(*side))).chain(others.iter().copied()).flatten();
    let Some(until) = known_until(all) else {
        return Cover::Nothing;
    };
    if until <= window.after {
        return Cover::Pending;
    }
    let known = Window::new(window.after, until.min(window.until));
    let waits = |side| {
        let ends = || main.get(side).iter().flat_map(Track::steps).map(|s| s.1.at);
        !ends().any(|at| within(known, at)) && ends().any(|at| at > known.until)
    };
    if Side::BOTH.into_iter().any(waits) {
        return Cover::Pending;
    }
    Cover::Known(known)
}

/// Returns the instant up to which no sample of any track is missing; `None` without samples.
fn known_until<'a, I: Iterator<Item = &'a Track>>(tracks: impl Fn() -> I) -> Option<Timestamp> {
    let newest_of_all = tracks().filter_map(Track::newest).max()?;
    let longest = tracks().filter_map(Track::usual_interval).max();
    let known = |track: &Track| {
        let newest = track.newest()?;
        let interval = track.usual_interval().or(longest);
        Some(interval.map_or(newest, |interval| newest.max(newest_of_all - interval)))
    };
    tracks().filter_map(known).min()
}

/// Adds up what the tracks rose by in a window.
pub(crate) fn tally(tracks: &[Track], window: Window) -> Tally {
    let mut tally = Tally::default();
    let steps = tracks.iter().flat_map(Track::steps);
    for (before, after) in steps.filter(|step| within(window, step.1.at)) {
        let reset = (before.values.iter().zip(&after.values)).any(|(was, is)| is < was);
        tally.resets += usize::from(reset);
        let rises = tally.rises.get_or_insert_with(|| vec![0; after.values.len()]);
        for ((rise, was), is) in rises.iter_mut().zip(&before.values).zip(&after.values) {
            *rise = rise.saturating_add(if reset { *is } else { is - was });
        }
    }
    tally
}

fn within(window: Window, at: Timestamp) -> bool {
    window.after < at && at <= window.until
}
