//! A stage in which the canary gets copies of stable's requests, whose answers nobody sees.
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::time::Duration;

use canary_core::policy::Policy;
use canary_core::record::{Content, Judgement, Record, Verdict};
use canary_core::simulate::{Service, Simulation, Trace};
use canary_core::value::Weight;

const PLAN: &str = "
version: 1
name: shadow
every: 15s
stages:
  - { name: shadow, weight: 0%, mirror: 20%, hold: 10m, pass: { samples: 1000, error_rate: \"<= 2%\" } }
  - { name: tenth,  weight: 10%, hold: 10m }
  - { name: all,    weight: 100%, hold: 10m }
checks:
  - { name: errors, worse_than_stable: 1.25x }
  - { name: slow,   metric: latency.p95, above: 1.5x stable, for: 1m }
  - { name: later,  metric: error_rate, above: 30%, from: 10% }
";

fn plan() -> Policy {
    Policy::from_yaml(PLAN).unwrap()
}

fn run(canary: Service) -> Trace {
    Simulation::of(&plan()).traffic(100.0).canary(canary).seed(7).run_traced()
}

fn judged(trace: &Trace) -> impl Iterator<Item = &Judgement> {
    let content = trace.records().iter().map(|Record { content, .. }| content);
    content.filter_map(|content| match content {
        Content::Judged(judgement) => Some(&**judgement),
        _ => None,
    })
}

/// Says what each check came to in the first stage, at its last look.
fn in_the_shadow(trace: &Trace) -> Vec<(String, Verdict)> {
    let last = judged(trace).filter(|judgement| judgement.weight == Weight::ZERO).last().unwrap();
    last.checks.iter().map(|check| (check.check.to_string(), check.verdict)).collect()
}

#[track_caller]
fn nobody_saw(trace: &Trace) {
    let weights = trace.weights();
    assert!(weights.iter().all(|(_, weight)| *weight == Weight::ZERO), "{weights:?}");
}

#[test]
fn copies_are_judged_and_a_good_canary_goes_on() {
    let trace = run(Service::healthy());
    trace.report().assert_promoted();
    let verdicts = in_the_shadow(&trace);
    let pass = |name: &str| (name.to_owned(), Verdict::Pass);
    let later = ("later".to_owned(), Verdict::NotApplicable);
    assert_eq!(verdicts, [pass("hard-limit"), pass("errors"), pass("slow"), later]);
}

#[test]
fn a_bad_canary_is_taken_back_before_any_user_sees_it() {
    for (canary, by) in [
        (Service::healthy().errors(0.2), "errors"),
        (Service::healthy().errors(0.9), "hard-limit"),
        (Service::healthy().median(Duration::from_millis(400)), "slow"),
    ] {
        let trace = run(canary);
        trace.report().assert_rolled_back_by(by);
        assert!(trace.report().requests().canary.bad > 0);
        assert_eq!(trace.report().canary_errors_served(), 0);
        nobody_saw(&trace);
    }
}

#[test]
fn without_copies_that_could_be_measured_the_clock_stands() {
    let trace = run(Service::healthy().silent());
    assert_eq!(trace.report().outcome, None);
    nobody_saw(&trace);
}

#[test]
fn what_the_copies_show_is_asked_for_before_the_stage_is_left() {
    let slow = Simulation::of(&plan()).traffic(5.0).seed(7).run_traced();
    let at = |weight| slow.weights().iter().find(|(_, w)| *w == weight).map(|(at, _)| *at);
    let begun = slow.report().started;
    // A copy a second: a thousand of them take longer than the ten minutes of the hold.
    let raised = at(Weight::percent(10)).unwrap();
    assert!(raised.since(begun) > Duration::from_secs(900), "{raised}");
}
