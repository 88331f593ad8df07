//! Each policy that the examples come with lets the good go on, and takes back what is bad, slow or silent.
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::path::Path;
use std::time::Duration;

use canary_core::policy::Policy;
use canary_core::report::Report;
use canary_core::simulate::{Service, Simulation};

/// Each policy, and which check takes back a canary that fails a fifth of its requests, and one that takes twelve
/// times as long; `-` where none does.
const POLICIES: [(&str, &str, &str); 11] = [
    ("aggressive", "errors", "slowest"),
    ("blue-green", "errors", "slowest"),
    ("checkout", "errors", "-"),
    ("conservative", "errors", "slowest"),
    ("dwcp", "errors", "health"),
    ("feature-flag", "errors", "slowest"),
    ("orion", "errors", "slowest"),
    ("payment", "errors", "slow"),
    ("progressive", "errors", "slow"),
    ("quickstart", "too-many-errors", "slow"),
    ("rolling", "errors", "-"),
];

/// Plans on which a slow or silent canary waits instead.
const WAITS: [&str; 1] = ["checkout"];

/// Shows every number that the policies ask for, all well.
fn healthy() -> Service {
    [
        ("db_pool", 0.5),
        ("cache_hits", 0.95),
        ("provider_errors", 0.001),
        ("authorised", 0.98),
        ("three_ds", 0.97),
        ("refunds", 1.0),
        ("unready_pods", 0.0),
        ("disk", 0.6),
    ]
    .into_iter()
    .fold(Service::healthy(), |service, (name, value)| service.gauge(name, value))
}

fn run(name: &str, canary: Service) -> Report {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("policies/{name}.yaml"));
    let policy = Policy::from_yaml(&std::fs::read_to_string(file).unwrap()).unwrap();
    let simulation = Simulation::of(&policy).traffic(500.0).stable(healthy()).canary(canary);
    simulation.seed(7).run()
}

fn slow() -> Service {
    healthy().median(Duration::from_millis(600))
}

#[test]
fn the_good_are_promoted() {
    for (name, ..) in POLICIES {
        run(name, healthy()).assert_promoted();
    }
}

#[test]
fn the_bad_are_taken_back_soon() {
    for (name, check, _) in POLICIES {
        let report = run(name, healthy().errors(0.2));
        report.assert_rolled_back_by(check);
    }
}

#[test]
fn the_slow_are_taken_back_where_the_plan_says_so() {
    for (name, _, check) in POLICIES {
        let report = run(name, slow());
        match check {
            "-" if WAITS.contains(&name) => report.assert_unfinished(),
            // Its plan says nothing of latency.
            "-" => report.assert_promoted(),
            check => report.assert_rolled_back_by(check),
        }
    }
}

#[test]
fn the_silent_never_get_on() {
    for (name, ..) in POLICIES {
        let report = run(name, healthy().silent());
        if WAITS.contains(&name) {
            report.assert_unfinished();
        } else {
            report.assert_rolled_back();
        }
    }
}

#[test]
fn each_rule_of_the_payment_plan_matters() {
    for (gauge, value) in [("db_pool", 0.95), ("cache_hits", 0.5)] {
        let report = run("payment", healthy().gauge(gauge, value));
        report.assert_unfinished();
        report.assert_never_above(canary_core::value::Weight::percent(10));
    }
    for (gauge, value) in [("authorised", 0.8), ("three_ds", 0.5), ("refunds", 0.9)] {
        let report = run("payment", healthy().gauge(gauge, value));
        report.assert_unfinished();
        report.assert_never_above(canary_core::value::Weight::percent(50));
    }
    run("payment", healthy().gauge("provider_errors", 0.1))
        .assert_rolled_back_by("provider-errors");
}

#[test]
fn pods_that_are_not_ready_end_the_rolling_update() {
    run("rolling", healthy().gauge("unready_pods", 0.1)).assert_rolled_back_by("readiness");
    run("rolling", healthy().gauge("unready_pods", 0.05)).assert_promoted();
}

#[test]
fn a_mark_that_is_not_reached_stops_the_plan_there() {
    // Below what takes it back at once, above what the first stage asks for.
    let report = run("dwcp", healthy().errors(0.03));
    report.assert_rolled_back();
    report.assert_never_above(canary_core::value::Weight::percent(5));
}
