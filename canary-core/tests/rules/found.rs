//! Runs that once broke a rule.

use std::time::Duration;

use canary_core::policy::{Check, Drift, GateSpec, How, PolicySpec, Stage};
use canary_core::record::Outcome;
use canary_core::rollout::{Action, CommandKind, Phase};
use canary_core::value::{FailureKind, Weight};

use crate::book::at_the_end;
use crate::moves::Move;
use crate::plans::Plan;
use crate::world::{Manner, World};

/// Somebody takes the header off the route while stable is about to be replaced: the route is what it shall stay then,
/// and must not get the header back.
#[test]
fn what_somebody_made_of_the_route_may_be_what_it_shall_stay() {
    let mut spec = PolicySpec::new("shop");
    spec.every_ms = 10_000;
    spec.settle_ms = 0;
    spec.header.insert("x-canary".to_owned(), "true".to_owned());
    for (name, percent, hold) in [("at-10", 10, 0), ("at-50", 50, 0), ("at-100", 100, 20)] {
        let hold = Duration::from_secs(hold);
        spec.stages.push(Stage::new(name, Weight::percent(percent), hold));
    }
    spec.checks.push(Check::above("errors", "error_rate", 0.05));
    spec.hard_limit = false;
    (spec.drift, spec.promotion.how) = (Drift::Pause, How::Swap);
    spec.promotion.keep_old_ms = 0;
    spec.workload.keep_after_success_ms = 0;
    spec.workload.ready_for_ms = 0;
    let plan = Plan { spec, workload: true, bad_from: None, closed: None };
    let mut world = World::start(&plan);
    for next in [
        Move::Flow(4),
        Move::Drift(10),
        Move::CrashBehind { landed: true },
        Move::Answer(0, Manner::Well),
        Move::Flow(1),
        Move::Crash { down: 0, landed: false },
        Move::Flow(23),
        Move::Crash { down: 10, landed: true },
        Move::Flow(8),
        Move::CrashBehind { landed: true },
        Move::Deadline,
        Move::Flow(17),
        Move::Drift(100),
        Move::See,
    ] {
        next.make(&mut world);
    }
    world.finish();
    at_the_end(&world);
}

/// A pause ends just before the bake begins, at the traffic that stands: what was lived before counts for no bake, with
/// or without the pause.
#[test]
fn a_pause_before_the_bake_makes_it_no_shorter() {
    let mut spec = PolicySpec::new("shop");
    spec.every_ms = 10_000;
    spec.settle_ms = 0;
    spec.stages.push(Stage::new("at-100", Weight::FULL, Duration::ZERO));
    spec.stages[0].gates.push("oncall".parse().unwrap());
    spec.gates.insert("oncall".parse().unwrap(), GateSpec::approval());
    spec.checks.push(Check::above("errors", "error_rate", 0.05));
    spec.hard_limit = false;
    spec.promotion.keep_old_ms = 20_000;
    let plan = Plan { spec, workload: false, bad_from: None, closed: None };
    let mut world = World::start(&plan);
    let stands = |world: &World| {
        world.rollout.asked().is_some() && world.open.is_empty() && world.saving.is_none()
    };
    while !stands(&world) {
        assert!(world.go_on());
    }
    world.pass(Duration::from_secs(6));
    world.command(CommandKind::Pause, None);
    world.pass(Duration::from_secs(1));
    world.command(CommandKind::Resume, None);
    world.command(CommandKind::Approve { gate: "oncall".parse().unwrap() }, None);
    world.finish();
    at_the_end(&world);
}

/// Somebody takes all traffic away while stable is about to be replaced, and the process dies; while the next one makes
/// the route its own as it is, the rollout is resumed: what it was meant to be is what it has taken on before.
#[test]
fn a_resume_does_not_take_what_was_found_for_what_was_meant() {
    let mut spec = PolicySpec::new("shop");
    spec.every_ms = 10_000;
    spec.settle_ms = 0;
    spec.stages.push(Stage::new("at-10", Weight::percent(10), Duration::ZERO));
    spec.stages.push(Stage::new("at-100", Weight::FULL, Duration::ZERO));
    spec.hard_limit = false;
    (spec.drift, spec.promotion.how) = (Drift::Pause, How::InPlace);
    spec.promotion.keep_old_ms = 0;
    spec.workload.keep_after_success_ms = 0;
    let plan = Plan { spec, workload: true, bad_from: None, closed: None };
    let mut world = World::start(&plan);
    world.fair = true;
    let looks =
        |world: &World| world.open.iter().any(|(_, action)| matches!(action, Action::Observe));
    while !(matches!(world.rollout.phase(), Phase::Promoting { .. }) && looks(&world)) {
        assert!(world.go_on());
    }
    world.answer(0, &Manner::Fails(FailureKind::Timeout));
    world.drift(Weight::ZERO);
    world.see();
    while world.saving.is_some() {
        world.saved(Ok(()), true);
    }
    world.crash(Duration::from_secs(20), false);
    let claims =
        |world: &World| world.open.iter().any(|(_, action)| matches!(action, Action::Route { .. }));
    assert!(claims(&world), "{:?}", world.open);
    world.command(CommandKind::Resume, None);
    world.finish();
    at_the_end(&world);
    assert_eq!(world.rollout.outcome(), Some(&Outcome::Promoted));
}
