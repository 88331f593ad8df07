//! Walks every state of a small rollout.
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::time::Duration;

use canary_core::policy::{Check, Policy};
use canary_core::value::Weight;
use canary_model::{Budget, Rollouts};
use stateright::{Checker, Model};

fn policy() -> Policy {
    Policy::builder("shop")
        .every(Duration::from_secs(10))
        .stage("half", Weight::percent(50), Duration::from_secs(10))
        .stage("full", Weight::FULL, Duration::ZERO)
        .check(Check::above("errors", "error_rate", 0.05))
        .without_hard_limit()
        .build()
        .unwrap()
}

/// Walks all of it.
fn walk(budget: Budget) {
    walk_for(budget, None);
}

/// Walks all of it, or as much as this time allows.
fn walk_for(budget: Budget, time: Option<Duration>) {
    let builder = Rollouts::new(policy(), budget).checker().threads(2);
    let builder = match time {
        Some(time) => builder.timeout(time),
        None => builder,
    };
    let checker = builder.spawn_bfs().join();
    println!(
        "{budget:?}: {} unique states of {}, depth {}",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth()
    );
    checker.assert_no_discovery("no rule is broken on the way");
    checker.assert_no_discovery("rule 1: rolled back means nothing at the canary");
    checker.assert_no_discovery("rule 5: every path comes to an end");
    if time.is_none() {
        checker.assert_any_discovery("a rollout is promoted");
    }
}

/// Small enough for every day.
#[test]
fn a_crash_and_an_abort_anywhere() {
    let mut budget = Budget::NONE;
    (budget.crashes, budget.aborts) = (1, 1);
    walk(budget);
}

#[test]
#[ignore = "takes a while: run it in release"]
fn two_crashes_and_an_abort_anywhere() {
    let mut budget = Budget::NONE;
    (budget.crashes, budget.aborts) = (2, 1);
    walk(budget);
}

#[test]
#[ignore = "takes a while: run it in release"]
fn a_crash_a_bad_canary_and_an_abort() {
    let mut budget = Budget::NONE;
    (budget.crashes, budget.aborts, budget.bad) = (1, 1, 1);
    walk(budget);
}

/// More states than there is time for: the shorter paths, as far as five minutes go.
#[test]
#[ignore = "takes five minutes: run it in release"]
fn a_frozen_holder_that_wakes_up_two_crashes_and_an_abort() {
    let mut budget = Budget::NONE;
    (budget.freezes, budget.crashes, budget.aborts) = (1, 2, 1);
    walk_for(budget, Some(Duration::from_secs(300)));
}

#[test]
#[ignore = "takes a while: run it in release"]
fn a_frozen_holder_and_a_look_that_shows_nothing() {
    let mut budget = Budget::NONE;
    (budget.freezes, budget.nothing) = (1, 1);
    walk(budget);
}

#[test]
#[ignore = "takes a while: run it in release"]
fn a_call_or_save_that_fails_or_hangs_and_a_crash() {
    let mut budget = Budget::NONE;
    (budget.faults, budget.crashes) = (1, 1);
    walk(budget);
}
