//! What is done where somebody else has changed the route, and where it does not come right.
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

mod support;

use std::collections::BTreeMap;

use canary_core::policy::{Drift, GateSpec, How, Policy, PolicySpec, Stage};
use canary_core::ports::Progress;
use canary_core::rollout::{CommandKind, Event};
use canary_core::value::{FailureKind, Measured, Traffic, Weight};
use support::{Bench, policy, s};

fn plan(change: impl FnOnce(&mut PolicySpec)) -> Policy {
    let mut spec = PolicySpec::new("shop");
    spec.stages = vec![
        Stage::new("half", Weight::percent(50), s(10)),
        Stage::new("full", Weight::FULL, s(10)),
    ];
    spec.every_ms = 10_000;
    spec.hard_limit = false;
    change(&mut spec);
    Policy::from_spec(spec).unwrap()
}

fn drifts(bench: &Bench) -> usize {
    bench.told().iter().filter(|told| told.starts_with("drifted")).count()
}

#[test]
fn a_new_holder_gives_nothing_back_that_was_taken_from_the_canary() {
    let header = |name: &str| BTreeMap::from([(name.to_owned(), "yes".to_owned())]);
    let half = || Traffic::to_canary(Weight::percent(50)).with_header(header("x-canary"));
    let tenth = Weight::percent(10);
    let cases = [
        ("less", Traffic::to_canary(tenth).with_header(header("x-canary")), true),
        ("no header", Traffic::to_canary(Weight::percent(50)), true),
        ("less, but copies", half().with_mirror(tenth), false),
        ("fewer, and copies", Traffic::to_canary(tenth).with_mirror(tenth), true),
        ("more", Traffic::to_canary(Weight::percent(60)).with_header(header("x-canary")), false),
        ("others", Traffic::to_canary(Weight::percent(50)).with_header(header("x-beta")), false),
    ];
    for (case, found, taken_back) in cases {
        let policy = plan(|spec| {
            spec.header = header("x-canary");
            spec.stages[0].hold_ms = 600_000;
            spec.drift = Drift::PutBack;
        });
        let mut bench = Bench::holding_at(Weight::percent(50), policy);
        assert_eq!(*bench.rollout.traffic(), half());
        bench.taken_up_after(s(1));
        bench.observed_as(found);
        let back = bench.rollout.phase().name() == "rolling_back";
        assert_eq!(back, taken_back, "{case}: {:?}", bench.told());
    }
}

#[test]
fn a_look_that_works_ends_the_wait_for_the_next_try_to_take_the_canary_back() {
    let mut bench = Bench::holding_at(Weight::percent(50), policy());
    bench.saved_latest();
    bench.command(CommandKind::Abort { reason: "bad".into() });
    for _ in 0..2 {
        bench.route_fails(FailureKind::Unavailable);
    }
    assert!(!bench.opened("route"), "the second try has just failed");
    bench.seen(Weight::percent(50));
    assert!(bench.opened("route 0%"), "{:?}", bench.rollout.phase());
}

#[test]
fn what_is_taken_from_a_new_version_while_the_old_one_is_kept_stays_away() {
    let policy = plan(|spec| {
        spec.promotion.how = How::Swap;
        spec.workload.keep_after_success_ms = 100_000;
    });
    let kept = || {
        let mut bench = Bench::with_workload(policy.clone());
        bench.go_on_until(|bench| bench.rollout.phase().name() == "retiring");
        bench.go_on_until(|bench| bench.open.is_empty());
        bench
    };
    let mut bench = kept();
    bench.now = bench.now + s(1);
    bench.seen(Weight::ZERO);
    assert_eq!(bench.rollout.phase().name(), "rolling_back");

    // Once the old version is going there is nowhere to go back to.
    let mut bench = kept();
    bench.go_on_until(|bench| bench.opened("retire"));
    bench.now = bench.now + s(1);
    bench.seen(Weight::ZERO);
    assert_eq!(bench.rollout.phase().name(), "retiring");
}

