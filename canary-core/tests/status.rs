//! What a status says a rollout waits for, moment by moment.
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

mod support;

use canary_core::policy::{How, Policy, PolicySpec, Stage};
use canary_core::ports::Readiness;
use canary_core::rollout::{CommandKind, Waiting};
use canary_core::value::Weight;
use support::{Bench, policy, raising, s};

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

fn waiting(bench: &Bench) -> Waiting {
    bench.rollout.status(bench.now).waiting
}

fn in_phase(name: &str) -> impl Fn(&Bench) -> bool {
    move |bench| bench.rollout.phase().name() == name
}

fn abort(bench: &mut Bench) {
    bench.command(CommandKind::Abort { reason: "smoke".to_owned() });
}

#[test]
fn a_hold_a_verdict_and_the_router_are_told_apart() {
    let (mut bench, _) = Bench::start(policy());
    bench.go_on_until(raising);
    assert_eq!(waiting(&bench), Waiting::Router);
    bench.go_on_until(in_phase("holding"));
    assert_eq!(waiting(&bench), Waiting::Hold(20_000));
    bench.go_on_until(|bench| support::held_ms(bench) == Some(10_000));
    assert_eq!(waiting(&bench), Waiting::Hold(10_000));

    // A new holder asks for the weight that stands before it looks at anything.
    bench.taken_up_after(s(1));
    assert_eq!(bench.rollout.status(bench.now).held_ms, 10_000);
    assert_eq!(waiting(&bench), Waiting::Router);

    // The next weight is asked for and the store is slow: meanwhile the verdict gets old.
    let (mut bench, _) = Bench::start(policy());
    bench.go_on_until(|bench| bench.rollout.phase().stage() == Some(1));
    assert_eq!(waiting(&bench), Waiting::Router);
    bench.now = bench.now + s(600);
    assert_eq!(waiting(&bench), Waiting::Verdict);
}

#[test]
fn a_hold_that_is_over_waits_for_a_verdict() {
    let mut bench = Bench::holding_at(Weight::percent(10), policy());
    bench.command_at(CommandKind::Advance, "tenth");
    assert_eq!(waiting(&bench), Waiting::Verdict);
}

#[test]
fn what_a_stage_must_show_is_waited_for_until_somebody_takes_it_as_done() {
    let start = || {
        let mut spec = policy().spec().clone();
        spec.stages[0].pass.samples = 100_000;
        Bench::holding_at(Weight::percent(10), Policy::from_spec(spec).unwrap())
    };
    let mut bench = start();
    for _ in 0..3 {
        bench.go_on_until(|bench| bench.opened("measure"));
        bench.measured(0);
    }
    assert!(matches!(waiting(&bench), Waiting::Pass(_)), "{:?}", waiting(&bench));

    let mut bench = start();
    bench.command_at(CommandKind::Advance, "tenth");
    assert_eq!(waiting(&bench), Waiting::Verdict);
}

#[test]
fn unmeasured_time_counts_in_a_status_while_nobody_pauses() {
    let mut bench = Bench::holding_at(Weight::percent(50), plan(|_| {}));
    assert_eq!(bench.rollout.status(bench.now + s(4)).held_ms, 4_000);
    bench.now = bench.now + s(2);
    bench.command(CommandKind::Pause);
    assert_eq!(bench.rollout.status(bench.now + s(4)).held_ms, 2_000);
    assert_eq!(waiting(&bench), Waiting::Resume);
    let measured = Bench::holding_at(Weight::percent(10), policy());
    assert_eq!(measured.rollout.status(measured.now + s(4)).held_ms, 0);
}

#[test]
fn a_promotion_waits_for_the_router_then_for_the_workload_then_keeps_the_old_version() {
    let mut bench = Bench::with_workload(plan(|_| {}));
    bench.go_on_until(in_phase("promoting"));
    assert_eq!(waiting(&bench), Waiting::Router);
    bench.go_on_until(|bench| bench.opened("make the new version"));
    assert_eq!(waiting(&bench), Waiting::Workload(String::new()));

    let policy = plan(|spec| {
        spec.promotion.how = How::Swap;
        spec.workload.keep_after_success_ms = 100_000;
    });
    let mut bench = Bench::with_workload(policy);
    bench.go_on_until(in_phase("retiring"));
    assert_eq!(waiting(&bench), Waiting::Keep(100_000));
    let kept = bench.now;
    bench.now = kept + s(40);
    assert_eq!(waiting(&bench), Waiting::Keep(60_000));
    bench.now = kept;
    bench.go_on_until(|bench| bench.opened("retire"));
    assert_eq!(waiting(&bench), Waiting::Workload(String::new()));
    bench.go_on_until(|bench| bench.rollout.is_settled());
    assert_eq!(waiting(&bench), Waiting::Nothing);
}

#[test]
fn the_way_back_waits_for_the_workload_where_stable_comes_first() {
    let mut bench = Bench::holding_at(Weight::percent(10), policy());
    abort(&mut bench);
    assert_eq!(waiting(&bench), Waiting::Router);

    let mut bench = Bench::with_workload(plan(|_| {}));
    bench.go_on_until(|bench| bench.opened("make the new version"));
    abort(&mut bench);
    assert_eq!(waiting(&bench), Waiting::Workload(String::new()));

    // After a swap the traffic moves first.
    let policy = plan(|spec| {
        spec.promotion.how = How::Swap;
        spec.workload.keep_after_success_ms = 100_000;
    });
    let mut bench = Bench::with_workload(policy);
    bench.go_on_until(in_phase("retiring"));
    abort(&mut bench);
    assert_eq!(waiting(&bench), Waiting::Router);
    bench.route_ok();
    assert_eq!(waiting(&bench), Waiting::Workload(String::new()));
}

#[test]
fn the_end_waits_for_a_verdict_as_every_weight_does() {
    let mut spec = policy().spec().clone();
    spec.promotion.after = vec!["oncall".parse().unwrap()];
    let (mut bench, _) = Bench::start(Policy::from_spec(spec).unwrap());
    bench.go_on_until(|bench| in_phase("closing")(bench) && bench.rollout.asked().is_some());
    assert_eq!(waiting(&bench), Waiting::Gate("oncall".parse().unwrap()));
    bench.now = bench.now + s(600);
    bench.command(CommandKind::Approve { gate: "oncall".parse().unwrap() });
    assert_eq!(waiting(&bench), Waiting::Verdict);
}

#[test]
fn a_canary_that_is_not_ready_is_waited_for_by_its_own_words() {
    let mut bench = Bench::with_workload(plan(|_| {}));
    bench.go_on_until(|bench| bench.opened("make the canary ready"));
    bench.ready(Readiness::waiting("no node is free"));
    assert_eq!(waiting(&bench), Waiting::Canary("no node is free".to_owned()));
    bench.go_on_until(|bench| bench.opened("make the canary ready"));
    bench.ready(Readiness::ready_for(Weight::percent(50)));
    assert_ne!(waiting(&bench), Waiting::Canary("no node is free".to_owned()));
}
