//! The last stretch of covered time of one signal.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::tally::{Tally, View};
use crate::value::{BySide, Reading};

/// Into how many slices a stretch is cut at most, give or take one.
const SLICES: u64 = 64;

/// Keeps the sum of the last covered time, and the slices that it is made of.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct History {
    slices: VecDeque<Tally>,
    sum: Tally,
}

impl History {
    /// Takes in the readings of one window, and forgets what lies further back than `look_back`.
    ///
    /// Very many short windows share slices, so that the stretch is longer than asked for by up to a 64th.
    pub(super) fn push(&mut self, sides: &BySide<Reading>, ms: u64, look_back: u64) {
        if sides.canary.is_missing() {
            return;
        }
        if !self.sum.takes(sides) {
            *self = Self::default();
        }
        self.sum.add(sides, ms);
        let (spare, exact) = self.forget(look_back);
        match self.slices.back_mut() {
            Some(newest) if newest.covered_ms().saturating_add(ms) <= look_back / SLICES => {
                newest.add(sides, ms);
            }
            _ => {
                let mut slice = spare.unwrap_or_default();
                slice.set(sides, ms);
                self.slices.push_back(slice);
            }
        }
        if !exact {
            self.sum = Tally::default();
            self.slices.iter().for_each(|slice| self.sum.join(slice));
        }
    }

    /// Forgets the oldest slices without which the sum is long enough. Returns one to be used again, and
    /// whether the sum is still right.
    fn forget(&mut self, look_back: u64) -> (Option<Tally>, bool) {
        let mut spare = None;
        let mut exact = true;
        while let Some(oldest) = self.slices.front() {
            let rest = self.sum.covered_ms().saturating_sub(oldest.covered_ms());
            if !lasts(rest, look_back) {
                break;
            }
            exact &= self.sum.take(oldest);
            spare = self.slices.pop_front();
        }
        (spare, exact)
    }

    pub(super) const fn sum(&self) -> View<'_> {
        self.sum.view()
    }
}

/// Tells whether this much covered time is as long as that, in milliseconds: looks come a moment early or
/// late, so that a hundredth less is as good.
pub(super) const fn lasts(covered: u64, look_back: u64) -> bool {
    covered.saturating_add(look_back / 100) >= look_back
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::policy::Metric;
    use crate::value::{Buckets, Counts, Side};

    fn counts(total: u64, bad: u64) -> Reading {
        Reading::Counts(Counts::new(total, bad).unwrap())
    }

    fn canary(reading: Reading) -> BySide<Reading> {
        BySide { stable: Reading::NoData, canary: reading }
    }

    #[test]
    fn it_sums_just_the_newest_stretch_and_forgets_the_rest() {
        let mut history = History::default();
        for i in 0..100 {
            history.push(&canary(counts(i + 1, 1)), 1_000, 2_000);
        }
        assert_eq!(history.slices.len(), 2);
        assert_eq!(history.sum().sides.canary, counts(100 + 99, 2));
        assert_eq!(history.sum().covered_ms(), 2_000);
    }

    #[test]
    fn silence_covers_no_time() {
        let mut history = History::default();
        for i in 0..3 {
            let reading = if i == 1 { Reading::NoData } else { counts(5, 0) };
            history.push(&canary(reading), 1_000, 5_000);
        }
        assert_eq!(history.sum().sides.canary, counts(10, 0));
        assert_eq!(history.sum().covered_ms(), 2_000);
    }

    #[test]
    fn values_are_averaged_by_covered_time_and_forgotten_too() {
        let mut history = History::default();
        for (value, ms) in [(1.0, 1_000), (2.0, 3_000)] {
            history.push(&canary(Reading::Value(value)), ms, 4_000);
        }
        assert_eq!(history.sum().sides.canary, Reading::Value(1.75));
        history.push(&canary(Reading::Value(4.0)), 1_000, 4_000);
        assert_eq!(history.sum().sides.canary, Reading::Value(2.5));
    }

    #[test]
    fn other_buckets_begin_anew() {
        let buckets = |bound, n| Reading::Buckets(Buckets::new(vec![bound], vec![n, 0]).unwrap());
        let mut history = History::default();
        history.push(&canary(buckets(1.0, 3)), 1_000, 9_000);
        history.push(&canary(buckets(2.0, 5)), 1_000, 9_000);
        assert_eq!(history.sum().sides.canary, buckets(2.0, 5));
        assert_eq!(history.sum().covered_ms(), 1_000);
    }

    proptest! {
        #[test]
        fn the_running_sum_is_the_sum_of_what_is_kept_and_memory_is_bounded(
            ticks in prop::collection::vec((1_u64..40_000, 0_u64..1_000, 0_u64..1_000, any::<bool>()), 1..300),
            look_back in 1_000_u64..600_000,
        ) {
            let mut history = History::default();
            let (mut all, mut newest) = (Vec::new(), 0);
            for (ms, n, m, stable) in ticks {
                let stable = if stable { counts(n + 1, n.min(7)) } else { Reading::NoData };
                history.push(&BySide { stable, canary: counts(m + 3, m / 2) }, ms, look_back);
                all.push((ms, m + 3));
                newest = ms;
            }
            let mut fresh = Tally::default();
            history.slices.iter().for_each(|slice| fresh.join(slice));
            let read = |view: View<'_>, side| view.read(&Metric::ErrorRate, side);
            for side in Side::BOTH {
                prop_assert_eq!(read(history.sum(), side), read(fresh.view(), side));
            }
            prop_assert!(history.slices.len() <= 2 * 64 + 2, "{}", history.slices.len());
            // It is the newest stretch, whole windows of it, and not much longer than asked for.
            let covered = history.sum().covered_ms();
            let (mut ms, mut requests, mut taken) = (0, 0, 0);
            for (length, n) in all.iter().rev() {
                if ms >= covered { break; }
                (ms, requests, taken) = (ms + length, requests + n, taken + 1);
            }
            prop_assert_eq!((ms, Some(requests)), (covered, history.sum().requests(Side::Canary)));
            prop_assert!(taken == all.len() || lasts(covered, look_back));
            prop_assert!(covered <= look_back.max(newest) + 40_000 + look_back / 64);
        }
    }
}
