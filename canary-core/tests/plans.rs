//! What a plan may hold beside weights and checks: gates at every moment, a workload, questions, drift, deadlines.
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

mod support;

use canary_core::policy::{Drift, GateSpec, How, Patience, Policy, PolicySpec, Stage, Then};
use canary_core::ports::{Decision, Progress, Readiness};
use canary_core::rollout::{CommandKind, Event};
use canary_core::value::{Failure, FailureKind, Traffic, Weight};
use support::{Bench, holding, s};

/// One mixed stage and a full one, nothing checked, changed as a test likes.
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

fn name(text: &str) -> canary_core::value::GateName {
    text.parse().unwrap()
}

/// Goes through to the end and returns what was told, but for the judgements.
fn story(mut bench: Bench) -> Vec<String> {
    bench.go_on_until(|bench| bench.rollout.is_settled());
    bench.told()
}

#[test]
fn gates_are_asked_at_every_moment_in_their_order() {
    let policy = plan(|spec| {
        spec.start = vec![name("go")];
        spec.stages[0].enter = vec![name("calm")];
        spec.stages[0].gates = vec![name("smoke"), name("oncall")];
        spec.stages[1].enter = vec![name("hours")];
        spec.promotion.gates = vec![name("last")];
        spec.promotion.after = vec![name("after")];
        spec.gates.insert(name("oncall"), GateSpec::approval());
    });
    let (bench, _) = Bench::start(policy);
    assert_eq!(
        story(bench),
        [
            "started",
            "accepted 0%",
            "asked go",
            "opened go",
            "asked calm",
            "opened calm",
            "entered half",
            "accepted 50%",
            "asked smoke",
            "opened smoke",
            "asked oncall",
            "opened oncall by ana",
            "commanded approve oncall: done",
            "asked hours",
            "opened hours",
            "entered full",
            "accepted 100%",
            "asked last",
            "opened last",
            "asked after",
            "opened after",
            "promoted",
        ]
    );
}

#[test]
fn a_workload_is_made_ready_promoted_in_place_and_retired() {
    let policy = plan(|spec| spec.promotion.keep_old_ms = 60_000);
    let bench = Bench::with_workload(policy);
    assert_eq!(
        story(bench),
        [
            "started",
            "accepted 0%",
            "the canary is ready for 50%",
            "entered half",
            "accepted 50%",
            "entered full",
            "the canary is ready for 100%",
            "accepted 100%",
            "entered bake",
            "point of no return: stable takes the new version",
            "stable has the new version",
            "accepted 0%",
            "the canary is gone",
            "promoted",
        ]
    );
}

#[test]
fn a_swap_leaves_the_traffic_where_it_is_and_retires_the_old_version() {
    let policy = plan(|spec| spec.promotion.how = How::Swap);
    let bench = Bench::with_workload(policy);
    let told = story(bench);
    assert_eq!(
        told[told.len() - 4..],
        ["accepted 100%", "the canary is the stable one", "the old version is gone", "promoted"]
    );
}

#[test]
fn the_way_back_after_the_point_of_no_return_restores_stable_first() {
    let policy = plan(|_| {});
    let mut bench = Bench::with_workload(policy);
    bench.go_on_until(|bench| bench.opened("make the new version"));
    bench.command(CommandKind::Abort { reason: "late".to_owned() });
    assert!(!bench.opened("make the old version"), "{:?}", bench.open);
    // It waits for one try to save it, and no longer.
    let rev = bench.saving();
    let failure = Failure::new(FailureKind::Unavailable, "down");
    let effects = bench.step(Event::Persisted { rev, result: Err(failure) });
    assert!(
        effects.iter().any(|e| e.ends_with("make the old version the stable one again")),
        "{effects:?}"
    );
    assert!(!effects.iter().any(|e| e.contains("route")), "{effects:?}");
    bench.progressed(Progress::Wait { why: "pods".to_owned() });
    while !bench.opened("make the old version") {
        assert!(!bench.opened("route"), "{:?}", bench.open);
        bench.now = bench.rollout.deadline().unwrap();
        bench.step(Event::Tick);
    }
    let effects = bench.progressed(Progress::Done);
    assert!(effects.iter().any(|e| e.ends_with("route 0% to the canary")), "{effects:?}");
    let told = story(bench);
    assert_eq!(
        told[told.len() - 4..],
        [
            "the old version is the stable one again",
            "accepted 0%",
            "the canary is gone",
            "rolled back"
        ]
    );
}

#[test]
fn the_way_back_of_a_swap_moves_the_traffic_first() {
    let policy = plan(|spec| {
        spec.promotion.how = How::Swap;
        spec.workload.keep_after_success_ms = 100_000;
    });
    let mut bench = Bench::with_workload(policy);
    bench.go_on_until(|bench| bench.rollout.phase().name() == "retiring");
    let effects = bench.command(CommandKind::Abort { reason: "late".to_owned() });
    assert!(effects.iter().any(|e| e.ends_with("route 0% to the canary")), "{effects:?}");
    let told = story(bench);
    assert_eq!(
        told[told.len() - 4..],
        [
            "accepted 0%",
            "the old version is the stable one again",
            "the canary is gone",
            "rolled back"
        ]
    );
}

