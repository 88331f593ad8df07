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

    let none = bad().run_many(0);
    assert_eq!((none.rolled_back_after(0.5), none.promoted_after(0.5)), (None, None));
    assert_eq!((none.mean_canary_errors_served(), none.canary_errors_served(0.5)), (0.0, 0));
}
