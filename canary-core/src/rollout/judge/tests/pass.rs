//! What a stage's own requests must show.

use proptest::prelude::*;

use super::*;
use crate::policy::{Comparison, PassLimit, PolicySpec};

fn with_pass() -> PolicySpec {
    let mut spec = spec(Vec::new());
    for stage in &mut spec.stages {
        stage.pass.samples = 250;
        let limit =
            |metric: &str, limit| PassLimit::new(metric.parse().unwrap(), Comparison::Above, limit);
        stage.pass.limits = vec![limit("error_rate", 0.02), limit("pool", 0.5)];
    }
    spec
}

fn look(bench: &mut Bench, bad: u64, pool: f64) -> Judged {
    bench.look(move |signal| match signal {
        Signal::Requests => Ok((counts(50, 0), counts(100, bad))),
        _ => both(&Reading::Value(pool)),
    })
}

#[test]
fn samples_and_limits_are_those_of_the_whole_stage() {
    let mut bench = Bench::with(with_pass());
    let unmet = |bench: &Bench| {
        bench.judge.passed(&bench.policy, bench.stage).map_err(|unmet| unmet.to_string())
    };
    assert_eq!(
        unmet(&bench).unwrap_err(),
        "the stage needs 250 requests of the canary and has 0; error_rate is not known for the stage yet; \
         pool is not known for the stage yet"
    );
    let _ = look(&mut bench, 8, 0.9);
    let _ = look(&mut bench, 0, 0.2);
    let missing = unmet(&bench).unwrap_err();
    assert!(missing.contains("has 200"), "{missing}");
    assert!(
        missing.contains("error_rate is 4.00 % over the stage, and above 2.00 % is bad"),
        "{missing}"
    );
    assert!(missing.contains("pool is 0.55"), "{missing}");
    for _ in 0..2 {
        let judged = look(&mut bench, 0, 0.2);
        assert_eq!(ruling(&judged), Ruling::GoOn, "it judges nothing before the end");
    }
    assert_eq!(unmet(&bench), Ok(()));
    assert!(bench.passing());
}

#[test]
fn the_next_stage_begins_with_its_first_look_and_with_nothing() {
    let mut bench = Bench::with(with_pass());
    for _ in 0..3 {
        let _ = look(&mut bench, 0, 0.0);
    }
    bench.judge.enter_stage(1);
    let _ = look(&mut bench, 50, 0.0);
    let before = bench.judge.passed(&bench.policy, 1).unwrap_err().to_string();
    assert!(before.contains("not been looked at"), "{before}");
    bench.enter(1);
    let _ = look(&mut bench, 0, 0.0);
    let unmet = bench.judge.passed(&bench.policy, 1).unwrap_err().to_string();
    assert_eq!(unmet, "the stage needs 250 requests of the canary and has 100");
}

#[test]
fn a_stage_that_must_show_something_is_measured_and_waits_for_it() {
    let policy = Policy::from_spec(with_pass()).unwrap();
    assert!(policy.is_judged());
    assert!(crate::rollout::judge::measured_at(&policy, Weight::FULL.into()));
    assert!(!crate::rollout::judge::measured_at(&policy, Weight::percent(10).into()));
    let mut bench = Bench::with(with_pass());
    let judged = bench.look(|signal| match signal {
        Signal::Requests => both(&counts(100, 0)),
        _ => Err(FailureKind::Timeout),
    });
    assert_eq!((ruling(&judged), judged.observed), (Ruling::Wait, None));
}

proptest! {
    #[test]
    fn a_stages_sum_is_the_sum_of_its_looks(
        looks in prop::collection::vec((0_u64..5_000, 0_u64..5_000, 0_u8..6), 1..60),
    ) {
        let mut bench = Bench::with(with_pass());
        let mut sum = (0, 0);
        for (total, bad, kind) in looks {
            let (total, bad) = (total.max(bad), bad);
            let _ = match kind {
                0 => bench.pending(),
                1 => bench.look(|_| Err(FailureKind::Timeout)),
                2 => bench.look(|_| both(&Reading::NoData)),
                _ => {
                    sum = (sum.0 + total, sum.1 + bad);
                    bench.look(|_| both(&counts(total, bad)))
                }
            };
        }
        let seen = &bench.judge.tracks[0].stage.view().sides.canary;
        let expected = counts(sum.0, sum.1);
        prop_assert!(*seen == expected || (sum == (0, 0) && seen.is_missing()), "{:?}", seen);
    }
}