#[test]
fn what_lost_its_traffic_is_kept_until_proxies_know() {
    for (how, abort) in [(How::InPlace, false), (How::Swap, false), (How::Swap, true)] {
        let mut bench = Bench::with_workload(plan(|spec| {
            spec.promotion.how = how;
            spec.settle_ms = 7_000;
        }));
        if abort {
            bench.go_on_until(|bench| bench.rollout.phase().name() == "holding");
            bench.command(CommandKind::Abort { reason: "enough".to_owned() });
        }
        bench.go_on_until(|bench| bench.rollout.phase().name() == "retiring");
        let emptied = bench.now;
        bench.go_on_until(|bench| bench.opened("retire"));
        assert_eq!(bench.now.since(emptied), s(7), "{how:?} {abort}");
    }
}

#[test]
fn what_never_had_any_traffic_is_not_kept() {
    let mut bench = Bench::with_workload(plan(|spec| spec.settle_ms = 7_000));
    bench.go_on_until(|bench| bench.opened("make the canary ready"));
    bench.command(CommandKind::Abort { reason: "enough".to_owned() });
    let decided = bench.now;
    bench.go_on_until(|bench| bench.opened("retire"));
    assert_eq!(bench.now, decided);
}

#[test]
fn a_canary_that_is_not_ready_in_time_is_taken_back() {
    let policy = plan(|spec| spec.workload.ready_within_ms = 5_000);
    let mut bench = Bench::with_workload(policy);
    for _ in 0..100 {
        if bench.rollout.outcome().is_some() {
            break;
        }
        bench.saved_latest();
        if bench.opened("make the canary ready") {
            bench.ready(Readiness::waiting("ImagePullBackOff in web-1"));
            continue;
        }
        if bench.open.is_empty() {
            bench.now = bench.rollout.deadline().unwrap();
            bench.step(canary_core::rollout::Event::Tick);
        } else {
            bench.answer_first();
        }
    }
    assert_eq!(
        bench.rollout.outcome().unwrap().to_string(),
        "rolled back: the canary was not ready within 5.0 s: ImagePullBackOff in web-1"
    );
    assert_eq!(bench.rollout.report().highest_weight(), Weight::ZERO);
}

#[test]
fn readiness_must_last() {
    let policy = plan(|spec| spec.workload.ready_for_ms = 10_000);
    let mut bench = Bench::with_workload(policy);
    bench.go_on_until(|bench| bench.opened("make the canary ready"));
    let begun = bench.now;
    let mut flapped = false;
    while bench.rollout.phase().name() == "opening" {
        if bench.opened("make the canary ready") {
            let readiness = if !flapped && bench.now.since(begun) > s(6) {
                flapped = true;
                Readiness::waiting("readiness probe")
            } else {
                Readiness::ready_for(Weight::percent(50))
            };
            bench.ready(readiness);
        } else {
            bench.now = bench.rollout.deadline().unwrap();
            bench.step(canary_core::rollout::Event::Tick);
        }
        bench.saved_latest();
    }
    assert!(flapped && bench.now.since(begun) >= s(16), "{:?}", bench.now.since(begun));
}

#[test]
fn advance_names_its_stage_and_a_repeat_is_late() {
    let policy = plan(|spec| spec.stages[0].hold_ms = 3_600_000);
    let mut bench = Bench::holding_at(Weight::percent(50), policy);
    let nameless = bench.command(CommandKind::Advance);
    assert!(!nameless.iter().any(|e| e.contains("route")), "{nameless:?}");
    bench.command_at(CommandKind::Advance, "half");
    bench.saved_latest();
    assert!(bench.opened("route 100%"), "{:?}", bench.open);
    bench.route_ok();
    bench.saved_latest();
    bench.command_at(CommandKind::Advance, "half");
    bench.saved_latest();
    assert_eq!(
        bench.told().last().unwrap(),
        "commanded advance: too late or too early: the rollout is in full"
    );
    assert!(holding(&bench));
}

#[test]
fn promote_full_skips_what_lies_between_but_not_the_bake() {
    let policy = plan(|spec| {
        spec.stages[0].gates = vec![name("smoke")];
        spec.promotion.keep_old_ms = 60_000;
    });
    let mut bench = Bench::holding_at(Weight::percent(50), policy);
    bench.command(CommandKind::PromoteFull);
    let told = story(bench);
    assert_eq!(
        told[4..],
        [
            "entered full",
            "commanded promote fully: done",
            "accepted 100%",
            "entered bake",
            "promoted"
        ]
    );
}

