//! When a rollout counts as standing still, and when a hold is over that nothing measures.
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

mod support;

use canary_core::policy::{Check, Patience, Policy, PolicySpec, Stage, Then};
use canary_core::ports::Decision;
use canary_core::rollout::{CommandKind, Event, Waiting};
use canary_core::value::Weight;
use support::{Bench, held_ms, holding, policy, raising, s};

/// The plan of the stories, with so long a first hold, which may stand still for a minute.
fn impatient(hold: u64, then: Then) -> Policy {
    let mut spec = policy().spec().clone();
    spec.stages[0].hold_ms = hold * 1000;
    spec.progress = Some(Patience::new(s(60), then));
    spec.no_data = Patience::new(s(3600), Then::Hold);
    Policy::from_spec(spec).unwrap()
}

fn stalls(bench: &Bench) -> usize {
    bench.told().iter().filter(|told| told.starts_with("the rollout has stood still")).count()
}

/// Lets so much time pass; what is measured is healthy, or there is nothing to measure.
fn pass(bench: &mut Bench, seconds: u64, silent: bool) {
    let until = bench.now + s(seconds);
    while let Some(deadline) = bench.rollout.deadline().filter(|deadline| *deadline <= until) {
        bench.now = deadline;
        bench.step(Event::Tick);
        match bench.opened("measure") {
            true if silent => drop(bench.silence()),
            true => drop(bench.measured(0)),
            false => {}
        }
        bench.saved_latest();
    }
    bench.now = until;
    bench.step(Event::Tick);
    bench.saved_latest();
}

#[test]
fn who_holds_and_is_seen_does_not_stand_still() {
    let mut bench = Bench::holding_at(Weight::percent(10), impatient(300, Then::RollBack));
    pass(&mut bench, 250, false);
    assert_eq!((held_ms(&bench), stalls(&bench)), (Some(250_000), 0));
}

#[test]
fn who_waits_for_a_person_does_not_stand_still() {
    let weight = Weight::percent(50);
    // For a gate.
    let mut bench = Bench::holding_at(weight, impatient(20, Then::RollBack));
    bench.go_on_until(|bench| bench.rollout.asked().is_some());
    pass(&mut bench, 300, false);
    assert_eq!(stalls(&bench), 0, "{:?}", bench.told());
    assert!(bench.rollout.asked().is_some());

    // For somebody to resume it; from then on its minute begins.
    let mut bench = Bench::holding_at(weight, impatient(20, Then::RollBack));
    bench.command(CommandKind::Pause);
    pass(&mut bench, 300, true);
    assert_eq!(stalls(&bench), 0, "{:?}", bench.told());
    bench.command(CommandKind::Resume);
    pass(&mut bench, 59, true);
    assert_eq!(stalls(&bench), 0, "{:?}", bench.told());
    pass(&mut bench, 1, true);
    assert_eq!(stalls(&bench), 1, "{:?}", bench.told());
}

#[test]
fn who_was_down_did_not_stand_still() {
    for reached in [raising, holding] {
        let (mut bench, _) = Bench::start(impatient(300, Then::RollBack));
        bench.go_on_until(|bench| bench.rollout.weight() == Weight::percent(10) && reached(bench));
        bench.taken_up_after(s(500));
        assert_eq!(stalls(&bench), 0, "{:?}", bench.told());
    }
}

#[test]
fn to_approve_of_no_progress_is_to_approve_of_nothing_else() {
    let mut spec = impatient(300, Then::Ask).spec().clone();
    spec.hard_limit = true;
    spec.checks.clear();
    let mut bench = Bench::holding_at(Weight::percent(10), Policy::from_spec(spec).unwrap());
    pass(&mut bench, 70, true);
    bench.command(CommandKind::Approve { gate: "progress".parse().unwrap() });
    bench.go_on_until(|bench| bench.opened("measure"));
    bench.measured(100);
    assert_eq!(bench.rollout.phase().name(), "rolling_back");
}

#[test]
fn the_question_about_progress_is_withdrawn_once_there_is_some() {
    let mut bench = Bench::holding_at(Weight::percent(10), impatient(300, Then::Ask));
    let asks = |bench: &Bench| {
        bench.rollout.status(bench.now).waiting == Waiting::Question("progress".to_owned())
    };
    for times in 1..=2 {
        pass(&mut bench, 70, true);
        assert!(asks(&bench), "{:?}", bench.told());
        assert_eq!(stalls(&bench), times, "it is asked once each time it stands still");
        pass(&mut bench, 10, false);
        assert!(!asks(&bench), "{:?}", bench.told());
    }
}

/// Two stages at which nothing is checked, or a gate alone; the first is held for so many seconds.
fn unmeasured(hold: u64, gate: Option<&str>) -> Policy {
    let mut spec = PolicySpec::new("shop");
    spec.stages = vec![
        Stage::new("half", Weight::percent(50), s(hold)),
        Stage::new("full", Weight::FULL, s(10)),
    ];
    spec.every_ms = 10_000;
    spec.hard_limit = false;
    spec.checks.extend(gate.map(|gate| Check::gate("switch", gate.parse().unwrap())));
    Policy::from_spec(spec).unwrap()
}

#[test]
fn a_hold_that_nothing_measures_ends_on_time() {
    let mut bench = Bench::holding_at(Weight::percent(50), unmeasured(25, None));
    let entered = bench.now;
    bench.go_on_until(|bench| bench.rollout.phase().stage() == Some(1));
    assert_eq!(bench.now.since(entered), s(25));
}

#[test]
fn looks_keep_to_their_times_and_do_not_pile_up() {
    // How late a look comes, and when the next one is due after the time of the first.
    for (late, next) in [(0, 10), (3, 10), (9, 10), (10, 20), (35, 45)] {
        let mut bench = Bench::holding_at(Weight::percent(10), policy());
        let due = bench.rollout.deadline().unwrap();
        bench.now = due + s(late);
        bench.step(Event::Tick);
        bench.measured(0);
        bench.saved_latest();
        assert_eq!(bench.rollout.deadline(), Some(due + s(next)), "{late} s late");
    }
}

#[test]
fn the_status_counts_no_time_in_which_a_watched_gate_says_nothing() {
    let mut bench = Bench::holding_at(Weight::percent(50), unmeasured(600, Some("kill-switch")));
    bench.go_on_until(|bench| bench.opened("kill-switch"));
    bench.decided(Decision::Wait { retry_after_ms: 60_000, why: "who knows".to_owned() });
    let held = bench.rollout.status(bench.now).held_ms;
    assert!(holding(&bench));
    assert_eq!(bench.rollout.status(bench.now + s(9)).held_ms, held);
    bench.go_on_until(|bench| bench.opened("kill-switch"));
    bench.decided(Decision::Open);
    let held = bench.rollout.status(bench.now).held_ms;
    assert_eq!(bench.rollout.status(bench.now + s(9)).held_ms, held + 9_000);
}
