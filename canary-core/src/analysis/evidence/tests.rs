//! Vectors computed with 50 digits (mpmath), and the bound itself.

#![allow(clippy::excessive_precision, reason = "the reference values as they were computed")]

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::analysis::fixtures::{STREAM, binomial, close, mean_gain, tick};

fn run(ratio: f64, starts: Starts, ticks: &[(u64, u64, u64, u64)]) -> Vec<Evidence> {
    let limits = EvidenceLimits::new(ratio, 0.01, starts).unwrap();
    let mut state = EvidenceState::default();
    ticks.iter().enumerate().map(|(i, t)| state.add(&limits, tick(i, *t)).unwrap()).collect()
}

#[test]
fn the_processes_give_the_reference_values() {
    let once = Starts::over(Duration::ZERO);
    let ratio_1 = [
        -0.300_437_252_240_913_65,
        0.391_083_242_996_305_01,
        3.157_019_157_702_708_8,
        9.760_862_976_665_801_8,
        11.001_874_872_316_102,
        16.566_018_151_580_531,
    ];
    let tick_1 = [
        -0.349_293_961_650_026_94,
        0.390_124_201_697_243_58,
        1.927_158_277_128_416_3,
        4.222_082_563_452_008_6,
        5.193_019_747_872_141_2,
        6.416_288_839_903_611_4,
    ];
    let ratio_125 = [
        -0.333_603_490_082_283_52,
        0.249_927_130_930_562_29,
        2.668_443_993_072_244_2,
        8.579_465_320_055_715_4,
        9.334_922_434_728_886,
        13.989_606_799_943_501,
    ];
    let tick_125 = [
        -0.388_629_134_124_788_67,
        0.279_191_266_051_003_91,
        1.683_611_547_371_689,
        3.829_150_096_707_921,
        4.639_356_332_394_133_2,
        5.700_618_736_465_735_3,
    ];
    let cluster_125 = [
        -0.023_695_691_924_330_325,
        -0.005_329_664_446_317_480_7,
        0.101_476_346_510_376_39,
        0.307_928_776_088_794_69,
        0.341_773_164_798_939_14,
        0.513_033_514_205_957_64,
    ];
    let (one, one_and_a_quarter) = (run(1.0, once, &STREAM), run(1.25, once, &STREAM));
    for (i, t) in [0, 1, 2, 5, 6, 7].into_iter().enumerate() {
        close(one[t].ln_ratio, ratio_1[i]);
        close(one[t].ln_tick, tick_1[i]);
        close(one_and_a_quarter[t].ln_ratio, ratio_125[i]);
        close(one_and_a_quarter[t].ln_tick, tick_125[i]);
        close(one_and_a_quarter[t].ln_cluster, cluster_125[i]);
    }
    for quiet in [3, 4] {
        close(one[quiet].ln_ratio, one[2].ln_ratio);
        close(one[quiet].ln_tick, one[2].ln_tick);
    }
}

#[test]
fn later_starts_give_the_reference_values() {
    // Half of the mass at the first tick, a quarter each three and six minutes later.
    let starts = Starts { spacing_ms: 180_000, later: 2 };
    let seen = run(1.25, starts, &STREAM);
    close(seen[7].ln_ratio, 13.312_882_226_364_662);
    close(seen[7].ln_tick, 5.083_346_035_391_315_2);
    close(seen[7].ln_cluster, 0.414_725_105_156_401_4);
    close(seen[2].ln_ratio, 2.042_357_213_034_538_5);
    close(seen[2].ln_tick, 1.160_799_448_311_335_2);
    close(seen[2].ln_cluster, 0.052_024_802_468_260_559);
}

#[test]
fn the_cluster_process_is_capped() {
    let seen = run(
        1.25,
        Starts::over(Duration::ZERO),
        &[(100, 40, 1900, 1), (100, 0, 1900, 2), (100, 12, 1900, 0)],
    );
    close(seen[0].ln_cluster, 1.307_471_572_663_000_2);
    close(seen[1].ln_cluster, 1.251_545_008_790_196_6);
    close(seen[2].ln_cluster, 2.224_463_843_605_848);
}

