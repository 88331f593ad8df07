//! The gate that looks at pods.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use canary_core::policy::Moment;
use canary_core::ports::{Decision, Gate, GateContext};
use canary_core::testing::conformance::run;
use canary_core::value::{Side, Weight};
use canary_kube::ReadyPods;
use canary_kube::testing::{Cluster, MemoryApi};
use common::call;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};

/// A place in which pods are what the test says.
struct Place {
    client: Client,
    namespace: String,
    /// Whether a server is there with controllers, which make the pods and say what becomes of a Deployment.
    real: bool,
}

impl Place {
    fn deployments(&self) -> Api<Deployment> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Makes a Deployment anew, or gives it another size.
    async fn deployment(&self, name: &str, replicas: u32, ready: u32) {
        let labels = json!({ "app": name });
        let container = json!({ "name": "app", "image": "app:1" });
        let object = json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": { "name": name, "labels": labels },
            "spec": {
                "replicas": replicas, "selector": { "matchLabels": labels },
                "template": { "metadata": { "labels": labels }, "spec": { "containers": [container] } },
            },
            "status": {
                "replicas": replicas, "updatedReplicas": replicas, "readyReplicas": ready,
                "observedGeneration": 9,
            },
        });
        let api = self.deployments();
        if !self.real {
            let _ = api.delete(name, &DeleteParams::default()).await;
        }
        let object = serde_json::from_value(object).unwrap();
        if api.create(&PostParams::default(), &object).await.is_err() {
            let size = Patch::Merge(json!({ "spec": { "replicas": replicas } }));
            api.patch(name, &PatchParams::default(), &size).await.unwrap();
        }
    }

    /// Says what becomes of a Deployment's pod, and returns its name.
    async fn pod(&self, app: &str, status: Value) -> String {
        let ready = u32::from(status["conditions"][0]["status"] == "True");
        if self.real {
            return self.made_by_a_controller(app, status, ready).await;
        }
        self.deployment(app, 1, ready).await;
        let name = format!("{app}-1");
        let object = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": name, "uid": name, "labels": { "app": app } },
            "spec": { "containers": [{ "name": "app", "image": "app:1" }] },
            "status": status,
        });
        let _ = self.pods().delete(&name, &DeleteParams::default()).await;
        let object = serde_json::from_value(object).unwrap();
        self.pods().create(&PostParams::default(), &object).await.unwrap();
        name
    }

    async fn made_by_a_controller(&self, app: &str, status: Value, ready: u32) -> String {
        let of_app = ListParams::default().labels(&format!("app={app}"));
        let pods = self.pods();
        let made = async || Some(pods.list(&of_app).await.unwrap().items.first()?.name_any());
        let name: String = until(made).await;
        let status = Patch::Merge(json!({ "status": status }));
        self.pods().patch_status(&name, &PatchParams::default(), &status).await.unwrap();
        self.has_ready(app, ready).await;
        name
    }

    /// Waits until the controller has seen it, and made as many pods as are asked for.
    async fn has_ready(&self, app: &str, ready: u32) {
        until(async || {
            let seen = self.deployments().get(app).await.unwrap();
            let status = seen.status.unwrap_or_default();
            let asked = seen.spec.and_then(|spec| spec.replicas);
            let current = status.observed_generation == seen.metadata.generation
                && status.updated_replicas == asked;
            let count = u32::try_from(status.ready_replicas.unwrap_or(0)).ok();
            (current && count == Some(ready)).then_some(())
        })
        .await;
    }

    async fn both_are_well(&self) -> ReadyPods {
        for app in ["web", "canary"] {
            self.deployment(app, 1, 1).await;
            self.pod(app, ready(0)).await;
        }
        ReadyPods::new(self.client.clone(), &self.namespace)
            .deployment(Side::Stable, "web")
            .deployment(Side::Canary, "canary")
    }
}

/// Looks until there is something to see.
async fn until<T>(look: impl AsyncFn() -> Option<T>) -> T {
    let mut often = tokio::time::interval(Duration::from_millis(50));
    for _ in 0..600 {
        often.tick().await;
        if let Some(seen) = look().await {
            return seen;
        }
    }
    panic!("30 s have passed");
}

fn ready(restarts: i32) -> Value {
    json!({
        "phase": "Running",
        "conditions": [{ "type": "Ready", "status": "True" }],
        "containerStatuses": [container(restarts, json!({ "running": {} }), json!({}))],
    })
}

fn container(restarts: i32, state: Value, last: Value) -> Value {
    json!({
        "name": "app", "image": "app:1", "imageID": "", "ready": true, "restartCount": restarts,
        "state": state, "lastState": last,
    })
}

fn in_crash_loop() -> Value {
    let state = json!({ "waiting": { "reason": "CrashLoopBackOff", "message": "back-off 10s" } });
    let last = json!({ "terminated": { "reason": "OOMKilled", "exitCode": 137 } });
    json!({
        "phase": "Running",
        "conditions": [{ "type": "Ready", "status": "False", "message": "not ready" }],
        "containerStatuses": [container(3, state, last)],
    })
}