#[test]
fn retry_goes_back_to_the_first_stage_at_once() {
    let policy = plan(|spec| spec.stages[1].hold_ms = 600_000);
    let mut bench = Bench::holding_at(Weight::FULL, policy);
    bench.command(CommandKind::Retry);
    // Not before it is saved: to the next holder it would look as if somebody had taken the canary back.
    assert!(!bench.opened("route"), "{:?}", bench.open);
    bench.saved_latest();
    assert!(bench.opened("route 50%"), "{:?}", bench.open);
    let told = story(bench);
    assert_eq!(told.last().unwrap(), "promoted");
}

#[test]
fn a_person_may_reject_what_they_are_asked() {
    let policy = plan(|spec| {
        spec.stages[0].gates = vec![name("oncall")];
        spec.gates.insert(name("oncall"), GateSpec::approval());
    });
    let mut bench = Bench::holding_at(Weight::percent(50), policy);
    bench.go_on_until(|bench| bench.rollout.asked().is_some());
    let reject = CommandKind::Reject { gate: name("oncall"), reason: "freeze".to_owned() };
    let effects = bench.command(reject);
    assert!(effects.iter().any(|e| e.ends_with("route 0% to the canary")), "{effects:?}");
    let told = story(bench);
    assert!(told.contains(&"roll back: ana said no to oncall: freeze".to_owned()), "{told:?}");
}

#[test]
fn drift_is_put_back_or_paused_or_accepted() {
    for (drift, weights) in [
        (Drift::PutBack, [Some(50), Some(50)]),
        (Drift::Pause, [None, None]),
        (Drift::Accept, [None, None]),
    ] {
        for (found, expected) in [80, 20].into_iter().zip(weights) {
            let policy = plan(|spec| {
                spec.drift = drift;
                spec.stages[0].hold_ms = 600_000;
            });
            let mut bench = Bench::holding_at(Weight::percent(50), policy);
            bench.now = bench.now + s(1);
            bench.seen(Weight::percent(found));
            bench.saved_latest();
            let asked = bench.open.iter().find_map(|(_, action)| match action {
                canary_core::rollout::Action::Route { traffic, .. } => Some(traffic.clone()),
                _ => None,
            });
            let expected = expected.map(|percent| Traffic::to_canary(Weight::percent(percent)));
            assert_eq!(asked, expected, "{drift:?} at {found}");
            let paused = bench.rollout.status(bench.now).paused;
            assert_eq!(paused, drift == Drift::Pause, "{drift:?} at {found}");
            if drift == Drift::Pause {
                bench.now = bench.now + s(10);
                bench.seen(Weight::percent(found));
                bench.command(CommandKind::Resume);
                bench.saved_latest();
                assert!(bench.opened("route 50%"), "{:?}", bench.open);
            }
        }
    }
}

#[test]
fn what_was_seen_before_our_own_write_is_no_drift() {
    let mut bench = Bench::holding_at(Weight::percent(50), plan(|_| {}));
    let before = bench.now - s(1);
    bench.seen_since(Weight::ZERO, before);
    bench.saved_latest();
    assert!(bench.open.is_empty(), "{:?}", bench.open);
}

#[test]
fn a_rollout_that_stands_still_is_noticed() {
    for (then, end) in [(Then::RollBack, "rolling_back"), (Then::Ask, "holding")] {
        let mut spec = support::policy().spec().clone();
        spec.progress = Some(Patience::new(s(60), then));
        spec.no_data = Patience::new(s(3600), Then::Hold);
        let mut bench = Bench::holding_at(Weight::percent(10), Policy::from_spec(spec).unwrap());
        let begun = bench.now;
        while bench.now.since(begun) < s(100) && bench.rollout.phase().name() == "holding" {
            bench.now = bench.rollout.deadline().unwrap();
            bench.step(canary_core::rollout::Event::Tick);
            if bench.opened("measure") {
                bench.silence();
            }
            bench.saved_latest();
        }
        assert_eq!(bench.rollout.phase().name(), end, "{then:?}");
        let stalled =
            bench.told().iter().filter(|t| t.starts_with("the rollout has stood still")).count();
        assert_eq!(stalled, 1, "{then:?}: {:?}", bench.told());
        if then == Then::RollBack {
            assert_eq!(bench.now.since(begun), s(60));
        }
        if then == Then::Ask {
            let answer = bench.command(CommandKind::Approve { gate: name("progress") });
            bench.saved_latest();
            assert!(
                bench.told().contains(&"commanded approve progress: done".to_owned()),
                "{answer:?}"
            );
        }
    }
}

#[test]
fn a_no_of_a_watched_gate_takes_the_canary_back_at_once() {
    let policy = plan(|spec| {
        spec.checks.push(canary_core::policy::Check::gate("switch", name("kill-switch")));
        spec.stages[0].hold_ms = 600_000;
    });
    let mut bench = Bench::holding_at(Weight::percent(50), policy);
    bench.go_on_until(|bench| bench.opened("kill-switch"));
    let effects = bench.decided(Decision::reject("pulled"));
    assert!(effects.iter().any(|e| e.ends_with("route 0% to the canary")), "{effects:?}");
}
