//! What people may say to a rollout, when it is too late for it, and what they are answered.
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

mod support;

use canary_core::policy::{Check, GateSpec, How, Policy, PolicySpec, Stage, Then};
use canary_core::rollout::{CommandKind, Event, Waiting};
use canary_core::value::{FailureKind, Weight};
use support::{Bench, entering, policy, raising, s};

/// One mixed stage and a full one, nothing checked, changed as a test likes.
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

fn approve(gate: &str) -> CommandKind {
    CommandKind::Approve { gate: gate.parse().unwrap() }
}

fn abort() -> CommandKind {
    CommandKind::Abort { reason: "late".to_owned() }
}

/// Says something and returns the answer.
fn say(bench: &mut Bench, kind: CommandKind) -> String {
    bench.command(kind);
    bench.saved_latest();
    let told = bench.told();
    let last = told.iter().rfind(|told| told.starts_with("commanded")).unwrap();
    last.split_once(": ").unwrap().1.to_owned()
}

fn due(bench: &mut Bench) {
    bench.now = bench.rollout.deadline().unwrap();
    bench.step(Event::Tick);
}

#[test]
fn only_the_approval_that_is_asked_for_can_be_given() {
    let policy = plan(|spec| {
        for gate in ["oncall", "owner"] {
            spec.gates.insert(gate.parse().unwrap(), GateSpec::approval());
        }
        spec.stages[0].gates =
            ["oncall", "smoke", "owner"].map(|gate| gate.parse().unwrap()).into();
    });
    let (mut bench, _) = Bench::start(policy);
    bench.go_on_until(|bench| bench.rollout.phase().stage() == Some(0));
    assert_eq!(say(&mut bench, approve("oncall")), "not possible: gate oncall is not being asked");
    bench.go_on_until(|bench| bench.rollout.asked().is_some());
    assert_eq!(
        say(&mut bench, approve("owner")),
        "not possible: gate oncall is being asked, not owner"
    );
    assert_eq!(
        say(&mut bench, approve("cook")),
        "not possible: nobody asks about cook; gates are: oncall, smoke, owner"
    );
    assert_eq!(bench.rollout.asked().unwrap().gate.as_str(), "oncall");
    assert_eq!(say(&mut bench, approve("oncall")), "done");
    assert_eq!(
        say(&mut bench, approve("smoke")),
        "not possible: gate smoke is no approval: it decides by itself"
    );
    assert_eq!(bench.rollout.asked().unwrap().gate.as_str(), "smoke");
}

#[test]
fn an_answer_about_one_check_leaves_the_question_about_another() {
    let mut spec = policy().spec().clone();
    spec.hard_limit = false;
    spec.checks = ["first", "second"]
        .map(|name| Check::above(name, "error_rate", 0.05).then(Then::Ask))
        .into();
    let mut bench = Bench::holding_at(Weight::percent(10), Policy::from_spec(spec).unwrap());
    due(&mut bench);
    bench.measured(20);
    let waiting = |bench: &Bench| bench.rollout.status(bench.now).waiting;
    assert_eq!(waiting(&bench), Waiting::Question("first".to_owned()));
    assert_eq!(say(&mut bench, approve("first")), "done");
    assert_eq!(waiting(&bench), Waiting::Question("second".to_owned()));
    assert_eq!(say(&mut bench, approve("second")), "done");
    assert_eq!(waiting(&bench), Waiting::Hold(20_000));
}

#[test]
fn while_the_canary_is_taken_back_nothing_else_is_done() {
    let mut bench = Bench::holding_at(Weight::percent(10), policy());
    assert_eq!(say(&mut bench, abort()), "done");
    assert_eq!(say(&mut bench, abort()), "it is so already");
    for kind in [CommandKind::Pause, CommandKind::PromoteFull, CommandKind::Retry] {
        assert_eq!(say(&mut bench, kind), "not possible: the canary is being taken back");
    }
    assert_eq!(bench.rollout.phase().name(), "rolling_back");
}

#[test]
fn there_is_no_way_back_once_the_old_version_is_going() {
    let mut bench = Bench::with_workload(plan(|spec| spec.promotion.how = How::Swap));
    bench.go_on_until(|bench| bench.opened("retire"));
    assert_eq!(say(&mut bench, abort()), "not possible: the old version is going");
    bench.go_on_until(|bench| bench.rollout.is_settled());
    assert!(bench.rollout.outcome().unwrap().is_promoted());
}

