//! What a start needs, and what is remembered of earlier rollouts.

use std::collections::BTreeMap;

use canary_core::driver::{Driver, DriverBuilder, StartError};
use canary_core::policy::{
    AlertFilter, Calendar, GateKind, GateSpec, HttpProbe, Policy, PolicySpec, Stage,
};
use canary_core::ports::{Capabilities, StateStore};
use canary_core::record::Content;
use canary_core::store::MemoryStore;
use canary_core::testing::{MemoryRouter, Recorder};
use canary_core::value::{Audience, Target, Weight};

use crate::support::{OpenGate, ana, builder, id, judged, s};

async fn refusal(builder: DriverBuilder) -> String {
    // It is known before anybody is asked anything.
    let known = builder.check().unwrap_err().to_string();
    let refused = builder.start(id("shop-1")).await.unwrap_err().to_string();
    assert_eq!(known, refused);
    refused
}

#[tokio::test(start_paused = true)]
async fn what_is_missing_refuses_the_start() {
    let nothing = Driver::builder(judged());
    assert!(refusal(nothing).await.contains("needs a router"));
    let routed = || Driver::builder(judged()).router(MemoryRouter::new());
    let error = refusal(routed()).await;
    assert!(error.contains("needs a metric source"), "{error}");
    assert!(
        error.contains("the hard limit (`hard_limit: off` switches it off), check `"),
        "{error}"
    );
    let world = canary_core::testing::WorldPorts::new(crate::support::simulation(0.1).world());
    let error = refusal(routed().metrics(world)).await;
    assert!(error.contains("gates that nobody supplies: smoke (say in the policy"), "{error}");
    let error = refusal(routed().gate("a b", OpenGate::default())).await;
    assert!(error.contains("is no gate name"), "{error}");
    let error = refusal(routed().gate("smok", OpenGate::default())).await;
    assert_eq!(error, "the policy `shop` asks no gate `smok`; it asks: `smoke`");
}

#[tokio::test(start_paused = true)]
async fn what_the_router_cannot_do_is_named_with_what_needs_it() {
    let mut spec = PolicySpec::new("shop");
    let mut shadow = Stage::new("shadow", Weight::ZERO, s(60));
    shadow.mirror = Weight::percent(5);
    spec.stages = vec![shadow, Stage::new("full", Weight::FULL, s(60))];
    spec.header = BTreeMap::from([("x-canary".to_owned(), "true".to_owned())]);
    spec.audience = Some(Audience::by("user"));
    spec.hard_limit = false;
    let policy = Policy::from_spec(spec).unwrap();
    let with = |can| Driver::builder(policy.clone()).router(MemoryRouter::new().capable_of(can));
    let error = refusal(with(Capabilities::default())).await;
    for part in ["their headers, which `header`", "by user, which `audience`", "stage `shadow`"] {
        assert!(error.contains(part), "{error}");
    }
    let mut no_mirror = Capabilities::everything();
    no_mirror.mirror = false;
    let error = with(no_mirror).start(id("shop-1")).await.unwrap_err();
    assert!(matches!(&error, StartError::RouterLacks { lacks } if lacks.len() == 1), "{error}");
    with(Capabilities::everything()).check().unwrap();
    assert!(with(Capabilities::everything()).start(id("shop-1")).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_gate_that_neither_plan_nor_code_makes_is_named_with_what_to_do() {
    let of = |kind: GateKind| {
        let policy = Policy::builder("shop")
            .stage("half", Weight::percent(50), s(60))
            .gate("asked", GateSpec::of(kind))
            .stage("full", Weight::FULL, s(60))
            .without_hard_limit()
            .build()
            .unwrap();
        Driver::builder(policy).router(MemoryRouter::new())
    };
    let alerts = || of(GateKind::Alerts(AlertFilter::default()));
    assert!(refusal(alerts()).await.contains("asked (it looks at alerts: supply"));
    assert!(alerts().gate("asked", OpenGate::default()).start(id("shop-1")).await.is_ok());
    let page = of(GateKind::Http(HttpProbe::get("http://127.0.0.1:9/healthz")));
    assert!(page.start(id("shop-1")).await.is_ok(), "the plan alone makes it");
    let hours = of(GateKind::Window(Calendar::open("* 9-16 * * MON-FRI", "Europe/Berlin")));
    assert!(hours.start(id("shop-1")).await.is_ok(), "the plan alone makes it");
}

fn returning(keep: u32, among: u32) -> Policy {
    let mut spec = PolicySpec::new("shop");
    spec.stages = vec![
        Stage::new("half", Weight::percent(50), s(60)),
        Stage::new("full", Weight::FULL, s(60)),
    ];
    spec.hard_limit = false;
    (spec.keep, spec.fast_return) = (keep, among);
    Policy::from_spec(spec).unwrap()
}

/// Rolls versions out one after the other; returns which of them took the short way.
async fn short_ways(store: &MemoryStore, policy: &Policy, versions: &[(&str, bool)]) -> Vec<bool> {
    let mut short = Vec::new();
    for (number, (version, well)) in versions.iter().enumerate() {
        let recorder = Recorder::new();
        let handle = Driver::builder(policy.clone())
            .router(MemoryRouter::new())
            .store(store.clone())
            .version(*version)
            .observer(recorder.clone())
            .start(id(&format!("shop-{number}")))
            .await
            .unwrap();
        if !well {
            handle.abort("bad", &ana()).await.unwrap();
        }
        handle.finished().await.unwrap();
        let returned =
            |r: &canary_core::record::Record| matches!(r.content, Content::FastReturn { .. });
        short.push(recorder.records().iter().any(returned));
    }
    short
}

#[tokio::test(start_paused = true)]
async fn a_version_that_was_promoted_not_long_ago_returns_by_the_short_way() {
    let rollouts =
        [("v1", true), ("v2", true), ("v3", false), ("v1", true), ("v3", true), ("v2", true)];
    let short = short_ways(&MemoryStore::new(), &returning(10, 2), &rollouts).await;
    // v1 is among the last two that were promoted, v3 never was, v2 no longer is.
    assert_eq!(short, [false, false, false, true, false, false]);
    let none = short_ways(&MemoryStore::new(), &returning(10, 0), &rollouts[..4]).await;
    assert_eq!(none, [false; 4]);
}

#[tokio::test(start_paused = true)]
async fn as_many_rollouts_are_remembered_as_the_plan_says() {
    let store = MemoryStore::new();
    let rollouts = [("v1", true), ("v2", false), ("v3", true), ("v4", true)];
    short_ways(&store, &returning(2, 0), &rollouts).await;
    let target: Target = "shop".parse().unwrap();
    let past = store.load(&target).await.unwrap().unwrap().claim.past;
    let told: Vec<_> =
        past.iter().map(|p| (p.rollout.as_str(), p.version.as_deref(), p.promoted)).collect();
    assert_eq!(told, [("shop-1", Some("v2"), false), ("shop-2", Some("v3"), true)]);
    assert!(past[0].outcome.contains("bad"), "{past:?}");
    assert!(past[1].ended > past[0].ended);
}

#[tokio::test(start_paused = true)]
async fn a_store_lists_what_can_be_taken_up() {
    let store = MemoryStore::new();
    for target in ["prod/b", "prod/a"] {
        let builder = builder().store(store.clone()).target(target.parse().unwrap());
        builder.start(id("shop-1")).await.unwrap();
    }
    let targets = store.targets().await.unwrap();
    assert_eq!(targets.iter().map(Target::as_str).collect::<Vec<_>>(), ["prod/a", "prod/b"]);
}
