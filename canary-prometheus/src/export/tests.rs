use std::collections::BTreeSet;

use async_trait::async_trait;
use canary_core::policy::{Check, How, Policy};
use canary_core::ports::{Call, Capacity, Decision, Gate, GateContext, MetricSource, PortError};
use canary_core::rollout::Action;
use canary_core::simulate::{Service, Simulation};
use canary_core::value::{
    EffectId, Epoch, FailureKind, Measured, Query, Side, Signal, Timestamp, Traffic, Weight,
};
use serde_json::{Value, json};

use super::*;

fn observer() -> (RolloutMetrics, RolloutObserver) {
    let metrics = RolloutMetrics::new();
    let observer = metrics.of("shop/checkout".parse().unwrap());
    (metrics, observer)
}

fn policy() -> Policy {
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    Policy::builder("say \"hello\"")
        .stage("tenth", Weight::percent(10), minutes(10))
        .stage("full", Weight::FULL, minutes(5))
        .check(Check::worse_than_stable("errors", 1.25))
        .check(Check::above("too-many", "error_rate", 0.2).lasting(minutes(1)))
        .build()
        .unwrap()
}

fn simulation(canary_errors: f64) -> Simulation {
    let policy = policy();
    Simulation::of(&policy)
        .traffic(200.0)
        .stable(Service::healthy().errors(0.001))
        .canary(Service::healthy().errors(canary_errors))
        .seed(7)
}

/// Reads a page: the value of each series. Panics where the format does not hold.
fn read(page: &str) -> std::collections::BTreeMap<String, f64> {
    let (body, end) = page.split_at(page.len() - 6);
    assert_eq!(end, "# EOF\n");
    let mut family = "";
    let mut families = BTreeSet::new();
    let mut series = std::collections::BTreeMap::new();
    for line in body.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, text) = help.split_once(' ').unwrap();
            assert!(families.insert(name.to_owned()) && text.len() > 5, "{line}");
            family = name;
        } else if !line.starts_with('#') {
            assert!(line.starts_with(family), "{line}");
            let (name, value) = line.rsplit_once(' ').unwrap();
            assert!(name.contains("target=\"shop/checkout\""), "{line}");
            let value: f64 = value.parse().unwrap();
            assert!(series.insert(name.to_owned(), value).is_none(), "twice: {name}");
        }
    }
    series
}

/// Returns the value of the one series whose name begins so and that has these labels.
fn value(page: &str, name: &str, labels: &str) -> Option<f64> {
    let all = read(page);
    let mut found = all.iter().filter(|(series, _)| {
        series.starts_with(&format!("canary_rollout_{name}{{")) && series.contains(labels)
    });
    let first = found.next().map(|(_, value)| *value);
    assert!(found.next().is_none(), "several {name}");
    first
}

#[test]
fn a_promoted_rollout_is_told_from_start_to_end() {
    let (metrics, observer) = observer();
    let id = "checkout-42".parse().unwrap();
    let (mut phases, mut weights, mut most) = (Vec::new(), Vec::new(), 0);
    simulation(0.001).run_observed(|record| {
        observer.notice(&id, record);
        let page = metrics.text();
        let series = read(&page);
        most = most.max(series.len());
        let phase = series.iter().find(|(name, value)| name.contains("_phase{") && **value == 1.0);
        let phase = phase.unwrap().0.split("phase=\"").nth(1).unwrap().to_owned();
        if phases.last() != Some(&phase) {
            phases.push(phase);
        }
        let weight = value(&page, "weight_ratio", "");
        if weights.last() != Some(&weight) {
            weights.push(weight);
        }
    });
    let told = ["starting", "entering", "holding", "entering", "holding", "promoted"];
    let told = told.map(|phase| format!("{phase}\"}}"));
    assert_eq!(phases, told);
    assert_eq!(weights, [Some(0.0), Some(0.1), Some(1.0), None]);
    assert!(most < 40, "{most} series");
    let page = metrics.text();
    assert!(value(&page, "ended_timestamp_seconds", "outcome=\"promoted\"").is_some());
    assert_eq!(value(&page, "info", "policy=\"say \\\"hello\\\"\""), Some(1.0));
}

