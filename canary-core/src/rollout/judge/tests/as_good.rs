//! Evidence that the canary is as good as stable, at the end of the last stage in which both have traffic.

use super::*;
use crate::policy::{Check, Unclear};
use crate::record::{Finding, Silent};

fn check(unclear: Unclear) -> Check {
    Check::as_good_as_stable("well", 3.0, unclear)
}

/// A tenth for ten looks, a half for two, then all.
fn bench(check: Check) -> Bench {
    let mut spec = spec(vec![check]);
    spec.stages[0].hold_ms = 20_000;
    let tenth = Stage::new("tenth", Weight::percent(10), Duration::from_secs(100));
    spec.stages.insert(0, tenth);
    Bench::with(spec)
}

/// Looks where so many of 1000 requests of each side fail.
fn alike(bench: &mut Bench, bad: u64) -> (Verdict, Ruling) {
    let judged = bench.look(|_| both(&counts(1_000, bad)));
    (verdict(&judged, "well"), ruling(&judged))
}

const NOT_YET: (Verdict, Ruling) = (Verdict::NotApplicable, Ruling::GoOn);

#[test]
fn it_is_asked_at_the_end_of_the_last_mixed_stage_alone() {
    let mut bench = bench(check(Unclear::Hold));
    let tenth: Vec<_> = (0..10).map(|_| alike(&mut bench, 50)).collect();
    bench.enter(1);
    let half: Vec<_> = (0..2).map(|_| alike(&mut bench, 50)).collect();
    assert_eq!((tenth, half), (vec![NOT_YET; 10], vec![NOT_YET, (Verdict::Pass, Ruling::GoOn)]));
    bench.enter(2);
    bench.left = Duration::ZERO;
    assert_eq!(alike(&mut bench, 900), NOT_YET);
}

#[test]
fn no_evidence_against_it_is_not_evidence_for_it() {
    for (unclear, expected) in
        [(Unclear::Hold, Ruling::Hold), (Unclear::Ask, Ruling::Ask), (Unclear::GoOn, Ruling::GoOn)]
    {
        let mut bench = bench(check(unclear));
        bench.enter(1);
        assert_eq!(alike(&mut bench, 0), NOT_YET);
        let judged = bench.look(|_| both(&counts(1_000, 0)));
        assert_eq!((verdict(&judged, "well"), ruling(&judged)), (Verdict::Inconclusive, expected));
        assert_eq!(judged.asks.len(), usize::from(unclear == Unclear::Ask));
        assert!(found(&judged, "well").to_string().starts_with("well is not shown yet: "));
    }
}

#[test]
fn a_stage_that_holds_goes_on_once_it_is_shown() {
    let mut bench = bench(check(Unclear::Hold));
    bench.enter(1);
    let seen: Vec<_> = (0..30).map(|_| alike(&mut bench, 5)).collect();
    let shown = seen.iter().position(|look| look.0 == Verdict::Pass).unwrap();
    assert_eq!(seen[0], NOT_YET);
    assert!(shown > 1, "{seen:?}");
    assert!(seen[1..shown].iter().all(|look| *look == (Verdict::Inconclusive, Ruling::Hold)));
    assert!(seen[shown..].iter().all(|look| *look == (Verdict::Pass, Ruling::GoOn)));
}

#[test]
fn a_canary_that_is_that_bad_is_not_shown_to_be_well() {
    let mut bench = bench(check(Unclear::Hold));
    bench.enter(1);
    let worse = |bench: &mut Bench| {
        verdict(&bench.look(|_| Ok((counts(1_000, 5), counts(1_000, 15)))), "well")
    };
    assert!((0..200).skip(1).all(|_| worse(&mut bench) != Verdict::Pass));
}

#[test]
fn a_person_may_let_it_go_on() {
    let mut bench = bench(check(Unclear::Ask));
    bench.enter(1);
    let _ = alike(&mut bench, 0);
    assert_eq!(alike(&mut bench, 0).1, Ruling::Ask);
    assert!(bench.judge.excuse(&bench.policy, "well"));
    assert_eq!(alike(&mut bench, 0), (Verdict::Inconclusive, Ruling::GoOn));
}

#[test]
fn a_question_stands_while_there_is_nothing_newer() {
    let mut bench = bench(check(Unclear::Ask));
    bench.enter(1);
    let _ = alike(&mut bench, 0);
    assert_eq!(alike(&mut bench, 0).1, Ruling::Ask);
    for _ in 0..2 {
        let judged = bench.pending();
        assert_eq!((verdict(&judged, "well"), ruling(&judged)), (Verdict::Pending, Ruling::Ask));
        assert_eq!(judged.asks.len(), 1);
    }
    assert!(!bench.passing());
}

#[test]
fn one_that_is_looked_at_less_often_is_asked_at_the_end_all_the_same() {
    let mut bench = bench(check(Unclear::Hold).every(Duration::from_secs(60)));
    bench.enter(1);
    assert_eq!(alike(&mut bench, 0), NOT_YET);
    assert_eq!(alike(&mut bench, 0), (Verdict::Inconclusive, Ruling::Hold));
}

#[test]
fn silence_and_errors_are_no_evidence() {
    for shown in [false, true] {
        let mut bench = bench(check(Unclear::GoOn));
        for _ in 0..10 {
            let _ = alike(&mut bench, if shown { 50 } else { 0 });
        }
        bench.enter(1);
        let seen = [0, 0].map(|bad| alike(&mut bench, bad));
        assert_eq!(seen[1].0 == Verdict::Pass, shown);
        let silent = bench.look(|_| Ok((counts(100, 0), Reading::NoData)));
        assert_eq!((verdict(&silent, "well"), ruling(&silent)), (Verdict::NoData, Ruling::Hold));
        let finding = Finding::Silent { signal: Signal::Requests, sides: Silent::Canary };
        assert_eq!(found(&silent, "well").finding, finding);
        let broken = bench.look(|_| Err(FailureKind::Timeout));
        assert_eq!((verdict(&broken, "well"), ruling(&broken)), (Verdict::Error, Ruling::Hold));
    }
}

#[test]
fn a_window_that_overlaps_is_never_counted() {
    let mut bench = bench(check(Unclear::Hold));
    let _ = alike(&mut bench, 5);
    let before = bench.judge.as_good.clone();
    let judged = bench.look_at(|_, window| {
        let after = window.after - Duration::from_millis(1);
        Ok(Measured::new(Window::new(after, window.until), counts(1_000, 99), counts(1_000, 0)))
    });
    assert_eq!(verdict(&judged, "well"), Verdict::Error);
    assert_eq!(bench.judge.as_good, before);
}

#[test]
fn the_question_that_it_asks_can_be_answered() {
    let named = |unclear| Check { name: "as good?".into(), ..check(unclear) };
    assert!(Policy::from_spec(spec(vec![named(Unclear::Hold)])).is_ok());
    let refused = Policy::from_spec(spec(vec![named(Unclear::Ask)])).unwrap_err().to_string();
    assert!(refused.contains("cannot be answered"), "{refused}");
    assert!(Policy::from_spec(spec(vec![named(Unclear::Ask).dry_run()])).is_ok());
}