#[test]
fn a_pause_keeps_stable_from_being_replaced_until_that_has_begun() {
    let replaces = |bench: &Bench| bench.opened("make the new version");
    // It is asked for and waits to be saved.
    let start = || {
        let mut bench = Bench::with_workload(plan(|_| {}));
        let observed = |bench: &Bench| bench.rollout.phase().name() == "promoting";
        bench.go_on_until(|bench| observed(bench) && bench.opened("route"));
        bench.answer_first();
        assert!(!replaces(&bench), "{:?}", bench.open);
        bench
    };
    let mut bench = start();
    assert_eq!(say(&mut bench, CommandKind::Pause), "done");
    assert!(!replaces(&bench), "{:?}", bench.open);
    assert_eq!(say(&mut bench, CommandKind::Resume), "done");
    bench.go_on_until(replaces);

    let refused = "not possible: stable is being replaced";
    let mut bench = start();
    bench.saved_latest();
    assert!(replaces(&bench), "{:?}", bench.open);
    assert_eq!(say(&mut bench, CommandKind::Pause), refused);
    // Between two tries it is as far as it was.
    bench.work_fails(FailureKind::Unavailable);
    assert!(!replaces(&bench));
    assert_eq!(say(&mut bench, CommandKind::Pause), refused);
}

#[test]
fn a_rollout_can_be_paused_while_the_canary_gets_ready() {
    let mut bench = Bench::with_workload(plan(|_| {}));
    bench.go_on_until(|bench| bench.opened("make the canary ready"));
    assert_eq!(say(&mut bench, CommandKind::Pause), "done");
}

#[test]
fn a_stage_is_taken_as_done_once_and_not_while_its_gate_is_asked() {
    let say_at = |bench: &mut Bench, stage: &str| {
        bench.command_at(CommandKind::Advance, stage);
        bench.saved_latest();
        bench.told().iter().rfind(|told| told.starts_with("commanded")).unwrap().clone()
    };
    let mut bench = Bench::holding_at(Weight::percent(10), policy());
    assert_eq!(say_at(&mut bench, "tenth"), "commanded advance: done");
    assert_eq!(say_at(&mut bench, "tenth"), "commanded advance: it is so already");
    bench.go_on_until(|bench| bench.rollout.asked().is_some());
    assert_eq!(say_at(&mut bench, "half"), "commanded advance: it is so already");
}

#[test]
fn promote_full_goes_to_the_full_stage_from_wherever_it_is_not_forced_yet() {
    let full = |bench: &Bench| bench.rollout.phase().stage() == Some(2) && entering(bench);
    // While the first weight is asked for.
    let (mut bench, _) = Bench::start(policy());
    bench.go_on_until(raising);
    assert_eq!(say(&mut bench, CommandKind::PromoteFull), "done");
    assert!(full(&bench), "{:?}", bench.rollout.phase());
    assert_eq!(say(&mut bench, CommandKind::PromoteFull), "it is so already");

    // While the full weight is asked for as the checks allow it.
    let (mut bench, _) = Bench::start(policy());
    bench.go_on_until(|bench| full(bench) && raising(bench));
    assert_eq!(say(&mut bench, CommandKind::PromoteFull), "done");
    assert_eq!(say(&mut bench, CommandKind::PromoteFull), "it is so already");

    // Once the full stage is over.
    let mut spec = policy().spec().clone();
    spec.promotion.keep_old_ms = 60_000;
    let (mut bench, _) = Bench::start(Policy::from_spec(spec).unwrap());
    bench.go_on_until(|bench| bench.rollout.phase().stage() == Some(3));
    assert_eq!(say(&mut bench, CommandKind::PromoteFull), "it is so already");
}

#[test]
fn retry_before_the_first_stage_tries_at_once_what_failed() {
    let (mut bench, _) = Bench::start(policy());
    bench.go_on_until(|bench| bench.opened("route 0%"));
    bench.route_fails(FailureKind::Unavailable);
    bench.saved_latest();
    assert!(bench.open.is_empty());
    assert_eq!(say(&mut bench, CommandKind::Retry), "done");
    assert!(bench.opened("route") || bench.opened("observe"), "{:?}", bench.open);
}

#[test]
fn to_start_over_makes_the_canary_no_smaller_before_it_has_less() {
    let mut bench = Bench::with_workload(plan(|_| {}));
    bench.go_on_until(|bench| bench.rollout.weight() == Weight::FULL && !bench.opened("route"));
    assert_eq!(say(&mut bench, CommandKind::Retry), "done");
    assert!(!bench.opened("make the canary ready"), "{:?}", bench.open);
    bench.go_on_until(|bench| bench.opened("route 50%"));
    assert_eq!(bench.rollout.weight(), Weight::FULL);
}

#[test]
fn after_a_swap_the_traffic_is_back_before_the_names_are() {
    let policy = plan(|spec| {
        spec.promotion.how = How::Swap;
        spec.workload.keep_after_success_ms = 100_000;
    });
    let mut bench = Bench::with_workload(policy);
    bench.go_on_until(|bench| bench.rollout.phase().name() == "retiring");
    assert_eq!(say(&mut bench, abort()), "done");
    assert!(!bench.opened("make the old version"), "{:?}", bench.open);
    bench.route_ok();
    bench.saved_latest();
    assert!(bench.opened("make the old version"), "{:?}", bench.open);
}