#[test]
fn what_convicts_a_canary_is_told() {
    let (metrics, observer) = observer();
    let id = "checkout-42".parse().unwrap();
    let mut convicted = None;
    simulation(0.05).run_observed(|record| {
        observer.notice(&id, record);
        let page = metrics.text();
        if value(&page, "check_verdict", "check=\"errors\",verdict=\"fail\"").is_some() {
            let odds = value(&page, "check_evidence_odds", "errors").unwrap();
            let needed = value(&page, "check_evidence_needed_odds", "errors").unwrap();
            let share = value(&page, "observed_share_ratio", "").unwrap();
            convicted = Some((odds, needed, share));
        }
    });
    let (odds, needed, share) = convicted.unwrap();
    assert!(odds >= needed && (0.05..0.15).contains(&share), "{odds} {needed} {share}");
    assert!(value(&metrics.text(), "ended_timestamp_seconds", "rolled_back").is_some());
    assert_eq!(value(&metrics.text(), "check_verdict", ""), None);
}

fn record(number: u64, content: Value) -> Record {
    let mut whole = json!({ "number": number, "at_ms": 1_000_000 + number });
    let (fields, more) = (whole.as_object_mut().unwrap(), content.as_object().unwrap());
    fields.extend(more.clone());
    serde_json::from_value(whole).unwrap()
}

fn started(rollout: &str) -> Value {
    json!({ "kind": "started", "rollout": rollout, "policy": "shop", "stages": 2 })
}

fn failed(attempt: u32) -> Value {
    let failure = json!({ "kind": "timeout", "message": "it took \"too\" long" });
    json!({ "kind": "call_failed", "action": "ask gate oncall", "attempt": attempt, "failure": failure })
}

#[test]
fn a_record_that_comes_again_is_counted_once() {
    let (metrics, observer) = observer();
    let id = "checkout-42".parse().unwrap();
    for (number, content) in [(1, started("checkout-42")), (2, failed(1)), (3, failed(2))] {
        observer.notice(&id, &record(number, content.clone()));
        observer.notice(&id, &record(number, content));
    }
    let page = metrics.text();
    let labels = "action=\"ask_gate\",kind=\"timeout\"";
    assert_eq!(value(&page, "failed_calls_total", labels), Some(2.0));
    assert_eq!(value(&page, "failed_retries_total", "action=\"ask_gate\""), Some(1.0));
}

#[test]
fn the_newest_rollout_of_a_target_takes_its_place() {
    let (metrics, observer) = observer();
    let (old, new) = ("checkout-42".parse().unwrap(), "checkout-43".parse().unwrap());
    let entered = |weight| json!({ "kind": "stage_entered", "stage": 0, "name": format!("w{weight}"), "weight_bp": weight });
    observer.notice(&old, &record(1, started("checkout-42")));
    observer.notice(&old, &record(2, entered(100)));
    observer.notice(&new, &record(1, started("checkout-43")));
    observer.notice(&old, &record(3, entered(200)));
    let page = metrics.text();
    assert_eq!(value(&page, "info", "rollout=\"checkout-43\""), Some(1.0));
    assert_eq!(value(&page, "stage_entered_timestamp_seconds", ""), None);
}

#[test]
fn an_ended_rollout_is_forgotten_after_an_hour() {
    let (metrics, observer) = observer();
    let id = "checkout-42".parse().unwrap();
    let begin = now();
    observer.notice_at(&id, &record(1, started("checkout-42")), begin);
    let ended = record(2, json!({ "kind": "ended", "outcome": "promoted" }));
    observer.notice_at(&id, &ended, begin);
    let just_before = begin + KEEP - Duration::from_secs(1);
    assert!(value(&metrics.text_at(just_before), "ended_timestamp_seconds", "").is_some());
    assert_eq!(metrics.text_at(begin + KEEP), "# EOF\n");
}

#[test]
fn what_it_waits_for_is_told() {
    let (metrics, observer) = observer();
    let id = "checkout-42".parse().unwrap();
    let command = |command: &str, answer: &str| json!({ "kind": "commanded", "id": "c", "actor": "ana", "command": command, "answer": answer });
    let asked =
        json!({ "kind": "gate_asked", "gate": "oncall", "moment": "leaving", "stage": "half" });
    let opened = json!({ "kind": "gate_opened", "gate": "oncall", "by": null });
    let stalled = json!({ "kind": "stalled", "for_ms": 10, "then": "hold" });
    let stuck = json!({ "kind": "stuck", "for_ms": 10 });
    let decided = json!({ "kind": "rollback_decided",
        "reason": { "aborted": { "actor": "ana", "reason": "bad" } } });
    for (i, (content, waiting, is_stalled, is_stuck)) in [
        (started("checkout-42"), 0.0, 0.0, 0.0),
        (asked, 1.0, 0.0, 0.0),
        (opened, 0.0, 0.0, 0.0),
        (command("pause", "not possible: it ends"), 0.0, 0.0, 0.0),
        (command("pause", "done"), 1.0, 0.0, 0.0),
        (stalled, 1.0, 1.0, 0.0),
        (command("resume", "done"), 0.0, 0.0, 0.0),
        (decided, 0.0, 0.0, 0.0),
        (stuck, 0.0, 0.0, 1.0),
    ]
    .into_iter()
    .enumerate()
    {
        observer.notice(&id, &record(i as u64 + 1, content));
        let page = metrics.text();
        let told = ["waiting", "stalled", "stuck"].map(|name| value(&page, name, "").unwrap());
        assert_eq!(told, [waiting, is_stalled, is_stuck], "record {}", i + 1);
    }
}

