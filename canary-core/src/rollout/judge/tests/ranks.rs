//! The rank test at the end of each stage.

use proptest::prelude::*;

use super::super::plan::RankPlan;
use super::super::ranks::Ranks;
use super::super::sight::Said;
use super::*;
use crate::policy::{CheckKind, Metric, Then};
use crate::record::Finding;
use crate::value::BySide;

fn check(metric: &str) -> Check {
    let metric = metric.parse().unwrap();
    Check::new("ranks", CheckKind::MannWhitney { metric, ratio: 1.1 }).then(Then::Ask)
}

/// A stage of so many looks.
fn bench(metric: &str, looks: u64) -> Bench {
    let mut spec = spec(vec![check(metric)]);
    spec.stages[0].hold_ms = looks * 10_000;
    Bench::with(spec)
}

fn values(stable: f64, canary: f64) -> impl Fn(&Signal) -> Answer {
    move |signal| match signal {
        Signal::Custom(_) => Ok((Reading::Value(stable), Reading::Value(canary))),
        _ => both(&counts(100, 0)),
    }
}

/// Wobbles around a mean, the same every time.
fn wobbling(mean: f64, i: u32) -> f64 {
    mean * (1.0 + 0.01 * f64::from(i * 7 % 5))
}

fn outcomes(bench: &mut Bench, looks: u32, [stable, canary]: [f64; 2]) -> Vec<Verdict> {
    let look = |i| bench.look(values(wobbling(stable, i), wobbling(canary, i + 2)));
    (0..looks).map(look).map(|judged| verdict(&judged, "ranks")).collect()
}

#[test]
fn it_is_judged_once_at_the_end_of_each_stage() {
    for (sides, expected) in [
        ([0.4, 0.6], Verdict::Fail),
        ([0.4, 0.4], Verdict::Pass),
        ([0.4, 0.42], Verdict::Pass),
        ([0.6, 0.4], Verdict::Pass),
    ] {
        let mut bench = bench("cpu", 12);
        let mut seen = vec![Verdict::NotApplicable; 11];
        seen.push(expected);
        assert_eq!(outcomes(&mut bench, 12, sides), seen, "{sides:?}");
        bench.left = Duration::ZERO;
        let again = outcomes(&mut bench, 5, [sides[1], sides[0]]);
        assert_eq!(again, [expected; 5], "it stands for the rest of the stage");
    }
}

#[test]
fn a_stage_has_numbers_of_its_own_and_none_is_compared_without_stable() {
    let mut spec = spec(vec![check("cpu").then(Then::Ask)]);
    spec.stages.insert(0, Stage::new("tenth", Weight::percent(10), Duration::from_secs(100)));
    spec.stages[1].hold_ms = 100_000;
    let mut bench = Bench::with(spec);
    assert_eq!(outcomes(&mut bench, 10, [0.4, 0.9]).last(), Some(&Verdict::Fail));
    bench.enter(1);
    assert_eq!(outcomes(&mut bench, 10, [0.4, 0.4]).last(), Some(&Verdict::Pass));
    bench.enter(2);
    bench.left = Duration::ZERO;
    assert_eq!(outcomes(&mut bench, 1, [0.4, 0.9]), [Verdict::NotApplicable]);
}

#[test]
fn with_too_few_looks_the_clock_stands() {
    let mut bench = bench("cpu", 4);
    let seen = outcomes(&mut bench, 10, [0.4, 0.9]);
    assert_eq!(seen[3..9], [Verdict::Inconclusive; 6]);
    assert_eq!(seen[9], Verdict::Fail);
    let mut bench = self::bench("cpu", 1);
    let judged = bench.look(values(0.4, 0.5));
    assert_eq!(ruling(&judged), Ruling::Hold);
    let Finding::Ranks { points: 1, needed: 10, p_value, means, .. } =
        &found(&judged, "ranks").finding
    else {
        panic!("{judged:?}")
    };
    assert_eq!((*p_value, *means), (None, BySide { stable: Some(0.4), canary: Some(0.5) }));
    assert!(found(&judged, "ranks").to_string().starts_with("ranks has too few looks to judge: "));
}

