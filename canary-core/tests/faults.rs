//! Crashes, faults of the router, and people who get in the way: what the machine must bear.
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

mod support;

use canary_core::policy::{GateSpec, Policy};
use canary_core::ports::Applied;
use canary_core::record::Content;
use canary_core::rollout::Waiting;
use canary_core::rollout::{Action, CommandKind, Event, Phase, Reply, Rollout};
use canary_core::simulate::{Opening, Simulation};
use canary_core::value::{Failure, FailureKind, Traffic, Version, Weight};
use support::{Bench, T0, entering, holding, policy, raising, reply_pending, s};

fn opened(b: &Bench) -> Option<usize> {
    b.rollout.phase().asking().map(|gates| gates.opened)
}

#[test]
fn a_pause_between_two_tries_is_quiet() {
    let (mut b, _) = Bench::start(policy());
    b.go_on_until(|b| b.rollout.weight() == Weight::ZERO && raising(b));
    b.route_fails(FailureKind::Unavailable);
    b.command(CommandKind::Pause);
    b.saved_latest();
    b.now = b.rollout.deadline().unwrap();
    b.step(Event::Tick);
    b.saved_latest();
    assert!(b.rollout.deadline().is_none_or(|at| at > b.now), "due again at once");
}

#[test]
fn paused_time_is_no_hold() {
    let p = Policy::builder("shop")
        .every(s(3600))
        .stage("full", Weight::FULL, s(1800))
        .without_hard_limit()
        .build()
        .unwrap();
    let (mut b, _) = Bench::start(p);
    b.go_on_until(holding);
    b.saved_latest();
    b.command(CommandKind::Pause);
    b.saved_latest();
    b.now = b.now + s(2400);
    b.command(CommandKind::Resume);
    assert!(holding(&b), "promoted by paused time: {:?}", b.rollout.phase());
}

#[test]
fn a_window_that_spans_a_pause_counts_without_it() {
    let mut b = Bench::holding_at(Weight::percent(10), policy());
    b.command(CommandKind::Pause);
    // the source is pending all through the pause
    for _ in 0..5 {
        b.saved_latest();
        b.tick(s(10));
        reply_pending(&mut b);
    }
    b.command(CommandKind::Resume);
    b.saved_latest();
    b.tick(s(10));
    b.measured(0);
    assert!(support::held_ms(&b) == Some(10_000), "{:?}", b.rollout.phase());
}

fn restart(b: &mut Bench) {
    let json = serde_json::to_string(&b.rollout.snapshot()).unwrap();
    let p = b.rollout.policy().clone();
    b.rollout = Rollout::restore(serde_json::from_str(&json).unwrap(), p).unwrap();
    b.open.clear();
    b.now = b.now + s(1);
    b.step(Event::Restored);
    b.saved_latest();
}

#[test]
fn approval_survives_a_restart() {
    let p = Policy::builder("shop")
        .every(s(10))
        .without_hard_limit()
        .stage("half", Weight::percent(50), s(10))
        .gate("oncall", GateSpec::approval())
        .gate("boss", GateSpec::approval().timeout(s(100)))
        .stage("full", Weight::FULL, s(10))
        .build()
        .unwrap();
    let (mut b, _) = Bench::start(p);
    b.go_on_until(|b| opened(b) == Some(1) && b.rollout.asked().is_some());
    b.saved_latest();
    restart(&mut b);
    b.observed(Weight::percent(50));
    b.saved_latest();
    b.route_ok();
    b.saved_latest();
    assert!(opened(&b) == Some(1), "{:?}", b.rollout.phase());
}

#[test]
fn gate_timeout_survives_restarts() {
    let p = Policy::builder("shop")
        .every(s(10))
        .without_hard_limit()
        .stage("half", Weight::percent(50), s(10))
        .gate("boss", GateSpec::approval().timeout(s(100)))
        .stage("full", Weight::FULL, s(10))
        .build()
        .unwrap();
    let (mut b, _) = Bench::start(p);
    b.go_on_until(|b| b.rollout.asked().is_some());
    b.saved_latest();
    let asked = b.now;
    for _ in 0..10 {
        b.now = b.now + s(60);
        b.step(Event::Tick);
        b.saved_latest();
        if !matches!(b.rollout.phase(), Phase::Holding { .. }) {
            return;
        }
        restart(&mut b);
        b.observed(Weight::percent(50));
        b.saved_latest();
        b.route_ok();
        b.saved_latest();
    }
    panic!("asked for {:?}: {:?}", b.now.since(asked), b.rollout.phase());
}

