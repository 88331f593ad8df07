//! Faults of the world, people who get in the way, and sources that are late: what the machine must bear.
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

mod support;

use std::time::Duration;

use canary_core::policy::{Check, GateSpec, Policy};
use canary_core::ports::Applied;
use canary_core::record::Content;
use canary_core::rollout::Waiting;
use canary_core::rollout::{Action, CommandKind, Event, Phase, Reply, Rollout, Snapshot};
use canary_core::simulate::{Opening, Simulation};
use canary_core::value::{
    Buckets, Counts, Failure, FailureKind, Measured, Query, Reading, Signal, Timestamp, Traffic,
    Version, Weight, Window,
};
use support::{Bench, T0, policy};

fn s(n: u64) -> Duration {
    Duration::from_secs(n)
}
fn entering(b: &Bench) -> bool {
    matches!(b.rollout.phase(), Phase::Entering { .. })
}
fn holding(b: &Bench) -> bool {
    matches!(b.rollout.phase(), Phase::Holding { asked: None, .. })
}
fn raising(b: &Bench) -> bool {
    entering(b) && !b.open.is_empty()
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
    let (mut b, _) = Bench::start(policy());
    b.go_on_until(|b| b.rollout.weight() == Weight::percent(10) && holding(b));
    b.saved_latest();
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
    assert!(
        matches!(b.rollout.phase(), Phase::Holding { held_ms: 10_000, .. }),
        "{:?}",
        b.rollout.phase()
    );
}

fn reply_with(
    b: &mut Bench,
    f: impl Fn(&Query, Timestamp) -> Result<Measured, Failure>,
) -> Vec<String> {
    let i = b.open.iter().position(|(_, a)| matches!(a, Action::Measure { .. })).unwrap();
    let (call, action) = b.open.remove(i);
    let Action::Measure { queries, until } = action else { unreachable!() };
    b.step(Event::Reply {
        id: call.id,
        attempt: call.attempt,
        reply: Reply::Measured(queries.iter().map(|q| f(q, until)).collect()),
    })
}
fn reply_pending(b: &mut Bench) {
    reply_with(b, |q, _| Ok(Measured::pending(q.after)));
}
fn counts(t: u64, bad: u64) -> Reading {
    Reading::Counts(Counts::new(t, bad).unwrap())
}
fn good(q: &Query, until: Timestamp) -> Result<Measured, Failure> {
    let w = Window::new(q.after, until);
    Ok(match &q.signal {
        Signal::Requests => Measured::new(w, counts(1000, 0), counts(100, 0)),
        Signal::Latency => {
            let h = Reading::Buckets(Buckets::new(vec![10.0], vec![100, 0]).unwrap());
            Measured::new(w, h.clone(), h)
        }
        _ => Measured::new(w, Reading::Value(0.1), Reading::Value(0.1)),
    })
}

#[test]
fn silence_lasts_through_ticks_with_nothing_newer() {
    let (mut b, _) = Bench::start(policy()); // no data 30 s: roll back
    b.go_on_until(|b| b.rollout.weight() == Weight::percent(10) && holding(b));
    b.saved_latest();
    for _ in 0..30 {
        b.tick(s(10));
        b.silence();
        b.saved_latest();
        if !holding(&b) {
            return;
        }
        b.tick(s(10));
        reply_pending(&mut b);
        b.saved_latest();
        if !holding(&b) {
            return;
        }
    }
    panic!("silent for 10 min, and still {:?}", b.rollout.phase());
}

