//! An objective for each stage's own requests.

use super::*;
use crate::policy::Then;
use crate::record::{Finding, Silent};

fn bench() -> Bench {
    Bench::of(vec![Check::objective("slo", 0.01)])
}

fn missed(bench: &mut Bench, looks: usize, bad: u64) -> Vec<(Verdict, Ruling)> {
    let look = |_| {
        let judged = bench.failing(bad);
        (verdict(&judged, "slo"), ruling(&judged))
    };
    (0..looks).map(look).collect()
}

#[test]
fn it_holds_and_lets_go_when_good_requests_follow() {
    let mut bench = bench();
    assert_eq!(missed(&mut bench, 20, 1), [(Verdict::Pass, Ruling::GoOn); 20], "just kept");
    let bad = missed(&mut bench, 10, 20);
    assert_eq!(bad.last(), Some(&(Verdict::Fail, Ruling::Hold)));
    let good = missed(&mut bench, 1_000, 0);
    let goes_on = good.iter().position(|look| *look == (Verdict::Pass, Ruling::GoOn));
    assert!(goes_on.is_some_and(|after| after > 10), "{goes_on:?}");
    assert!(good[goes_on.unwrap()..].iter().all(|(verdict, _)| *verdict == Verdict::Pass));
}

#[test]
fn each_stage_begins_anew_and_stable_is_not_needed() {
    let mut bench = bench();
    let _ = missed(&mut bench, 5, 30);
    bench.enter(1);
    let judged = bench.look(|_| Ok((Reading::NoData, counts(100, 1))));
    let Finding::Objective { requests, allowed, odds, needed } = found(&judged, "slo").finding
    else {
        panic!("{judged:?}")
    };
    assert_eq!((requests.total, requests.bad, allowed), (100, 1, 0.01));
    assert!(odds < 10.0 && (needed - 100.0).abs() < 1e-9, "{odds} {needed}");
    assert_eq!(verdict(&judged, "slo"), Verdict::Pass);
}

#[test]
fn what_the_canary_fails_while_it_warms_up_is_not_its_business() {
    let mut check = Check::objective("slo", 0.01);
    check.delay_ms = 30_000;
    let mut bench = Bench::of(vec![check]);
    let _ = missed(&mut bench, 3, 60);
    let Finding::Objective { requests, .. } = found(&bench.failing(1), "slo").finding else {
        panic!("it has not begun")
    };
    assert_eq!((requests.total, requests.bad), (100, 1));
    assert_eq!(missed(&mut bench, 5, 1), [(Verdict::Pass, Ruling::GoOn); 5]);
}

#[test]
fn what_it_does_is_said() {
    for (then, expected) in
        [(Then::Hold, Ruling::Hold), (Then::Ask, Ruling::Ask), (Then::Warn, Ruling::GoOn)]
    {
        let mut bench = Bench::of(vec![Check::objective("slo", 0.01).then(then)]);
        assert_eq!(missed(&mut bench, 3, 60).last(), Some(&(Verdict::Fail, expected)));
    }
}

#[test]
fn without_the_canarys_requests_it_says_so() {
    let silent = Finding::Silent { signal: Signal::Requests, sides: Silent::Canary };
    for (answer, expected) in [
        (Ok((counts(9, 0), Reading::NoData)), Verdict::NoData),
        (both(&times(1, 1, 1)), Verdict::Error),
        (Err(FailureKind::Timeout), Verdict::Error),
        (both(&counts(0, 0)), Verdict::Pass),
    ] {
        let mut bench = bench();
        let judged = bench.look(|_| answer.clone());
        assert_eq!(verdict(&judged, "slo"), expected, "{answer:?}");
        assert_eq!(found(&judged, "slo").finding == silent, expected == Verdict::NoData);
    }
    assert_eq!(verdict(&bench().pending(), "slo"), Verdict::Pending);
}

#[test]
fn the_widest_and_the_narrowest_objective_can_be_judged() {
    for (allowed, false_alarm) in [(0.5, 0.5), (1e-9, 1e-9), (0.5, 1e-9), (1e-9, 0.5)] {
        let mut check = Check::objective("slo", allowed);
        let crate::policy::CheckKind::Objective { false_alarm: alarm, .. } = &mut check.kind else {
            panic!()
        };
        *alarm = false_alarm;
        for (bad, expected) in [(0, Verdict::Pass), (100, Verdict::Fail)] {
            let mut bench = Bench::of(vec![check.clone()]);
            let last = (0..40).map(|_| bench.failing(bad)).last().unwrap();
            assert_eq!(verdict(&last, "slo"), expected, "{allowed} {false_alarm}");
        }
    }
}
