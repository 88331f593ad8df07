//! Health scores.

use super::*;
use crate::policy::{Limit, Metric, MetricSpec, PolicySpec, ScorePart};
use crate::record::Finding;

/// Half of the score are errors, up to 10 %; the other half latency beside stable's.
fn with_score(check: Check) -> PolicySpec {
    let mut spec = spec(vec![check]);
    let errors =
        ScorePart { bad: Limit::Absolute(0.1), ..ScorePart::usual(Metric::ErrorRate, 50.0) };
    let slow = ScorePart::usual("latency.p50".parse().unwrap(), 50.0);
    spec.metrics.insert("health".to_owned(), MetricSpec::Score(vec![errors, slow]));
    spec
}

fn look(bench: &mut Bench, bad: u64, latency: Answer) -> Judged {
    bench.look(move |signal| match signal {
        Signal::Latency => latency.clone(),
        Signal::Requests => Ok((counts(100, 0), counts(100, bad))),
        other => panic!("{other} is nothing that a score asks for"),
    })
}

fn score(judged: &Judged) -> Option<f64> {
    match &found(judged, "health").finding {
        Finding::Score { canary, .. } => *canary,
        other => panic!("{other:?}"),
    }
}

fn same() -> Answer {
    both(&times(100, 0, 0))
}

#[test]
fn parts_weigh_in_between_good_and_bad() {
    let mut bench = Bench::with(with_score(Check::below("health", "health", 0.9)));
    let judged = look(&mut bench, 5, same());
    assert_eq!((score(&judged), ruling(&judged)), (Some(0.75), Ruling::RollBack));
    let judged = look(&mut bench, 1, same());
    assert_eq!((score(&judged), ruling(&judged)), (Some(0.95), Ruling::GoOn));
    // 75 ms instead of 50: half way to twice as slow.
    let slower = Ok((times(100, 0, 0), times(60, 20, 20)));
    let judged = look(&mut bench, 0, slower);
    let expected = 1.0 - 0.5 * (100.0 * 50.0 / 60.0 / 50.0 - 1.0);
    assert!((score(&judged).unwrap() - expected).abs() < 1e-12, "{:?}", score(&judged));
}

#[test]
fn parts_that_compare_are_left_out_where_stable_has_no_traffic() {
    let mut bench = Bench::with(with_score(Check::below("health", "health", 0.9)));
    bench.enter(1);
    let judged = look(&mut bench, 5, Ok((Reading::NoData, times(0, 0, 100))));
    assert_eq!(score(&judged), Some(0.5));
}

#[test]
fn a_score_of_parts_that_all_compare_does_not_apply_where_stable_has_no_traffic() {
    let mut spec = with_score(Check::below("health", "health", 0.9));
    let slow = ["latency.p50", "latency.p95"]
        .map(|metric| ScorePart::usual(metric.parse().unwrap(), 50.0));
    spec.metrics.insert("health".to_owned(), MetricSpec::Score(slow.into()));
    let mut bench = Bench::with(spec);
    let judged = look(&mut bench, 0, same());
    assert_eq!((score(&judged), ruling(&judged)), (Some(1.0), Ruling::GoOn));
    bench.enter(1);
    let judged = look(&mut bench, 0, Ok((Reading::NoData, times(0, 0, 100))));
    assert_eq!(verdict(&judged, "health"), Verdict::NotApplicable);
    assert_eq!((ruling(&judged), judged.observed), (Ruling::GoOn, Some(INTERVAL)));
}

#[test]
fn a_part_without_data_leaves_the_score_without() {
    let mut bench = Bench::with(with_score(Check::below("health", "health", 0.9)));
    for (latency, expected) in [
        (Ok((times(1, 0, 0), Reading::NoData)), Verdict::NoData),
        (Ok((Reading::NoData, times(1, 0, 0))), Verdict::NoData),
        (both(&counts(1, 0)), Verdict::Error),
        (Err(FailureKind::Timeout), Verdict::Error),
        (Ok((times(1, 0, 0), times(0, 0, 0))), Verdict::Inconclusive),
    ] {
        assert_eq!(
            verdict(&look(&mut bench, 0, latency.clone()), "health"),
            expected,
            "{latency:?}"
        );
    }
}

#[test]
fn a_score_is_judged_over_time_and_at_the_end_of_a_stage_too() {
    let lasting = Check::below("health", "health", 0.9).lasting(Duration::from_secs(20));
    let mut spec = with_score(lasting);
    let limit = crate::policy::PassLimit::new(
        "health".parse().unwrap(),
        crate::policy::Comparison::Below,
        0.9,
    );
    spec.stages[0].pass.limits = vec![limit];
    let mut bench = Bench::with(spec);
    let seen: Vec<Verdict> =
        [9, 0, 9].map(|bad| verdict(&look(&mut bench, bad, same()), "health")).to_vec();
    // Over 20 s: 4.5 % of errors score 0.775.
    assert_eq!(seen, [Verdict::Pass, Verdict::Fail, Verdict::Fail]);
    let unmet = bench.judge.passed(&bench.policy, 0).unwrap_err().to_string();
    assert!(unmet.starts_with("health is 0.70 over the stage"), "{unmet}");
}
