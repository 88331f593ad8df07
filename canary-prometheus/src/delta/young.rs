//! Sides that have nothing to count yet.

use std::time::Duration;

use canary_core::value::{Timestamp, Window};

use super::Track;

/// The scrape interval that is reckoned with while none can be seen: Prometheus' own default.
const USUAL: Duration = Duration::from_secs(60);

/// Tells that a side has nothing to count in a window, and may have soon: that takes two scrapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Young {
    /// There is no sample, as far back as a series reaches.
    Unseen,
    /// There is a first sample, in the window.
    SeenOnce(Timestamp),
}

impl Young {
    pub(crate) fn of(tracks: &[Track], window: Window) -> Option<Self> {
        match tracks.iter().filter_map(|track| track.newest).max() {
            None => Some(Self::Unseen),
            Some(newest) => {
                let stepped = tracks.iter().any(|track| track.ends().next().is_some());
                (newest > window.after && !stepped).then_some(Self::SeenOnce(newest))
            }
        }
    }

    /// Tells whether it is too early to say that there is no data.
    pub(super) fn may_come(self, window: Window, interval: Option<Duration>) -> bool {
        let waits = match self {
            Self::Unseen => window.length(),
            Self::SeenOnce(at) => window.until.since(at),
        };
        waits <= interval.unwrap_or(USUAL) * 2
    }
}

#[cfg(test)]
mod tests {
    use canary_core::value::BySide;

    use super::*;
    use crate::delta::{Cover, Samples, cover};

    fn window(after: u64, until: u64) -> Window {
        let at = |seconds: u64| Timestamp::from_millis(seconds * 1000);
        Window::new(at(after), at(until))
    }

    /// Is scraped at these seconds.
    fn tracks(scrapes: impl IntoIterator<Item = u64>) -> Vec<Track> {
        let mut samples = Samples::of(1);
        for second in scrapes {
            samples.push(Timestamp::from_millis(second * 1000), &[second]);
        }
        vec![Track::new(&[samples])]
    }

    #[test]
    fn a_side_without_series_is_waited_for_over_two_scrapes_of_the_other() {
        let stable = tracks((0..=600).step_by(15));
        let cover = |until| {
            let main = BySide { stable: &*stable, canary: &[] };
            cover(window(300, until), main, &[])
        };
        assert_eq!(cover(330), Cover::Pending);
        assert_eq!(cover(331), Cover::Known(window(300, 331)));
    }

    #[test]
    fn a_side_that_was_scraped_once_is_waited_for_over_two_scrapes_more() {
        let stable = tracks((0..=600).step_by(15));
        let once = tracks([310]);
        let cover = |after, until| {
            let main = BySide { stable: &*stable, canary: &*once };
            cover(window(after, until), main, &[])
        };
        assert_eq!(cover(250, 340), Cover::Pending);
        assert!(matches!(cover(250, 341), Cover::Known(_)));
        // What lies before the window was there when the last one ended.
        assert!(matches!(cover(310, 330), Cover::Known(_)));
    }

    #[test]
    fn where_nobody_was_scraped_a_minute_is_taken_for_the_interval() {
        let cover = |until| cover(window(0, until), BySide { stable: &[], canary: &[] }, &[]);
        assert_eq!(cover(120), Cover::Pending);
        assert_eq!(cover(121), Cover::Nothing);
    }

    #[test]
    fn a_side_that_went_on_is_not_young_though_nothing_of_it_is_in_the_window() {
        assert_eq!(Young::of(&tracks([0, 15, 30]), window(40, 70)), None);
        assert_eq!(Young::of(&tracks([0, 15, 30]), window(0, 70)), None);
    }
}
