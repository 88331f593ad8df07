//! What time that passes, or a call that takes its time, must not change.
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

mod support;

use std::time::Duration;

use canary_core::policy::{Check, HARD_LIMIT, PROGRESS, Patience, Policy, PolicyBuilder, Then};
use canary_core::ports::{Observed, Readiness};
use canary_core::record::Content;
use canary_core::rollout::{Action, CommandKind, Event, Reply, Rollout};
use canary_core::simulate::{Fault, Opening, Port, Service, SimulatedWorkload, Simulation};
use canary_core::value::{Traffic, Version, Weight};
use support::{Bench, entering};

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn four() -> PolicyBuilder {
    Policy::builder("shop")
        .every(s(10))
        .stage("a", Weight::percent(5), s(120))
        .stage("b", Weight::percent(25), s(120))
        .stage("c", Weight::percent(50), s(120))
        .stage("d", Weight::FULL, s(120))
        .check(Check::above("errors", "error_rate", 0.5))
}

#[test]
fn the_time_in_which_the_process_stood_still_counts_for_no_hold() {
    let policy = Policy::builder("shop")
        .every(s(10))
        .stage("half", Weight::percent(50), s(1800))
        .stage("full", Weight::FULL, s(60))
        .without_hard_limit()
        .build()
        .unwrap();
    let report = Simulation::of(&policy).fault("2m", Fault::frozen_for("1h")).run();
    let half = &report.stages[0];
    let held = half.left.unwrap().since(half.entered);
    assert!(held >= s(1800 + 3600 - 20), "{held:?}");
}

#[test]
fn what_is_seen_while_a_stage_is_entered_belongs_to_the_one_that_is_left() {
    let policy = four().build().unwrap();
    let plan = || Simulation::of(&policy).traffic(200.0).seed(1);
    for plan in [
        plan()
            .workload(SimulatedWorkload::ready_after("2m"))
            .command("3m", CommandKind::PromoteFull),
        plan().fault("7m", Port::Router.hangs_for("30s")).command("7m", CommandKind::Retry),
        plan().fault("200s", Fault::routed_by_hand(Weight::percent(1))),
    ] {
        let mut seen = 0;
        let report = plan.run_observed(|record| {
            if let Content::Judged(look) = &record.content {
                seen += look.requests.map_or(0, |requests| requests.canary.total);
            }
        });
        assert_eq!(report.requests().canary.total, seen, "{}", report.to_markdown());
    }
}

#[test]
fn a_stage_that_is_entered_again_shows_its_own_samples() {
    let policy = Policy::from_yaml(
        "
version: 1
name: shop
every: 10s
stages:
  - { name: a, weight: 5%, hold: 1m, pass: { samples: 6000 } }
  - { name: b, weight: 50%, hold: 2m }
  - { name: c, weight: 100%, hold: 10m }
checks:
  - { name: errors, metric: error_rate, above: 50%, then: roll_back }
",
    )
    .unwrap();
    let report = Simulation::of(&policy)
        .traffic(200.0)
        .seed(1)
        .limit(s(40_000))
        .fault("18m", Port::Router.hangs_for("40s"))
        .command("18m", CommandKind::Retry)
        .run();
    let again = report.stages.iter().filter(|stage| stage.name == "a").nth(1).unwrap();
    // Ten requests a second reach the canary.
    let held = again.left.unwrap().since(again.entered);
    assert!(held >= s(580), "{held:?}");
}

#[test]
fn readiness_that_lies_far_back_is_asked_for_again_before_a_raise() {
    let policy = Policy::builder("shop")
        .every(s(10))
        .stage("tenth", Weight::percent(10), s(20))
        .stage("half", Weight::percent(50), s(10))
        .stage("full", Weight::FULL, s(10))
        .check(Check::above("errors", "error_rate", 0.05).then(Then::Hold))
        .without_hard_limit()
        .build()
        .unwrap();
    let mut bench = Bench::with_workload(policy);
    let asked = |bench: &Bench| bench.opened("make the canary ready");
    // The hour has more states than one would count.
    let saved = |bench: &mut Bench| {
        let rev = bench.saving();
        bench.saved(rev);
    };
    let later = |bench: &mut Bench| {
        bench.now = bench.rollout.deadline().unwrap();
        bench.step(Event::Tick);
        saved(bench);
    };
    bench.go_on_until(|b| entering(b) && b.rollout.weight() == Weight::percent(10) && asked(b));
    saved(&mut bench);
    while !bench.opened("measure") {
        later(&mut bench);
    }
    bench.measured(50);
    saved(&mut bench);
    while !asked(&bench) {
        later(&mut bench);
    }
    bench.ready(Readiness::ready_for(Weight::percent(50)));
    saved(&mut bench);
    // The check holds the raise up for the better part of an hour.
    for look in 0..360 {
        if bench.opened("observe") {
            bench.observed(Weight::percent(10));
            saved(&mut bench);
        }
        if bench.opened("measure") {
            bench.measured(if look < 350 { 50 } else { 0 });
            saved(&mut bench);
        }
        assert!(!bench.opened("route 50%"), "raised by a word that is an hour old");
        if asked(&bench) {
            return;
        }
        later(&mut bench);
    }
    panic!("nobody asked: {:?}", bench.open);
}

