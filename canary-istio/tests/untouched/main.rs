//! A rollout touches nothing but what is its own, whatever else a VirtualService holds.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../common/mod.rs"]
mod common;

mod both;
mod generate;

use std::time::Duration;

use canary_core::ports::{Call, TrafficRouter};
use canary_core::testing::conformance::run;
use canary_core::value::{EffectId, Epoch, FailureKind, Timestamp, Traffic, Weight};
use canary_istio::{VIRTUAL_SERVICE, VirtualServiceRouter};
use canary_kube::testing::{Cluster, MemoryApi, takes_only_its_own};
use generate::{Fields, Service, of_schema, steps, virtual_service};
use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};
use serde_json::Value;

proptest! {
    #![proptest_config(cases(128))]

    #[test]
    fn in_memory(service in virtual_service(Fields::Any), steps in steps()) {
        run(async {
            let api = MemoryApi::new();
            api.put(&VIRTUAL_SERVICE, "shop", "checkout", &service.fields);
            let router = VirtualServiceRouter::new(api.client(), "shop", "checkout");
            let router = service.destinations(router);
            let read = async || api.get(&VIRTUAL_SERVICE, "shop", "checkout").unwrap();
            check(&service, &router, read, steps).await;
        });
    }
}

proptest! {
    #![proptest_config(cases(12))]

    #[test]
    #[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-istio -- --ignored"]
    fn on_a_real_server(service in virtual_service(Fields::OfTheSchema), steps in steps()) {
        run(async {
            let cluster = Cluster::connect().await;
            let object = cluster.create(&VIRTUAL_SERVICE, &service.fields).await;
            let router =
                VirtualServiceRouter::new(cluster.client(), object.namespace(), object.name());
            let router = service.destinations(router);
            check(&service, &router, async || object.read().await, steps).await;
            object.delete().await;
        });
    }
}

/// The same with any field that the resource's own schema knows.
#[test]
#[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-istio -- --ignored"]
fn whatever_the_schema_knows_on_a_real_server() {
    let (cluster, schema) = runtime().block_on(async {
        let cluster = Cluster::connect().await;
        let name = "virtualservices.networking.istio.io";
        let schema = common::schema::of_spec(cluster.client(), name).await;
        (cluster, schema)
    });
    drop(cluster);
    let mut runner = TestRunner::new(cases(24));
    let services = (of_schema(&schema), steps());
    runner
        .run(&services, |(service, steps)| {
            runtime().block_on(async {
                let cluster = Cluster::connect().await;
                // The schema's rules in words are the server's to check.
                let Some(object) = cluster.try_create(&VIRTUAL_SERVICE, &service.fields).await
                else {
                    return Err(TestCaseError::reject("refused by the server"));
                };
                let new = VirtualServiceRouter::new;
                let router = new(cluster.client(), object.namespace(), object.name());
                let router = service.destinations(router);
                check(&service, &router, async || object.read().await, steps).await;
                object.delete().await;
                Ok(())
            })
        })
        .unwrap();
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

async fn check(
    service: &Service,
    router: &VirtualServiceRouter,
    read: impl AsyncFn() -> Value,
    mut steps: Vec<Traffic>,
) {
    let route = service.weights[0].split("/route/").next().unwrap();
    let canary = service.weights[1].trim_end_matches("/weight");
    let at = |path: &str| service.fields.pointer(path).unwrap();
    let destination = at(canary)["destination"].clone();
    const MIRRORS: [&str; 5] =
        ["mirror", "mirrors", "mirrorPercentage", "mirrorPercent", "mirror_percent"];
    if MIRRORS.iter().any(|field| at(route).get(*field).is_some()) {
        refuses_to_mirror(router, &read).await;
        steps.iter_mut().for_each(|step| step.mirror = Weight::ZERO);
    }
    let ours = |object: &mut Value| {
        let own = object["spec"]["http"].as_array().unwrap().iter();
        let own = own.filter(|rule| {
            rule["name"].as_str().is_some_and(|name| name.starts_with(canary_kube::OWN_RULE))
        });
        // What stands in front of the route moves it.
        let path = moved(route, own.count());
        let route = object.pointer_mut(&path).unwrap().as_object_mut().unwrap();
        if route.get("mirror") == Some(&destination) {
            route.remove("mirror");
            route.remove("mirrorPercentage");
        }
    };
    takes_only_its_own(router, read, &service.weights, &steps, ours).await;
}

/// Returns the path of a route which so many were put in front of.
fn moved(route: &str, by: usize) -> String {
    let (list, index) = route.rsplit_once('/').unwrap();
    format!("{list}/{}", index.parse::<usize>().unwrap() + by)
}

async fn refuses_to_mirror(router: &VirtualServiceRouter, read: &impl AsyncFn() -> Value) {
    let before = read().await;
    let made = Timestamp::EPOCH;
    let deadline = made + Duration::from_secs(30);
    // The rollout that goes on: what it has added already, it takes away in the end.
    let (rollout, effect) = ("untouched".parse().unwrap(), EffectId::new(1));
    let call = Call::new(rollout, Epoch::new(1), effect, 1, made, deadline);
    let at = router.observe(&call).await.unwrap().version;
    let mirror = Traffic::to_canary(Weight::FULL).with_mirror(Weight::percent(1));
    let refused = router.apply(&call, &mirror, Some(&at)).await.unwrap_err();
    assert_eq!(refused.kind(), FailureKind::Invalid, "{refused}");
    assert_eq!(before, read().await);
}

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}
