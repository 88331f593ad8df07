//! Whatever else a place asks, its calendars are open together when the rollout goes on.
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::time::Duration;

use canary_core::policy::{Calendar, GateKind, GateSpec, Otherwise, Policy};
use canary_core::record::{Content, Record};
use canary_core::report::Report;
use canary_core::simulate::{Opening, Service, Simulation};
use canary_core::value::{Timestamp, Weight};
use proptest::prelude::*;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
/// A Thursday, 2026-01-01T00:00Z.
const BEGIN: Timestamp = Timestamp::from_millis(1_767_225_600_000);

fn window(cron: &str) -> GateSpec {
    GateSpec::of(GateKind::Window(Calendar::open(cron, "UTC")))
}

fn freeze(cron: &str) -> GateSpec {
    GateSpec::of(GateKind::Window(Calendar::freeze(cron, "UTC")))
}

/// Enters its last stage by these gates; `people` take so long.
fn report(gates: &[(&str, GateSpec)], people: Duration) -> Report {
    // Nothing is looked at: only the gates take time.
    let mut policy = Policy::builder("shop")
        .every(6 * HOUR)
        .without_hard_limit()
        .stage("tenth", Weight::percent(10), 10 * MINUTE)
        .stage("full", Weight::FULL, 10 * MINUTE);
    for (name, spec) in gates {
        policy = policy.enter(name, spec.clone());
    }
    let simulation = Simulation::of(&policy.build().unwrap())
        .traffic(1.0)
        .stable(Service::healthy().errors(0.0))
        .starting(BEGIN)
        .limit(14 * 24 * HOUR);
    if gates.iter().any(|(name, _)| *name == "oncall") {
        return simulation.gate("oncall", Opening::After(people)).run();
    }
    simulation.run()
}

/// Returns when all of the traffic was asked for.
fn raised(report: &Report) -> Option<Timestamp> {
    let last = |record: &&Record| matches!(&record.content, Content::StageEntered { stage: 1, .. });
    report.timeline.iter().find(last).map(|record| record.at)
}

fn is_open(spec: &GateSpec, at: Timestamp) -> bool {
    let GateKind::Window(calendar) = &spec.kind else { return true };
    calendar.parse().unwrap().is_open(at).unwrap()
}

#[test]
fn a_window_that_closes_during_a_freeze_is_waited_for_again() {
    // The window is open at once, the freeze ends at midnight of the third, and the window opens at nine.
    let hours = ("office-hours", window("* 0,9-16 * * *"));
    let gates = [hours, ("not-at-new-year", freeze("* * 1-2 1 *"))];
    let at = raised(&report(&gates, Duration::ZERO)).unwrap();
    assert_eq!(at, BEGIN + 48 * HOUR);
    let gates = [("office-hours", window("* 0-1 1-2 1 *")), gates[1].clone()];
    assert_eq!(raised(&report(&gates, Duration::ZERO)), None);
}

#[test]
fn people_who_take_their_time_do_not_raise_outside_the_window() {
    let gates = [("office-hours", window("* 0-9 * * *")), ("oncall", GateSpec::approval())];
    let at = raised(&report(&gates, 12 * HOUR)).unwrap();
    assert_eq!(at, BEGIN + 24 * HOUR);
}

#[test]
fn a_calendar_that_had_its_time_is_not_asked_again() {
    let never = window("* * 30 2 *").timeout(HOUR).otherwise(Otherwise::Open);
    let gates = [("never", never), ("office-hours", window("* 9-16 * * *"))];
    let at = raised(&report(&gates, Duration::ZERO)).unwrap();
    assert_eq!(at, BEGIN + 9 * HOUR);
    let gates = [gates[0].clone(), gates[1].clone(), ("oncall", GateSpec::approval())];
    assert_eq!(raised(&report(&gates, 12 * HOUR)).unwrap(), BEGIN + 33 * HOUR);
}

/// A gate that opens sooner or later within a week.
fn gate() -> impl Strategy<Value = GateSpec> {
    let hours = (0_u32..24, 0_u32..24).prop_map(|(a, b)| (a.min(b), a.max(b)));
    prop_oneof![
        hours.clone().prop_map(|(from, to)| window(&format!("* {from}-{to} * * *"))),
        hours.prop_map(|(from, to)| freeze(&format!("* {from}-{to} * * MON-SAT"))),
        (1_u32..6).prop_map(|day| freeze(&format!("* * {day} 1 *"))),
        (0_u32..60).prop_map(|minute| window(&format!("{minute} * * * *"))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn all_calendars_are_open_at_the_raise(
        all in proptest::collection::vec(gate(), 1..4),
        approval in proptest::option::of(0_usize..4),
        people in 0_u32..4000,
    ) {
        let names = ["first", "second", "third"];
        let mut gates: Vec<_> = names.into_iter().zip(all).collect();
        if let Some(position) = approval {
            gates.insert(position.min(gates.len()), ("oncall", GateSpec::approval()));
        }
        if let Some(at) = raised(&report(&gates, people * MINUTE)) {
            let closed = gates.iter().find(|(_, spec)| !is_open(spec, at));
            prop_assert!(closed.is_none(), "{closed:?} at {at}");
        }
    }
}