#[test]
fn scattered_errors_count_for_less() {
    let limits = EvidenceLimits::new(1.0, 0.01, Starts::over(Duration::ZERO)).unwrap();
    for (factors, expected) in [
        ([3.0; 8], 4.911_722_553_700_726_3),
        ([1.0, 1.0, 2.0, 2.0, 2.0, 3.0, 3.0, 3.0], 5.723_390_529_031_555_6),
        // Less than 1 is none.
        ([0.5; 8], 16.566_018_151_580_531),
    ] {
        let mut state = EvidenceState::default();
        for (i, (t, factor)) in STREAM.into_iter().zip(factors).enumerate() {
            state.add_dispersed(&limits, tick(i, t), factor).unwrap();
        }
        close(state.evidence().ln_ratio, expected);
    }
}

#[test]
fn counts_at_the_edge_of_what_is_exact_give_the_reference_values() {
    const MANY: u64 = (1 << 53) - 1;
    let once = Starts::over(Duration::ZERO);
    // (counts, ticks, ln of the ratio process, size of the terms that cancel)
    for (counts, ticks, expected, terms) in [
        (
            (1 << 52, 5_828_227_053_044, 1 << 52, 4_171_772_946_956),
            1,
            -2.268_145_828_297_378_5,
            2.6e12,
        ),
        ((1, 1, MANY, 0), 1, 2.949_361_056_371_858_9, 0.0),
        ((MANY, 10, 1, 1), 1, -1.107_400_794_701_188_6, 50.0),
        ((500, 500, 500, 0), 10, 2_897.013_034_723_030_8, 25_000.0),
        ((500, 0, 500, 500), 100, -6_504.735_853_951_569_9, 25_000.0),
    ] {
        let seen = run(1.25, once, &vec![counts; ticks]).pop().unwrap().ln_ratio;
        let allowed = 1e-15 * terms + 1e-12;
        assert!((seen - expected).abs() <= allowed, "{seen} is not {expected}: {counts:?}");
    }
}

#[test]
fn a_tick_without_errors_changes_nothing_at_all() {
    let limits = EvidenceLimits::new(1.25, 0.01, Starts::over(Duration::ZERO)).unwrap();
    let mut state = EvidenceState::default();
    state.add(&limits, tick(0, (75, 3, 1425, 1))).unwrap();
    let before = state.processes;
    state.add(&limits, tick(1, (75, 0, 1425, 0))).unwrap();
    assert_eq!(state.processes, before);
}

#[test]
fn a_side_without_requests_says_nothing() {
    let once = Starts::over(Duration::ZERO);
    for t in run(1.25, once, &[(100, 5, 0, 0), (0, 0, 100, 5), (50, 0, 50, 0), (0, 0, 0, 0)]) {
        for ln in [t.ln_ratio, t.ln_tick, t.ln_cluster] {
            close(ln, 0.0);
        }
    }
}

#[test]
fn a_broken_canary_is_convicted_and_stays_so() {
    let mut ticks = vec![(75, 15, 1425, 1); 6];
    ticks.extend([(75, 0, 1425, 30); 20]);
    let seen = run(1.25, Starts::over(Duration::ZERO), &ticks);
    let first = seen.iter().position(|e| e.convicted).expect("never convicted");
    assert!(first < 6, "{first}");
    assert!(seen[first..].iter().all(|e| e.convicted), "a latch opened again");
}

fn sizes() -> impl Strategy<Value = (u64, u64)> {
    (10_u64..5_000, 10_u64..5_000)
}

