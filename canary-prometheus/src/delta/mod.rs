//! Counts what happened in a window, from the raw samples of counters.
//!
//! A *track* is one counter, or several that are scraped and reset together, as the buckets of a histogram are. Five
//! rules make its counts exact:
//!
//! 1. **A step belongs to where it ends.** What a counter rose by between two samples counts in the window that holds
//!    the later one. So consecutive windows are disjoint and add up to the whole, however time is cut; nothing
//!    is extrapolated to a window's edges.
//! 2. **A fall is a reset**: the counter began again at zero, so the step is the new value, for all counters of the
//!    track at once.
//! 3. **The first sample only starts the clock**, also after a silence of more than [`LINK`]: what a counter stood at
//!    before it was seen is nobody's. Only where its process was scraped before without it ([`births`]) it was zero.
//! 4. **A window ends where every track is known.** A track is known up to its newest sample. One that has gone quiet,
//!    because its process ended or its scrape failed, is known up to one usual scrape interval before the newest
//!    sample of all: a scrape's samples carry the time at which it began, and it ends within its interval. So no
//!    sample turns up behind a window that was already counted, and a process that is gone holds the others up for one
//!    interval at most.
//! 5. **Several servers that scrape the same counter** see one counter ([`steps`]): it rises to the highest of what
//!    they saw, and is reset once.
//!
//! The interval of a track is the median distance of its samples; one with a single sample is taken to have the longest
//! interval of the others.

use std::time::Duration;

use canary_core::value::{BySide, Side, Timestamp, Window};

mod births;
mod samples;
mod steps;
#[cfg(test)]
mod tests;
mod young;

pub(crate) use births::begin_at_zero;
pub(crate) use samples::Samples;
use steps::Steps;
pub(crate) use young::Young;

/// How long a series may be silent and still go on where it stopped; Prometheus itself takes it for gone after that.
pub(crate) const LINK: Duration = Duration::from_secs(5 * 60);

/// Holds what counters that are scraped and reset together did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Track {
    newest: Option<Timestamp>,
    interval: Option<Duration>,
    steps: Steps,
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
    pub(crate) remarks: Remarks,
}

/// Counts what a person should know of the steps in a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Remarks {
    /// How many steps were resets.
    pub(crate) resets: usize,
    /// How many steps were longer than two usual intervals: a scrape was missed, or more.
    pub(crate) gaps: usize,
    /// The longest of those.
    pub(crate) longest: Duration,
}

impl Track {
    /// Takes what each of the servers saw that scrape these counters; usually that is one.
    pub(crate) fn new(replicas: &[Samples]) -> Self {
        Self {
            newest: replicas.iter().filter_map(Samples::newest).max(),
            interval: replicas.iter().filter_map(Samples::usual_interval).max(),
            steps: Steps::of(replicas),
        }
    }

    /// Returns the ends of its steps.
    fn ends(&self) -> impl Iterator<Item = Timestamp> {
        self.steps.iter().map(|step| step.at)
    }
}

/// Returns the longest of the usual scrape intervals.
pub(crate) fn longest_interval<'a>(tracks: impl Iterator<Item = &'a Track>) -> Option<Duration> {
    tracks.filter_map(|track| track.interval).max()
}

/// Returns how far the samples must reach back from a window's end, so that each step in it has its begin.
pub(crate) fn reach(window: Window) -> Duration {
    window.length() + LINK
}

/// Finds the part of a window in which everything is known.
///
/// `main` are the tracks that tell whether a side is there at all; `others` are counted over the same
/// window. A side that has something after the known part but nothing in it is waited for, so that no
/// window shows one side only because the scrapes of the two do not coincide. So is a side that may just not have
/// been scraped twice, for two usual scrape intervals.
pub(crate) fn cover(window: Window, main: BySide<&[Track]>, others: &[&[Track]]) -> Cover {
    let all =
        || (Side::BOTH.iter().map(|side| *main.get(*side))).chain(others.iter().copied()).flatten();
    let interval = longest_interval(all());
    let may_come = |side: Side| {
        Young::of(main.get(side), window).is_some_and(|young| young.may_come(window, interval))
    };
    if Side::BOTH.into_iter().any(may_come) {
        return Cover::Pending;
    }
    let Some(until) = known_until(all) else {
        return Cover::Nothing;
    };
    if until <= window.after {
        return Cover::Pending;
    }
    let known = Window::new(window.after, until.min(window.until));
    let waits = |side| {
        let ends = || main.get(side).iter().flat_map(Track::ends);
        !ends().any(|at| within(known, at)) && ends().any(|at| at > known.until)
    };
    if Side::BOTH.into_iter().any(waits) {
        return Cover::Pending;
    }
    Cover::Known(known)
}

/// Returns the instant up to which no sample of any track is missing; `None` without samples.
fn known_until<'a, I: Iterator<Item = &'a Track>>(tracks: impl Fn() -> I) -> Option<Timestamp> {
    let newest_of_all = tracks().filter_map(|track| track.newest).max()?;
    let longest = longest_interval(tracks());
    let known = |track: &Track| {
        let newest = track.newest?;
        let interval = track.interval.or(longest);
        Some(interval.map_or(newest, |interval| newest.max(newest_of_all - interval)))
    };
    tracks().filter_map(known).min()
}

/// Adds up what the tracks rose by in a window.
pub(crate) fn tally<'a>(tracks: impl IntoIterator<Item = &'a Track>, window: Window) -> Tally {
    let mut tally = Tally::default();
    for track in tracks {
        for step in track.steps.iter().filter(|step| within(window, step.at)) {
            tally.remarks.resets += usize::from(step.reset);
            if track.interval.is_some_and(|usual| step.length >= usual * 2) {
                tally.remarks.gaps += 1;
                tally.remarks.longest = tally.remarks.longest.max(step.length);
            }
            let rises = tally.rises.get_or_insert_with(|| vec![0; step.rises.len()]);
            for (sum, rise) in rises.iter_mut().zip(step.rises) {
                *sum = sum.saturating_add(*rise);
            }
        }
    }
    tally
}

fn within(window: Window, at: Timestamp) -> bool {
    window.after < at && at <= window.until
}
