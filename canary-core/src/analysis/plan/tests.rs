//! The figures of the plan, and that its two directions agree.

use proptest::prelude::*;

use super::*;
use crate::analysis::Starts;
use crate::analysis::evidence::Processes;
use crate::analysis::fixtures::{relative, sides};
use crate::value::{BySide, Counts};

const EVERY: Duration = Duration::from_secs(15);

fn limits(ratio: f64, mixed: Duration) -> EvidenceLimits {
    EvidenceLimits::new(ratio, 0.01, Starts::over(mixed)).unwrap()
}

#[test]
fn requests_in_which_the_mean_convicts() {
    let once = limits(1.0, Duration::ZERO);
    for (share, requests) in
        [(0.01, 523_885.0), (0.05, 111_502.0), (0.25, 30_981.0), (0.5, 25_550.0), (0.9, 80_229.0)]
    {
        let needed = StageTraffic::new(share, 0.001, 100.0, EVERY).needed(&once, 3.0).unwrap();
        relative(needed.requests, requests, 2e-5);
        let most = needed.hold_mostly.as_secs_f64() * 100.0;
        assert!(needed.hold_mostly > needed.hold && most > 1.249 * needed.requests);
    }
}

#[test]
fn later_starts_cost_a_factor_of_two_in_odds() {
    let traffic = StageTraffic::new(0.5, 0.001, 100.0, EVERY);
    let once = traffic.needed(&limits(1.0, Duration::ZERO), 3.0).unwrap();
    let again = traffic.needed(&limits(1.0, Duration::from_secs(1800)), 3.0).unwrap();
    relative(again.requests / once.requests, (1600.0_f64).ln() / (800.0_f64).ln(), 1e-12);
}

#[test]
fn some_looks_are_needed_however_bad_the_canary_is() {
    let once = limits(1.0, Duration::ZERO);
    // At 1 % the canary's share of the errors is 1 %: two looks of ln 100 are more than ln 200. At 50 % the
    // capped looks of the cluster process are the faster ones: ln 200 / 1.5.
    for (share, looks) in [(0.01, 2), (0.05, 2), (0.5, 4), (0.9, 4)] {
        let broken = StageTraffic::new(share, 0.001, 1e6, EVERY).needed(&once, 1000.0).unwrap();
        assert_eq!(broken.looks, looks, "{share}");
        assert!((EVERY * looks..EVERY * (looks + 3)).contains(&broken.hold), "{share}: {broken:?}");
    }
}

#[test]
fn the_ratio_that_is_still_well_costs_looks_too() {
    // At 20 % and twice stable's rate the canary's share of the errors is a third: looks of ln 3, and of 1.5. Of four
    // of them the mean odds are (81 + e⁶) / 2, of three (27 + e^4.5) / 2.
    let traffic = StageTraffic::new(0.2, 0.001, 1e6, EVERY);
    let broken = traffic.needed(&limits(2.0, Duration::ZERO), 1000.0).unwrap();
    assert_eq!(broken.looks, 4);
}

/// Draws one look, by a generator of Marsaglia's.
pub(super) fn drawn(traffic: &StageTraffic, times: f64, random: &mut u64) -> BySide<Counts> {
    let mut poisson = |mean: f64| {
        let (mut left, mut count) = (-mean, 0);
        loop {
            *random ^= *random << 13;
            *random ^= *random >> 7;
            *random ^= *random << 17;
            left -= (((*random >> 11) as f64 + 0.5) / (1_u64 << 53) as f64).ln();
            if left > 0.0 {
                return count;
            }
            count += 1;
        }
    };
    let [n_c, n_b] = [traffic.share, 1.0 - traffic.share].map(|part| part * traffic.per_look());
    let (k_c, k_b) = (poisson(n_c * traffic.base * times), poisson(n_b * traffic.base));
    sides((n_c as u64, k_c, n_b as u64, k_b))
}

/// Returns how many looks a run takes to convict.
fn looks(traffic: StageTraffic, limits: &EvidenceLimits, times: f64, random: &mut u64) -> u32 {
    let mut processes = Processes::default();
    for look in 0.. {
        let seen = drawn(&traffic, times, random);
        if processes.add(limits, seen, EVERY * look).convicted {
            return look + 1;
        }
    }
    0
}

