//! Silence, and errors of the source.

use super::*;
use crate::policy::{Patience, Then};
use crate::record::Silent;
use crate::rollout::judge::Guilt;

const LONG: Duration = Duration::from_secs(25);

fn errors() -> Check {
    Check::above("errors", "error_rate", 0.05).then(Then::Hold)
}

fn silent(bench: &mut Bench) -> Judged {
    bench.look(|_| Ok((counts(100, 0), Reading::NoData)))
}

fn broken(bench: &mut Bench) -> Judged {
    bench.look(|_| Err(FailureKind::Unavailable))
}

#[test]
fn silence_and_errors_hold_at_once_and_lead_where_the_policy_says_after_a_while() {
    for (then, after) in
        [(Then::Hold, Ruling::Hold), (Then::Ask, Ruling::Ask), (Then::RollBack, Ruling::RollBack)]
    {
        for lacking in [silent, broken] {
            let mut spec = spec(vec![errors()]);
            spec.no_data = Patience::new(LONG, then);
            spec.errors = Patience::new(LONG, then);
            let mut bench = Bench::with(spec);
            let seen: Vec<Ruling> = (0..4).map(|_| ruling(&lacking(&mut bench))).collect();
            assert_eq!(seen, [Ruling::Hold, Ruling::Hold, Ruling::Hold, after]);
            let judged = lacking(&mut bench);
            assert_eq!(judged.guilty.is_some(), then == Then::RollBack);
            assert_eq!(judged.asks.len(), usize::from(then == Then::Ask));
            assert_eq!(ruling(&bench.failing(0)), Ruling::GoOn, "it is over with the first data");
        }
    }
}