#[test]
fn what_was_taken_back_by_hand_is_not_raised_again() {
    let mut b = Bench::holding_at(Weight::percent(50), policy());
    b.now = b.now + s(3600);
    restart(&mut b);
    b.observed(Weight::ZERO);
    b.saved_latest();
    assert!(
        b.open.iter().all(|(_, action)| action.to_string() == "route 0% to the canary"),
        "{:?}",
        b.open
    );
    b.go_on_until(|b| b.rollout.is_settled());
    let outcome = b.rollout.outcome().unwrap().to_string();
    assert_eq!(outcome, "rolled back: somebody else has set the route from 50% to 0%");
}

#[test]
fn a_crash_before_the_rollback_is_saved() {
    let mut b = Bench::holding_at(Weight::percent(50), policy());
    let saved = b.rollout.snapshot();
    b.command(CommandKind::Abort { reason: "bad".to_owned() });
    b.route_ok(); // weight 0 accepted; the answer "done" is given; the store is down, then the process dies
    assert_eq!(b.rollout.weight(), Weight::ZERO);
    let p = b.rollout.policy().clone();
    b.rollout = Rollout::restore(saved, p).unwrap();
    b.open.clear();
    b.step(Event::Restored);
    b.saved_latest();
    b.observed(Weight::ZERO);
    b.saved_latest();
    assert!(
        !b.open.iter().any(|(_, a)| a.to_string().contains("50%")),
        "after an abort that was answered `done`: {:?}",
        b.open
    );
}

#[test]
fn more_traffic_than_decided_is_taken_away_even_while_paused() {
    let mut b = Bench::holding_at(Weight::percent(10), policy());
    b.command(CommandKind::Pause);
    b.saved_latest();
    restart(&mut b);
    b.observed(Weight::FULL);
    b.saved_latest();
    assert!(
        !b.open.is_empty(),
        "found 100% where 10% should be, recorded `putting it back`, and does nothing"
    );
}

#[test]
fn a_raise_of_ours_that_landed_is_no_drift() {
    let (mut b, _) = Bench::start(policy());
    b.go_on_until(|b| b.rollout.weight() == Weight::percent(10) && raising(b));
    b.saved_latest();
    restart(&mut b); // the raise to 50 % had landed
    b.observed(Weight::percent(50));
    b.saved_latest();
    assert!(
        !b.records.iter().any(|r| matches!(r.content, Content::Drifted { .. })),
        "{}",
        b.records.last().unwrap()
    );
}

#[test]
fn a_weight_that_was_not_asked_for_is_not_accepted() {
    let (mut b, _) = Bench::start(policy());
    b.go_on_until(|b| b.rollout.weight() == Weight::ZERO && raising(b));
    b.saved_latest();
    let mut n = 0;
    for _ in 0..60 {
        b.saved_latest();
        if let Some(i) = b.open.iter().position(|(_, a)| matches!(a, Action::Route { .. })) {
            let (call, action) = b.open.remove(i);
            let Action::Route { traffic, .. } = action else { unreachable!() };
            // another controller wins each time: read back as 0 %, until the last stage
            let got = if traffic.canary == Weight::FULL { traffic } else { Traffic::all_stable() };
            n += 1;
            b.step(Event::Reply {
                id: call.id,
                attempt: call.attempt,
                reply: Reply::Applied(Ok(Applied::accepted(got, Version::new(format!("x{n}"))))),
            });
            continue;
        }
        if b.rollout.weight() == Weight::FULL {
            panic!(
                "100% without a single verdict: {}",
                b.records.iter().map(|r| format!("{r}\n")).collect::<String>()
            );
        }
        if b.rollout.asked().is_some() {
            b.command(CommandKind::Approve { gate: "oncall".parse().unwrap() });
            continue;
        }
        if let Some(d) = b.rollout.deadline() {
            b.now = b.now.max(d);
            b.step(Event::Tick);
        }
    }
}

