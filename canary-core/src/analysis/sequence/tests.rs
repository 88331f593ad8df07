//! Vectors computed with 50 digits (mpmath), and what must hold of any counts.

#![allow(clippy::excessive_precision, reason = "the reference values as they were computed")]

use proptest::prelude::*;

use super::*;
use crate::analysis::fixtures::{STREAM, binomial, close, tick};

fn gathered(ticks: &[(u64, u64, u64, u64)]) -> RatioSequence {
    let mut sequence = RatioSequence::default();
    ticks.iter().enumerate().for_each(|(i, t)| sequence.add(tick(i, *t)).unwrap());
    sequence
}

#[test]
fn the_bounds_are_the_reference_values() {
    let sequence = gathered(&STREAM);
    for (alpha, lower, upper) in [
        (0.05, 3.657_042_259_807_59, 115.518_204_561_162),
        (0.01, 2.968_566_156_381_58, 155.053_728_072_138),
    ] {
        let bounds = sequence.bounds(alpha);
        close(bounds.lower, lower);
        close(bounds.upper.unwrap(), upper);
        close(bounds.estimate.unwrap(), 17.966_056_128_220_227_1);
    }
}

#[test]
fn what_never_failed_has_no_bound_there() {
    let nothing = RatioBounds { lower: 0.0, upper: None, estimate: None };
    assert_eq!(gathered(&[]).bounds(0.01), nothing);
    assert_eq!(gathered(&[(100, 0, 100, 0), (0, 0, 9, 9), (9, 9, 0, 0)]).bounds(0.01), nothing);
    let only_stable = gathered(&[(1000, 0, 1000, 9)]).bounds(0.01);
    assert_eq!((only_stable.lower, only_stable.estimate), (0.0, Some(0.0)));
    assert!(only_stable.upper.is_some());
    let only_canary = gathered(&[(1000, 30, 1000, 0)]).bounds(0.01);
    assert_eq!((only_canary.upper, only_canary.estimate), (None, None));
    assert!(only_canary.lower > 1.0);
}

/// Returns `ln L` without any cells joined.
fn exact(ticks: &[(u64, u64, u64, u64)], x: f64) -> f64 {
    let of = |&(n_c, k_c, n_b, k_b): &(u64, u64, u64, u64)| {
        let w = n_c as f64 / (n_c + n_b) as f64;
        k_c as f64 * x - (k_c + k_b) as f64 * (w * x.exp_m1()).ln_1p()
    };
    ticks.iter().map(of).sum()
}

#[test]
fn an_hour_of_ticks_with_shares_of_their_own_costs_little() {
    // The shares of 5 % and then of 50 % scatter as those of 1,500 requests do.
    let tick = |i: u64| {
        let n_c = if i < 120 { 58 + i * 37 % 35 } else { 692 + i * 53 % 117 };
        (n_c, 1 + i % 3, 1500 - n_c, 1)
    };
    let sequence = gathered(&(0..240).map(tick).collect::<Vec<_>>());
    assert_eq!(sequence.used, CELLS);
    assert!(sequence.slack > 0.0 && sequence.slack < 0.1, "{}", sequence.slack);
}

fn ticks(most: usize) -> impl Strategy<Value = Vec<(u64, u64, u64, u64)>> {
    let tick = (20_u64..3_000, 20_u64..3_000, 0_u64..6, 0_u64..6);
    let tick = tick.prop_map(|(n_c, n_b, k_c, k_b)| (n_c, k_c, n_b, k_b));
    prop::collection::vec(tick, 1..most)
}

