//! Many rollouts are counted as the single ones are, and say how long they took.
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::time::Duration;

use canary_core::policy::{Check, Policy};
use canary_core::record::Outcome;
use canary_core::report::Report;
use canary_core::simulate::{Many, Port, Service, Simulation, at};
use canary_core::value::Weight;

/// Returns a rollout of a canary that is bad enough to be taken back now and then.
fn bad() -> Simulation {
    let policy = Policy::builder("shop")
        .stage("half", Weight::percent(50), at("10m"))
        .stage("full", Weight::FULL, at("1m"))
        .check(Check::worse_than_stable("errors", 1.25))
        .build()
        .unwrap();
    Simulation::of(&policy).canary(Service::healthy().errors(0.003))
}

#[test]
fn many_runs_are_the_single_ones_together() {
    let simulation = bad().seed(5);
    let many = simulation.run_many(40);
    let alone: Vec<_> = (5..45).map(|seed| simulation.clone().seed(seed).run()).collect();
    let promoted = |report: &&Report| report.outcome.as_ref().is_some_and(Outcome::is_promoted);
    let count = alone.iter().filter(promoted).count() as u64;
    assert_eq!((many.promoted().hits, many.promoted().of), (count, 40));
    assert_eq!(many.rolled_back(), many.rolled_back_by("errors"));
    assert!(many.rolled_back().hits > 0 && count > 0, "{many:?}");
    let worst = alone.iter().map(|report| report.canary_errors_served()).max().unwrap();
    assert_eq!(many.canary_errors_served(1.0), worst);
    let first = many.first_rolled_back().unwrap();
    simulation.seed(first).run().assert_rolled_back_by("errors");
}

#[test]
fn what_did_not_end_is_counted_as_such() {
    let (whole, cut) = (bad().seed(5), bad().seed(5).limit(at("1m")));
    let mut many = Many::default();
    [&whole, &cut, &whole, &cut, &cut].into_iter().for_each(|run| many.add(5, &run.run()));
    assert_eq!((many.unfinished().hits, many.unfinished().of), (3, 5));
}

#[test]
fn the_number_of_threads_changes_nothing() {
    // More than are run before it is told how far it is; the seeds begin again at 0 after the last.
    let simulation = bad().seed(u64::MAX - 150);
    let mut one_by_one = Many::default();
    for i in 0..300 {
        let seed = (u64::MAX - 150).wrapping_add(i);
        one_by_one.add(seed, &simulation.clone().seed(seed).run());
    }
    assert!(one_by_one.rolled_back().hits > 0 && one_by_one.promoted().hits > 0, "{one_by_one:?}");
    for threads in [1, 2] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert_eq!(pool.install(|| simulation.run_many(300)), one_by_one, "{threads} threads");
    }
    let mut seen = Vec::new();
    let watched = simulation.run_many_watched(300, |so_far| seen.push(so_far.runs()));
    assert_eq!((seen.last(), watched), (Some(&300), one_by_one));
    assert!(seen.len() > 1 && seen.is_sorted(), "{seen:?}");
}