#[test]
fn to_accept_that_the_canary_has_nothing_is_to_take_it_back() {
    for (found, phase) in [(Weight::ZERO, "rolling_back"), (Weight::percent(5), "holding")] {
        let mut spec = policy().spec().clone();
        spec.drift = Drift::Accept;
        spec.settle_ms = 3_000;
        let mut bench = Bench::holding_at(Weight::percent(10), Policy::from_spec(spec).unwrap());
        bench.now = bench.now + s(1);
        let accepted = bench.now;
        bench.seen(found);
        assert_eq!(bench.rollout.phase().name(), phase, "{found}");
        if phase == "holding" {
            // The mesh needs its moment to follow, whoever changed it.
            bench.go_on_until(|bench| bench.opened("measure"));
            support::reply_with(&mut bench, |query, _| {
                assert_eq!(query.after, accepted + s(3));
                Ok(Measured::pending(query.after))
            });
        }
    }
}

#[test]
fn a_change_by_others_is_told_once_paused_or_not() {
    let policy = plan(|spec| {
        spec.drift = Drift::Pause;
        spec.stages[0].hold_ms = 600_000;
    });
    let mut bench = Bench::holding_at(Weight::percent(50), policy);
    bench.command(CommandKind::Pause);
    for _ in 0..3 {
        bench.now = bench.now + s(10);
        bench.seen(Weight::percent(40));
        bench.saved_latest();
    }
    assert_eq!(drifts(&bench), 1, "{:?}", bench.told());
}

#[test]
fn marks_that_do_not_come_off_keep_no_rollout_from_its_end() {
    for (kind, tries) in [(FailureKind::Unavailable, 4), (FailureKind::Invalid, 1)] {
        let (mut bench, _) = Bench::start(plan(|_| {}));
        for tried in 1..=tries {
            bench.go_on_until(|bench| bench.opened("marks"));
            assert!(bench.rollout.outcome().is_none(), "{kind:?} after {tried}");
            bench.release_fails(kind);
        }
        bench.saved_latest();
        assert!(bench.rollout.outcome().unwrap().is_promoted(), "{kind:?}");
    }
}

#[test]
fn of_a_long_row_of_failures_a_few_are_told() {
    let mut bench = Bench::holding_at(Weight::percent(10), policy());
    bench.command(CommandKind::Abort { reason: "smoke".to_owned() });
    for _ in 0..20 {
        while !bench.opened("route 0%") {
            bench.now = bench.rollout.deadline().unwrap();
            bench.step(Event::Tick);
        }
        bench.route_fails(FailureKind::Unavailable);
    }
    bench.saved_latest();
    let told = bench.told();
    let failed = told.iter().filter_map(|told| told.strip_prefix("failed route 0% to the canary "));
    let tries: Vec<_> = failed.map(|rest| rest.split(':').next().unwrap()).collect();
    assert_eq!(tries, ["1", "2", "3", "4", "8", "16"]);
}

#[test]
fn a_first_weight_that_others_set_is_still_asked_for() {
    let policy = plan(|spec| {
        spec.drift = Drift::PutBack;
        spec.gates.insert("oncall".parse().unwrap(), GateSpec::approval());
        spec.start = vec!["oncall".parse().unwrap()];
    });
    let (mut bench, _) = Bench::start(policy);
    bench.go_on_until(|bench| bench.rollout.asked().is_some());
    bench.saved_latest();
    bench.now = bench.now + s(1);
    bench.seen(Weight::percent(50));
    assert!(bench.opened("route 0%"), "{:?}", bench.open);
    bench.command(CommandKind::Approve { gate: "oncall".parse().unwrap() });
    assert_eq!(bench.rollout.phase().name(), "entering");
}

#[test]
fn what_runs_the_versions_may_fail_some_times_and_hopeless_calls_fewer() {
    // Which call, how it fails, how often until it is given up, and what the rollout does then.
    let cases = [
        ("make the new version", FailureKind::Unavailable, 8, "rolling_back"),
        ("make the new version", FailureKind::Invalid, 3, "rolling_back"),
        ("retire", FailureKind::Unavailable, 8, "releasing"),
        ("retire", FailureKind::Invalid, 3, "releasing"),
    ];
    for (call, kind, most, then) in cases {
        let mut bench = Bench::with_workload(plan(|_| {}));
        for tries in 1..=most {
            bench.go_on_until(|bench| bench.opened(call));
            bench.work_fails(kind);
            let given_up = bench.rollout.phase().name() == then;
            assert_eq!(given_up, tries == most, "{call}: {kind:?} for the {tries}th time");
        }
    }
}

