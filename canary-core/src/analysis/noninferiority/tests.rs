//! Vectors computed with 50 digits (mpmath), and the bound itself.

#![allow(clippy::excessive_precision, reason = "the reference values as they were computed")]

use proptest::prelude::*;

use super::*;
use crate::analysis::fixtures::{binomial, close, mean_gain, tick};

fn run(ratio: f64, ticks: &[(u64, u64, u64, u64)]) -> NonInferiority {
    let limits = NonInferiorityLimits::new(ratio, 0.05).unwrap();
    let mut state = NonInferiorityState::default();
    for (i, t) in ticks.iter().enumerate() {
        state.add(&limits, tick(i, *t)).unwrap();
    }
    state.evidence()
}

#[test]
fn the_processes_give_the_reference_values() {
    close(run(2.0, &[(5000, 3, 5000, 20), (5000, 2, 5000, 18)]).ln_ratio, 26.468_858_132_347_692);
    close(run(2.0, &[(5000, 0, 5000, 1), (2500, 1, 7500, 3)]).ln_tick, 0.846_631_315_652_618_98);
}

#[test]
fn both_must_agree_and_a_good_hour_is_forgotten() {
    // One cluster of stable's errors is proof for the ratio process, and one tick for the other.
    let cluster = run(2.0, &[(5000, 0, 5000, 60)]);
    assert!(cluster.ln_ratio > 20.0 && !cluster.shown, "{cluster:?}");
    let mut ticks = vec![(5000, 5, 5000, 6); 20];
    assert!(run(2.0, &ticks).shown);
    ticks.extend([(5000, 60, 5000, 1); 20]);
    let late = run(2.0, &ticks);
    assert!(!late.shown && late.ln_ratio < 0.0, "{late:?}");
    assert!(!run(2.0, &[(5000, 12, 5000, 6); 200]).shown);
}

#[test]
fn what_says_nothing_changes_nothing() {
    let seen = run(2.0, &[(100, 5, 0, 0), (0, 0, 100, 5), (50, 0, 50, 0), (0, 0, 0, 0)]);
    assert_eq!((seen.ln_ratio, seen.ln_tick, seen.shown), (0.0, 0.0, false));
}

proptest! {
    #[test]
    fn no_bet_gains_on_average_while_the_canary_is_worse(
        n_c in 1_u64..5_000, n_b in 1_u64..5_000, bad in 1_u64..40, r1 in 0.5_f64..4.0,
        worse in 1.0_f64..20.0, at in 0_usize..7,
    ) {
        let w = n_b as f64 / (n_c + n_b) as f64;
        let null = w / r1 / (1.0 - w + w / r1);
        // Stable's share of the errors where the canary is even worse than the null.
        let true_ratio = 1.0 / (r1 * worse);
        let share = w * true_ratio / (1.0 - w + w * true_ratio);
        prop_assert!(share <= null + 1e-15);
        let bet = |k: u64| Bet::of(1.0 / r1, (w, 1.0 - w), (k as f64, bad as f64));
        let ratio = mean_gain(|k| bet(k).ratio(RATIOS[at], RATIOS[at].ln()), bad, share);
        let tick = mean_gain(|k| bet(k).tick(RATIOS[at]), bad, share);
        prop_assert!(ratio <= 1.0 + 1e-9, "ratio process gains {ratio}");
        prop_assert!(tick <= 1.0 + 1e-9, "tick process gains {tick}");
    }

    /// The sum over all outcomes of two ticks of their probability times the odds.
    #[test]
    fn no_process_gains_on_average_while_the_canary_is_worse(
        first in (10_u64..5_000, 10_u64..5_000), second in (10_u64..5_000, 10_u64..5_000),
        bad in (1_u64..10, 1_u64..10), r1 in 0.5_f64..4.0, worse in 1.0_f64..20.0,
    ) {
        let limits = NonInferiorityLimits::new(r1, 0.05).unwrap();
        let share = |(n_c, n_b): (u64, u64)| n_c as f64 * r1 * worse / (n_b as f64 + n_c as f64 * r1 * worse);
        let mut means = [0.0; 2];
        for (k, p) in (0_u64..).zip(binomial(bad.0, share(first))) {
            let mut before = NonInferiorityState::default();
            before.add(&limits, tick(0, (first.0, k, first.1, bad.0 - k))).unwrap();
            for (l, q) in (0_u64..).zip(binomial(bad.1, share(second))) {
                let mut state = before;
                let seen = state.add(&limits, tick(1, (second.0, l, second.1, bad.1 - l))).unwrap();
                means[0] += p * q * seen.ln_ratio.exp();
                means[1] += p * q * seen.ln_tick.exp();
            }
        }
        prop_assert!(means.iter().all(|mean| *mean <= 1.0 + 1e-12), "{means:?}");
    }

    #[test]
    fn an_error_of_the_canary_is_never_evidence_for_it(
        n_c in 10_u64..5_000, n_b in 10_u64..5_000, k_c in 0_u64..9, k_b in 1_u64..9, r1 in 1.0_f64..4.0,
    ) {
        let (few, more) = (run(r1, &[(n_c, k_c, n_b, k_b)]), run(r1, &[(n_c, k_c + 1, n_b, k_b)]));
        prop_assert!(more.ln_ratio <= few.ln_ratio, "{few:?} {more:?}");
    }

    #[test]
    fn evidence_is_always_a_number(
        ticks in prop::collection::vec((0_u64..1 << 53, 0_u64..1 << 53, 0_u64..1 << 53, 0_u64..1 << 53), 1..30),
        ratio in 0.01_f64..100.0,
    ) {
        let ticks: Vec<_> = ticks.into_iter().map(|(n, k, m, l)| (n.max(k), k, m.max(l), l)).collect();
        let seen = run(ratio, &ticks);
        prop_assert!(seen.ln_ratio.is_finite() && seen.ln_tick.is_finite(), "{seen:?}");
    }
}
