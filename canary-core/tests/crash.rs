//! A process that dies after any effect: whoever takes over reaches the same outcome.
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::collections::BTreeMap;
use std::time::Duration;

use canary_core::policy::{Check, GateSpec, Policy, Then};
use canary_core::record::{Content, Record};
use canary_core::simulate::{Service, Simulation};
use canary_core::value::Weight;

fn policy() -> Policy {
    Policy::builder("shop")
        .every(Duration::from_secs(15))
        .settle(Duration::from_secs(2))
        .stage("tenth", Weight::percent(10), Duration::from_secs(60))
        .gate("oncall", GateSpec::approval())
        .stage("half", Weight::percent(50), Duration::from_secs(60))
        .gate("smoke", GateSpec::default())
        .stage("full", Weight::FULL, Duration::from_secs(30))
        .check(Check::worse_than_stable("errors", 1.25))
        .check(
            Check::above_stable("slow", "latency.p95", 2.0)
                .lasting(Duration::from_secs(30))
                .then(Then::Hold),
        )
        .build()
        .unwrap()
}

/// Runs and returns the records that observers were told, in the order of telling.
fn run(simulation: &Simulation) -> (Vec<Record>, canary_core::report::Report) {
    let mut records = Vec::new();
    let report = simulation.run_observed(|record| records.push(record.clone()));
    (records, report)
}

#[test]
fn a_crash_after_any_effect_changes_no_outcome_and_loses_no_record() {
    for (canary, expected) in [(0.001, "promoted"), (0.2, "rolled back: errors")] {
        let simulation = Simulation::of(&policy())
            .traffic(200.0)
            .canary(Service::healthy().errors(canary))
            .seed(3);
        let (undisturbed, report) = run(&simulation);
        let outcome = report.outcome.expect("it ends");
        assert!(outcome.to_string().starts_with(expected), "{outcome}");
        let mut crashes = 0;
        for effect in 1.. {
            let (told, report) = run(&simulation.clone().crash_after(effect));
            if told == undisturbed {
                // The rollout was over before: every effect has had its turn.
                break;
            }
            crashes += 1;
            assert_eq!(report.outcome.as_ref(), Some(&outcome), "crash after effect {effect}");
            let mut by_number = BTreeMap::new();
            for record in told {
                let known = by_number.entry(record.number).or_insert_with(|| record.clone());
                assert_eq!(*known, record, "crash after effect {effect}: one number, two records");
            }
            assert_eq!(
                by_number.keys().copied().collect::<Vec<_>>(),
                (1..=by_number.len() as u64).collect::<Vec<_>>()
            );
            let ended =
                by_number.values().filter(|r| matches!(r.content, Content::Ended { .. })).count();
            assert_eq!(ended, 1, "crash after effect {effect}");
        }
        assert!(crashes > 20, "only {crashes} crashes");
    }
}

#[test]
fn downtime_counts_for_no_hold() {
    // The policy's holds add up to 150 s; whatever the crash, no rollout may be promoted before that.
    let simulation = Simulation::of(&policy()).traffic(200.0).seed(3);
    for effect in 1..60 {
        let (_, report) = run(&simulation.clone().crash_after(effect));
        let length = report.ended.unwrap().since(report.started);
        assert!(length >= Duration::from_secs(150), "crash after effect {effect}: {length:?}");
    }
}
