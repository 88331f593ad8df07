//! Several metric sources, each answering for itself.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use canary_core::driver::{Clock, Driver, DriverBuilder, StartError};
use canary_core::policy::{
    Check, CheckKind, Evident, GateSpec, MetricQuery, MetricSpec, Policy, PolicySpec, Stage,
    Weighed,
};
use canary_core::ports::{Call, MetricSource, PortError};
use canary_core::record::{Content, Judgement};
use canary_core::source::FnSource;
use canary_core::testing::{MemoryRouter, Recorder};
use canary_core::value::{
    Counts, FailureKind, Measured, Query, Reading, Signal, Timestamp, Weight, Window,
};

use crate::support::{BEGIN, OpenGate, id, s};

/// Answers with healthy numbers, wrongly many answers, or not at all; notes what it was asked.
#[derive(Clone, Debug, Default)]
struct Numbers {
    mood: Mood,
    asked: Arc<Mutex<Vec<Query>>>,
}

#[derive(Clone, Copy, Debug, Default)]
enum Mood {
    #[default]
    Well,
    Hangs,
    Panics,
    SaysTooLittle,
    CannotRead,
    NoLatency,
}

#[async_trait]
impl MetricSource for Numbers {
    fn check(&self, query: &Query) -> Result<(), PortError> {
        match self.mood {
            Mood::CannotRead => {
                let asked = query.text.as_deref().unwrap_or("nothing");
                Err(PortError::new(FailureKind::Invalid, format!("it cannot read `{asked}`")))
            }
            Mood::NoLatency if query.signal == Signal::Latency => {
                Err(PortError::new(FailureKind::Unsupported, "no latency here"))
            }
            _ => Ok(()),
        }
    }

    async fn measure(
        &self,
        _: &Call,
        queries: &[Query],
        until: Timestamp,
    ) -> Vec<Result<Measured, PortError>> {
        self.asked.lock().unwrap().extend_from_slice(queries);
        match self.mood {
            Mood::Hangs => std::future::pending().await,
            Mood::Panics => panic!("a defect of the source"),
            Mood::SaysTooLittle => return Vec::new(),
            Mood::Well | Mood::CannotRead | Mood::NoLatency => {}
        }
        let answer = |query: &Query| {
            let reading = match &query.signal {
                Signal::Requests => Reading::Counts(Counts::new(1000, 0).unwrap()),
                Signal::Custom(_) => Reading::Value(0.5),
                _ => Reading::NoData,
            };
            Ok(Measured::new(Window::new(query.after, until), reading.clone(), reading))
        };
        queries.iter().map(answer).collect()
    }
}

/// Looks at errors of the source without a name, and at one number of each of two named ones.
fn policy() -> Policy {
    let mut spec = PolicySpec::new("shop");
    spec.every_ms = 10_000;
    spec.stages = vec![Stage::new("full", Weight::FULL, s(60))];
    let query = |source: &str| {
        let mut query: MetricQuery = serde_json::from_str("{}").unwrap();
        query.source = Some(source.into());
        MetricSpec::Query(query)
    };
    spec.metrics =
        BTreeMap::from([("pool".to_owned(), query("db")), ("cost".to_owned(), query("bills"))]);
    spec.checks = vec![
        Check::above("errors", "error_rate", 0.05),
        Check::above("pool", "pool", 0.9),
        Check::above("cost", "cost", 0.9),
    ];
    Policy::from_spec(spec).unwrap()
}

fn asking(db: &Numbers, bills: &Numbers) -> DriverBuilder {
    Driver::builder(policy())
        .router(MemoryRouter::new())
        .metrics(Numbers::default())
        .source("db", db.clone())
        .source("bills", bills.clone())
        .clock(Clock::starting_at(BEGIN))
}

/// Returns what the first look found of each check, and how long it took.
async fn first_look(builder: DriverBuilder) -> (BTreeMap<String, String>, std::time::Duration) {
    let recorder = Recorder::new();
    let handle = builder.observer(recorder.clone()).start(id("shop-1")).await.unwrap();
    tokio::time::sleep(s(25)).await;
    handle.stop();
    handle.finished().await.unwrap_err();
    let records = recorder.records();
    let look = records.iter().find_map(|record| match &record.content {
        Content::Judged(judgement) => Some((&**judgement, record.at)),
        _ => None,
    });
    let (judgement, at): (&Judgement, Timestamp) = look.expect("it looked");
    let found = judgement.checks.iter().map(|c| (c.check.to_string(), c.to_string())).collect();
    (found, at.since(BEGIN + s(10)))
}