#[test]
fn many_runs_tell_how_long_they_took() {
    // It takes a while until what was decided is done.
    let simulation = bad().seed(5).fault("1m", Port::Router.late_for("20m", "4s"));
    let many = simulation.run_many(40);
    let alone: Vec<_> = (5..45).map(|seed| simulation.clone().seed(seed).run()).collect();
    let mut detected: Vec<Duration> =
        alone.iter().filter_map(|r| Some(r.rollback_decided?.since(r.started))).collect();
    detected.sort_unstable();
    assert!(alone.iter().any(|r| r.rollback_decided.is_some_and(|at| Some(at) < r.ended)));
    assert_eq!(many.rolled_back_after(0.0), detected.first().copied());
    assert_eq!(many.rolled_back_after(1.0), detected.last().copied());
    let median = many.rolled_back_after(0.5).unwrap();
    let within = detected.iter().filter(|time| **time <= median).count();
    assert!(within * 2 >= detected.len() && detected.contains(&median), "{median:?} {detected:?}");
    // Nothing delays one that goes well.
    let all = [many.promoted_after(0.0), many.promoted_after(1.0)];
    assert_eq!(all[0], all[1]);
    assert!(all[0].unwrap() >= at("11m"), "{all:?}");
    let sum: u64 = alone.iter().map(Report::canary_errors_served).sum();
    assert_eq!(many.mean_canary_errors_served(), sum as f64 / 40.0);
    let checks: Vec<_> = many.checks().collect();
    assert_eq!(checks, [("errors", many.rolled_back())]);

    assert_eq!((many.onset(), many.early().hits, many.detected()), (None, 0, many.rolled_back()));
    assert_eq!(many.detected_after(0.5), many.rolled_back_after(0.5));

    let none = bad().run_many(0);
    assert_eq!((none.rolled_back_after(0.5), none.promoted_after(0.5)), (None, None));
    assert_eq!((none.mean_canary_errors_served(), none.canary_errors_served(0.5)), (0.0, 0));
}

#[test]
fn the_time_until_it_is_seen_is_counted_from_when_the_canary_becomes_bad() {
    // So low a limit takes some back while they are innocent.
    let policy = Policy::builder("shop")
        .stage("half", Weight::percent(50), at("20m"))
        .stage("full", Weight::FULL, at("1m"))
        .check(Check::worse_than_stable("errors", 1.25))
        .check(Check::above("too-many", "error_rate", 0.003))
        .build()
        .unwrap();
    let later = Service::healthy().errors_from("10m", 0.05);
    let simulation = Simulation::of(&policy).canary(later).seed(3);
    let many = simulation.run_many(40);
    let decided: Vec<Duration> = (3..43)
        .filter_map(|seed| {
            let report = simulation.clone().seed(seed).run();
            Some(report.rollback_decided?.since(report.started))
        })
        .collect();
    let early = decided.iter().filter(|after| **after < at("10m")).count() as u64;
    assert!(early > 0 && many.detected().hits > 0, "{many:?}");
    assert_eq!((many.early().hits, many.detected().hits), (early, decided.len() as u64 - early));
    let last = decided.iter().max().unwrap();
    assert_eq!(many.detected_after(1.0), Some(*last - at("10m")));
    assert_eq!((many.rolled_back_after(1.0), many.onset()), (Some(*last), Some(at("10m"))));

    let mut added = Many::with_onset(simulation.onset());
    (3..43).for_each(|seed| added.add(seed, &simulation.clone().seed(seed).run()));
    assert_eq!(added, many);
}

#[test]
fn a_canary_becomes_bad_when_it_first_differs_for_the_worse() {
    let usual = Service::healthy;
    let onset =
        |canary: Service| bad().stable(usual().errors_from("30m", 0.02)).canary(canary).onset();
    for (canary, expected) in [
        (usual().errors_from("30m", 0.02), None),
        (usual().errors_from("5m", 0.002), Some("5m")),
        (usual().errors_from("5m", 0.0005).errors_from("40m", 0.05), Some("40m")),
        (usual().errors_from("30m", 0.02).leak("memory", "7m", 0.1), Some("7m")),
        (usual().one_pod_of(5, usual().errors_from("12m", 0.5)), Some("12m")),
        // What is worse from the begin has no later onset.
        (usual().errors(0.002).errors_from("5m", 0.05), None),
        (usual().median(at("1s")).errors_from("5m", 0.05), None),
        (usual().gauge("cpu", 0.9).errors_from("5m", 0.05), None),
        (usual().gauge("cpu", 0.4).errors_from("5m", 0.05), Some("5m")),
        (usual().silent().errors_from("5m", 0.05), None),
    ] {
        assert_eq!(onset(canary.clone()), expected.map(at), "{canary:?}");
    }
}
