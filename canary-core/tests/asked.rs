//! When the gates of a plan are asked, and for how long.
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

mod support;

use canary_core::policy::{GateSpec, Otherwise, Policy, PolicySpec, Stage};
use canary_core::rollout::{Begin, CommandKind, Event, Rollout};
use canary_core::value::{GateName, Weight};
use support::{Bench, T0, s};

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

#[test]
fn a_fast_return_passes_the_gates_of_the_stages_that_it_passes_over() {
    let name = |name: &str| name.parse().unwrap();
    let policy = plan(|spec| {
        spec.start = vec![name("go")];
        spec.stages[0].enter = vec![name("calm")];
        spec.stages[0].gates = vec![name("smoke")];
        spec.stages[1].enter = vec![name("hours")];
        spec.stages[1].gates = vec![name("last")];
    });
    let (mut bench, _) = Bench::start(policy.clone());
    let begin = Begin::new("shop-1".parse().unwrap(), policy)
        .version(Some("v7".to_owned()))
        .fast_return(true);
    (bench.rollout, _) = Rollout::begin(begin, T0);
    bench.go_on_until(|bench| bench.rollout.is_settled());
    let told = bench.told();
    let asked: Vec<_> = told.iter().filter_map(|told| told.strip_prefix("asked ")).collect();
    assert_eq!(asked, ["go", "hours", "last"]);
}

#[test]
fn the_time_of_a_gate_stands_still_while_nobody_could_answer() {
    let policy = plan(|spec| {
        let oncall: GateName = "oncall".parse().unwrap();
        let timeout = GateSpec::approval().timeout(s(600)).otherwise(Otherwise::RollBack);
        spec.gates.insert(oncall.clone(), timeout);
        spec.start = vec![oncall.clone()];
        spec.stages[0].gates = vec![oncall];
    });
    for weight in [Weight::ZERO, Weight::percent(50)] {
        for paused in [true, false] {
            let (mut bench, _) = Bench::start(policy.clone());
            let asked = |bench: &Bench| bench.rollout.asked().is_some();
            bench.go_on_until(|bench| asked(bench) && bench.rollout.weight() == weight);
            let begun = bench.now;
            if paused {
                bench.command(CommandKind::Pause);
                bench.now = bench.now + s(500);
                bench.command(CommandKind::Resume);
            } else {
                // The second holder dies before it has looked at the route.
                bench.taken_up_after(s(250));
                bench.taken_up_after(s(250));
            }
            while bench.rollout.phase().name() != "rolling_back" {
                bench.saved_latest();
                if bench.open.is_empty() {
                    bench.now = bench.rollout.deadline().unwrap();
                    bench.step(Event::Tick);
                } else {
                    bench.answer_first();
                }
            }
            assert_eq!(bench.now.since(begun), s(1100), "at {weight}, paused: {paused}");
        }
    }
}

#[test]
fn nothing_is_made_ready_before_the_gates_at_the_start_are_open() {
    let policy = plan(|spec| {
        spec.gates.insert("oncall".parse().unwrap(), GateSpec::approval());
        spec.start = vec!["go".parse().unwrap(), "oncall".parse().unwrap()];
    });
    let mut bench = Bench::with_workload(policy);
    bench.go_on_until(|bench| {
        bench.rollout.asked().is_some_and(|ask| ask.gate.as_str() == "oncall")
    });
    bench.saved_latest();
    assert!(!bench.opened("make the canary ready"), "{:?}", bench.open);
    assert!(!bench.told().iter().any(|told| told.starts_with("the canary is ready")));
    bench.command(CommandKind::Approve { gate: "oncall".parse().unwrap() });
    bench.saved_latest();
    assert!(bench.opened("make the canary ready"), "{:?}", bench.open);
}