#[test]
fn the_plan_is_near_what_happens() {
    let limits = limits(1.25, Duration::from_secs(1800));
    let mut random = 88_172_645_463_325_252;
    for (share, per_second, times) in
        [(0.05, 100.0, 10.0), (0.25, 100.0, 3.0), (0.5, 1000.0, 3.0), (0.5, 1000.0, 10.0)]
    {
        let traffic = StageTraffic::new(share, 0.001, per_second, EVERY);
        let mut seen: Vec<_> =
            (0..101).map(|_| looks(traffic, &limits, times, &mut random)).collect();
        seen.sort_unstable();
        let needed = traffic.needed(&limits, times).unwrap();
        let median = (EVERY * seen[50]).as_secs_f64() / needed.hold.as_secs_f64();
        assert!((0.7..1.3).contains(&median), "{share} {per_second} {times}: {median}");
        let mostly = (EVERY * seen[80]).as_secs_f64() / needed.hold_mostly.as_secs_f64();
        assert!((0.5..1.3).contains(&mostly), "{share} {per_second} {times}: {mostly}");
    }
}

#[test]
fn holds_are_rounded_up_to_what_people_write() {
    for (ms, rounded) in [
        (0, 0),
        (59_001, 60_000),
        (599_001, 600_000),
        (600_001, 660_000),
        (86_399_999, 86_400_000),
        (86_400_001, 90_000_000),
    ] {
        assert_eq!(rounded_up(Duration::from_millis(ms)), Duration::from_millis(rounded), "{ms}");
    }
}

#[test]
fn what_cannot_be_seen_has_no_plan() {
    let once = limits(1.25, Duration::ZERO);
    let traffic = |share, base, per_second| StageTraffic::new(share, base, per_second, EVERY);
    assert_eq!(traffic(0.5, 0.001, 100.0).needed(&once, 1.25), None);
    assert_eq!(traffic(0.5, 0.001, 100.0).needed(&once, 0.5), None);
    assert_eq!(traffic(0.0, 0.001, 100.0).needed(&once, 3.0), None);
    assert_eq!(traffic(1.0, 0.001, 100.0).needed(&once, 3.0), None);
    assert_eq!(traffic(0.5, 0.0, 100.0).needed(&once, 3.0), None);
    assert_eq!(traffic(0.5, 0.001, 0.0).needed(&once, 3.0), None);
    assert_eq!(traffic(0.5, 0.0, 100.0).detects(&once, Duration::MAX, SeenIn::Half), None);
    assert_eq!(traffic(0.5, 0.001, 100.0).detects(&once, EVERY, SeenIn::Half), None);
}

proptest! {
    #[test]
    fn what_a_stage_detects_takes_that_stage(
        share in 0.01_f64..0.99, base in 1e-5_f64..0.05, per_second in 1.0_f64..10_000.0,
        minutes in 2_u64..600, ratio in 1.0_f64..2.0,
    ) {
        let (traffic, limits) = (StageTraffic::new(share, base, per_second, EVERY), limits(ratio, Duration::from_secs(3600)));
        let within = Duration::from_secs(60 * minutes);
        if let Some(times) = traffic.detects(&limits, within, SeenIn::FourOfFive) {
            prop_assert!(times > ratio);
            prop_assert!(traffic.needed(&limits, times).unwrap().hold_mostly <= within);
            let less = ratio + 0.999 * (times - ratio);
            let longer = traffic.needed(&limits, less).is_none_or(|needed| needed.hold_mostly > within);
            prop_assert!(longer, "{less} is seen as well as {times}");
        }
    }

    #[test]
    fn a_worse_canary_is_seen_sooner(
        share in 0.01_f64..0.99, base in 1e-5_f64..0.01, times in 1.5_f64..50.0, worse in 1.01_f64..2.0,
    ) {
        let (traffic, limits) = (StageTraffic::new(share, base, 100.0, EVERY), limits(1.25, Duration::ZERO));
        let (bad, worse) = (traffic.needed(&limits, times), traffic.needed(&limits, times * worse).unwrap());
        prop_assert!(bad.is_none_or(|bad| worse.requests < bad.requests && worse.hold <= bad.hold));
    }
}
