//! What a rollout says, as Kubernetes Events.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use canary_core::ports::Observer;
use canary_core::record::Record;
use canary_core::testing::conformance::run;
use canary_core::value::RolloutId;
use canary_kube::testing::{Cluster, MemoryApi};
use canary_kube::{Events, EventsOn, HTTP_ROUTE};
use common::fields;
use k8s_openapi::api::events::v1::Event;
use kube::Client;
use kube::api::{Api, ListParams};
use serde_json::{Value, json};

fn record(number: u64, content: &Value) -> Record {
    let mut record = json!({ "number": number, "at_ms": 1_700_000_000_000_u64 + number });
    record.as_object_mut().unwrap().extend(content.as_object().unwrap().clone());
    serde_json::from_value(record).unwrap()
}

fn story() -> Vec<Record> {
    let contents = [
        json!({ "kind": "started", "rollout": "web-7", "policy": "web", "stages": 1 }),
        json!({ "kind": "stage_entered", "stage": 0, "name": "full", "weight_bp": 10_000 }),
        json!({ "kind": "traffic_accepted", "weight_bp": 10_000, "effective": null }),
        json!({ "kind": "canary_not_ready", "why": "ä".repeat(2_000) }),
        json!({ "kind": "ended", "outcome": "promoted" }),
    ];
    (1..).zip(&contents).map(|(number, content)| record(number, content)).collect()
}

/// Tells the story twice, as after a crash, and returns the Events that are there.
async fn told(client: Client, namespace: &str, name: &str) -> Vec<Event> {
    let on = EventsOn::route(&HTTP_ROUTE, namespace, name);
    let rollout: RolloutId = "web-7".parse().unwrap();
    for _ in 0..2 {
        let events = Events::new(client.clone(), on.clone(), "bot-0");
        story().iter().for_each(|record| events.notice(&rollout, record));
        events.written().await;
    }
    let listed = Api::<Event>::namespaced(client, namespace).list(&ListParams::default()).await;
    let mut events = listed.unwrap().items;
    events.retain(|event| {
        event.regarding.as_ref().is_some_and(|on| on.name.as_deref() == Some(name))
    });
    events.sort_by(|a, b| a.event_time.cmp(&b.event_time));
    events
}

fn check(events: &[Event]) {
    let reasons: Vec<_> = events.iter().map(|event| event.reason.as_deref().unwrap()).collect();
    let expected =
        ["RolloutStarted", "StageEntered", "WeightChanged", "CanaryNotReady", "RolloutPromoted"];
    assert_eq!(reasons, expected);
    for event in events {
        let known = Events::REASONS.iter().find(|(name, _)| Some(*name) == event.reason.as_deref());
        let warns = event.type_.as_deref() == Some("Warning");
        assert_eq!(known.unwrap().1, warns, "{:?}", event.reason);
    }
    let notes: Vec<_> = events.iter().map(|event| event.note.clone().unwrap()).collect();
    assert_eq!(notes[4], "web-7: promoted");
    assert!(
        notes[3].ends_with("ä…") && (1_020..=1_024).contains(&notes[3].len()),
        "{}",
        notes[3].len()
    );
}

#[test]
fn in_memory_each_record_is_one_event() {
    run(async {
        let api = MemoryApi::new();
        api.put(&HTTP_ROUTE, "shop", "web", &fields());
        check(&told(api.client(), "shop", "web").await);
    });
}

#[test]
#[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-kube -- --ignored"]
fn on_a_real_server_each_record_is_one_event() {
    run(async {
        let cluster = Cluster::connect().await;
        let object = cluster.create(&HTTP_ROUTE, &fields()).await;
        let events = told(cluster.client(), object.namespace(), object.name()).await;
        check(&events);
        let uid = object.read().await["metadata"]["uid"].as_str().unwrap().to_owned();
        assert!(
            events.iter().all(|event| event.regarding.as_ref().unwrap().uid.as_ref() == Some(&uid))
        );
        object.delete().await;
    });
}

#[test]
fn a_server_that_is_down_or_silent_holds_nothing_up() {
    run(async {
        let api = MemoryApi::new();
        (0..40).for_each(|_| api.answer_next(503, None, ""));
        let events = Events::new(api.client(), EventsOn::deployment("shop", "web"), "");
        let rollout: RolloutId = "web-7".parse().unwrap();
        story().iter().for_each(|record| events.notice(&rollout, record));
        events.written().await;

        let silent = tower::service_fn(|_: http::Request<kube::client::Body>| async {
            std::future::pending::<Result<http::Response<kube::client::Body>, kube::Error>>().await
        });
        let silent = Client::new(silent, "default");
        let events = Events::new(silent, EventsOn::deployment("shop", "web"), "");
        // More than the queue holds: the rest is left out, and none of it is waited for.
        for number in 1..2_000 {
            let content = json!({ "kind": "point_of_no_return" });
            events.notice(&rollout, &record(number, &content));
        }
    });
}

#[test]
fn every_reason_is_in_the_page() {
    let page = include_str!("../../docs/kubernetes.md");
    let row = |name: &str| {
        page.lines().find(|line| line.contains(&format!("`{name}`")) && line.starts_with('|'))
    };
    for (name, warns) in Events::REASONS {
        let row = row(name).unwrap_or_else(|| panic!("{name} is missing"));
        assert!(row.ends_with(if *warns { "| Warning |" } else { "| Normal |" }), "{name}: {row}");
    }
}
