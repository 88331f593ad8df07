//! What a report says of a rollout.
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

mod support;

use std::time::Duration;

use canary_core::policy::Policy;
use canary_core::rollout::CommandKind;
use canary_core::simulate::{Service, Simulation};
use canary_core::value::Weight;
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
