//! What a report says of a rollout.
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

mod support;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Duration;

use canary_core::policy::{Check, Policy, Then};
use canary_core::rollout::CommandKind;
use canary_core::simulate::{Crash, Fault, Service, Simulation};
use canary_core::value::Weight;
use serde_json::Value;
use support::{Bench, policy};

#[test]
fn a_stage_without_traffic_is_no_roll_back() {
    let policy = Policy::builder("shop")
        .header("x-canary", "true")
        .stage("dark", Weight::ZERO, Duration::from_secs(60))
        .stage("full", Weight::FULL, Duration::from_secs(60))
        .build()
        .unwrap();
    let report = Simulation::of(&policy).run();
    report.assert_promoted();
    assert_eq!(report.zero_accepted, None, "{}", report.sentence());

    let aborted = |canary| {
        let abort = CommandKind::Abort { reason: "enough".to_owned() };
        Simulation::of(&policy).canary(canary).command(Duration::from_secs(30), abort).run()
    };
    let report = aborted(Service::healthy());
    let asked = report.started + Duration::from_secs(30);
    assert_eq!((report.rollback_decided, report.zero_accepted), (Some(asked), Some(asked)));
    assert!(report.sentence().starts_with("rolled back at 0% after"), "{}", report.sentence());
}

/// Lets a rollout be aborted once its phase and weight are these, and returns what its report says.
fn aborted_at(phase: &str, weight: Weight) -> String {
    let (mut bench, _) = Bench::start(policy());
    bench.go_on_until(|b| b.rollout.phase().name() == phase && b.rollout.weight() == weight);
    bench.command(CommandKind::Abort { reason: "enough".to_owned() });
    bench.go_on_until(|b| b.rollout.is_settled());
    let report = bench.rollout.report();
    assert_eq!(report.zero_accepted, report.rollback_decided);
    report.sentence()
}

#[test]
fn a_rollout_is_rolled_back_at_the_weight_that_was_accepted_last() {
    for (phase, weight, at) in [
        ("entering", Weight::ZERO, "0%"),
        ("holding", Weight::percent(10), "10%"),
        // Half is asked for, and a tenth is what there is.
        ("entering", Weight::percent(10), "10%"),
        ("holding", Weight::percent(50), "50%"),
    ] {
        let sentence = aborted_at(phase, weight);
        let begin = format!("rolled back at {at} after");
        assert!(sentence.starts_with(&begin), "{phase} at {weight}: {sentence}");
    }
}

/// Collects the names under which numbers stand in a JSON value.
fn numbers(value: &Value, name: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Number(_) => _ = found.insert(name.to_owned()),
        // Both sides of one thing stand under its name.
        Value::Object(fields) => fields.iter().for_each(|(field, value)| {
            let both = matches!(&**field, "stable" | "canary");
            numbers(value, if both { name } else { field }, found);
        }),
        Value::Array(items) => items.iter().for_each(|item| numbers(item, name, found)),
        _ => {}
    }
}

#[test]
fn every_number_in_json_says_its_unit() {
    let policy = Policy::builder("shop")
        .stage("half", Weight::percent(50), Duration::from_secs(60))
        .stage("full", Weight::FULL, Duration::from_secs(60))
        .check(Check::worse_than_stable("errors", 1.25))
        .check(Check::above_stable("slow", "latency.p95", 1.5).then(Then::Hold))
        .build()
        .unwrap();
    let simulation = Simulation::of(&policy)
        .crash(Crash::at("20s").down_for("5s"))
        .fault("40s", Fault::routed_by_hand(Weight::percent(80)));
    let slow = Service::healthy().p95(Duration::from_millis(900));
    let mut found = BTreeSet::new();
    for report in [simulation.run(), simulation.canary(slow).run()] {
        numbers(&serde_json::from_str(&report.to_json()).unwrap(), "", &mut found);
    }
    // What counts has no unit, a check's numbers are in that of the metric beside them, and odds are to one.
    let plain = [
        "attempt",
        "bad",
        "epoch",
        "held_back",
        "last",
        "left_out",
        "limit",
        "looks",
        "needed",
        "number",
        "odds",
        "points",
        "stage",
        "stages",
        "threshold",
        "ticks",
        "total",
        "version",
    ];
    let bare: Vec<_> = found
        .iter()
        .filter(|name| !name.ends_with("_ms") && !name.ends_with("_bp"))
        .filter(|name| !plain.contains(&name.as_str()))
        .collect();
    assert_eq!(bare, [""; 0]);
    for name in ["weight_bp", "at_ms", "p95_ms", "canary_bp", "until_ms"] {
        assert!(found.contains(name), "{name} in {found:?}");
    }
}

#[test]
fn where_a_rollout_stands_is_one_line() {
    let (mut bench, _) = Bench::start(policy());
    let lines = RefCell::new(Vec::new());
    bench.go_on_until(|b| {
        let line = b.rollout.status(b.now).to_string();
        if lines.borrow().last() != Some(&line) {
            lines.borrow_mut().push(line);
        }
        b.rollout.is_settled()
    });
    let line = |rest: &str| format!("shop-1: {rest}");
    let expected = [
        "starting at 0%; waits for the router",
        "stage 1 of 3 (tenth) at 0%, 0 s of 20 s held; waits for the router",
        "stage 1 of 3 (tenth) at 10%, 0 s of 20 s held; holds for another 20 s",
        "stage 1 of 3 (tenth) at 10%, 10 s of 20 s held; holds for another 10 s",
        "stage 2 of 3 (half) at 10%, 0 s of 10 s held; waits for the router",
        "stage 2 of 3 (half) at 50%, 0 s of 10 s held; holds for another 10 s",
        "stage 2 of 3 (half) at 50%, 10 s of 10 s held; waits for gate oncall",
        "stage 3 of 3 (full) at 50%, 0 s of 10 s held; waits for the router",
        "stage 3 of 3 (full) at 100%, 0 s of 10 s held; holds for another 10 s",
        "releasing at 100%; waits for the router",
        "promoted",
    ];
    assert_eq!(lines.into_inner(), expected.map(line));
}

#[test]
fn looks_that_found_the_same_are_one_line_of_the_page() {
    let policy = Policy::builder("shop")
        .stage("half", Weight::percent(50), Duration::from_secs(1800))
        .stage("full", Weight::FULL, Duration::from_secs(60))
        .check(Check::above("hot", "cpu", 0.8).then(Then::Hold))
        .build()
        .unwrap();
    let report = Simulation::of(&policy)
        .canary(Service::healthy().gauge("cpu", 0.9))
        .limit(Duration::from_secs(1800))
        .run();
    let page = report.to_markdown();
    let looks: Vec<&str> = page.lines().filter(|line| line.contains("hot fails")).collect();
    assert_eq!(looks.len(), 1, "{page}");
    let count = looks[0].split(" looks until ").next().unwrap().rsplit(' ').next().unwrap();
    assert!(count.parse::<usize>().unwrap() > 100, "{page}");
}