#[test]
fn abort_during_release_keeps_the_reason() {
    let (mut b, _) = Bench::start(policy());
    b.go_on_until(|b| holding(b) && b.open.iter().any(|(_, a)| a.to_string() == "measure"));
    b.measured(50);
    b.route_ok();
    b.command(CommandKind::Abort { reason: "late".to_owned() });
    b.go_on_until(|b| b.rollout.is_settled());
    let o = b.rollout.outcome().unwrap();
    assert!(o.reason().unwrap().check().is_some(), "{o}");
}

#[test]
fn an_abort_that_was_answered_is_kept() {
    let sim = Simulation::of(&policy())
        .gate("oncall", Opening::After(s(50)))
        .command(s(15), CommandKind::Abort { reason: "x".to_owned() });
    sim.run().assert_rolled_back();
    for n in 1..40 {
        let r = sim.clone().crash_after(n).run();
        assert!(
            !r.outcome.as_ref().unwrap().is_promoted(),
            "crash after effect {n}: {}",
            r.to_markdown()
        );
    }
}

#[test]
fn numbers_at_their_end_do_not_overflow() {
    let (b, _) = Bench::start(policy());
    let json = serde_json::to_string(&b.rollout.snapshot()).unwrap();
    let json = json.replacen("\"rev\":1", &format!("\"rev\":{}", u64::MAX), 1);
    assert!(json.contains(&u64::MAX.to_string()), "{json}");
    let p = b.rollout.policy().clone();
    let mut r = Rollout::restore(serde_json::from_str(&json).unwrap(), p).unwrap();
    let _ = r.step(Event::Restored, T0);
}

#[test]
fn status_says_what_it_waits_for() {
    let (mut b, _) = Bench::start(policy());
    b.go_on_until(entering);
    b.command(CommandKind::Pause);
    b.saved_latest();
    assert_eq!(b.rollout.status(b.now).waiting, Waiting::Resume);
}

#[test]
fn a_way_back_that_ends_elsewhere_is_tried_again_with_pauses() {
    let mut b = Bench::holding_at(Weight::percent(10), policy());
    b.command(CommandKind::Abort { reason: "x".to_owned() });
    let mut n = 0;
    while n < 500 {
        let Some(i) = b.open.iter().position(|(_, a)| matches!(a, Action::Route { .. })) else {
            break;
        };
        let (call, _) = b.open.remove(i);
        n += 1;
        b.step(Event::Reply {
            id: call.id,
            attempt: call.attempt,
            reply: Reply::Applied(Ok(Applied::accepted(
                Traffic::to_canary(Weight::percent(1)),
                Version::new(format!("x{n}")),
            ))),
        });
    }
    assert!(n < 20, "{n} calls at one instant");
}

#[test]
fn a_store_that_is_down_for_long_makes_no_endless_row_of_records() {
    let mut spec = policy().spec().clone();
    spec.stages[0].hold_ms = 1_000_000_000;
    let mut b = Bench::holding_at(Weight::percent(10), Policy::from_spec(spec).unwrap());
    let told = b.records.len();
    let before = b.rollout.report().requests().canary.total;
    for _ in 0..2_000 {
        b.now = b.rollout.deadline().unwrap();
        let effects = b.step(Event::Tick);
        if b.opened("measure") {
            b.measured(1);
        }
        for rev in effects.iter().filter_map(|e| e.strip_prefix("persist ")) {
            let failure = Failure::new(FailureKind::Unavailable, "down");
            b.step(Event::Persisted { rev: rev.parse().unwrap(), result: Err(failure) });
        }
    }
    let counted = b.rollout.report().requests().canary.total - before;
    for _ in 0..3 {
        b.now = b.rollout.deadline().unwrap();
        b.step(Event::Tick);
        b.saved_up_to(5_000);
    }
    let records = &b.records[told..];
    assert!(records.len() < 300, "{} records", records.len());
    let sum: u64 = records
        .iter()
        .filter_map(|record| match &record.content {
            Content::Judged(judgement) => judgement.requests.map(|requests| requests.canary.total),
            _ => None,
        })
        .sum();
    assert!(counted > 50_000 && sum >= counted, "{sum} of {counted} requests told");
}
