//! What holds for every plan and every canary: random rollouts in the simulator.
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::time::Duration;

use canary_core::policy::{Check, GateSpec, Patience, Policy, Then};
use canary_core::record::{Content, Record, Ruling};
use canary_core::report::Report;
use canary_core::rollout::CommandKind;
use canary_core::simulate::{Opening, Service, Simulation};
use canary_core::value::Weight;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

fn any_policy() -> impl Strategy<Value = Policy> {
    let weights = prop::collection::btree_set(1_u16..10_000, 1..5);
    let settle = 0_u64..4_000;
    (weights, 0_u64..120, settle, any::<bool>(), any::<bool>(), 0_u64..60).prop_map(
        |(weights, hold, settle, gated, hard_limit, lasting)| {
            let mut builder = Policy::builder("any")
                .every(Duration::from_secs(10))
                .settle(Duration::from_millis(settle))
                .check(Check::worse_than_stable("errors", 1.25))
                .check(
                    Check::above("many", "error_rate", 0.3)
                        .lasting(Duration::from_secs(lasting.min(hold))),
                )
                .check(Check::above_stable("slow", "latency.p95", 3.0).then(Then::Hold))
                .no_data(Patience::new(Duration::from_secs(60), Then::RollBack));
            for weight in weights {
                let weight = Weight::from_basis_points(weight).unwrap();
                builder = builder.stage(weight.to_string(), weight, Duration::from_secs(hold));
                if gated {
                    builder = builder
                        .gate("oncall", GateSpec::approval().timeout(Duration::from_secs(100)));
                }
            }
            let builder = builder.stage("full", Weight::FULL, Duration::from_secs(hold));
            if hard_limit { builder } else { builder.without_hard_limit() }.build().unwrap()
        },
    )
}

fn any_simulation() -> impl Strategy<Value = Simulation> {
    let services = (0.0_f64..0.5, 20_u64..400, any::<bool>(), prop::bool::weighted(0.1));
    let abort = prop::option::weighted(0.3, 0_u64..900);
    let pause = prop::option::weighted(0.3, (0_u64..300, 0_u64..300));
    (
        any_policy(),
        0.0_f64..500.0,
        services,
        any::<u64>(),
        abort,
        pause,
        prop::option::of(1_usize..80),
    )
        .prop_map(
            |(policy, rps, (errors, median, innocent, silent), seed, abort, pause, crash)| {
                let healthy = Service::healthy();
                let bad = healthy.clone().errors(errors).median(Duration::from_millis(median));
                let canary = if innocent { healthy } else { bad };
                let canary = if silent { canary.silent() } else { canary };
                let mut simulation = Simulation::of(&policy).traffic(rps).canary(canary).seed(seed);
                if policy.gates().next().is_some() {
                    let opening = Opening::After(Duration::from_secs(seed % 130));
                    simulation = simulation.gate("oncall", opening);
                }
                if let Some(after) = abort {
                    let command = CommandKind::Abort { reason: "any".to_owned() };
                    simulation = simulation.command(Duration::from_secs(after), command);
                }
                if let Some((after, length)) = pause {
                    simulation = simulation
                        .command(Duration::from_secs(after), CommandKind::Pause)
                        .command(Duration::from_secs(after + length), CommandKind::Resume);
                }
                match crash {
                    Some(effect) => simulation.crash_after(effect),
                    None => simulation,
                }
            },
        )
}

/// Writes the seeds of failures beside this file.
fn config() -> ProptestConfig {
    let seeds = FileFailurePersistence::Direct("tests/rollouts.proptest-regressions");
    ProptestConfig {
        cases: 400,
        failure_persistence: Some(Box::new(seeds)),
        ..ProptestConfig::default()
    }
}

fn run(simulation: &Simulation) -> (Vec<Record>, Report) {
    let mut records: Vec<Record> = Vec::new();
    let report = simulation.run_observed(|record| {
        // After a crash some come again, and must be the same.
        match records.iter().find(|known| known.number == record.number) {
            Some(known) => assert_eq!(known, record),
            None => records.push(record.clone()),
        }
    });
    (records, report)
}