#[test]
fn a_lasting_check_sees_through_gaps() {
    let p = Policy::builder("shop")
        .every(s(10))
        .without_hard_limit()
        .stage("half", Weight::percent(50), s(100))
        .stage("full", Weight::FULL, s(10))
        .check(Check::above("errors", "error_rate", 0.05).lasting(s(60)))
        .build()
        .unwrap();
    let (mut b, _) = Bench::start(p);
    b.go_on_until(|b| b.rollout.weight() == Weight::percent(50) && holding(b));
    b.saved_latest();
    for i in 0..100 {
        if !holding(&b) {
            break;
        }
        b.tick(s(10));
        if i % 2 == 0 {
            b.measured(100);
        } else {
            b.silence();
        }
        b.saved_latest();
    }
    b.saved_latest();
    let shown = format!("{:?}", b.rollout.phase());
    assert!(
        matches!(
            b.rollout.phase(),
            Phase::RollingBack { .. } | Phase::Releasing { .. } | Phase::Ended { .. }
        ),
        "a canary that fails every request: {shown}"
    );
}

fn two_signals() -> Policy {
    Policy::builder("shop")
        .every(s(10))
        .without_hard_limit()
        .stage("half", Weight::percent(50), s(60))
        .stage("full", Weight::FULL, s(10))
        .check(Check::above("errors", "error_rate", 0.05))
        .check(Check::above("slow", "latency.p95", 100.0))
        .build()
        .unwrap()
}

#[test]
fn signals_that_come_in_turn_are_all_judged() {
    let (mut b, _) = Bench::start(two_signals());
    b.go_on_until(|b| b.rollout.weight() == Weight::percent(50) && holding(b));
    b.saved_latest();
    for i in 0..200_u64 {
        if !holding(&b) {
            return;
        }
        b.tick(s(10));
        reply_with(&mut b, |q, until| {
            let mine = (q.signal == Signal::Requests) == (i % 2 == 0);
            if mine { good(q, until) } else { Ok(Measured::pending(q.after)) }
        });
        b.saved_latest();
    }
    panic!("after 2000 s of healthy data: {:?}", b.rollout.phase());
}

#[test]
fn signals_of_different_pace_count_as_far_as_all_have_come() {
    let p = Policy::builder("shop")
        .every(s(10))
        .without_hard_limit()
        .stage("half", Weight::percent(50), s(600))
        .stage("full", Weight::FULL, s(10))
        .check(Check::above("errors", "error_rate", 0.05))
        .check(Check::above("pool", "pool", 0.9))
        .build()
        .unwrap();
    let (mut b, _) = Bench::start(p);
    b.go_on_until(|b| b.rollout.weight() == Weight::percent(50) && holding(b));
    b.saved_latest();
    for i in 1..=60_u64 {
        // 600 s: requests are scraped each 60 s
        b.tick(s(10));
        reply_with(&mut b, |q, until| {
            if q.signal != Signal::Requests || i % 6 == 0 {
                good(q, until)
            } else {
                Ok(Measured::pending(q.after))
            }
        });
        b.saved_latest();
    }
    let Phase::Holding { held_ms, .. } = b.rollout.phase() else { return };
    assert!(*held_ms >= 500_000, "600 s covered by both signals, {held_ms} ms held");
}

#[test]
fn a_stale_signal_is_not_fresh() {
    let (mut b, _) = Bench::start(two_signals());
    b.go_on_until(|b| b.rollout.weight() == Weight::percent(50) && holding(b));
    b.saved_latest();
    let mut i = 0_u64;
    for _ in 0..100 {
        if !holding(&b) {
            break;
        }
        b.tick(s(10));
        i += 1;
        reply_with(&mut b, |q, until| {
            // latency comes 300 s late
            if q.signal == Signal::Latency {
                let end = until - s(300);
                if end <= q.after {
                    return Ok(Measured::pending(q.after));
                }
                return good(q, end);
            }
            good(q, until)
        });
        b.saved_latest();
    }
    assert!(
        holding(&b),
        "left after {i} looks with latency known only up to 300 s ago: {:?}",
        b.rollout.phase()
    );
}

