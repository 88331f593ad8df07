//! Vectors computed with 50 digits (mpmath), and the bounds by their definition.

use proptest::prelude::*;

use super::*;
use crate::analysis::fixtures::{close, relative};

fn of(canary: &[f64], stable: &[f64]) -> MannWhitney {
    MannWhitney::new(stable, canary).unwrap()
}

const LONG: [f64; 9] = [1.83, 0.5, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.3];
#[allow(clippy::approx_constant, reason = "a measured value")]
const SHORT: [f64; 9] = [0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.061, 3.14, 1.291];

#[test]
fn it_gives_the_reference_values() {
    let seen = of(&LONG, &SHORT);
    close(seen.u, 58.0);
    relative(seen.p, 0.133_320_215_589_627_4, 1e-12);
    let (x, y) = (
        [3.0, 5.0, 4.0, 6.0, 5.0, 7.0, 8.0, 5.0, 6.0, 9.0],
        [2.0, 4.0, 3.0, 5.0, 4.0, 4.0, 3.0, 6.0, 2.0, 5.0],
    );
    let tied = of(&x, &y);
    close(tied.u, 81.5);
    relative(tied.p, 0.017_382_665_455_155_54, 1e-12);
    let mut x = [100.0; 10];
    x[7..].fill(1.0);
    let seen = of(&x, &[1.0; 10]);
    close(seen.u, 85.0);
    relative(seen.p, 0.001_616_772_830_620_606, 1e-12);
    assert_eq!((seen.lower, seen.upper, seen.estimate), (0.0, 99.0, 99.0));
}

#[test]
fn high_takes_a_sure_shift_and_a_higher_mean() {
    let stable: Vec<f64> = (0..30).map(|i| 100.0 + f64::from(i % 7)).collect();
    let canary: Vec<f64> = stable.iter().map(|value| value * 1.5).collect();
    let seen = of(&canary, &stable);
    assert!(seen.is_high(1.2) && !seen.is_high(1.6), "{seen:?}");
    assert!(!of(&stable, &canary).is_high(0.0) && !of(&stable, &stable).is_high(1.0));
}

#[test]
fn no_variance_is_no_evidence() {
    let seen = of(&[5.0; 8], &[5.0; 9]);
    assert_eq!((seen.u, seen.p, seen.is_high(1.0)), (36.0, 1.0, false));
    assert_eq!(MannWhitney::new(&[], &[1.0]), None);
    assert_eq!(MannWhitney::new(&[1.0], &[]), None);
    assert_eq!(MannWhitney::new(&[1.0], &[f64::NAN]), None);
    // Two values are too few for bounds: the only difference is all that is known.
    let two = of(&[3.0], &[1.0]);
    assert_eq!((two.lower, two.estimate, two.upper), (2.0, 2.0, 2.0));
}

/// Returns `(D − ½ sgn D)/σ − q` for the canary shifted by `−mu`, from ranks of the pooled sample.
fn by_ranks(canary: &[f64], stable: &[f64], mu: f64, q: f64) -> f64 {
    let shifted: Vec<f64> = canary.iter().map(|x| x - mu).collect();
    let pooled: Vec<f64> = shifted.iter().chain(stable).copied().collect();
    let rank = |x: f64| {
        let below = pooled.iter().filter(|y| **y < x).count() as f64;
        below + 0.5 * (pooled.iter().filter(|y| **y == x).count() as f64 + 1.0)
    };
    let (m, n) = (canary.len() as f64, stable.len() as f64);
    let d = shifted.iter().map(|x| rank(*x)).sum::<f64>() - m * (m + 1.0) / 2.0 - m * n / 2.0;
    let sigma = spread([m, n], ties(pooled));
    corrected(d) / sigma - q
}

fn sample() -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec((0_i32..40).prop_map(f64::from), 2..14)
}

proptest! {
    /// Whole numbers have steps at whole numbers, so that a quarter beside one nothing changes but it.
    #[test]
    fn the_bounds_are_where_the_sign_changes(canary in sample(), stable in sample()) {
        let seen = of(&canary, &stable);
        let least = canary.iter().copied().fold(99.0, f64::min) - stable.iter().copied().fold(0.0, f64::max);
        let most = canary.iter().copied().fold(0.0, f64::max) - stable.iter().copied().fold(99.0, f64::min);
        for (bound, q) in [(seen.lower, QUANTILE), (seen.upper, -QUANTILE)] {
            prop_assert!(least <= bound && bound <= most);
            let at = |mu| by_ranks(&canary, &stable, mu, q);
            prop_assert!(bound == least || at(bound - 0.25) > 0.0, "{bound} with {q}: {}", at(bound - 0.25));
            prop_assert!(bound == most || at(bound + 0.25) <= 0.0, "{bound} with {q}: {}", at(bound + 0.25));
        }
        prop_assert!(seen.lower <= seen.estimate && seen.estimate <= seen.upper, "{seen:?}");
    }

    #[test]
    fn the_sides_are_each_other_s_mirror(canary in sample(), stable in sample()) {
        let (here, there) = (of(&canary, &stable), of(&stable, &canary));
        let pairs = (canary.len() * stable.len()) as f64;
        close(here.u, pairs - there.u);
        close(here.p, there.p);
        prop_assert_eq!(here.estimate, -there.estimate);
        prop_assert!((0.0..=1.0).contains(&here.p));
    }
}