proptest! {
    #[test]
    fn no_bet_gains_on_average_while_the_canary_is_innocent(
        n_c in 1_u64..5_000, n_b in 1_u64..5_000, bad in 1_u64..40, r0 in 1.0_f64..3.0, at in 0_usize..7,
    ) {
        let w = n_c as f64 / (n_c + n_b) as f64;
        let null = w * r0 / (1.0 - w + w * r0);
        let bet = |k: u64| Bet::of(r0, (w, 1.0 - w), (k as f64, bad as f64));
        let ratio = mean_gain(|k| bet(k).ratio(RATIOS[at], RATIOS[at].ln()), bad, null);
        let tick = mean_gain(|k| bet(k).tick(STAKES[at]), bad, null);
        prop_assert!(ratio <= 1.0 + 1e-9, "ratio process gains {ratio}");
        prop_assert!(tick <= 1.0 + 1e-9, "tick process gains {tick}");
    }

    /// The sum over all outcomes of two ticks of their probability times the odds, across a later start.
    #[test]
    fn no_process_gains_on_average_while_the_canary_is_innocent(
        first in sizes(), second in sizes(), bad in (1_u64..10, 1_u64..10),
        r0 in 1.0_f64..3.0, innocence in 0.0_f64..=1.0, factor in 1.0_f64..5.0,
    ) {
        let limits = EvidenceLimits::new(r0, 0.01, Starts { spacing_ms: 10_000, later: 2 }).unwrap();
        let share = |(n_c, n_b): (u64, u64)| {
            let r = n_c as f64 * r0 * innocence;
            r / (n_b as f64 + r)
        };
        let mut means = [0.0; 3];
        for (k, p) in binomial(bad.0, share(first)).into_iter().enumerate() {
            let mut state = EvidenceState::default();
            let k = k as u64;
            state.add(&limits, tick(0, (first.0, k, first.1, bad.0 - k))).unwrap();
            for (l, q) in binomial(bad.1, share(second)).into_iter().enumerate() {
                let (mut state, l) = (state, l as u64);
                let next = tick(1, (second.0, l, second.1, bad.1 - l));
                let seen = state.add_dispersed(&limits, next, factor).unwrap();
                for (mean, ln) in means.iter_mut().zip([seen.ln_ratio, seen.ln_tick, seen.ln_cluster]) {
                    *mean += p * q * ln.exp();
                }
            }
        }
        prop_assert!(means.iter().all(|mean| *mean <= 1.0 + 1e-12), "{means:?}");
    }

    #[test]
    fn an_error_of_the_canary_never_speaks_for_it(
        (n_c, n_b) in sizes(), k_c in 0_u64..9, k_b in 0_u64..9, r0 in 1.0_f64..3.0,
    ) {
        let of = |k_c, k_b| run(r0, Starts::over(Duration::ZERO), &[(n_c, k_c, n_b, k_b)])[0];
        let (few, more) = (of(k_c, k_b), of(k_c + 1, k_b));
        let slack = 1e-12;
        prop_assert!(more.ln_ratio >= few.ln_ratio - slack && more.ln_cluster >= few.ln_cluster - slack);
        // The tick process stakes by the number of errors: it keeps the order where that stays the same.
        let moved = of(k_c + 1, k_b.saturating_sub(1));
        prop_assert!(k_b == 0 || moved.ln_tick >= few.ln_tick - slack, "{few:?} {moved:?}");
    }

    #[test]
    fn the_ratio_process_and_the_mean_of_the_two_others_are_each_held_to_the_limit(
        ln in [3.0_f64..6.0, 3.0_f64..6.0, 3.0_f64..6.0],
    ) {
        let [ratio, tick, cluster] = ln.map(f64::exp);
        let mean = f64::midpoint(tick, cluster);
        prop_assume!((ratio - 100.0).abs() > 1e-6 && (mean - 100.0).abs() > 1e-6);
        let halves = Evidence::halves(ln, 100.0_f64.ln());
        let mut highest = [0.0; 2];
        let convicted = raise(&mut highest, halves, 100.0_f64.ln());
        prop_assert_eq!(convicted, ratio > 100.0 && mean > 100.0);
        let weaker = ratio.min(mean);
        let odds = Evidence::of(ln, highest, convicted).odds();
        prop_assert!((odds / weaker - 1.0).abs() < 1e-12, "{}", odds);
        // What comes later takes nothing back.
        prop_assert!(raise(&mut highest, [0.0; 2], 100.0_f64.ln()) == convicted);
        let late = Evidence::of([0.0; 3], highest, convicted).odds();
        let expected = if convicted { weaker } else { 1.0 };
        prop_assert!((late / expected - 1.0).abs() < 1e-12, "{}", late);
    }

    #[test]
    fn evidence_is_always_a_number(
        ticks in prop::collection::vec((0_u64..1 << 53, 0_u64..1 << 53, 0_u64..1 << 53, 0_u64..1 << 53), 1..30),
        ratio in 1.0_f64..100.0,
    ) {
        let ticks: Vec<_> = ticks.into_iter().map(|(n, k, m, l)| (n.max(k), k, m.max(l), l)).collect();
        for e in run(ratio, Starts::over(Duration::from_secs(1800)), &ticks) {
            prop_assert!(e.ln_ratio.is_finite() && e.ln_tick.is_finite() && e.ln_cluster.is_finite(), "{e:?}");
        }
    }
}
