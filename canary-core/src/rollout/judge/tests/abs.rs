//! One comparison at the end of each stage.

use super::*;
use crate::policy::{CheckKind, Then};
use crate::record::Finding;

fn ab(metric: &str, samples: u64) -> Check {
    let metric = metric.parse().unwrap();
    Check::new("ab", CheckKind::Ab { metric, significance: 0.05, samples })
}

/// A stage of 50 s: five looks.
fn bench(check: Check) -> Bench {
    let mut spec = spec(vec![check]);
    spec.stages[0].hold_ms = 50_000;
    Bench::with(spec)
}

#[test]
fn it_is_judged_once_with_the_look_that_uses_the_hold_up() {
    let mut bench = bench(ab("error_rate", 100));
    let seen: Vec<Verdict> = (0..5).map(|_| verdict(&bench.failing(3), "ab")).collect();
    let never = Verdict::NotApplicable;
    assert_eq!(seen, [never, never, never, never, Verdict::Fail]);
    let judged = bench.failing(0);
    let Finding::Ab { samples, rates, p_value, .. } = &found(&judged, "ab").finding else {
        panic!("{judged:?}");
    };
    assert_eq!((samples.canary, samples.stable), (500, 500), "it is not judged again");
    assert_eq!((rates.canary, rates.stable), (Some(0.03), Some(0.0)));
    assert!(p_value.unwrap() < 0.001, "{p_value:?}");
}

#[test]
fn a_window_in_which_nobody_looked_brings_the_end_no_nearer() {
    let mut bench = bench(ab("error_rate", 100));
    let never = Verdict::NotApplicable;
    assert_eq!([0, 0].map(|bad| verdict(&bench.failing(bad), "ab")), [never; 2]);
    // Down for a minute: the look after it covers all of that, and ten seconds somebody looked at.
    let from = bench.now;
    bench.now = bench.now + INTERVAL * 6;
    bench.blind = Some(Window::new(from, bench.now));
    let seen: Vec<Verdict> = (0..3).map(|_| verdict(&bench.failing(0), "ab")).collect();
    assert_eq!(seen, [never, never, Verdict::Pass]);
}

#[test]
fn a_small_difference_passes() {
    let mut bench = bench(ab("success_rate", 100));
    for _ in 0..4 {
        let _ = bench.failing(0);
    }
    let judged = bench.failing(1);
    assert_eq!((verdict(&judged, "ab"), ruling(&judged)), (Verdict::Pass, Ruling::GoOn));
}

#[test]
fn too_few_requests_let_the_clock_stand_until_there_are_enough() {
    let mut bench = bench(ab("error_rate", 700));
    let seen: Vec<(Verdict, Ruling)> = (0..7)
        .map(|_| bench.failing(0))
        .map(|judged| (verdict(&judged, "ab"), ruling(&judged)))
        .collect();
    assert_eq!(seen[4..6], [(Verdict::Inconclusive, Ruling::Hold); 2]);
    assert_eq!(seen[6], (Verdict::Pass, Ruling::GoOn));
}

#[test]
fn each_stage_has_its_own_and_none_where_stable_has_no_traffic() {
    let mut spec = spec(vec![ab("error_rate", 10).then(Then::Warn)]);
    spec.stages.insert(0, Stage::new("tenth", Weight::percent(10), INTERVAL));
    spec.stages[1].hold_ms = 10_000;
    let mut bench = Bench::with(spec);
    assert_eq!(verdict(&bench.failing(50), "ab"), Verdict::Fail);
    bench.enter(1);
    assert_eq!(verdict(&bench.failing(0), "ab"), Verdict::Pass);
    bench.enter(2);
    bench.left = Duration::ZERO;
    assert_eq!(verdict(&bench.failing(50), "ab"), Verdict::NotApplicable);
}

#[test]
fn a_quantile_is_compared_beyond_the_boundary_nearest_to_it() {
    let mut bench = bench(ab("latency.p95", 100));
    let look = |signal: &Signal| match signal {
        Signal::Latency => Ok((times(900, 94, 6), times(860, 134, 6))),
        _ => both(&counts(1000, 0)),
    };
    let last = (0..5).map(|_| bench.look(look)).last().unwrap();
    let Finding::Ab { beyond_ms, rates, samples, .. } = &found(&last, "ab").finding else {
        panic!("{last:?}");
    };
    // Stable: 10 % above 100 ms, 0.6 % above 500 ms; 5 % lies nearer to the latter.
    assert_eq!((*beyond_ms, samples.canary), (Some(500.0), 5000));
    assert_eq!((rates.stable, rates.canary), (Some(0.006), Some(0.006)));
    assert_eq!(verdict(&last, "ab"), Verdict::Pass);
}