#[tokio::test(start_paused = true)]
async fn each_source_is_asked_for_its_own() {
    let (db, bills) = (Numbers::default(), Numbers::default());
    let (_, took) = first_look(asking(&db, &bills)).await;
    assert_eq!(took, s(0));
    for (source, name, metric) in [(&db, "db", "pool"), (&bills, "bills", "cost")] {
        let asked = source.asked.lock().unwrap();
        assert!(!asked.is_empty());
        for query in &*asked {
            assert_eq!(query.source.as_deref(), Some(name));
            assert_eq!(query.signal, Signal::Custom(metric.into()));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_that_goes_wrong_spoils_its_own_answers_alone() {
    for (mood, says) in [
        (Mood::Hangs, "timeout"),
        (Mood::Panics, "it panicked"),
        (Mood::SaysTooLittle, "0 answers to 1 queries"),
    ] {
        let db = Numbers { mood, ..Numbers::default() };
        let (found, took) = first_look(asking(&db, &Numbers::default())).await;
        assert!(found["pool"].contains(says), "{mood:?}: {found:?}");
        for check in ["errors", "cost"] {
            assert!(!found[check].contains("cannot be measured"), "{mood:?}: {found:?}");
        }
        assert!(took < s(10), "the others' answers came in time: {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_that_nobody_supplies_refuses_the_start() {
    let builder = Driver::builder(policy()).router(MemoryRouter::new()).metrics(Numbers::default());
    let error = builder.source("db", Numbers::default()).start(id("shop-1")).await.unwrap_err();
    assert!(matches!(&error, StartError::MissingSources { sources } if sources.len() == 1));
    assert!(error.to_string().contains("nobody supplies: bills; supply them (`.source"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_query_that_its_source_cannot_be_asked_refuses_the_start() {
    let db = Numbers { mood: Mood::CannotRead, ..Numbers::default() };
    let error = asking(&db, &Numbers::default()).start(id("shop-1")).await.unwrap_err();
    let StartError::WrongQueries { queries } = &error else { panic!("{error}") };
    assert_eq!(queries.len(), 1);
    assert!(error.to_string().contains("metrics.pool: it cannot read `"), "{error}");
    assert!(db.asked.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn only_what_the_plan_looks_at_needs_a_source() {
    let without = |checks: &dyn Fn(&Check) -> bool, gates: &[&str]| {
        let mut spec = policy().spec().clone();
        spec.hard_limit = false;
        spec.checks.retain(|check| checks(check));
        spec.metrics.retain(|name, _| spec.checks.iter().any(|check| *check.name == **name));
        for gate in gates {
            spec.checks.push(Check::gate(*gate, gate.parse().unwrap()));
            spec.gates.insert(gate.parse().unwrap(), GateSpec::default());
        }
        Driver::builder(Policy::from_spec(spec).unwrap()).router(MemoryRouter::new())
    };
    let gates_alone = without(&|_| false, &["alerts"]).gate("alerts", OpenGate::default());
    let named_alone = without(&|check| &*check.name == "pool", &[]);
    for builder in [gates_alone, named_alone.source("db", Numbers::default())] {
        let finished = builder.start(id("shop-1")).await.unwrap().finished().await.unwrap();
        assert!(finished.outcome().is_promoted(), "{}", finished.outcome());
    }
    let built_in = without(&|check| &*check.name == "errors", &[]);
    let error = built_in.start(id("shop-1")).await.unwrap_err();
    assert!(matches!(error, StartError::NoMetrics { .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_function_is_a_source() {
    let source = FnSource::new(|query, until| {
        let counts = |bad| Reading::Counts(Counts::new(1000, bad).unwrap());
        Ok(Measured::new(Window::new(query.after, until), counts(1), counts(900)))
    });
    let policy = Policy::builder("shop")
        .stage("half", Weight::percent(50), s(60))
        .stage("full", Weight::FULL, s(60))
        .build()
        .unwrap();
    let handle = Driver::builder(policy)
        .router(MemoryRouter::new())
        .metrics(source)
        .start(id("shop-1"))
        .await
        .unwrap();
    let finished = handle.finished().await.unwrap();
    assert!(finished.outcome().to_string().starts_with("rolled back: hard-limit fails"));
}

#[tokio::test(start_paused = true)]
async fn a_source_that_cannot_tell_latency_is_refused_where_evidence_weighs_it() {
    let weighs = || Check::worse_in("slow", 1.5, [Weighed::new(Evident::Latency, 1.0)]);
    let parts = vec![weighs().kind, Check::above("many", "error_rate", 0.1).kind];
    let in_part = Check::new("slow", CheckKind::Any(parts));
    for check in [Check::above_stable("slow", "latency.p95", 1.5), weighs(), in_part] {
        let mut spec = PolicySpec::new("shop");
        spec.stages = vec![Stage::new("half", Weight::percent(50), s(60))];
        spec.stages.push(Stage::new("full", Weight::FULL, s(60)));
        spec.checks.push(check);
        let numbers = Numbers { mood: Mood::NoLatency, ..Numbers::default() };
        let builder = Driver::builder(Policy::from_spec(spec).unwrap()).metrics(numbers);
        match builder.router(MemoryRouter::new()).start(id("shop-1")).await {
            Err(StartError::WrongQueries { queries }) => {
                let paths: Vec<_> = queries.iter().map(|wrong| wrong.path.as_str()).collect();
                assert_eq!(paths, ["latency"]);
            }
            other => panic!("{other:?}"),
        }
    }
}
