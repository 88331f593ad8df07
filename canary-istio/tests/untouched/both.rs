//! The same of a VirtualService and a DestinationRule together, whose subset for the canary the rollout adds.

use std::time::Duration;

use canary_core::testing::conformance::run;
use canary_core::value::Traffic;
use canary_istio::{DESTINATION_RULE, Subsets, VIRTUAL_SERVICE, VirtualServiceRouter};
use canary_kube::testing::{Cluster, MemoryApi, differences};
use kube::Client;
use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};
use serde_json::{Value, json};

use crate::generate::{
    Fields, Service, destination_rule, of_schema, rule_of_schema, steps, virtual_service,
};
use crate::{cases, check, common, runtime};

const MARK: &str = "canary-rollout/subset.canary";

fn router(
    service: &Service,
    client: &Client,
    at: [&str; 2],
    rule: [&str; 2],
) -> VirtualServiceRouter {
    let labels = [("version".to_owned(), "v2".to_owned())];
    let subsets = Subsets::new(client.clone(), rule[0], rule[1], "stable", "canary");
    let router = VirtualServiceRouter::new(client.clone(), at[0], at[1]);
    service.destinations(router).with_own_subset(subsets, labels, Duration::ZERO)
}

/// Takes the rollout's subset and mark away, and what was made to hold them.
fn without_own(rule: &Value, before: &Value) -> Value {
    let mut rule = rule.clone();
    let mut emptied = |path: &str, key: &str, take: &dyn Fn(&mut Value)| {
        if let Some(found) = rule.pointer_mut(&format!("{path}/{key}")) {
            take(found);
            if (*found == json!({}) || *found == json!([]))
                && before.pointer(path).is_some_and(|b| b.get(key).is_none())
            {
                rule.pointer_mut(path).unwrap().as_object_mut().unwrap().remove(key);
            }
        }
    };
    emptied("/metadata", "annotations", &|map| drop(map.as_object_mut().unwrap().remove(MARK)));
    emptied("/spec", "subsets", &|list| {
        list.as_array_mut().unwrap().retain(|subset| subset["name"] != "canary");
    });
    rule
}

/// Takes a rollout through these steps and back, and looks at both objects after each.
async fn check_both(
    service: &Service,
    router: &VirtualServiceRouter,
    read: impl AsyncFn() -> Value,
    read_rule: impl AsyncFn() -> Value,
    steps: Vec<Traffic>,
) {
    let before = read_rule().await;
    let both = async || {
        let rule = read_rule().await;
        assert_eq!(differences(&before, &without_own(&rule, &before)), [""; 0], "{rule}");
        read().await
    };
    check(service, router, both, steps).await;
    assert_eq!(differences(&before, &read_rule().await), [""; 0]);
}

proptest! {
    #![proptest_config(cases(128))]

    #[test]
    fn in_memory(
        service in virtual_service(Fields::Any),
        rule in destination_rule(Fields::Any),
        steps in steps(),
    ) {
        run(async {
            let api = MemoryApi::new();
            api.put(&VIRTUAL_SERVICE, "shop", "checkout", &service.fields);
            api.put(&DESTINATION_RULE, "shop", "checkout", &rule);
            let at = ["shop", "checkout"];
            let router = router(&service, &api.client(), at, at);
            let read = async || api.get(&VIRTUAL_SERVICE, at[0], at[1]).unwrap();
            let read_rule = async || api.get(&DESTINATION_RULE, at[0], at[1]).unwrap();
            check_both(&service, &router, read, read_rule, steps).await;
        });
    }
}

/// With any field that the schemas of the two resources know.
#[test]
#[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-istio -- --ignored"]
fn whatever_the_schemas_know_on_a_real_server() {
    let [services, rules] = runtime().block_on(async {
        let cluster = Cluster::connect().await;
        let of_spec = |name| common::schema::of_spec(cluster.client(), name);
        [
            of_spec("virtualservices.networking.istio.io").await,
            of_spec("destinationrules.networking.istio.io").await,
        ]
    });
    let mut runner = TestRunner::new(cases(24));
    runner
        .run(&(of_schema(&services), rule_of_schema(&rules), steps()), |(service, rule, steps)| {
            runtime().block_on(async {
                let cluster = Cluster::connect().await;
                let refused = || Err(TestCaseError::reject("refused by the server"));
                let Some(object) = cluster.try_create(&VIRTUAL_SERVICE, &service.fields).await
                else {
                    return refused();
                };
                let Some(rule) = cluster.try_create(&DESTINATION_RULE, &rule).await else {
                    object.delete().await;
                    return refused();
                };
                let (at, of) =
                    ([object.namespace(), object.name()], [rule.namespace(), rule.name()]);
                let router = router(&service, &cluster.client(), at, of);
                let (read, read_rule) = (async || object.read().await, async || rule.read().await);
                check_both(&service, &router, read, read_rule, steps).await;
                object.delete().await;
                rule.delete().await;
                Ok(())
            })
        })
        .unwrap();
}