#[test]
fn on_the_way_back_what_runs_the_versions_is_asked_until_it_does_it() {
    let mut bench = Bench::with_workload(plan(|spec| spec.promotion.how = How::InPlace));
    bench.go_on_until(|bench| bench.opened("make the new version"));
    bench.command(CommandKind::Abort { reason: "smoke".to_owned() });
    for tries in 1..=20 {
        bench.go_on_until(|bench| bench.opened("make the old version"));
        bench.work_fails(if tries % 2 == 0 { FailureKind::Invalid } else { FailureKind::Denied });
        assert_eq!(bench.rollout.phase().name(), "rolling_back", "after {tries}");
        bench.saved_latest();
        assert!(!bench.opened("make the old version"), "at once after {tries}");
    }
}

#[test]
fn a_weight_that_is_put_back_while_the_next_is_entered_needs_a_ready_canary_anew() {
    let mut bench = Bench::with_workload(plan(|spec| spec.drift = Drift::PutBack));
    let raises = |bench: &Bench| bench.opened("route 100%");
    bench.go_on_until(raises);
    bench.route_fails(FailureKind::Unavailable);
    bench.now = bench.now + s(1);
    bench.seen(Weight::percent(20));
    bench.saved_latest();
    assert!(bench.opened("make the canary ready"), "{:?}", bench.open);
    assert!(!raises(&bench), "{:?}", bench.open);
}

#[test]
fn a_route_that_others_change_while_a_version_goes_is_put_back_before_our_marks_come_off() {
    let mut bench = Bench::with_workload(plan(|spec| spec.drift = Drift::PutBack));
    bench.go_on_until(|bench| bench.opened("retire"));
    bench.now = bench.now + s(1);
    bench.seen(Weight::percent(30));
    assert!(bench.opened("route 0%"), "{:?}", bench.open);
    // It is gone, and still something is sent to it: that is not the end yet.
    bench.progressed(Progress::Done);
    assert_eq!(bench.rollout.phase().name(), "retiring");
    bench.route_ok();
    bench.go_on_until(|bench| bench.opened("retire"));
    bench.progressed(Progress::Done);
    assert_eq!(bench.rollout.phase().name(), "releasing");
}

/// Looks with good numbers until the route is asked for, or so many looks have passed.
fn looks(bench: &mut Bench, most: usize) {
    for _ in 0..most {
        bench.saved_latest();
        if bench.opened("route") {
            return;
        }
        match bench.open.is_empty() {
            false => bench.answer_first(),
            true => {
                bench.now = bench.rollout.deadline().unwrap();
                bench.step(Event::Tick);
            }
        }
    }
}

#[test]
fn a_resume_puts_back_what_was_there_though_nothing_could_be_judged_meanwhile() {
    for found in [Weight::ZERO, Weight::percent(3)] {
        let mut spec = policy().spec().clone();
        spec.drift = Drift::Pause;
        let mut bench = Bench::holding_at(Weight::percent(10), Policy::from_spec(spec).unwrap());
        bench.now = bench.now + s(1);
        bench.seen(found);
        bench.saved_latest();
        assert!(bench.rollout.status(bench.now).paused);
        bench.now = bench.now + s(300);
        bench.step(Event::Tick);
        bench.command(CommandKind::Resume);
        looks(&mut bench, 9);
        assert!(bench.opened("route 10%"), "{:?}: {:?}", bench.open, bench.told());
        bench.route_ok();
        bench.go_on_until(|bench| bench.rollout.outcome().is_some());
        assert!(bench.rollout.outcome().unwrap().is_promoted(), "{:?}", bench.told());
    }
}

#[test]
fn a_resume_raises_to_what_was_there_and_no_further_without_a_verdict() {
    let mut spec = policy().spec().clone();
    spec.drift = Drift::Pause;
    let (mut bench, _) = Bench::start(Policy::from_spec(spec).unwrap());
    bench.go_on_until(|bench| bench.opened("route 50%"));
    bench.route_fails(FailureKind::Unavailable);
    bench.now = bench.now + s(1);
    bench.seen(Weight::ZERO);
    bench.saved_latest();
    bench.now = bench.now + s(300);
    bench.step(Event::Tick);
    bench.command(CommandKind::Resume);
    looks(&mut bench, 9);
    assert!(bench.opened("route 10%"), "{:?}: {:?}", bench.open, bench.told());
    bench.route_ok();
    bench.saved_latest();
    assert!(!bench.opened("route"), "{:?}", bench.open);
    bench.go_on_until(|bench| bench.rollout.weight() == Weight::percent(50));
}