async fn decide(gate: &ReadyPods) -> Decision {
    let context = GateContext::new("pods".parse().unwrap(), Moment::Watch, "", Weight::ZERO);
    gate.decide(&call("a"), &context).await.unwrap()
}

fn waits(decision: Decision) -> String {
    match decision {
        Decision::Wait { why, .. } => why,
        other => panic!("{other:?} is no wait"),
    }
}

fn rejects(decision: Decision) -> String {
    match decision {
        Decision::Reject { why } => why,
        other => panic!("{other:?} is no rejection"),
    }
}

async fn all_of_it(place: Place) {
    let gate = place.both_are_well().await;
    assert_eq!(decide(&gate).await, Decision::Open);

    let why = "containers with unready status: [app]";
    let unready = json!({ "conditions": [{ "type": "Ready", "status": "False", "message": why }] });
    let pod = place.pod("canary", unready).await;
    let said = waits(decide(&gate).await);
    assert!(said.contains(&format!("canary: pod {pod} is not ready: {why}")), "{said}");
    assert!(said.contains("/canary has 0 of 1 pods ready"), "{said}");

    let pod = place.pod("canary", in_crash_loop()).await;
    let crash =
        "container app is in CrashLoopBackOff: back-off 10s (last: OOMKilled, exit code 137)";
    let canary = ReadyPods::new(place.client.clone(), &place.namespace);
    let canary = canary.selector(Side::Canary, "app=canary");
    assert_eq!(rejects(decide(&canary).await), format!("canary: pod {pod}: {crash}"));

    // The same of stable is no reason to give stable more.
    let gate = place.both_are_well().await;
    let pod = place.pod("web", in_crash_loop()).await;
    let said = waits(decide(&gate).await);
    assert!(said.contains(&format!("stable: pod {pod}: container app is in Crash")), "{said}");

    let gate = place.both_are_well().await;
    place.pod("canary", ready(2)).await;
    assert_eq!(decide(&gate).await, Decision::Open, "what restarted before is not this rollout's");
    let pod = place.pod("canary", ready(3)).await;
    let restarted =
        format!("canary: pod {pod}: container app has restarted 1 time in this rollout");
    for _ in 0..2 {
        assert_eq!(rejects(decide(&gate).await), restarted);
    }

    place.deployment("web", 2, 1).await;
    if place.real {
        place.has_ready("web", 1).await;
    }
    let gate =
        ReadyPods::new(place.client.clone(), &place.namespace).deployment(Side::Stable, "web");
    let why = waits(decide(&gate).await);
    assert!(why.contains("/web has 1 of 2 pods ready"), "{why}");
    let gate = ReadyPods::new(place.client, &place.namespace).selector(Side::Canary, "app=none");
    assert_eq!(waits(decide(&gate).await), "canary: no pod has app=none");
}

#[test]
fn in_memory_what_is_wrong_is_said_with_the_pods_name() {
    run(async {
        let place =
            Place { client: MemoryApi::new().client(), namespace: "shop".into(), real: false };
        all_of_it(place).await;
    });
}

#[test]
fn pods_that_have_ended_are_nobodys_trouble() {
    run(async {
        let place =
            Place { client: MemoryApi::new().client(), namespace: "shop".into(), real: false };
        let gate = place.both_are_well().await;
        for (nth, phase) in ["Failed", "Succeeded"].into_iter().enumerate() {
            let object = json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": { "name": format!("old-{nth}"), "labels": { "app": "canary" } },
                "spec": { "containers": [{ "name": "app", "image": "app:1" }] },
                "status": {
                    "phase": phase, "reason": "Evicted",
                    "conditions": [{ "type": "Ready", "status": "False" }],
                },
            });
            let object = serde_json::from_value(object).unwrap();
            place.pods().create(&PostParams::default(), &object).await.unwrap();
        }
        assert_eq!(decide(&gate).await, Decision::Open);
        place.pods().delete("canary-1", &DeleteParams::default()).await.unwrap();
        let gate = ReadyPods::new(place.client, "shop").selector(Side::Canary, "app=canary");
        assert_eq!(waits(decide(&gate).await), "canary: no pod has app=canary");
    });
}

#[test]
fn an_image_that_is_not_there_yet_is_waited_for() {
    run(async {
        let place =
            Place { client: MemoryApi::new().client(), namespace: "shop".into(), real: false };
        let gate = place.both_are_well().await;
        for reason in ["ErrImagePull", "ImagePullBackOff", "CreateContainerConfigError"] {
            let state = json!({ "waiting": { "reason": reason, "message": "no" } });
            let status = json!({
                "phase": "Pending",
                "conditions": [{ "type": "Ready", "status": "False" }],
                "containerStatuses": [container(0, state, json!({}))],
            });
            let pod = place.pod("canary", status).await;
            let said = waits(decide(&gate).await);
            let why = format!("canary: pod {pod}: container app is in {reason}: no");
            assert!(said.contains(&why), "{said}");
        }
    });
}

#[test]
#[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-kube -- --ignored"]
fn on_a_real_server_what_is_wrong_is_said_with_the_pods_name() {
    run(async {
        let cluster = Cluster::connect().await;
        let namespace = cluster.namespace().await;
        all_of_it(Place { client: cluster.client(), namespace, real: true }).await;
    });
}