#[test]
fn silence_and_errors_are_told_apart() {
    let mut spec = spec(vec![errors()]);
    spec.no_data = Patience::new(LONG, Then::RollBack);
    spec.errors = Patience::new(LONG, Then::RollBack);
    for (lacking, is_silence) in [(silent as fn(&mut Bench) -> Judged, true), (broken, false)] {
        let mut bench = Bench::with(spec.clone());
        let last = (0..4).map(|_| lacking(&mut bench)).last().unwrap();
        match last.guilty {
            Some(Guilt::Silence { for_ms: 30_000, .. }) => assert!(is_silence),
            Some(Guilt::Errors { for_ms: 30_000, check }) => {
                let named = check.map(|check| check.to_string()).unwrap_or_default();
                assert!(!is_silence && named.contains("cannot be measured"), "{named}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn only_data_ends_silence() {
    let mut spec = spec(vec![errors()]);
    spec.no_data = Patience::new(LONG, Then::RollBack);
    let mut bench = Bench::with(spec);
    let _ = silent(&mut bench);
    let _ = broken(&mut bench);
    let _ = bench.pending();
    let judged = silent(&mut bench);
    assert!(matches!(judged.guilty, Some(Guilt::Silence { for_ms: 30_000, .. })), "{judged:?}");
}

#[test]
fn an_answer_ends_a_row_of_errors_though_it_has_nothing_newer() {
    let mut spec = spec(vec![errors()]);
    spec.errors = Patience::new(LONG, Then::RollBack);
    let mut bench = Bench::with(spec);
    let _ = broken(&mut bench);
    for _ in 0..4 {
        let judged = bench.pending();
        assert!(judged.guilty.is_none(), "{judged:?}");
        assert_eq!(ruling(&judged), Ruling::Hold, "what was known before stands");
    }
    let judged = broken(&mut bench);
    assert!(judged.guilty.is_none(), "{judged:?}");
}

#[test]
fn nothing_newer_is_silence_once_the_source_is_behind_for_longer_than_it_may_be() {
    for (patience, looks) in [(Duration::ZERO, 3), (LONG, 6)] {
        let mut spec = spec(vec![errors()]);
        spec.lag_ms = 20_000;
        spec.no_data = Patience::new(patience, Then::RollBack);
        let mut bench = Bench::with(spec);
        let _ = bench.failing(0);
        let guilty = (1..=9).find(|_| bench.pending().guilty.is_some());
        assert_eq!(guilty, Some(looks), "{patience:?}");
    }
}

#[test]
fn a_check_has_a_patience_of_its_own() {
    let quick = Patience::new(Duration::ZERO, Then::RollBack);
    let mut bench = Bench::of(
        vec![errors(), errors().no_data(quick)]
            .into_iter()
            .enumerate()
            .map(|(i, check)| Check { name: ["slow", "quick"][i].into(), ..check })
            .collect(),
    );
    assert!(silent(&mut bench).guilty.is_some());
    let mut bench = Bench::of(vec![errors().errors(quick)]);
    assert!(silent(&mut bench).guilty.is_none());
    assert!(broken(&mut bench).guilty.is_some());
}

#[test]
fn a_source_without_anything_newer_changes_nothing() {
    let mut bench = Bench::of(vec![errors()]);
    assert_eq!(ruling(&bench.pending()), Ruling::Wait);
    let _ = bench.failing(50);
    assert_eq!(ruling(&bench.pending()), Ruling::Hold, "what was found last stands");
    let _ = bench.failing(0);
    let judged = bench.pending();
    assert_eq!((ruling(&judged), judged.observed), (Ruling::Wait, None));
    assert!(bench.passing(), "and is fresh for two intervals");
    let _ = bench.pending();
    let _ = bench.pending();
    assert!(!bench.passing());
}

#[test]
fn a_source_is_as_far_behind_as_the_policy_allows_and_no_further() {
    for (lag_s, passes) in [(40, true), (70, false)] {
        let mut bench = Bench::of(vec![errors()]);
        for _ in 0..12 {
            bench.now = bench.now + INTERVAL;
            let queries = bench.judge.queries();
            let until = bench.now - Duration::from_secs(lag_s);
            let covered = Window::new(queries[0].after, until.max(queries[0].after));
            let measured = Measured::new(covered, counts(9, 0), counts(9, 0));
            let _ = bench.take_in(&queries, &[Ok(measured)]);
        }
        let later = bench.now + Duration::from_secs(20);
        assert_eq!(bench.judge.is_passing(&bench.policy, later), passes, "{lag_s} s behind");
    }
}

#[test]
fn time_in_which_nobody_looked_is_neither_silence_nor_delay() {
    let hour = Duration::from_secs(3_600);
    let stands = |bench: &mut Bench| {
        bench.now = bench.now + hour;
        bench.judge.stood_for(hour, bench.now);
    };
    for lacking in [silent, broken] {
        let mut spec = spec(vec![errors()]);
        spec.no_data = Patience::new(LONG, Then::RollBack);
        spec.errors = Patience::new(LONG, Then::RollBack);
        let mut bench = Bench::with(spec);
        let _ = lacking(&mut bench);
        stands(&mut bench);
        let seen: Vec<Ruling> = (0..3).map(|_| ruling(&lacking(&mut bench))).collect();
        assert_eq!(seen, [Ruling::Hold, Ruling::Hold, Ruling::RollBack]);
    }
    let mut bench = Bench::of(vec![errors().delayed(Duration::from_secs(20))]);
    let _ = bench.failing(0);
    stands(&mut bench);
    let seen: Vec<Verdict> = (0..2).map(|_| verdict(&bench.failing(0), "errors")).collect();
    assert_eq!(seen, [Verdict::NotApplicable, Verdict::Pass]);
}

#[test]
fn it_is_said_which_side_is_silent() {
    let spec = || {
        let mut spec = spec(vec![errors(), Check::worse_than_stable("worse", 1.25)]);
        spec.no_data = Patience::new(Duration::ZERO, Then::RollBack);
        spec
    };
    let some = || counts(100, 0);
    for (stable, canary, sides, said) in [
        (
            some(),
            Reading::NoData,
            Silent::Canary,
            "no requests of the canary, though it does of stable",
        ),
        (
            Reading::NotFinite,
            some(),
            Silent::Stable,
            "no requests of stable, though it does of the canary",
        ),
        (Reading::NoData, Reading::NoData, Silent::Both, "no requests of either side"),
    ] {
        let judged = Bench::with(spec()).look(|_| Ok((stable.clone(), canary.clone())));
        let told = found(&judged, "worse").to_string();
        assert_eq!(told, format!("worse has no data: the source shows {said}"));
        match judged.guilty {
            Some(Guilt::Silence { sides: Some(seen), .. }) => assert_eq!(seen, sides),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn why_there_is_nothing_newer_yet_is_told_once() {
    let mut bench = Bench::of(vec![errors(), Check::above("slow", "latency.p95", 100.0)]);
    let judged = bench.look_at(|_, window| {
        Ok(Measured::pending(window.after).note("canary: scraped once so far"))
    });
    assert_eq!(judged.judgement.notes, ["canary: scraped once so far"]);
    assert_eq!((verdict(&judged, "errors"), ruling(&judged)), (Verdict::Pending, Ruling::Wait));
}
