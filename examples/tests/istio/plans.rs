//! The plans of the examples, with holds of seconds.

use canary_core::driver::{Driver, DriverBuilder};
use canary_core::gate::FnGate;
use canary_core::policy::Policy;
use canary_core::ports::{Call, Decision, MetricSource, PortError};
use canary_core::value::{Measured, Query, Reading, Signal, Timestamp};

use crate::bed::Bed;

/// How long each stage is held.
pub(crate) const HOLD: &str = "10s";

/// Four steps, judged by fixed limits.
pub(crate) fn orion() -> Policy {
    let text = include_str!("../../policies/orion.yaml");
    shorten(text, &[("every: 15s", "every: 1s"), ("settle: 5s", "settle: 1s"), ("hold: 5m", HOLD)])
}

/// Testers first, then 1, 10, 50 and 100 %, and a bake.
pub(crate) fn payment() -> Policy {
    let text = include_str!("../../policies/payment.yaml");
    let holds = ["hold: 15m", "hold: 30m", "hold: 60m", "hold: 10m"].map(|hold| (hold, HOLD));
    let rest = [
        ("every: 15s", "every: 1s"),
        ("settle: 5s", "settle: 1s"),
        ("keep_old: 24h", "keep_old: 5s"),
        ("for: 5m", "for: 2s"),
        ("for: 2m", "for: 2s"),
    ];
    shorten(text, &[&holds[..], &rest].concat())
}

/// Writes other durations into a plan; a hold is given by its new length alone.
fn shorten(text: &str, changes: &[(&str, &str)]) -> Policy {
    let mut text = text.to_owned();
    for (old, new) in changes {
        assert!(text.contains(old), "the plan says no `{old}`");
        let new = if old.starts_with("hold") { format!("hold: {new}") } else { (*new).to_owned() };
        text = text.replace(old, &new);
    }
    Policy::from_yaml(&text).unwrap()
}

/// Puts a rollout on the bed together; whatever its gates ask is well.
pub(crate) fn rollout(bed: &Bed, policy: Policy) -> DriverBuilder {
    let open = || FnGate::new(|_| Decision::Open);
    let gates: Vec<String> = policy.gates().map(|gate| gate.to_string()).collect();
    let builder = Driver::builder(policy)
        .target(format!("default/{}", bed.name).parse().unwrap())
        .router(bed.router())
        .metrics(Metrics(bed.counters.clone()))
        .clock(bed.clock)
        .observe(|record| println!("{record}"));
    // A person approves on call.
    let asked = gates.iter().filter(|gate| *gate != "oncall");
    asked.fold(builder, |builder, gate| builder.gate(gate, open()))
}

/// What users saw, and for everything else numbers that no plan minds.
#[derive(Debug)]
struct Metrics(canary_examples::counters::Counters);

#[async_trait::async_trait]
impl MetricSource for Metrics {
    async fn measure(
        &self,
        call: &Call,
        queries: &[Query],
        until: Timestamp,
    ) -> Vec<Result<Measured, PortError>> {
        let mut answers = self.0.measure(call, queries, until).await;
        let requests: Vec<_> =
            queries.iter().map(|query| Query::new(Signal::Requests, query.after)).collect();
        let covered = self.0.measure(call, &requests, until).await;
        for ((answer, query), covered) in answers.iter_mut().zip(queries).zip(covered) {
            if let (Signal::Custom(name), Ok(covered)) = (&query.signal, covered) {
                *answer = Ok(if covered.covered.is_empty() {
                    covered
                } else {
                    Measured::new(covered.covered, fine(name), fine(name))
                });
            }
        }
        answers
    }
}

fn fine(name: &str) -> Reading {
    Reading::Value(match name {
        "cpu" | "memory" | "db_pool" => 0.5,
        "provider_errors" => 0.0,
        _ => 1.0,
    })
}