#[test]
fn a_watched_gate_that_fails_for_hours_drives_nothing_out_of_the_story() {
    let policy = Policy::builder("shop")
        .every(s(15))
        .stage("a", Weight::percent(1), s(600))
        .stage("full", Weight::FULL, s(10))
        .check(Check::above("errors", "error_rate", 0.5))
        .check(Check::gate("alerts", "alerts".parse().unwrap()))
        .build()
        .unwrap();
    let mut failed = 0;
    let report = Simulation::of(&policy)
        .limit(s(12 * 3600))
        .fault("1m", Port::Gates.down_for("20h"))
        .command("4h", CommandKind::Pause)
        .run_observed(|record| {
            failed += u32::from(matches!(record.content, Content::CallFailed { .. }));
        });
    assert!((4..32).contains(&failed), "{failed}");
    let kept = |content: &Content| matches!(content, Content::Commanded { .. });
    assert!(report.timeline.iter().any(|record| kept(&record.content)));
}

#[test]
fn a_question_stands_until_a_person_answers_it() {
    let policy = Policy::builder("shop")
        .every(s(15))
        .stage("half", Weight::percent(50), s(1200))
        .stage("full", Weight::FULL, s(60))
        .check(Check::above("errors", "error_rate", 0.05).then(Then::Ask))
        .without_hard_limit()
        .build()
        .unwrap();
    let bad_for_a_while = Service::healthy().errors_from("4m", 0.2).errors_from("8m", 0.0);
    let plan = || Simulation::of(&policy).traffic(200.0).canary(bad_for_a_while.clone());
    let unanswered = plan().limit(s(86_400)).run();
    assert_eq!(unanswered.outcome, None, "{}", unanswered.to_markdown());
    let answered = plan().answer("errors", Opening::after("1h")).run();
    answered.assert_promoted();
    assert!(answered.stages[0].left.unwrap().since(answered.stages[0].entered) >= s(3600));
}

#[test]
fn people_answer_for_the_hard_limit_and_for_progress_too() {
    let silent = Patience::new(s(60), Then::Ask);
    for (check, no_data, progress) in
        [(HARD_LIMIT, silent, None), (PROGRESS, Patience::default(), Some(silent))]
    {
        let mut spec = four().build().unwrap().spec().clone();
        spec.checks.clear();
        (spec.no_data, spec.progress) = (no_data, progress);
        let policy = Policy::from_spec(spec).unwrap();
        let plan = || Simulation::of(&policy).canary(Service::healthy().silent()).limit(s(86_400));
        assert_eq!(plan().run().outcome, None, "{check}");
        plan().answer(check, Opening::Rejects).run().assert_rolled_back();
    }
}

#[test]
fn a_plan_of_the_same_shape_is_another_plan() {
    let (rollout, _) =
        Rollout::start("shop-1".parse().unwrap(), four().build().unwrap(), support::T0);
    let other = Policy::builder("shop")
        .every(s(10))
        .stage("a", Weight::percent(40), s(120))
        .stage("b", Weight::percent(60), s(120))
        .stage("c", Weight::percent(70), s(120))
        .stage("d", Weight::FULL, s(120))
        .check(Check::above("errors", "error_rate", 0.5));
    let refused = Rollout::restore(rollout.snapshot(), other.build().unwrap()).unwrap_err();
    assert!(refused.to_string().contains("stages"), "{refused}");
}

#[test]
fn an_answer_of_another_sort_changes_nothing() {
    let mut bench = Bench::holding_at(Weight::percent(10), support::policy());
    bench.command(CommandKind::Abort { reason: "x".to_owned() });
    let route = |(_, action): &&(_, Action)| matches!(action, Action::Route { .. });
    let (call, _) = bench.open.iter().find(route).cloned().unwrap();
    let before = bench.rollout.clone();
    let seen = Observed::new(Traffic::all_stable(), Version::new("v"));
    for reply in [Reply::Released(Ok(())), Reply::Observed(Ok(seen))] {
        let event = Event::Reply { id: call.id, attempt: call.attempt, reply };
        assert!(bench.step(event).is_empty());
        assert_eq!(bench.rollout, before);
    }
}
