//! What the tests of this room share.

use super::Tick;
use crate::value::{BySide, Counts, Timestamp, Window};

pub(super) fn counts(total: u64, bad: u64) -> Counts {
    Counts::new(total, bad).unwrap()
}

pub(super) fn sides((n_c, k_c, n_b, k_b): (u64, u64, u64, u64)) -> BySide<Counts> {
    BySide { stable: counts(n_b, k_b), canary: counts(n_c, k_c) }
}

/// Both sides' requests of this minute.
pub(super) fn tick(minute: usize, requests: (u64, u64, u64, u64)) -> Tick {
    let at = |minute: usize| Timestamp::from_millis(60_000 * minute as u64);
    Tick::new(Window::new(at(minute), at(minute + 1)), sides(requests)).unwrap()
}

/// Eight ticks with what there may be: no errors, no requests, and a weight that changes.
pub(super) const STREAM: [(u64, u64, u64, u64); 8] = [
    (75, 0, 1425, 1),
    (75, 1, 1425, 2),
    (75, 2, 1425, 1),
    (80, 0, 1400, 0),
    (0, 0, 1500, 3),
    (75, 3, 1425, 0),
    (375, 4, 1125, 2),
    (375, 6, 1125, 1),
];

pub(super) fn close(seen: f64, expected: f64) {
    assert!((seen - expected).abs() <= 1e-12 * expected.abs().max(1.0), "{seen} is not {expected}");
}

/// Returns the probabilities of 0 to `n` successes of probability `p`.
pub(super) fn binomial(n: u64, p: f64) -> Vec<f64> {
    let mut probability = (1.0 - p).powi(i32::try_from(n).unwrap());
    let mut all = vec![probability];
    for k in 0..n {
        probability *= (n - k) as f64 / (k + 1) as f64 * p / (1.0 - p);
        all.push(probability);
    }
    all
}

/// Returns the mean of `exp(gain)` over all ways in which `bad` errors fall on the two sides when
/// each falls on the canary with the null's probability: at most 1 for a fair bet.
pub(super) fn mean_gain(gain: impl Fn(u64) -> f64, bad: u64, null: f64) -> f64 {
    (0..).zip(binomial(bad, null)).map(|(k, p)| p * gain(k).exp()).sum()
}

/// Asserts that a number is the expected one but for this part of it.
pub(super) fn relative(seen: f64, expected: f64, part: f64) {
    assert!((seen - expected).abs() <= part * expected.abs(), "{seen} is not {expected}");
}