#[test]
fn the_finding_holds_the_numbers() {
    let mut bench = bench("latency.p50", 10);
    let slower = |signal: &Signal| match signal {
        Signal::Latency => Ok((times(100, 0, 0), times(0, 100, 0))),
        _ => both(&counts(100, 0)),
    };
    let last = (0..10).map(|_| bench.look(slower)).last().unwrap();
    let Finding::Ranks { means, points: 10, p_value: Some(p), shift: Some(shift), ratio, .. } =
        found(&last, "ranks").finding
    else {
        panic!("{last:?}")
    };
    assert_eq!((means, shift), (BySide { stable: Some(50.0), canary: Some(300.0) }, [250.0; 2]));
    assert!(p < 1e-3 && (ratio - 1.1).abs() < 1e-12, "{p} {ratio}");
}

#[test]
fn what_it_looks_at_must_be_there() {
    let value = || Reading::Value(0.5);
    for (answer, expected) in [
        (Ok((value(), Reading::NoData)), Verdict::NoData),
        (Ok((Reading::NotFinite, value())), Verdict::NoData),
        (both(&counts(9, 0)), Verdict::Error),
        (Err(FailureKind::Unavailable), Verdict::Error),
    ] {
        // Whether there was enough before or not.
        for looks in [1, 12] {
            let mut bench = bench("cpu", looks);
            let _ = outcomes(&mut bench, looks as u32 - 1, [0.4, 0.4]);
            let judged = bench.look(|signal| match signal {
                Signal::Custom(_) => answer.clone(),
                _ => both(&counts(100, 0)),
            });
            if answer.is_err() {
                // Nothing was covered, so that this was not the end.
                assert_eq!(ruling(&judged), Ruling::Wait, "{answer:?}");
            } else {
                assert_eq!(
                    (verdict(&judged, "ranks"), ruling(&judged)),
                    (expected, Ruling::Hold),
                    "{answer:?}"
                );
            }
        }
    }
}

#[test]
fn a_result_stands_while_there_is_nothing_newer() {
    let mut spec = spec(vec![check("cpu").then(Then::Ask)]);
    spec.stages[0].hold_ms = 100_000;
    let mut bench = Bench::with(spec);
    assert_eq!(outcomes(&mut bench, 10, [0.4, 0.9]).last(), Some(&Verdict::Fail));
    let judged = bench.pending();
    assert_eq!((ruling(&judged), judged.asks.len()), (Ruling::Ask, 1));
}

fn compared(ranks: &mut Ranks) -> (usize, BySide<Option<f64>>) {
    let plan = RankPlan { track: 0, metric: Metric::ErrorRate, ratio: 1.1 };
    let one = counts(1, 0);
    let window = Window::new(Timestamp::EPOCH, Timestamp::from_millis(1));
    ranks.compare(&plan, Said::Fresh(&Measured::new(window, one.clone(), one)));
    match ranks.found().unwrap().1 {
        Finding::Ranks { points, means, .. } => (points, means),
        other => panic!("{other:?}"),
    }
}

proptest! {
    #[test]
    fn memory_is_bounded_and_every_look_counts(
        looks in prop::collection::vec((0.0_f64..1e3, 0.0_f64..1e3), 1..1_500),
    ) {
        let mut ranks = Ranks::default();
        for (i, (stable, canary)) in looks.iter().enumerate() {
            ranks.add(BySide { stable: Some(*stable), canary: Some(*canary) });
            // What shows one side alone is no pair.
            ranks.add(BySide { stable: Some(1e9), canary: None });
            prop_assert!(ranks.len() < 256, "{} points after {} looks", ranks.len(), i + 1);
        }
        let (points, means) = compared(&mut ranks);
        // Each point is the mean of as many looks; those of the last, unfinished one are left out.
        let each = looks.len() / points.max(1);
        prop_assert!(each.is_power_of_two() || points == 0, "{} looks in {} points", looks.len(), points);
        let counted = &looks[..points * each.min(looks.len())];
        let mean = counted.iter().map(|look| look.1).sum::<f64>() / counted.len() as f64;
        if let Some(seen) = means.canary {
            prop_assert!((seen - mean).abs() < 1e-9 * mean.max(1.0), "{seen}, not {mean}");
        }
    }
}

#[test]
fn the_largest_numbers_have_a_mean_too() {
    let mut ranks = Ranks::default();
    for _ in 0..1_000 {
        ranks.add(BySide { stable: Some(f64::MAX), canary: Some(f64::MIN) });
    }
    let text = serde_json::to_string(&ranks).unwrap();
    assert_eq!(serde_json::from_str::<Ranks>(&text).unwrap(), ranks);
    assert!(ranks.len() > 64);
}