/// Writes the records down, to be read when a property fails.
fn story(records: &[Record]) -> String {
    records.iter().map(|record| format!("{record}\n")).collect()
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_same_seed_gives_the_same_rollout(simulation in any_simulation()) {
        prop_assert_eq!(run(&simulation), run(&simulation));
    }

    #[test]
    fn a_report_is_the_fold_over_the_records(simulation in any_simulation()) {
        let (records, report) = run(&simulation);
        if report.outcome.is_some() {
            prop_assert_eq!(Report::of(&records), report);
        }
    }

    #[test]
    fn the_weight_rises_only_after_a_tick_that_went_on(simulation in any_simulation()) {
        let (records, _) = run(&simulation);
        let (mut weight, mut went_on) = (Weight::ZERO, true);
        for record in &records {
            match &record.content {
                Content::TrafficAccepted { weight: now, .. } => {
                    // The first weight above none needs no verdict: there was nothing to judge.
                    prop_assert!(*now <= weight || went_on || weight == Weight::ZERO, "{}\n{}", record, story(&records));
                    // Putting back what was there changes nothing that a verdict was about.
                    went_on &= *now == weight;
                    weight = *now;
                }
                Content::Judged(judgement) => went_on = judgement.ruling == Ruling::GoOn,
                _ => {}
            }
        }
    }

    #[test]
    fn a_canary_that_is_taken_back_ends_at_zero_and_nothing_follows_the_end(simulation in any_simulation()) {
        let (records, report) = run(&simulation);
        let mut ended = false;
        let mut weight = Weight::ZERO;
        for record in &records {
            prop_assert!(!ended, "{record} after the end");
            match &record.content {
                Content::TrafficAccepted { weight: now, .. } => weight = *now,
                Content::Ended { .. } => ended = true,
                _ => {}
            }
        }
        if let Some(outcome) = &report.outcome {
            prop_assert_eq!(weight, if outcome.is_promoted() { Weight::FULL } else { Weight::ZERO });
        }
    }

    #[test]
    fn a_report_survives_json(simulation in any_simulation()) {
        let (_, report) = run(&simulation);
        let back: Report = serde_json::from_str(&report.to_json()).unwrap();
        prop_assert_eq!(back.to_json(), report.to_json());
    }
}

#[test]
fn innocent_rollouts_are_left_alone() {
    let policy = Policy::builder("shop")
        .stage("five", Weight::percent(5), Duration::from_secs(600))
        .stage("half", Weight::percent(50), Duration::from_secs(600))
        .stage("full", Weight::FULL, Duration::from_secs(60))
        .check(Check::worse_than_stable("errors", 1.25))
        .build()
        .unwrap();
    let taken_back = |errors: f64| {
        let canary = Service::healthy().errors(errors);
        let simulation = Simulation::of(&policy)
            .traffic(200.0)
            .stable(Service::healthy().errors(0.002))
            .canary(canary);
        (0..400)
            .filter(|seed| !simulation.clone().seed(*seed).run().outcome.unwrap().is_promoted())
            .count()
    };
    // One innocent rollout in a hundred may be taken back, so four of these on average at the very edge.
    assert!(taken_back(0.002) <= 4, "{}", taken_back(0.002));
    assert!(taken_back(0.02) >= 398, "{}", taken_back(0.02));
}

#[test]
fn each_approval_of_a_simulated_rollout_is_given() {
    let two_in_one_stage = Policy::builder("shop")
        .stage("half", Weight::percent(50), Duration::from_secs(60))
        .gate("oncall", GateSpec::approval())
        .gate("owner", GateSpec::approval())
        .stage("full", Weight::FULL, Duration::from_secs(60));
    let one_in_each_stage = Policy::builder("shop")
        .stage("tenth", Weight::percent(10), Duration::from_secs(60))
        .gate("oncall", GateSpec::approval())
        .stage("half", Weight::percent(50), Duration::from_secs(60))
        .gate("oncall", GateSpec::approval())
        .stage("full", Weight::FULL, Duration::from_secs(60));
    for policy in [two_in_one_stage, one_in_each_stage] {
        let simulation = Simulation::of(&policy.build().unwrap());
        simulation.run().assert_promoted();
        let late = simulation.clone().gate("oncall", Opening::After(Duration::from_secs(100)));
        for effect in 1..60 {
            for simulation in [&simulation, &late] {
                let crashing = simulation.clone().crash_after(effect);
                let report = crashing.run_observed(|record| {
                    assert!(!record.to_string().contains("not possible"), "{record}");
                });
                report.assert_promoted();
            }
        }
        let commands = [CommandKind::Pause, CommandKind::Resume].into_iter().enumerate();
        let with = commands.fold(late, |late, (i, command)| {
            late.command(Duration::from_secs(100 + i as u64), command)
        });
        with.run().assert_promoted();
    }
}

#[test]
fn a_gate_that_never_opens_leaves_the_rollout_unfinished() {
    let policy = Policy::builder("shop")
        .stage("half", Weight::percent(50), Duration::from_secs(60))
        .gate("oncall", GateSpec::approval())
        .stage("full", Weight::FULL, Duration::from_secs(60))
        .build()
        .unwrap();
    let report = Simulation::of(&policy).gate("oncall", Opening::Never).run();
    assert_eq!(report.outcome, None);
    assert_eq!(report.highest_weight(), Weight::percent(50));
    let late =
        Simulation::of(&policy).gate("oncall", Opening::After(Duration::from_secs(1000))).run();
    late.assert_promoted();
}
