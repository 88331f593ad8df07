//! Which boundaries are chosen, and what is seen at them.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::analysis::Starts;
use crate::analysis::fixtures::close;
use crate::value::Timestamp;

const BOUNDS: [f64; 12] = [1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 50.0, 80.0, 100.0, 200.0, 500.0, 900.0];

fn window(i: u64) -> Window {
    Window::new(Timestamp::from_millis(i * 15_000), Timestamp::from_millis((i + 1) * 15_000))
}

fn buckets(counts: [u64; 13]) -> Buckets {
    Buckets::new(BOUNDS.to_vec(), counts.to_vec()).unwrap()
}

/// Stable's requests before the rollout: beyond 2 ms lie 30 %, beyond 5 ms 25 %, …, beyond 500 ms 0.1 %.
fn stable() -> Buckets {
    buckets([6000, 1000, 500, 500, 500, 400, 300, 300, 200, 200, 90, 5, 5])
}

fn limits() -> EvidenceLimits {
    EvidenceLimits::new(1.25, 0.01, Starts::over(Duration::ZERO)).unwrap()
}

#[test]
fn boundaries_are_spread_over_the_tail() {
    let few = buckets([6000, 1000, 500, 500, 500, 1480, 0, 0, 0, 0, 20, 0, 0]);
    let bounds = |buckets: &Buckets| {
        TailState::fix(buckets, window(0)).map(|s| s.boundaries().collect::<Vec<_>>())
    };
    // Beyond 900 ms lies less than 0.1 %, beyond 2 ms more than 25 %.
    assert_eq!(bounds(&stable()).unwrap(), [5.0, 10.0, 20.0, 30.0, 50.0, 80.0, 100.0, 500.0]);
    assert_eq!(bounds(&few).unwrap(), [5.0, 10.0, 20.0, 30.0, 50.0, 80.0, 100.0, 200.0]);
    assert_eq!(bounds(&buckets([10_000, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])), None);
    assert_eq!(bounds(&Buckets::default()), None);
}

#[test]
fn a_heavier_tail_convicts_and_an_equal_one_does_not() {
    let (mut slow, mut same) = (
        TailState::fix(&stable(), window(0)).unwrap(),
        TailState::fix(&stable(), window(0)).unwrap(),
    );
    // Three times as many beyond 100 ms, and as many as before beyond 80 ms and less.
    let slower = buckets([6000, 1000, 500, 500, 500, 400, 300, 200, 0, 300, 270, 15, 15]);
    for i in 1..40 {
        slow.add(&limits(), window(i), BySide { stable: &stable(), canary: &slower }).unwrap();
        same.add(&limits(), window(i), BySide { stable: &stable(), canary: &stable() }).unwrap();
    }
    assert!(slow.evidence().convicted, "{:?}", slow.evidence());
    assert!(!same.evidence().convicted && same.evidence().ln_ratio < 0.0, "{:?}", same.evidence());
}

#[test]
fn it_is_the_mean_of_the_boundaries() {
    let mut state = TailState::fix(&stable(), window(0)).unwrap();
    let canary = buckets([50, 20, 10, 10, 5, 5, 4, 4, 3, 3, 2, 1, 1]);
    let seen =
        state.add(&limits(), window(1), BySide { stable: &stable(), canary: &canary }).unwrap();
    let mut sum = 0.0;
    for bound in [5.0, 10.0, 20.0, 30.0, 50.0, 80.0, 100.0, 500.0] {
        let slow = |side| slower_than(side, bound).unwrap();
        let sides = BySide { stable: slow(&stable()), canary: slow(&canary) };
        sum += Processes::default().add(&limits(), sides, Duration::ZERO).ln_ratio.exp() / 8.0;
    }
    close(seen.ln_ratio, sum.ln());
}

#[test]
fn the_boundary_that_speaks_most_against_the_canary_is_shown() {
    let mut state = TailState::fix(&stable(), window(0)).unwrap();
    assert_eq!(state.slow(), None);
    // Only more beyond 500 ms.
    let slower = buckets([6000, 1000, 500, 500, 500, 400, 300, 300, 200, 100, 90, 55, 55]);
    for i in 1..3 {
        let sides = BySide { stable: &stable(), canary: &slower };
        state.add(&limits(), window(i), sides).unwrap();
    }
    let Slow { bound_ms, requests } = state.slow().unwrap();
    let counts = |bad| Counts::new(20_000, bad).unwrap();
    assert_eq!((bound_ms, requests), (500.0, BySide { stable: counts(20), canary: counts(220) }));
}

#[test]
fn what_was_seen_before_is_refused() {
    let mut state = TailState::fix(&stable(), window(3)).unwrap();
    let before = state.clone();
    for i in 0..=3 {
        assert!(
            state
                .add(&limits(), window(i), BySide { stable: &stable(), canary: &stable() })
                .is_err()
        );
    }
    assert_eq!(state, before);
    assert!(
        state.add(&limits(), window(4), BySide { stable: &stable(), canary: &stable() }).is_ok()
    );
}

#[test]
fn a_boundary_that_is_no_longer_there_says_nothing() {
    let mut state = TailState::fix(&stable(), window(0)).unwrap();
    let other = Buckets::new(vec![3.0, 700.0], vec![0, 0, 500]).unwrap();
    assert!(state.is_seen());
    let seen =
        state.add(&limits(), window(1), BySide { stable: &stable(), canary: &other }).unwrap();
    assert_eq!((seen.ln_ratio, seen.ln_tick, seen.ln_cluster), (0.0, 0.0, 0.0));
    assert!(!state.is_seen() && state.slow().is_none());
    let json = serde_json::to_string(&state).unwrap();
    assert_eq!(serde_json::from_str::<TailState>(&json).unwrap(), state);
}

fn histogram() -> impl Strategy<Value = [u64; 13]> {
    prop::collection::vec(0_u64..1 << 49, 13).prop_map(|counts| counts.try_into().unwrap())
}

proptest! {
    #[test]
    fn evidence_is_always_a_number(
        ticks in prop::collection::vec((histogram(), histogram()), 1..12),
    ) {
        let mut state = TailState::fix(&stable(), window(0)).unwrap();
        for (i, (stable, canary)) in ticks.into_iter().enumerate() {
            let sides = (buckets(stable), buckets(canary));
            let seen = state.add(&limits(), window(1 + i as u64), BySide { stable: &sides.0, canary: &sides.1 }).unwrap();
            for ln in [seen.ln_ratio, seen.ln_tick, seen.ln_cluster] {
                prop_assert!(ln.is_finite(), "{seen:?}");
            }
        }
    }
}
