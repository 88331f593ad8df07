//! What a rollout does about its saves, and which saved states fit which policy.
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

mod support;

use canary_core::policy::{Check, GateSpec, Policy, PolicySpec, Stage, Then};
use canary_core::ports::Decision;
use canary_core::record::Content;
use canary_core::rollout::{Begin, Event, Rollout};
use canary_core::value::{Failure, FailureKind, GateName, Weight};
use support::{Bench, T0, policy, s};

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

fn not_saved(bench: &mut Bench) -> Vec<String> {
    let result = Err(Failure::new(FailureKind::Unavailable, "down"));
    let rev = bench.saving();
    bench.step(Event::Persisted { rev, result })
}

#[test]
fn an_answer_about_another_state_says_nothing_about_this_one() {
    let (mut bench, first) = Bench::start(policy());
    assert_eq!(first, ["persist 1"]);
    bench.saved(1);
    assert_eq!(bench.route_ok(), ["persist 2"]);
    let failure = || Failure::new(FailureKind::Unavailable, "down");
    for rev in [3, 1] {
        assert_eq!(bench.saved(rev), Vec::<String>::new());
        let result = Err(failure());
        assert_eq!(bench.step(Event::Persisted { rev, result }), Vec::<String>::new());
    }
    assert!(bench.saved(2).contains(&"notify accepted 0%".to_owned()));
}

#[test]
fn a_store_that_is_down_is_asked_less_and_less_often() {
    let mut bench = Bench::holding_at(Weight::percent(10), policy());
    bench.command(canary_core::rollout::CommandKind::Pause);
    let mut waits = Vec::new();
    for _ in 0..8 {
        let failed = bench.now;
        let before = bench.saving();
        not_saved(&mut bench);
        while bench.saving() == before {
            bench.now = bench.rollout.deadline().unwrap();
            bench.step(Event::Tick);
        }
        waits.push(bench.now.since(failed).as_millis());
    }
    assert_eq!(waits, [400, 800, 1600, 3200, 6400, 12_800, 12_800, 12_800]);
}

#[test]
fn looks_of_the_same_sort_become_one_record_once_there_are_plenty() {
    let mut spec = policy().spec().clone();
    spec.stages[0].hold_ms = 100_000_000;
    let mut bench = Bench::holding_at(Weight::percent(10), Policy::from_spec(spec).unwrap());
    for _ in 0..300 {
        while !bench.opened("measure") {
            bench.now = bench.rollout.deadline().unwrap();
            bench.step(Event::Tick);
            not_saved(&mut bench);
        }
        bench.measured(0);
    }
    bench.records.clear();
    for _ in 0..3 {
        bench.now = bench.rollout.deadline().unwrap();
        bench.step(Event::Tick);
        bench.saved(bench.saving());
    }
    let looks: Vec<u64> = bench
        .records
        .iter()
        .filter_map(|record| match &record.content {
            Content::Judged(judgement) => judgement.requests.as_ref().map(|r| r.canary.total),
            _ => None,
        })
        .collect();
    assert_eq!((looks.len(), looks.iter().sum::<u64>()), (256, 30_000));
    assert_eq!((looks[0], looks[255]), (100, 4_500));
}

#[test]
fn a_state_grows_no_more_while_a_store_is_down_though_looks_gates_and_routes_flip() {
    let mut spec = policy().spec().clone();
    spec.stages[0].hold_ms = 100_000_000;
    spec.checks = vec![
        Check::above("errors", "error_rate", 0.05).then(Then::Hold),
        Check::gate("switch", name("switch")).then(Then::Hold),
    ];
    let mut bench = Bench::holding_at(Weight::percent(10), Policy::from_spec(spec).unwrap());
    let mut sizes = Vec::new();
    for look in 0..2_400 {
        while !bench.opened("measure") {
            bench.now = bench.rollout.deadline().unwrap();
            bench.step(Event::Tick);
            not_saved(&mut bench);
        }
        match look % 3 {
            0 => bench.gate_fails(FailureKind::Unavailable),
            _ => bench.decided(Decision::Open),
        };
        bench.measured(if look % 2 == 0 { 10 } else { 0 });
        if look % 5 == 0 {
            bench.seen(Weight::percent(7));
            while bench.opened("route") {
                bench.route_ok();
            }
        }
        if look % 600 == 599 {
            sizes.push(serde_json::to_string(&bench.rollout.snapshot()).unwrap().len());
        }
    }
    assert!(sizes[3] < sizes[1] + sizes[1] / 20, "{sizes:?}");
}

fn name(text: &str) -> GateName {
    text.parse().unwrap()
}

/// Restores what a rollout by one policy has saved by another.
fn taken_up(bench: &Bench, policy: Policy) -> Result<(), String> {
    Rollout::restore(bench.rollout.snapshot(), policy).map(drop).map_err(|error| error.to_string())
}

#[test]
fn a_state_whose_gates_the_policy_does_not_have_is_refused() {
    type Put = fn(&mut PolicySpec, Vec<GateName>);
    let gates = |spec: &mut PolicySpec| {
        for gate in ["go", "oncall"] {
            spec.gates.insert(name(gate), GateSpec::approval());
        }
    };
    let asks = |bench: &Bench| bench.rollout.asked().is_some_and(|a| a.gate == name("oncall"));
    let two = || vec![name("go"), name("oncall")];
    let moments: [(Put, &str); 3] = [
        (|spec, gates| spec.start = gates, "1 of 0 gates are open"),
        (|spec, gates| spec.stages[0].gates = gates, "1 gates of stage `half` are open"),
        (|spec, gates| spec.promotion.after = gates, "1 of 0 gates are open"),
    ];
    for (put, refusal) in moments {
        let with = plan(|spec| {
            gates(spec);
            put(spec, two());
        });
        let (mut bench, _) = Bench::start(with.clone());
        bench.go_on_until(asks);
        assert_eq!(taken_up(&bench, with), Ok(()));
        let refused = taken_up(&bench, plan(|_| {})).unwrap_err();
        assert!(refused.contains(refusal), "{refused}");
    }
}

#[test]
fn a_fast_return_that_has_opened_its_gates_is_taken_up() {
    let policy = plan(|spec| {
        spec.gates.insert(name("oncall"), GateSpec::approval());
        spec.stages[1].enter = vec![name("go"), name("oncall")];
    });
    let (mut bench, _) = Bench::start(policy.clone());
    let begin = Begin::new("shop-1".parse().unwrap(), policy.clone()).fast_return(true);
    (bench.rollout, _) = Rollout::begin(begin.version(Some("v7".to_owned())), T0);
    bench.go_on_until(|bench| bench.rollout.asked().is_some_and(|a| a.gate == name("oncall")));
    assert_eq!(taken_up(&bench, policy), Ok(()));
}

#[test]
fn a_state_of_other_checks_is_refused() {
    let checked = |checks: Vec<Check>| plan(|spec| spec.checks = checks);
    let errors = || Check::above("errors", "error_rate", 0.05);
    let switch = |gate: &str| Check::gate("switch", name(gate));
    let policy = checked(vec![errors(), switch("kill")]);
    let bench = Bench::holding_at(Weight::percent(50), policy.clone());
    assert_eq!(taken_up(&bench, policy), Ok(()));
    let others = [
        vec![errors()],
        vec![errors(), switch("other")],
        vec![Check::above("errors", "latency_p99", 0.05), switch("kill")],
    ];
    for checks in others {
        let refused = taken_up(&bench, checked(checks)).unwrap_err();
        assert!(refused.contains("its checks are not the policy's"), "{refused}");
    }
}
