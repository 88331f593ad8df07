//! Evidence: of errors, of latency, and of both together.

use super::*;
use crate::policy::{CheckKind, Evident, Then, Weighed};
use crate::record::{Finding, Grounds, Silent, Unweighed};
use crate::rollout::CheckEvidence;
use crate::value::{BySide, PodCounts, Side};

const ERRORS: Weighed = Weighed::new(Evident::Errors, 1.0);
const LATENCY: Weighed = Weighed::new(Evident::Latency, 1.0);

fn worse(of: &[Weighed]) -> Check {
    Check::worse_in("worse", 1.25, of.iter().copied())
}

fn bench(of: &[Weighed]) -> Bench {
    Bench::of(vec![worse(of)])
}

/// Answers for 1000 requests of each side: so many of the canary's fail, and so many of its are slow.
fn serving(bad: u64, slow: u64) -> impl Fn(&Signal) -> Answer {
    move |signal| match signal {
        Signal::Requests => Ok((counts(1_000, 1), counts(1_000, bad))),
        Signal::Latency => {
            Ok((times(900, 95, 5), times(1_000 - slow, slow - slow / 20, slow / 20)))
        }
        other => panic!("nobody asks for {other}"),
    }
}

/// Looks until the check fails, at most so often.
fn until_it_fails(bench: &mut Bench, looks: usize, answer: impl Fn(&Signal) -> Answer) -> Judged {
    let found =
        (0..looks).map(|_| bench.look(&answer)).find(|j| verdict(j, "worse") == Verdict::Fail);
    found.unwrap_or_else(|| panic!("it never fails: {:?}", shown(bench)))
}

fn shown(bench: &Bench) -> CheckEvidence {
    bench.judge.shown(&bench.policy)[0].clone()
}