#[test]
fn every_action_has_a_word() {
    let context = GateContext::new(
        "oncall".parse().unwrap(),
        canary_core::policy::Moment::Start,
        "",
        Weight::ZERO,
    );
    let actions = [
        Action::Route { traffic: Traffic::to_canary(Weight::percent(5)), at: None },
        Action::Observe,
        Action::Measure { queries: Arc::from([]), until: Timestamp::EPOCH },
        Action::AskGate { context },
        Action::Release,
        Action::Prepare { capacity: Capacity::new(Weight::FULL, None) },
        Action::Promote { how: How::Swap },
        Action::Restore { how: How::Swap },
        Action::Retire { side: Side::Stable },
    ];
    let words: BTreeSet<_> =
        actions.iter().map(|action| calls::kind_of(&action.to_string())).collect();
    assert_eq!(words.len(), actions.len());
    assert!(!words.contains("other"));
}

/// Answers or fails, or never answers at all.
#[derive(Debug)]
enum Port {
    Answers,
    Fails,
    Hangs,
}

#[async_trait]
impl MetricSource for Port {
    fn check(&self, _query: &Query) -> Result<(), PortError> {
        Err(PortError::new(FailureKind::Unsupported, "nothing is known here"))
    }

    async fn measure(
        &self,
        _call: &Call,
        queries: &[Query],
        _until: Timestamp,
    ) -> Vec<Result<Measured, PortError>> {
        let answer = |query: &Query| match self {
            Self::Fails => Err(PortError::new(FailureKind::Unavailable, "down")),
            _ => Ok(Measured::pending(query.after)),
        };
        queries.iter().map(answer).collect()
    }
}

#[async_trait]
impl Gate for Port {
    async fn decide(&self, _call: &Call, _context: &GateContext) -> Result<Decision, PortError> {
        match self {
            Self::Answers => Ok(Decision::Open),
            Self::Fails => Err(PortError::new(FailureKind::Denied, "no")),
            Self::Hangs => std::future::pending().await,
        }
    }
}

#[tokio::test]
async fn calls_are_timed_whatever_comes_of_them() {
    let (metrics, observer) = observer();
    let at = Timestamp::EPOCH;
    let call = Call::new("a".parse().unwrap(), Epoch::new(1), EffectId::new(1), 1, at, at);
    let queries = [Query::new(Signal::Requests, at)];
    let moment = canary_core::policy::Moment::Start;
    let context = GateContext::new("oncall".parse().unwrap(), moment, "", Weight::ZERO);
    for port in [Port::Answers, Port::Fails] {
        let port = observer.timed(port);
        assert!(port.check(&queries[0]).is_err(), "what the port refuses is refused");
        assert_eq!(port.measure(&call, &queries, at).await.len(), 1);
        let _ = port.decide(&call, &context).await;
    }
    let hanging = observer.timed(Port::Hangs);
    let mut decided = hanging.decide(&call, &context);
    assert!(futures::poll!(&mut decided).is_pending());
    drop(decided);
    let page = metrics.text();
    for (port, result, count) in [
        ("metrics", "ok", Some(1.0)),
        ("metrics", "error", Some(1.0)),
        ("gate", "ok", Some(1.0)),
        ("gate", "error", Some(1.0)),
        ("gate", "cancelled", Some(1.0)),
        ("metrics", "cancelled", None),
    ] {
        let labels = format!("port=\"{port}\"");
        let found = read(&page).into_iter().find(|(name, _)| {
            name.starts_with("canary_rollout_port_call_duration_seconds_count")
                && name.contains(&labels)
                && name.contains(result)
        });
        assert_eq!(found.map(|(_, value)| value), count, "{port} {result}");
    }
}