proptest! {
    #[test]
    fn joined_shares_cost_no_more_than_is_known(ticks in ticks(120), x in -9.0_f64..9.0) {
        let sequence = gathered(&ticks);
        let (seen, exact) = (sequence.ln_likelihood(x).0, exact(&ticks, x));
        let rounding = 1e-9;
        prop_assert!(seen <= exact + rounding, "{seen} is above {exact}");
        prop_assert!(exact <= seen + sequence.slack + rounding, "{seen} + {} is below {exact}", sequence.slack);
        let shares = &sequence.cells[..sequence.used];
        prop_assert!(shares.is_sorted_by(|a, b| a.w < b.w), "{shares:?}");
        let bad: f64 = ticks.iter().map(|t| (t.1 + t.3) as f64).sum();
        prop_assert!((shares.iter().map(|c| c.bad).sum::<f64>() - bad).abs() < 1e-6);
    }

    #[test]
    fn joined_shares_only_make_the_bounds_wider(ticks in ticks(120), alpha in 0.001_f64..0.5) {
        let bounds = gathered(&ticks).bounds(alpha);
        let at_ratios: f64 = RATIOS.iter().map(|r| exact(&ticks, r.ln()).exp() + exact(&ticks, -r.ln()).exp()).sum();
        let level = alpha.ln() + (at_ratios / 16.0).ln();
        for end in [Some(bounds.lower).filter(|lower| *lower > 0.0), bounds.upper].into_iter().flatten() {
            let value = exact(&ticks, end.ln());
            prop_assert!(value <= level + 1e-7, "{end}: {value} is above {level}");
        }
    }

    #[test]
    fn the_ends_are_where_the_likelihood_crosses(ticks in ticks(20), alpha in 0.001_f64..0.5) {
        let sequence = gathered(&ticks);
        let bounds = sequence.bounds(alpha);
        let level = alpha.ln() + sequence.ln_mean();
        for end in [Some(bounds.lower).filter(|lower| *lower > 0.0), bounds.upper].into_iter().flatten() {
            let (value, slope) = sequence.ln_likelihood(end.ln());
            prop_assert!((value - level).abs() <= 1e-9 * (1.0 + slope.abs()), "{value} is not {level}");
        }
    }

    #[test]
    fn more_certainty_takes_wider_bounds_around_the_estimate(ticks in ticks(60), alpha in 0.0001_f64..0.4) {
        let sequence = gathered(&ticks);
        let (wide, narrow) = (sequence.bounds(alpha), sequence.bounds(alpha * 2.0));
        let upper = |bounds: RatioBounds| bounds.upper.unwrap_or(f64::INFINITY);
        prop_assert!(wide.lower <= narrow.lower && upper(narrow) <= upper(wide), "{wide:?} {narrow:?}");
        if let Some(estimate) = narrow.estimate {
            prop_assert!(narrow.lower <= estimate && estimate <= upper(narrow), "{narrow:?}");
        }
    }

    #[test]
    fn bounds_are_numbers_whatever_is_counted(
        ticks in prop::collection::vec((0_u64..1 << 53, 0_u64..1 << 53, 0_u64..1 << 53, 0_u64..1 << 53), 1..60),
    ) {
        let ticks: Vec<_> = ticks.into_iter().map(|(n, k, m, l)| (n.max(k), k, m.max(l), l)).collect();
        let sequence = gathered(&ticks);
        let RatioBounds { lower, upper, estimate } = sequence.bounds(0.01);
        prop_assert!(lower.is_finite() && lower >= 0.0, "{lower}");
        for bound in [upper, estimate].into_iter().flatten() {
            prop_assert!(bound.is_finite() && bound >= lower, "{bound} with {lower}");
        }
        let json = serde_json::to_string(&sequence).unwrap();
        prop_assert_eq!(serde_json::from_str::<RatioSequence>(&json).unwrap(), sequence);
    }

    /// The sum over all outcomes of two ticks of their probability, where the sequence leaves the true ratio out.
    #[test]
    fn it_leaves_the_true_ratio_out_no_more_often_than_it_says(
        n_c in 12_u64..3_000, n_b in 12_u64..3_000, bad in 1_u64..12, next in 1_u64..12, ln_ratio in -3.0_f64..5.0,
    ) {
        let alpha = 0.05;
        let w = n_c as f64 / (n_c + n_b) as f64;
        let theta = w * ln_ratio.exp() / (1.0 - w + w * ln_ratio.exp());
        let (mut missed, mut total) = (0.0, 0.0);
        for (k, p) in binomial(bad, theta).into_iter().enumerate() {
            let k = k as u64;
            let first = gathered(&[(n_c, k, n_b, bad - k)]);
            if misses(&first, alpha, ln_ratio) {
                missed += p;
                total += p;
                continue;
            }
            for (l, q) in binomial(next, theta).into_iter().enumerate() {
                let l = l as u64;
                let mut both = first;
                both.add(tick(1, (n_c, l, n_b, next - l))).unwrap();
                missed += if misses(&both, alpha, ln_ratio) { p * q } else { 0.0 };
                total += p * q;
            }
        }
        prop_assert!((total - 1.0).abs() < 1e-9 && missed <= alpha, "{missed} of {total}");
    }
}

#[test]
fn a_stored_sequence_has_requests_and_errors_in_each_cell() {
    let sound = serde_json::to_value(gathered(&STREAM)).unwrap();
    assert!(serde_json::from_value::<RatioSequence>(sound.clone()).is_ok());
    for field in ["w", "rest", "bad"] {
        for number in [0.0, -1.0] {
            let mut spoilt = sound.clone();
            spoilt["cells"][0][field] = number.into();
            let refused = serde_json::from_value::<RatioSequence>(spoilt).unwrap_err().to_string();
            assert!(refused.contains("requests and errors"), "{field} {number}: {refused}");
        }
    }
}

fn misses(sequence: &RatioSequence, alpha: f64, ln_ratio: f64) -> bool {
    let bounds = sequence.bounds(alpha);
    let ratio = ln_ratio.exp();
    ratio < bounds.lower || bounds.upper.is_some_and(|upper| ratio > upper)
}