/// Returns what a decision rests on, where it decides something.
fn grounds(judged: &Judged) -> Option<Grounds> {
    match &found(judged, "worse").finding {
        Finding::Evidence { grounds, .. } => grounds.as_deref().cloned(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn errors_convict_and_innocent_ones_do_not() {
    let mut bench = bench(&[]);
    for _ in 0..100 {
        let judged = bench.look(serving(1, 100));
        assert_eq!((verdict(&judged, "worse"), grounds(&judged)), (Verdict::Pass, None));
    }
    let judged = until_it_fails(&mut bench, 30, serving(20, 100));
    assert_eq!(ruling(&judged), Ruling::RollBack);
    let Grounds { ratio: Some(ratio), confidence, bounds_ms, culprits, .. } =
        grounds(&judged).unwrap()
    else {
        panic!("{judged:?}")
    };
    assert!(ratio.lower < ratio.estimate.unwrap() && ratio.estimate < ratio.upper, "{ratio:?}");
    assert_eq!((confidence, bounds_ms.len(), culprits.len()), (0.99, 0, 0));
}

#[test]
fn a_heavier_tail_convicts_though_as_many_requests_fail() {
    let mut bench = bench(&[LATENCY]);
    let judged = until_it_fails(&mut bench, 12, serving(1, 400));
    let grounds = grounds(&judged).unwrap();
    assert_eq!(grounds.bounds_ms, [100.0, 500.0]);
    assert_eq!(grounds.ratio, None, "no errors were weighed");
    let slow = grounds.slow.unwrap();
    let shares = [slow.requests.canary, slow.requests.stable].map(|side| side.error_rate());
    assert_eq!((slow.bound_ms, shares), (100.0, [Some(0.4), Some(0.1)]));
    let text = found(&judged, "worse").to_string();
    let first =
        "worse fails: the canary answers 40% of requests slower than 100 ms, stable 10%; evidence ";
    assert!(text.starts_with(first) && !text.contains("fail "), "{text}");
    let mut innocent = self::bench(&[LATENCY]);
    for _ in 0..100 {
        // Half of its requests fail, and that is none of this check's business.
        assert_eq!(verdict(&innocent.look(serving(500, 100)), "worse"), Verdict::Pass);
    }
}

#[test]
fn the_bounds_of_the_tail_are_fixed_by_the_first_thousand_of_stables_requests_which_are_not_weighed()
 {
    let mut bench = bench(&[LATENCY]);
    let looking = |stable: Reading, canary: Reading| {
        move |signal: &Signal| match signal {
            Signal::Latency => Ok((stable.clone(), canary.clone())),
            _ => both(&counts(400, 0)),
        }
    };
    for looks in 1..=3 {
        assert!(shown(&bench).grounds.bounds_ms.is_empty(), "fixed after {looks} looks");
        // As slow as can be, but there is nothing yet to weigh it by.
        let _ = bench.look(looking(times(360, 38, 2), times(0, 0, 400)));
    }
    assert_eq!((shown(&bench).grounds.bounds_ms, shown(&bench).odds), (vec![100.0, 500.0], 1.0));
    for _ in 0..50 {
        let _ = bench.look(looking(times(390, 10, 0), times(390, 10, 0)));
    }
    assert_eq!(shown(&bench).grounds.bounds_ms, [100.0, 500.0], "what follows moves no bound");
    assert!(shown(&bench).odds < 1.0, "{:?}", shown(&bench));
}

#[test]
fn requests_in_other_buckets_fix_bounds_of_their_own() {
    let other =
        |n: u64| Reading::Buckets(Buckets::new(vec![50.0], vec![n - n / 10, n / 10]).unwrap());
    let mut bench = bench(&[LATENCY]);
    for (reading, bounds) in
        [(times(810, 85, 5), vec![]), (other(900), vec![]), (other(100), vec![50.0])]
    {
        let _ = bench.look(|signal| match signal {
            Signal::Latency => both(&reading),
            _ => both(&counts(1_000, 0)),
        });
        assert_eq!(shown(&bench).grounds.bounds_ms, bounds);
    }
}

/// Answers with this latency of stable and the canary, and as many requests that go well.
fn taking(stable: &Reading, canary: &Reading) -> impl Fn(&Signal) -> Answer {
    let (stable, canary) = (stable.clone(), canary.clone());
    move |signal| match signal {
        Signal::Latency => Ok((stable.clone(), canary.clone())),
        _ => both(&counts(400, 0)),
    }
}

fn unweighed(judged: &Judged) -> Option<Unweighed> {
    match found(judged, "worse").finding {
        Finding::Evidence { unweighed, .. } => unweighed,
        ref other => panic!("{other:?}"),
    }
}

#[test]
fn a_tail_that_is_not_weighed_lets_nothing_pass_and_says_why() {
    let (usual, other) =
        (times(360, 38, 2), Reading::Buckets(Buckets::new(vec![70.0], vec![360, 40]).unwrap()));
    // What is answered, look by look, and what the last look comes to.
    let few = Unweighed::TooFew { seen: 800, needed: 1_000 };
    let cases = [
        (vec![(&usual, &usual); 2], Some(few), Verdict::Pending, Ruling::Wait),
        (vec![(&usual, &usual); 3], None, Verdict::Pass, Ruling::GoOn),
        (
            vec![(&other, &usual); 4],
            Some(Unweighed::OtherBounds),
            Verdict::NotApplicable,
            Ruling::GoOn,
        ),
    ];
    let none = times(400, 0, 0);
    let no_bound =
        (vec![(&none, &none); 3], Some(Unweighed::NoBound), Verdict::NotApplicable, Ruling::GoOn);
    let changed = [vec![(&usual, &usual); 4], vec![(&usual, &other)]].concat();
    let changed = (changed, Some(Unweighed::OtherBounds), Verdict::NotApplicable, Ruling::GoOn);
    for (looks, why, expected, then) in cases.into_iter().chain([no_bound, changed]) {
        let mut bench = bench(&[LATENCY]);
        let judged =
            looks.iter().map(|(stable, canary)| bench.look(taking(stable, canary))).last().unwrap();
        assert_eq!(
            (unweighed(&judged), verdict(&judged, "worse"), ruling(&judged)),
            (why, expected, then)
        );
        assert_eq!(shown(&bench).unweighed, why);
        let text = found(&judged, "worse").to_string();
        assert_eq!(text.contains("latency is not weighed"), why.is_some(), "{text}");
        assert_eq!(shown(&bench).to_string().contains("latency is not weighed"), why.is_some());
    }
}

#[test]
fn errors_are_weighed_where_there_is_no_tail() {
    let none = times(400, 0, 0);
    let mut bench = bench(&[ERRORS, LATENCY]);
    let looks: Vec<_> = (0..4).map(|_| bench.look(taking(&none, &none))).collect();
    let seen: Vec<_> = looks.iter().map(|judged| verdict(judged, "worse")).collect();
    assert_eq!(seen, [Verdict::Pending, Verdict::Pending, Verdict::Pass, Verdict::Pass]);
    assert_eq!(unweighed(&looks[3]), Some(Unweighed::NoBound));
}

#[test]
fn what_convicts_is_said_first() {
    for (bad, slow, first) in [
        (30, 100, "the canary fails 3% of requests, stable 0.1%; ratio "),
        (
            1,
            500,
            "the canary answers 50% of requests slower than 100 ms, stable 10%; the canary fails ",
        ),
    ] {
        let mut bench = bench(&[ERRORS, LATENCY]);
        let judged = until_it_fails(&mut bench, 40, serving(bad, slow));
        let text = found(&judged, "worse").finding.to_string();
        assert!(text.starts_with(first) && text.contains("the canary answers"), "{text}");
    }
}

#[test]
fn what_it_weighs_must_be_there() {
    let (requests, latency) = (|| both(&counts(1_000, 1)), || both(&times(900, 95, 5)));
    let no_canary = |there: Reading| Ok((there, Reading::NoData));
    let broken = || Err(FailureKind::Unavailable);
    for (of, requests, latency, expected) in [
        (&[ERRORS][..], requests(), broken(), Verdict::Pass),
        (&[ERRORS], no_canary(counts(9, 0)), latency(), Verdict::NoData),
        (&[ERRORS], both(&times(9, 9, 9)), latency(), Verdict::Error),
        (&[LATENCY], broken(), latency(), Verdict::Pass),
        (&[LATENCY], requests(), no_canary(times(9, 9, 9)), Verdict::NoData),
        (&[LATENCY], requests(), both(&counts(9, 0)), Verdict::Error),
        (&[ERRORS, LATENCY], requests(), latency(), Verdict::Pass),
        (&[ERRORS, LATENCY], no_canary(counts(9, 0)), latency(), Verdict::NoData),
        (&[ERRORS, LATENCY], requests(), broken(), Verdict::Error),
        // The graver one.
        (&[ERRORS, LATENCY], no_canary(counts(9, 0)), broken(), Verdict::Error),
    ] {
        let mut bench = bench(of);
        let judged = bench.look(|signal| match signal {
            Signal::Requests => requests.clone(),
            _ => latency.clone(),
        });
        assert_eq!(verdict(&judged, "worse"), expected, "{of:?}: {requests:?}, {latency:?}");
        assert_eq!(verdict(&bench.pending(), "worse"), Verdict::Pending);
    }
    let mut bench = bench(&[ERRORS]);
    let judged = bench.look(|_| no_canary(counts(9, 0)));
    let silent = Finding::Silent { signal: Signal::Requests, sides: Silent::Canary };
    assert_eq!(found(&judged, "worse").finding, silent);
    bench.enter(1);
    assert_eq!(verdict(&bench.failing(50), "worse"), Verdict::NotApplicable);
}

#[test]
fn of_several_things_the_culprits_are_named() {
    for (bad, slow, guilty) in
        [(30, 100, &["errors"][..]), (1, 500, &["latency"]), (40, 600, &["errors", "latency"])]
    {
        // It warns, so that it can be looked at again once both would do by themselves.
        let mut bench = Bench::of(vec![worse(&[ERRORS, LATENCY]).then(Then::Warn)]);
        let last = (0..40).map(|_| bench.look(serving(bad, slow))).last().unwrap();
        assert_eq!(verdict(&last, "worse"), Verdict::Fail);
        assert_eq!(grounds(&last).unwrap().culprits, guilty);
    }
}

#[test]
fn several_things_that_are_a_little_worse_convict_together() {
    let looks_until = |of: &[Weighed], bad, slow| {
        let mut bench = bench(of);
        (1..200).find(|_| verdict(&bench.look(serving(bad, slow)), "worse") == Verdict::Fail)
    };
    let together = looks_until(&[ERRORS, LATENCY], 5, 160).unwrap();
    let (errors, latency) = (
        looks_until(&[ERRORS, LATENCY], 5, 100).unwrap(),
        looks_until(&[ERRORS, LATENCY], 1, 160).unwrap(),
    );
    assert!(together <= errors.min(latency), "{together}, {errors}, {latency}");
}

#[test]
fn what_convicts_by_one_signal_does_not_wait_for_the_other() {
    let mut bench = bench(&[ERRORS, LATENCY]);
    let broken = until_it_fails(&mut bench, 40, |signal| match signal {
        Signal::Latency => Err(FailureKind::Unavailable),
        requests => serving(30, 100)(requests),
    });
    assert_eq!(ruling(&broken), Ruling::RollBack);
    assert_eq!(
        verdict(&bench.pending(), "worse"),
        Verdict::Pending,
        "nothing newer is nothing new"
    );
}

#[test]
fn a_window_that_overlaps_is_never_counted() {
    let mut bench = bench(&[ERRORS, LATENCY]);
    for _ in 0..5 {
        let _ = bench.look(serving(1, 100));
    }
    let before = shown(&bench);
    let judged = bench.look_at(|signal, window| {
        let after = window.after - Duration::from_millis(1);
        serving(900, 900)(signal)
            .map(|(stable, canary)| Measured::new(Window::new(after, window.until), stable, canary))
    });
    assert_eq!(verdict(&judged, "worse"), Verdict::Error);
    assert_eq!(shown(&bench), before);
}

#[test]
fn evidence_at_the_end_of_a_stage_says_what_it_rests_on() {
    let mut spec = spec(vec![worse(&[])]);
    spec.stages[0].hold_ms = 20_000;
    let mut bench = Bench::with(spec);
    let seen = [1, 2].map(|_| grounds(&bench.look(serving(1, 100))).is_some());
    assert_eq!(seen, [false, true]);
}

#[test]
fn what_people_are_shown_is_that_of_the_last_look() {
    let mut bench = bench(&[]);
    let nothing = shown(&bench);
    assert_eq!(nothing.to_string(), "ratio unknown, evidence 1.0 : 1, takes 100 : 1");
    for looks in 1..=3 {
        let judged = bench.look(serving(4, 100));
        let Finding::Evidence { requests, odds, needed, .. } = found(&judged, "worse").finding
        else {
            panic!("{judged:?}")
        };
        let CheckEvidence { requests: all, odds: so_far, needed: limit, .. } = shown(&bench);
        assert_eq!((all, so_far, limit), (requests, odds, needed));
        assert_eq!(all.unwrap().canary.total, looks * 1_000);
    }
    let ratio = shown(&bench).grounds.ratio.unwrap();
    let text = shown(&bench).to_string();
    assert!(text.starts_with(&format!("ratio {ratio}, evidence ")), "{text}");
    assert!(ratio.to_string().starts_with("4 ("), "{ratio}");
}

/// Looks at a canary of so many pods, each with 300 requests: so many fail of the first one's, and of each other's.
fn with_pods(bench: &mut Bench, pods: u64, (first, others): (u64, u64)) -> Judged {
    let pod = |side: Side, i: u64, bad| {
        PodCounts::new(format!("{side}-{i}"), Counts::new(300, bad).unwrap())
    };
    let canary: Vec<_> =
        (0..pods).map(|i| pod(Side::Canary, i, if i == 0 { first } else { others })).collect();
    let stable = vec![pod(Side::Stable, 0, 3), pod(Side::Stable, 1, 0)];
    let bad = canary.iter().map(|pod| pod.counts.bad).sum();
    bench.look_at(|_, window| {
        let measured = Measured::new(window, counts(300 * pods, 3), counts(300 * pods, bad));
        Ok(measured.with_pods(Side::Canary, canary.clone()).with_pods(Side::Stable, stable.clone()))
    })
}

#[test]
fn the_one_pod_that_fails_is_named_and_how_errors_scatter_on_each_side() {
    for (first, others, name) in [(60, 1, Some("canary-0")), (60, 60, None)] {
        let mut bench = bench(&[]);
        let fails = |judged: &Judged| verdict(judged, "worse") == Verdict::Fail;
        let judged =
            (0..20).map(|_| with_pods(&mut bench, 4, (first, others))).find(fails).unwrap();
        let grounds = grounds(&judged).unwrap();
        assert_eq!(grounds.one_pod.as_deref(), name, "{judged:?}");
        // All of stable's errors are one pod's, and the bad pod's are most of the canary's.
        let BySide { stable, canary } = grounds.dispersion;
        assert!(stable.unwrap() > 2.5, "{stable:?}");
        assert_eq!(canary.is_some_and(|factor| factor > 2.5), name.is_some(), "{canary:?}");
        let told = found(&judged, "worse").finding.to_string();
        assert!(
            told.contains("; stable's errors scatter 3.0 times as much among its pods"),
            "{told}"
        );
        let canary = told.contains(" by chance, the canary's ");
        assert_eq!(canary, name.is_some(), "{told}");
    }
}

#[test]
fn a_pod_that_was_alone_at_first_is_named_too() {
    let mut bench = bench(&[]);
    for _ in 0..2 {
        assert_eq!(verdict(&with_pods(&mut bench, 1, (60, 0)), "worse"), Verdict::Pass);
    }
    let fails = |judged: &Judged| verdict(judged, "worse") == Verdict::Fail;
    let judged = (0..10).map(|_| with_pods(&mut bench, 5, (60, 1))).find(fails).unwrap();
    assert_eq!(grounds(&judged).unwrap().one_pod.as_deref(), Some("canary-0"));
}

#[test]
fn pods_beyond_those_that_are_told_apart_are_told_of() {
    for (first, others, told) in [
        (0, 60, "; up to 24 of its pods were weighed together, not one by one"),
        (
            300,
            0,
            "; it is pod canary-0, not the version: the others show no such evidence; up to 24 of its pods",
        ),
    ] {
        let mut bench = bench(&[]);
        let fails = |judged: &Judged| verdict(judged, "worse") == Verdict::Fail;
        let judged = (0..20).map(|_| with_pods(&mut bench, 40, (first, others))).find(fails);
        let finding = &found(&judged.unwrap(), "worse").finding.clone();
        assert!(finding.to_string().contains(told), "{finding}");
    }
}

#[test]
fn parts_of_a_check_are_shown_by_its_name() {
    let part = |of: &[Weighed]| worse(of).kind;
    let any = CheckKind::Any(vec![part(&[]), part(&[LATENCY])]);
    let mut bench =
        Bench::of(vec![Check::above("rate", "error_rate", 0.5), Check::new("any", any)]);
    let _ = bench.look(serving(1, 100));
    let shown = bench.judge.shown(&bench.policy);
    assert_eq!(shown.iter().map(|one| &*one.check).collect::<Vec<_>>(), ["any", "any"]);
    assert_eq!(shown.iter().map(|one| one.grounds.bounds_ms.len()).collect::<Vec<_>>(), [0, 2]);
}