#[test]
fn a_source_that_lags_constantly() {
    let (mut b, _) = Bench::start(policy());
    b.go_on_until(|b| b.rollout.weight() == Weight::percent(10) && holding(b));
    b.saved_latest();
    for _ in 0..200 {
        if !holding(&b) {
            return;
        }
        b.tick(s(10));
        reply_with(&mut b, |q, until| {
            let end = until - s(25);
            if end <= q.after {
                return Ok(Measured::pending(q.after));
            }
            good(q, end)
        });
        b.saved_latest();
    }
    panic!("healthy for 2000 s with a lag of 25 s: {:?}", b.rollout.phase());
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
    b.go_on_until(|b| {
        matches!(b.rollout.phase(), Phase::Holding { opened: 1, asked: Some(_), .. })
    });
    b.saved_latest();
    restart(&mut b);
    b.observed(Weight::percent(50));
    b.saved_latest();
    b.route_ok();
    b.saved_latest();
    assert!(
        matches!(b.rollout.phase(), Phase::Holding { opened: 1, .. }),
        "{:?}",
        b.rollout.phase()
    );
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
    b.go_on_until(|b| matches!(b.rollout.phase(), Phase::Holding { asked: Some(_), .. }));
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
    let (mut b, _) = Bench::start(policy());
    b.go_on_until(|b| b.rollout.weight() == Weight::percent(50) && holding(b));
    b.saved_latest();
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
    let (mut b, _) = Bench::start(policy());
    b.go_on_until(|b| b.rollout.weight() == Weight::percent(50) && holding(b));
    b.saved_latest();
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
    let (mut b, _) = Bench::start(policy());
    b.go_on_until(|b| b.rollout.weight() == Weight::percent(10) && holding(b));
    b.saved_latest();
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
        if let Phase::Holding { asked: Some(_), .. } = b.rollout.phase() {
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
fn nan_is_no_pass() {
    let p = Policy::builder("shop")
        .every(s(10))
        .without_hard_limit()
        .stage("half", Weight::percent(50), s(10))
        .stage("full", Weight::FULL, s(10))
        .check(Check::above("pool", "pool", 0.9).lasting(s(10)))
        .build()
        .unwrap();
    let (mut b, _) = Bench::start(p);
    b.go_on_until(|b| b.rollout.weight() == Weight::percent(50) && holding(b));
    b.saved_latest();
    b.tick(s(10));
    reply_with(&mut b, |q, until| {
        Ok(Measured::new(
            Window::new(q.after, until),
            Reading::Value(f64::NAN),
            Reading::Value(f64::NAN),
        ))
    });
    b.saved_latest();
    let json = serde_json::to_string(&b.rollout.snapshot()).unwrap();
    let back = serde_json::from_str::<Snapshot>(&json);
    assert!(back.is_ok(), "phase {:?}; snapshot unreadable: {:?}", b.rollout.phase(), back.err());
}

#[test]
fn counts_that_make_no_sense_are_an_error() {
    let (mut b, _) = Bench::start(policy());
    b.go_on_until(|b| b.rollout.weight() == Weight::percent(10) && holding(b));
    b.saved_latest();
    b.tick(s(10));
    reply_with(&mut b, |q, until| {
        let mut c = Counts::new(100, 0).unwrap();
        c.bad = 200;
        Ok(Measured::new(Window::new(q.after, until), counts(100, 0), Reading::Counts(c)))
    });
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
fn a_plan_without_checks_measures_nothing() {
    let p = Policy::builder("shop")
        .every(s(10))
        .stage("half", Weight::percent(50), s(60))
        .stage("full", Weight::FULL, s(10))
        .without_hard_limit()
        .build()
        .unwrap();
    let (mut b, _) = Bench::start(p);
    b.go_on_until(|b| b.rollout.weight() == Weight::percent(50) && holding(b));
    b.saved_latest();
    b.tick(s(10));
    assert!(b.open.is_empty(), "{:?}", b.open);
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
    let (mut b, _) = Bench::start(policy());
    b.go_on_until(|b| b.rollout.weight() == Weight::percent(10) && holding(b));
    b.saved_latest();
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
