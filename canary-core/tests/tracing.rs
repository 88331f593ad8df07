//! What a rollout writes as tracing events.
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use canary_core::observe::Tracing;
use canary_core::policy::{Check, Policy};
use canary_core::ports::Observer;
use canary_core::record::Record;
use canary_core::simulate::{Service, Simulation};
use canary_core::value::Weight;
use serde_json::Value;
use tracing::Level;

/// Gathers what is written.
#[derive(Clone, Debug, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Takes a bad canary back and returns its records, and the events that they became.
fn taken_back(most: Level) -> (Vec<Record>, Vec<Value>) {
    let policy = Policy::builder("shop")
        .stage("half", Weight::percent(50), Duration::from_secs(300))
        .stage("full", Weight::FULL, Duration::from_secs(300))
        .check(Check::worse_than_stable("errors", 1.25))
        .build()
        .unwrap();
    let written = Written::default();
    let writer = written.clone();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .with_max_level(most)
        .with_writer(move || writer.clone())
        .finish();
    let mut records = Vec::new();
    let id = "shop-1".parse().unwrap();
    tracing::subscriber::with_default(subscriber, || {
        let bad = Service::healthy().errors(0.2);
        Simulation::of(&policy).traffic(200.0).canary(bad).run_observed(|record| {
            Tracing::new().notice(&id, record);
            records.push(record.clone());
        });
    });
    let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
    (records, text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

#[test]
fn each_record_is_an_event_with_its_sentence() {
    let (records, events) = taken_back(Level::TRACE);
    assert_eq!(records.len(), events.len());
    for (record, event) in records.iter().zip(&events) {
        assert_eq!(event["target"], "canary::rollout");
        let fields = &event["fields"];
        assert_eq!(fields["rollout"], "shop-1");
        assert_eq!(fields["record"], record.number);
        assert_eq!(fields["at"], record.at.to_string());
        assert_eq!(fields["kind"], record.content.kind());
        assert_eq!(fields["message"], record.content.to_string());
    }
}

#[test]
fn the_level_tells_how_much_it_matters() {
    let (_, events) = taken_back(Level::TRACE);
    let mut levels = BTreeMap::<_, BTreeSet<_>>::new();
    for event in &events {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        levels.entry(text(&event["fields"]["kind"])).or_default().insert(text(&event["level"]));
    }
    let level = |kind: &str| levels[kind].iter().map(String::as_str).collect::<Vec<_>>();
    assert_eq!(level("judged"), ["DEBUG"]);
    assert_eq!(level("stage_entered"), ["INFO"]);
    assert_eq!(level("rollback_decided"), ["WARN"]);
    assert_eq!(level("ended"), ["WARN"]);

    let (_, loud) = taken_back(Level::WARN);
    assert_eq!(loud.len(), 2, "{loud:?}");
}
