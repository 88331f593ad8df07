//! A policy in code says what one in a file says.

use std::time::Duration;

use canary_core::policy::{
    Check, CheckKind, Comparison, Drift, GateSpec, How, MetricQuery, MetricSpec, Patience, Policy,
    Scale, Then, WorkloadSpec,
};
use canary_core::value::{Audience, Weight};

const SHOP: &str = r#"
version: 1
name: shop
every: 10s
settle: 1s
lag: 20s
header: { x-canary: "true" }
audience: { by: user }
metrics: { pool: { source: prom, query: pool_in_use } }
start: { gates: [smoke] }
stages:
  - { name: shadow, weight: 0%, hold: 5m, mirror: 5%, scale: 1 }
  - { name: half, weight: 50%, hold: 5m, enter: [oncall], gates: [smoke], pass: { samples: 10, error_rate: "<= 1%" } }
  - { name: full, weight: 100%, hold: 5m, keep_old: 1h }
promotion: { how: swap, gates: [oncall], after: [smoke] }
checks:
  - { name: slow, metric: latency.p95, above: 1s, then: hold }
  - { name: alerts, gate: alerts, then: ask-me }
no_data: { after: 1m, then: ask }
errors: { after: 2m, then: roll_back }
progress: { within: 3h, then: roll_back }
drift: accept
gates:
  oncall: { approval: {}, timeout: 1h }
hard_limit: off
rollback: { within: 1m }
workload: { ready_within: 1m }
keep: 5
fast_return: 2
allow: [no-hard-limit]
"#;

fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

#[test]
fn everything_that_a_file_can_say_can_be_built() {
    let oncall = || GateSpec::approval().timeout(minutes(60));
    let smoke = GateSpec::default;
    let built = Policy::builder("shop")
        .every(Duration::from_secs(10))
        .settle(Duration::from_secs(1))
        .lag(Duration::from_secs(20))
        .header("x-canary", "true")
        .audience(Audience::by("user"))
        .metric("pool", MetricSpec::Query(MetricQuery::new("pool_in_use").of("prom")))
        .start_gate("smoke", smoke())
        .stage("shadow", Weight::ZERO, minutes(5))
        .mirror(Weight::percent(5))
        .scale(Scale::Replicas(1))
        .stage("half", Weight::percent(50), minutes(5))
        .enter("oncall", oncall())
        .gate("smoke", smoke())
        .pass_samples(10)
        .pass("error_rate", Comparison::Above, 0.01)
        .stage("full", Weight::FULL, minutes(5))
        .keep_old(minutes(60))
        .promote(How::Swap)
        .promotion_gate("oncall", oncall())
        .promoted_gate("smoke", smoke())
        .check(Check::above("slow", "latency.p95", 1000.0).then(Then::Hold))
        .watched_gate("alerts", GateSpec::default(), Then::Warn)
        .no_data(Patience::new(minutes(1), Then::Ask))
        .errors(Patience::new(minutes(2), Then::RollBack))
        .progress(Patience::new(minutes(180), Then::RollBack))
        .drift(Drift::Accept)
        .without_hard_limit()
        .rollback_within(minutes(1))
        .workload(WorkloadSpec::default().ready_within(minutes(1)))
        .keep(5)
        .fast_return(2)
        .allow("no-hard-limit")
        .build()
        .unwrap();
    let read = Policy::from_yaml(&SHOP.replace("ask-me", "warn")).unwrap();
    let mut expected = read.spec().clone();
    // A file need not define what the program supplies.
    for gate in ["smoke", "alerts"] {
        expected.gates.insert(gate.parse().unwrap(), GateSpec::default());
    }
    assert_eq!(*built.spec(), expected);
}

#[test]
fn what_stands_in_the_wrong_place_is_named() {
    let error = Policy::builder("shop")
        .gate("oncall", GateSpec::approval())
        .mirror(Weight::percent(5))
        .stage("full", Weight::FULL, minutes(1))
        .gate("on call", GateSpec::approval())
        .gate("oncall", GateSpec::default())
        .build()
        .unwrap_err()
        .to_string();
    for part in [
        "gate `oncall` stands before the first stage",
        "a mirror stands before the first stage",
        "`on call` is no gate name",
        "it is said in two ways how gate `oncall` is asked",
    ] {
        assert!(error.contains(part), "no `{part}` in {error}");
    }
}

#[test]
fn checks_that_nest_too_deep_are_refused() {
    let nested = |depth: usize| {
        let mut kind = Check::above("", "error_rate", 0.05).kind;
        for _ in 1..depth {
            kind = CheckKind::Not(Box::new(kind));
        }
        Policy::builder("shop")
            .stage("full", Weight::FULL, minutes(1))
            .check(Check::new("deep", kind))
            .build()
    };
    assert!(nested(8).is_ok());
    let error = nested(9).unwrap_err();
    assert_eq!(error.problems()[0].path, format!("checks[0]{}", ".not".repeat(8)));
}
