//! A whole plan, tried and not carried out.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use canary_core::ports::TrafficRouter;
use canary_core::testing::conformance::run;
use canary_core::value::FailureKind;
use canary_kube::testing::{Cluster, MemoryApi, differences};
use canary_kube::{HTTP_ROUTE, dry_run};
use common::{apply, call, fields, observe, router};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

async fn a_plan(client: Client, namespace: &str, name: &str, read: impl AsyncFn() -> Value) {
    let before = read().await;
    let tried = dry_run(&client);
    let routes = router(tried, namespace, name);
    let (mut weight, mut version) = observe(&routes).await;
    assert_eq!(weight.to_string(), "0%");
    for percent in [1, 10, 50, 100] {
        version = apply(&routes, &call("a"), percent, Some(&version)).await.unwrap().version;
        (weight, _) = observe(&routes).await;
        assert_eq!(weight.to_string(), format!("{percent}%"), "what was tried is seen");
    }
    let foreign = apply(&routes, &call("b"), 50, Some(&version)).await.unwrap_err();
    assert_eq!(foreign.kind(), FailureKind::Conflict, "the fence is seen, too");
    apply(&routes, &call("a"), 0, None).await.unwrap();
    routes.release(&call("a")).await.unwrap();
    assert_eq!(observe(&routes).await.0.to_string(), "0%");
    assert_eq!(differences(&before, &read().await), [""; 0], "nothing was done");
}

async fn objects(client: Client, namespace: &str) {
    let (real, tried) = (client.clone(), dry_run(&client));
    let [real, tried] = [real, tried].map(|client| Api::<ConfigMap>::namespaced(client, namespace));
    let (post, patch) = (PostParams::default(), PatchParams::default());
    let map = |name: &str| -> ConfigMap {
        serde_json::from_value(json!({ "metadata": { "name": name }, "data": { "a": "1" } }))
            .unwrap()
    };
    let data = |map: ConfigMap, key: &str| map.data.unwrap().remove(key);

    tried.create(&post, &map("made")).await.unwrap();
    let b = Patch::Merge(json!({ "data": { "b": "2" } }));
    tried.patch("made", &patch, &b).await.unwrap();
    let seen = tried.get("made").await.unwrap();
    assert_eq!(data(seen, "b").unwrap(), "2");
    assert!(real.get_opt("made").await.unwrap().is_none());
    tried.delete("made", &DeleteParams::default()).await.unwrap();
    assert!(tried.get_opt("made").await.unwrap().is_none());

    real.create(&post, &map("there")).await.unwrap();
    tried.patch("there", &patch, &b).await.unwrap();
    let c = Patch::Merge(json!({ "data": { "c": "3", "a": null } }));
    tried.patch("there", &patch, &c).await.unwrap();
    // What another one writes meanwhile is seen, beside what was tried.
    let d = Patch::Merge(json!({ "data": { "d": "4" } }));
    real.patch("there", &patch, &d).await.unwrap();
    let seen = tried.get("there").await.unwrap().data.unwrap();
    assert_eq!(json!(seen), json!({ "b": "2", "c": "3", "d": "4" }));
    tried.delete("there", &DeleteParams::default()).await.unwrap();
    assert!(tried.get_opt("there").await.unwrap().is_none());
    let gone = tried.patch("there", &patch, &b).await.unwrap_err();
    assert!(gone.to_string().contains("would not be there"), "{gone}");
    let kept = real.get("there").await.unwrap().data.unwrap();
    assert_eq!(json!(kept), json!({ "a": "1", "d": "4" }));
}

#[test]
fn in_memory() {
    run(async {
        let api = MemoryApi::new();
        api.put(&HTTP_ROUTE, "shop", "web", &fields());
        let read = async || api.get(&HTTP_ROUTE, "shop", "web").unwrap();
        a_plan(api.client(), "shop", "web", read).await;
        objects(api.client(), "shop").await;
    });
}

#[test]
#[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-kube -- --ignored"]
fn on_a_real_server() {
    run(async {
        let cluster = Cluster::connect().await;
        let object = cluster.create(&HTTP_ROUTE, &fields()).await;
        let read = async || object.read().await;
        a_plan(cluster.client(), object.namespace(), object.name(), read).await;
        object.delete().await;
        objects(cluster.client(), &cluster.namespace().await).await;
    });
}
