//! The API server in memory answers as a real one does.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use canary_core::ports::TrafficRouter;
use canary_core::testing::conformance::run;
use canary_core::value::FailureKind;
use canary_kube::testing::{Cluster, MemoryApi};
use canary_kube::{HTTP_ROUTE, port_error};
use common::{apply, call, fields, observe, router};
use kube::Client;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

#[test]
fn in_memory() {
    run(async {
        let api = MemoryApi::new();
        api.put(&HTTP_ROUTE, "shop", "web", &fields());
        answers_as_expected(api.client(), "shop", "web").await;
    });
}

#[test]
#[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-kube -- --ignored"]
fn on_a_real_server() {
    run(async {
        let cluster = Cluster::connect().await;
        let object = cluster.create(&HTTP_ROUTE, &fields()).await;
        answers_as_expected(cluster.client(), object.namespace(), object.name()).await;
        object.delete().await;
    });
}

#[test]
#[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-kube -- --ignored"]
fn what_only_a_real_server_checks() {
    run(async {
        let cluster = Cluster::connect().await;
        let object = cluster.create(&HTTP_ROUTE, &fields()).await;
        let (namespace, name) = (object.namespace(), object.name());
        let routes = api(cluster.client(), namespace);

        let broken = json!([set("/spec/rules/0/backendRefs/0/weight", json!(-1))]);
        let refused = patch(&routes, name, json_patch(broken)).await.unwrap_err();
        assert_eq!(refused.kind(), FailureKind::Invalid, "{refused}");
        assert!(refused.to_string().contains("weight"), "{refused}");

        let router = router(cluster.client(), namespace, name);
        let (_, version) = observe(&router).await;
        apply(&router, &call("a"), 10, Some(&version)).await.unwrap();
        router.release(&call("a")).await.unwrap();
        let managed = object.read().await["metadata"]["managedFields"].clone();
        let managers = managed.as_array().unwrap().iter().map(|entry| &entry["manager"]);
        assert!(managers.into_iter().any(|manager| manager == "canary"), "{managed}");
        object.delete().await;
    });
}

async fn answers_as_expected(client: Client, namespace: &str, name: &str) {
    let routes = api(client, namespace);
    let annotation = "/metadata/annotations/a";

    let same = patch(&routes, name, Patch::Merge(json!({ "metadata": {} }))).await.unwrap();
    let first = same["metadata"]["resourceVersion"].clone();
    let missing_map = json!([set(annotation, json!("b"))]);
    let untrue = json!([test("/metadata/name", json!("another"))]);
    let absent = json!([test(annotation, json!("b"))]);
    let stale = json!([test("/metadata/resourceVersion", json!("0"))]);
    for operations in [missing_map, untrue, absent, stale] {
        let refused = patch(&routes, name, json_patch(operations)).await.unwrap_err();
        assert_eq!(refused.kind(), FailureKind::Conflict, "{refused}");
    }
    let unchanged = patch(&routes, name, Patch::Merge(json!({ "spec": {} }))).await.unwrap();
    assert_eq!(unchanged["metadata"]["resourceVersion"], first);

    let map = json!([
        test("/metadata/resourceVersion", first.clone()),
        set("/metadata/annotations", json!({ "a": "b" }))
    ]);
    let annotated = patch(&routes, name, json_patch(map)).await.unwrap();
    assert_ne!(annotated["metadata"]["resourceVersion"], first);
    let emptied = json!([test(annotation, json!("b")), { "op": "remove", "path": annotation }]);
    let emptied = patch(&routes, name, json_patch(emptied)).await.unwrap();
    assert_eq!(emptied["metadata"].get("annotations"), None);

    let stale = json!({ "metadata": { "resourceVersion": first } });
    let refused = patch(&routes, name, Patch::Merge(stale)).await.unwrap_err();
    assert_eq!(refused.kind(), FailureKind::Conflict, "{refused}");
    let gone = patch(&routes, "gone", Patch::Merge(json!({}))).await.unwrap_err();
    assert_eq!(gone.kind(), FailureKind::NotFound, "{gone}");
}

fn api(client: Client, namespace: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk(HTTP_ROUTE.group, HTTP_ROUTE.version, HTTP_ROUTE.kind);
    let kind = ApiResource::from_gvk_with_plural(&kind, HTTP_ROUTE.plural);
    Api::namespaced_with(client, namespace, &kind)
}

async fn patch(
    routes: &Api<DynamicObject>,
    name: &str,
    patch: Patch<Value>,
) -> Result<Value, canary_core::ports::PortError> {
    let params = PatchParams::default();
    let object = routes.patch(name, &params, &patch).await.map_err(port_error)?;
    Ok(serde_json::to_value(object).unwrap())
}

fn json_patch(operations: Value) -> Patch<Value> {
    Patch::Json(serde_json::from_value(operations).unwrap())
}

fn test(path: &str, value: Value) -> Value {
    json!({ "op": "test", "path": path, "value": value })
}

fn set(path: &str, value: Value) -> Value {
    json!({ "op": "add", "path": path, "value": value })
}
