//! Sources that are late, silent, out of step or wrong: what the judge must bear.
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

mod support;

use canary_core::policy::{Check, Policy};
use canary_core::rollout::{Phase, Snapshot};
use canary_core::value::{
    Buckets, Counts, Failure, Measured, Query, Reading, Signal, Timestamp, Weight, Window,
};
use support::{Bench, holding, policy, reply_pending, reply_with, s};

fn counts(t: u64, bad: u64) -> Reading {
    Reading::Counts(Counts::new(t, bad).unwrap())
}

/// Answers a query with healthy numbers up to a time.
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
    let mut b = Bench::holding_at(Weight::percent(50), p);
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

#[test]
fn signals_that_come_in_turn_are_all_judged() {
    let mut b = Bench::holding_at(Weight::percent(50), two_signals());
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
    let mut b = Bench::holding_at(Weight::percent(50), p);
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
    let Some(held_ms) = &support::held_ms(&b) else { return };
    assert!(*held_ms >= 500_000, "600 s covered by both signals, {held_ms} ms held");
}

#[test]
fn a_stale_signal_is_not_fresh() {
    let mut b = Bench::holding_at(Weight::percent(50), two_signals());
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
    let mut b = Bench::holding_at(Weight::percent(10), policy());
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
    let mut b = Bench::holding_at(Weight::percent(50), p);
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
    let mut b = Bench::holding_at(Weight::percent(10), policy());
    b.tick(s(10));
    reply_with(&mut b, |q, until| {
        let mut c = Counts::new(100, 0).unwrap();
        c.bad = 200;
        Ok(Measured::new(Window::new(q.after, until), counts(100, 0), Reading::Counts(c)))
    });
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
    let mut b = Bench::holding_at(Weight::percent(50), p);
    b.tick(s(10));
    assert!(b.open.is_empty(), "{:?}", b.open);
}
