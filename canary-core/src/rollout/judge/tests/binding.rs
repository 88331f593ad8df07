//! What a check may do to the rollout, and what it may not.

use proptest::prelude::*;

use super::*;
use crate::policy::{CheckKind, Patience, Then};
use crate::rollout::judge::{judged_at, measured_at};

fn errors() -> Check {
    Check::above("errors", "error_rate", 0.05)
}

fn any_check() -> impl Strategy<Value = Check> {
    let latency = Check::above_stable("x", "latency.p50", 1.5).lasting(Duration::from_secs(30));
    let ab = CheckKind::Ab { metric: "error_rate".parse().unwrap(), significance: 0.5, samples: 1 };
    let not = CheckKind::Not(Box::new(latency.kind.clone()));
    prop::sample::select(vec![
        Check::above("x", "error_rate", 0.01),
        Check::above("x", "pool", 0.01).no_data(Patience::new(Duration::ZERO, Then::RollBack)),
        Check::worse_than_stable("x", 1.0),
        latency,
        Check::new("x", ab),
        Check::new("x", not),
        Check::gate("x", crate::value::GateName::new("never").unwrap()),
    ])
}

/// What a source may answer at one look.
fn any_answers() -> impl Strategy<Value = (u8, u64, u64)> {
    (0_u8..6, 0_u64..100, 0_u64..100)
}

fn look(bench: &mut Bench, (kind, n, m): (u8, u64, u64)) -> Judged {
    let answer = move |signal: &Signal| match signal {
        Signal::Requests => Ok((counts(100, n / 4), counts(100, m / 2))),
        Signal::Latency => Ok((times(100, n, m), times(n, m, 3))),
        _ => both(&Reading::Value(0.5)),
    };
    match kind {
        0 => bench.pending(),
        1 => bench.look(|_| Err(FailureKind::Unavailable)),
        2 => bench.look(|_| Ok((counts(1, 0), Reading::NoData))),
        _ => bench.look(answer),
    }
}

proptest! {
    #[test]
    fn what_only_reports_or_warns_changes_nothing(
        check in any_check(), warns in any::<bool>(),
        looks in prop::collection::vec(any_answers(), 1..40),
    ) {
        let mute = if warns { check.then(Then::Warn) } else { check.dry_run() };
        let mut spec = spec(vec![errors().then(Then::Hold)]);
        spec.no_data = Patience::new(Duration::from_secs(50), Then::RollBack);
        let mut without = Bench::with(spec.clone());
        spec.checks.push(mute);
        let mut with = Bench::with(spec);
        for answers in looks {
            let (a, b) = (look(&mut without, answers), look(&mut with, answers));
            prop_assert_eq!(ruling(&a), ruling(&b));
            prop_assert_eq!(a.observed, b.observed);
            prop_assert_eq!(a.guilty.is_some(), b.guilty.is_some());
            prop_assert_eq!(b.asks.len(), 0);
            prop_assert_eq!(without.passing(), with.passing());
        }
    }

    #[test]
    fn what_the_plan_leaves_nothing_never_holds(
        check in any_check(), looks in prop::collection::vec(any_answers(), 1..20),
    ) {
        // Nothing that compares is looked at where stable has no traffic, and nothing below its weight.
        let compares = check.kind.compares();
        let early = check.clone().from_weight(Weight::FULL);
        let mut spec = spec(vec![if compares { check } else { early }]);
        spec.no_data = Patience::new(Duration::ZERO, Then::RollBack);
        spec.errors = spec.no_data;
        let mut bench = Bench::with(spec);
        if compares {
            bench.enter(1);
        }
        prop_assert!(!measured_at(&bench.policy, bench.split()));
        prop_assert!(!judged_at(&bench.policy, bench.split()));
        for answers in looks {
            let judged = look(&mut bench, answers);
            prop_assert_eq!(verdict(&judged, "x"), Verdict::NotApplicable);
            prop_assert_eq!(ruling(&judged), Ruling::GoOn);
            prop_assert!(judged.guilty.is_none());
        }
    }

    #[test]
    fn an_excused_check_only_warns_until_the_next_stage(
        check in any_check(), looks in prop::collection::vec(any_answers(), 1..30),
    ) {
        let mut bench = Bench::of(vec![check.then(Then::Ask)]);
        assert!(bench.judge.excuse(&bench.policy, "x"));
        for answers in looks {
            let judged = look(&mut bench, answers);
            prop_assert!(ruling(&judged) <= Ruling::Wait, "{:?}", judged);
            prop_assert!(judged.asks.is_empty() && judged.guilty.is_none());
            prop_assert_eq!(found(&judged, "x").then, Then::Warn);
        }
    }
}

