//! The last stretch of covered time of one signal.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::value::{Buckets, BySide, Counts, Reading, Window};

/// Keeps the readings of the last covered time, no more than the longest `for` needs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct History {
    slices: VecDeque<Slice>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Slice {
    window: Window,
    sides: BySide<Reading>,
}

/// Sums the newest readings of both sides, with the covered time that they come from.
pub(super) struct Sum {
    pub(super) sides: BySide<Reading>,
    pub(super) covered: Duration,
}

impl History {
    /// Remembers a reading; one without anything of the canary covers nothing and is passed over.
    pub(super) fn push(&mut self, window: Window, sides: &BySide<Reading>, keep: Duration) {
        if sides.canary.is_missing() || keep.is_zero() {
            return;
        }
        self.slices.push_back(Slice { window, sides: sides.clone() });
        let mut covered: Duration = self.slices.iter().map(|s| s.window.length()).sum();
        while let Some(oldest) = self.slices.front() {
            covered = covered.saturating_sub(oldest.window.length());
            if !lasts(covered, keep) {
                break;
            }
            self.slices.pop_front();
        }
    }

    /// Sums the newest slices until they cover `look_back`: counts and buckets are added, values averaged.
    pub(super) fn sum(&self, look_back: Duration) -> Sum {
        let mut covered = Duration::ZERO;
        let mut taken = Vec::new();
        for slice in self.slices.iter().rev() {
            if lasts(covered, look_back) {
                break;
            }
            covered += slice.window.length();
            taken.push(slice);
        }
        let sides = BySide::from_fn(|side| add(taken.iter().map(|slice| slice.sides.get(side))));
        Sum { sides, covered }
    }
}

/// Tells whether this much covered time is as long as that: ticks come a moment early or late, so that a
/// hundredth less is as good.
pub(super) fn lasts(covered: Duration, look_back: Duration) -> bool {
    covered.saturating_add(look_back / 100) >= look_back
}

/// Adds readings of one shape; the odd one out makes the sum unknown.
fn add<'a>(readings: impl Iterator<Item = &'a Reading>) -> Reading {
    let (mut counts, mut buckets, mut values) =
        (Counts::default(), Buckets::default(), (0.0, 0_u32));
    let mut shape = None;
    for reading in readings {
        match reading {
            Reading::Counts(more) => counts.add(*more),
            Reading::Buckets(more) => {
                if !buckets.add(more) {
                    return Reading::NoData;
                }
            }
            Reading::Value(value) if value.is_finite() => values = (values.0 + value, values.1 + 1),
            Reading::Value(_) => continue,
            Reading::NoData | Reading::NotFinite => continue,
        }
        if *shape.get_or_insert(reading.shape()) != reading.shape() {
            return Reading::NoData;
        }
    }
    match shape {
        Some("counts") => Reading::Counts(counts),
        Some("buckets") => Reading::Buckets(buckets),
        Some(_) => Reading::Value(values.0 / f64::from(values.1)),
        None => Reading::NoData,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Timestamp;

    fn second(i: u64) -> Window {
        Window::new(Timestamp::from_millis(i * 1000), Timestamp::from_millis((i + 1) * 1000))
    }

    fn counts(total: u64, bad: u64) -> Reading {
        Reading::Counts(Counts::new(total, bad).unwrap())
    }

    #[test]
    fn it_sums_just_the_newest_stretch_and_forgets_the_rest() {
        let mut history = History::default();
        for i in 0..100 {
            let sides = BySide { stable: counts(1, 0), canary: counts(i + 1, 1) };
            history.push(second(i), &sides, Duration::from_secs(3));
        }
        assert_eq!(history.slices.len(), 3);
        let sum = history.sum(Duration::from_secs(2));
        assert_eq!(sum.sides.canary, counts(100 + 99, 2));
        assert_eq!(sum.covered, Duration::from_secs(2));
    }

    #[test]
    fn silence_covers_no_time() {
        let mut history = History::default();
        for i in 0..3 {
            let canary = if i == 1 { Reading::NoData } else { counts(5, 0) };
            history.push(
                second(i),
                &BySide { stable: counts(1, 0), canary },
                Duration::from_secs(5),
            );
        }
        let sum = history.sum(Duration::from_secs(5));
        assert_eq!((sum.sides.canary, sum.covered), (counts(10, 0), Duration::from_secs(2)));
    }

    #[test]
    fn values_are_averaged() {
        let value = |v| BySide { stable: Reading::NoData, canary: Reading::Value(v) };
        let mut history = History::default();
        history.push(second(0), &value(1.0), Duration::from_secs(9));
        history.push(second(1), &value(2.0), Duration::from_secs(9));
        assert_eq!(history.sum(Duration::from_secs(9)).sides.canary, Reading::Value(1.5));
    }
}
