//! What a mean of processes must keep.

use proptest::prelude::*;

use super::*;
use crate::analysis::fixtures::close;

fn part(ln_ratio: f64, ln_tick: f64, ln_cluster: f64) -> Evidence {
    Evidence::of([ln_ratio, ln_tick, ln_cluster], [0.0; 2], false)
}

#[test]
fn it_is_the_weighted_mean_of_each_process() {
    let limits = CombinedLimits::new(&[3.0, 1.0], 0.01).unwrap();
    let seen = CombinedState::default().add(&limits, [part(1.0, 0.0, -2.0), part(3.0, 0.0, 1.0)]);
    close(seen.ln_ratio, libm::log(0.75 * libm::exp(1.0) + 0.25 * libm::exp(3.0)));
    close(seen.ln_tick, 0.0);
    close(seen.ln_cluster, libm::log(0.75 * libm::exp(-2.0) + 0.25 * libm::exp(1.0)));
}

#[test]
fn a_culprit_convicts_with_its_weight_alone() {
    // 400 : 1 is enough at a weight of a quarter, and 800 : 1 is for the tick process.
    let limits = CombinedLimits::new(&[1.0, 1.0, 2.0], 0.01).unwrap();
    let (enough, twice) = (libm::log(400.1), libm::log(800.1));
    let mut state = CombinedState::default();
    let quiet = part(0.0, 0.0, 0.0);
    assert!(!state.add(&limits, [quiet, part(enough, 0.0, 0.0), quiet]).convicted);
    assert_eq!(state.culprits().count(), 0);
    // Each process has its own time, and stays where it was.
    assert!(state.add(&limits, [quiet, part(0.0, twice, 0.0), quiet]).convicted);
    assert!(state.add(&limits, [quiet; 3]).convicted);
    assert_eq!(state.culprits().collect::<Vec<_>>(), [1]);
}

#[test]
fn several_may_convict_together_without_a_culprit() {
    let limits = CombinedLimits::new(&[1.0, 1.0], 0.01).unwrap();
    let mut state = CombinedState::default();
    let half = part(libm::log(110.0), 0.0, libm::log(210.0));
    assert!(state.add(&limits, [half, half]).convicted);
    assert_eq!(state.culprits().count(), 0);
}

fn parts() -> impl Strategy<Value = Vec<(f64, Evidence)>> {
    let ln = || prop_oneof![-20.0_f64..20.0, Just(f64::MIN), Just(1e15)];
    let weighted = (0.01_f64..100.0, ln(), ln(), ln());
    prop::collection::vec(weighted.prop_map(|(weight, a, b, c)| (weight, part(a, b, c))), 1..=32)
}

fn combined(parts: &[(f64, Evidence)]) -> (CombinedState, Evidence) {
    let weights: Vec<_> = parts.iter().map(|part| part.0).collect();
    let limits = CombinedLimits::new(&weights, 0.01).unwrap();
    let mut state = CombinedState::default();
    let evidence = state.add(&limits, parts.iter().map(|part| part.1));
    (state, evidence)
}

proptest! {
    #[test]
    fn the_order_of_the_metrics_is_nothing_to_it(parts in parts(), by in 0_usize..32) {
        let (state, before) = combined(&parts);
        let by = by % parts.len();
        let mut turned = parts.clone();
        turned.rotate_left(by);
        let (turned_state, after) = combined(&turned);
        for (a, b) in [
            (before.ln_ratio, after.ln_ratio),
            (before.ln_tick, after.ln_tick),
            (before.ln_cluster, after.ln_cluster),
        ] {
            prop_assert!(a.is_finite() && (a - b).abs() <= 1e-12 * a.abs().max(1.0), "{a} {b}");
        }
        let mut culprits: Vec<_> = turned_state.culprits().map(|i| (i + by) % parts.len()).collect();
        culprits.sort_unstable();
        prop_assert_eq!(culprits, state.culprits().collect::<Vec<_>>());
    }

    #[test]
    fn it_is_never_weaker_than_weighted_bonferroni(parts in parts()) {
        let (state, evidence) = combined(&parts);
        prop_assert!(evidence.convicted || state.culprits().count() == 0, "{:?}", evidence);
    }

    #[test]
    fn a_missing_part_weighs_as_one_without_evidence(parts in parts()) {
        let weights: Vec<_> = parts.iter().map(|part| part.0).collect();
        let limits = CombinedLimits::new(&weights, 0.01).unwrap();
        let present = parts.iter().map(|part| part.1).take(parts.len() / 2);
        let quiet = std::iter::repeat_n(part(0.0, 0.0, 0.0), parts.len());
        let (mut short, mut filled) = (CombinedState::default(), CombinedState::default());
        prop_assert_eq!(short.add(&limits, present.clone()), filled.add(&limits, present.chain(quiet)));
    }
}
