//! A snapshot of any content is refused or taken up; one that is taken up can be stepped, saved and aborted.
#![no_main]

use std::sync::LazyLock;
use std::time::Duration;

use canary_core::policy::{Check, GateSpec, Policy, Then};
use canary_core::rollout::{Command, CommandKind, Effect, Event, Rollout, Snapshot};
use canary_core::value::{Failure, FailureKind, Weight};
use libfuzzer_sys::fuzz_target;

static POLICY: LazyLock<Policy> = LazyLock::new(|| {
    Policy::builder("shop")
        .stage("tenth", Weight::percent(10), Duration::from_secs(60))
        .gate("oncall", GateSpec::approval().timeout(Duration::from_secs(600)))
        .stage("full", Weight::FULL, Duration::from_secs(60))
        .check(Check::worse_than_stable("errors", 1.25))
        .check(Check::above_stable("slow", "latency.p95", 2.0).then(Then::Hold))
        .build()
        .expect("a valid policy")
});

fuzz_target!(|text: &[u8]| {
    let Ok(snapshot) = serde_json::from_slice::<Snapshot>(text) else { return };
    let seen = snapshot.seen();
    let Ok(mut rollout) = Rollout::restore(snapshot, POLICY.clone()) else { return };
    let mut events = vec![Event::Restored];
    let (id, actor) = ("fuzz-1".parse().expect("an id"), "fuzz".parse().expect("an actor"));
    let mut abort =
        Some(Command::new(id, actor, CommandKind::Abort { reason: "enough".to_owned() }));
    let mut now = seen;
    for step in 0..200 {
        let event = events.pop().unwrap_or(Event::Tick);
        for effect in rollout.step(event, now) {
            match effect {
                Effect::Persist { rev } => events.push(Event::Persisted { rev, result: Ok(()) }),
                Effect::Run { call, action } => {
                    let reply = action.failed(Failure::new(FailureKind::Unavailable, "fuzz"));
                    events.push(Event::Reply { id: call.id, attempt: call.attempt, reply });
                }
                Effect::Notify(record) => assert!(!record.to_string().is_empty()),
                Effect::Cancel(_) | Effect::Answer { .. } => {}
            }
        }
        let stored = serde_json::to_string(&rollout.snapshot()).expect("it can be saved");
        assert_eq!(
            serde_json::from_str::<Snapshot>(&stored).expect("and read again"),
            rollout.snapshot()
        );
        if events.is_empty() {
            now = rollout.deadline().unwrap_or(now).max(now);
        }
        if step == 100 {
            events.extend(abort.take().map(Event::Command));
        }
    }
});