#[test]
fn an_excuse_lasts_for_the_stage_while_the_next_one_is_asked_for() {
    let mut spec = spec(vec![errors().then(Then::Ask)]);
    spec.stages.insert(0, Stage::new("tenth", Weight::percent(10), INTERVAL));
    let mut bench = Bench::with(spec);
    let judged = bench.failing(50);
    assert_eq!((ruling(&judged), judged.asks.len()), (Ruling::Ask, 1));
    assert!(!bench.judge.excuse(&bench.policy, "nobody"));
    assert!(bench.judge.excuse(&bench.policy, "errors"));
    assert_eq!(ruling(&bench.failing(50)), Ruling::GoOn);
    bench.judge.enter_stage(1);
    assert_eq!(ruling(&bench.failing(50)), Ruling::GoOn, "the weight is still that of the first");
    bench.enter(1);
    assert_eq!(ruling(&bench.failing(50)), Ruling::Ask);
}

#[test]
fn a_clock_whose_only_check_is_excused_runs_without_its_source() {
    let mut bench = Bench::of(vec![errors().then(Then::Ask)]);
    let _ = bench.look(|_| Err(FailureKind::Unavailable));
    let _ = bench.judge.excuse(&bench.policy, "errors");
    let judged = bench.look(|_| Err(FailureKind::Unavailable));
    assert_eq!(ruling(&judged), Ruling::GoOn);
    assert_eq!(judged.observed, Some(INTERVAL * 2));
    assert!(bench.passing());
}

#[test]
fn the_hard_limit_takes_the_canary_back_at_once() {
    let mut spec = spec(Vec::new());
    spec.hard_limit = true;
    let mut bench = Bench::with(spec);
    assert_eq!(ruling(&bench.failing(49)), Ruling::GoOn);
    assert_eq!(ruling(&bench.failing(50)), Ruling::RollBack);
    bench.enter(1);
    assert!(!measured_at(&bench.policy, Weight::FULL.into()));
    assert_eq!(ruling(&bench.failing(50)), Ruling::GoOn);
}

#[test]
fn too_few_requests_are_not_at_the_hard_limit() {
    let mut spec = spec(vec![]);
    spec.hard_limit = true;
    let mut bench = Bench::with(spec);
    let judged = bench.look(|_| Ok((counts(19, 0), counts(19, 19))));
    assert_eq!((verdict(&judged, "hard-limit"), ruling(&judged)), (Verdict::Pass, Ruling::GoOn));
    let told = found(&judged, "hard-limit").to_string();
    assert!(told.contains("100 % of 19 requests") && told.contains("half of 20 or more"), "{told}");
}

#[test]
fn without_requests_of_stable_there_is_nothing_to_hold_the_hard_limit_against() {
    let mut spec = spec(vec![]);
    spec.hard_limit = true;
    let mut bench = Bench::with(spec);
    let judged = bench.look(|_| Ok((counts(0, 0), counts(100, 100))));
    let seen = (verdict(&judged, "hard-limit"), ruling(&judged));
    assert_eq!(seen, (Verdict::NotApplicable, Ruling::GoOn));
}
