//! What others do to the two versions meanwhile, with a server in memory.

use canary_core::policy::How;
use canary_core::ports::{Progress, Readiness, Workload};
use canary_core::testing::conformance::run;
use canary_core::value::{FailureKind, Side, Weight};
use canary_kube::testing::MemoryApi;
use canary_kube::{Deployments, RouteKind, Variant};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, PostParams};
use serde_json::{Value, json};

use crate::offline::{DEPLOYMENT, get, settle, waits};
use crate::stories::{all, refused};
use crate::support::{call, call_of, web};

/// Has a canary and stable with all of their replicas available.
async fn both_ready(replicas: u32) -> (MemoryApi, Deployments) {
    let api = MemoryApi::new();
    api.put(&DEPLOYMENT, "shop", "web", &web("web", "v1", replicas));
    let versions = Deployments::new(api.client(), "shop", "web", Variant::image("web:v2"));
    versions.prepare(&call(1), &all()).await.unwrap();
    settle(&api, &["web", "web-canary"]);
    (api, versions)
}

/// Lays these fields over a Deployment as another writer, or its controller.
fn write(api: &MemoryApi, name: &str, fields: &Value) {
    let mut deployment = get(api, name).unwrap();
    json_patch::merge(&mut deployment, fields);
    api.put(&DEPLOYMENT, "shop", name, &deployment);
}

fn replicas(replicas: u32) -> Value {
    json!({ "spec": { "replicas": replicas } })
}

fn image(image: &str) -> Value {
    let container = json!({ "name": "web", "image": image });
    json!({ "spec": { "template": { "spec": { "containers": [container] } } } })
}

#[test]
fn what_an_autoscaler_takes_off_meanwhile_is_given_back_before_it_is_done() {
    run(async {
        for idle in [0, 2] {
            let (api, versions) = both_ready(10).await;
            let promote = async || versions.promote(&call(2), How::InPlace).await;
            let restore = async || versions.restore(&call(3), How::InPlace).await;
            let shrink = || {
                write(&api, "web", &replicas(idle));
                settle(&api, &["web"]);
            };
            let grows =
                Progress::Wait { why: "Deployment shop/web grows to 10 replicas".to_owned() };
            shrink();
            assert!(waits(&promote().await.unwrap()));
            assert_eq!(get(&api, "web").unwrap()["spec"]["replicas"], 10);
            shrink();
            assert_eq!(promote().await.unwrap(), grows);
            settle(&api, &["web"]);
            assert_eq!(promote().await.unwrap(), Progress::Done);
            assert!(waits(&restore().await.unwrap()));
            shrink();
            assert_eq!(restore().await.unwrap(), grows);
            settle(&api, &["web"]);
            assert_eq!(restore().await.unwrap(), Progress::Done);
        }
    });
}

#[test]
fn a_stable_that_somebody_gives_another_image_is_neither_promoted_nor_restored() {
    const WORDS: &str = "somebody has changed what Deployment shop/web runs";
    run(async {
        let (api, versions) = both_ready(2).await;
        let promote = async || versions.promote(&call(2), How::InPlace).await;
        let restore = async || versions.restore(&call(3), How::InPlace).await;
        let set = |to: &str| {
            write(&api, "web", &image(to));
            settle(&api, &["web"]);
        };
        assert!(waits(&promote().await.unwrap()));
        set("web:v1");
        refused(promote().await, FailureKind::Conflict, WORDS);
        set("web:v2");
        assert_eq!(promote().await.unwrap(), Progress::Done);
        assert!(waits(&restore().await.unwrap()));
        set("web:v2");
        refused(restore().await, FailureKind::Conflict, WORDS);
        set("web:v1");
        assert_eq!(restore().await.unwrap(), Progress::Done);
    });
}

#[test]
fn what_was_never_replaced_is_restored_whatever_it_runs() {
    run(async {
        let (api, versions) = both_ready(2).await;
        let restore = async || versions.restore(&call(3), How::InPlace).await;
        assert!(waits(&restore().await.unwrap()));
        write(&api, "web", &image("web:v9"));
        settle(&api, &["web"]);
        assert_eq!(restore().await.unwrap(), Progress::Done);
    });
}

/// Makes a pod of stable whose container waits for its image.
async fn without_image(api: &MemoryApi, name: &str, image: &str) {
    let pod = json!({
        "metadata": { "name": name, "labels": { "app": "web", "version": "v1" } },
        "spec": { "containers": [{ "name": "proxy", "image": "proxy:v1" }, { "name": "web", "image": image }] },
        "status": { "containerStatuses": [{
            "name": "web", "image": image, "imageID": "", "ready": false, "restartCount": 0,
            "state": { "waiting": { "reason": "ErrImagePull" } },
        }] },
    });
    let pods = Api::<Pod>::namespaced(api.client(), "shop");
    pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
}

#[test]
fn an_old_pod_without_its_image_ends_no_promotion() {
    run(async {
        let (api, versions) = both_ready(2).await;
        let promote = async || versions.promote(&call(2), How::InPlace).await;
        assert!(waits(&promote().await.unwrap()));
        settle(&api, &["web"]);
        let mixed = json!({ "replicas": 3, "updatedReplicas": 1, "availableReplicas": 2 });
        write(&api, "web", &json!({ "status": mixed }));
        without_image(&api, "old", "web:v1").await;
        let answer = promote().await.unwrap();
        let Progress::Wait { why } = answer else { panic!("old pods are there") };
        assert!(why.contains("pod old cannot pull the image web:v1"), "{why}");
        without_image(&api, "new", "web:v2").await;
        let words = "pod new cannot pull the image web:v2";
        refused(promote().await, FailureKind::Invalid, words);
    });
}

#[test]
fn a_paused_stable_is_not_replaced_and_that_is_said() {
    run(async {
        let (api, versions) = both_ready(2).await;
        let promote = async || versions.promote(&call(2), How::InPlace).await;
        let pause = |paused: bool| write(&api, "web", &json!({ "spec": { "paused": paused } }));
        pause(true);
        let before = get(&api, "web").unwrap();
        refused(promote().await, FailureKind::Conflict, "Deployment shop/web is paused: resume it");
        assert_eq!(get(&api, "web").unwrap(), before);
        pause(false);
        assert!(waits(&promote().await.unwrap()));
        pause(true);
        settle(&api, &["web"]);
        write(&api, "web", &json!({ "status": { "updatedReplicas": 0 } }));
        let why = "Deployment shop/web is paused with 0 pods of its newest template and 2 old ones";
        let answer = promote().await.unwrap();
        assert_eq!(answer, Progress::Wait { why: why.to_owned() });
    });
}

#[test]
fn a_canary_as_the_server_writes_it_is_not_taken_for_one_that_somebody_changed() {
    run(async {
        let api = MemoryApi::new();
        api.put(&DEPLOYMENT, "shop", "web", &web("web", "v1", 1));
        let variant = || {
            let asked = json!({ "limits": { "cpu": 1, "memory": "1024Mi" } });
            Variant::image("web:v2").env("EMPTY", "").resources(asked)
        };
        let of = |variant| Deployments::new(api.client(), "shop", "web", variant);
        let versions = of(variant());
        versions.prepare(&call(1), &all()).await.unwrap();
        let written = json!({
            "name": "web", "image": "registry.example/web@sha256:2", "env": [{ "name": "EMPTY" }],
            "resources": { "limits": { "cpu": "1", "memory": "1Gi" } },
        });
        let containers = json!({ "template": { "spec": { "containers": [written] } } });
        write(&api, "web-canary", &json!({ "spec": containers }));
        versions.prepare(&call(2), &all()).await.unwrap();
        settle(&api, &["web", "web-canary"]);
        let readiness = versions.prepare(&call(3), &all()).await.unwrap();
        assert_eq!(readiness.ready_for, Some(Weight::FULL));

        let words = "was made to run something else than this rollout asks for now";
        let other = of(variant().env("NEW", "on"));
        refused(other.prepare(&call(4), &all()).await, FailureKind::Invalid, words);
        write(&api, "web-canary", &image("web:v3"));
        let words = "somebody has changed what Deployment shop/web-canary runs";
        refused(versions.prepare(&call(5), &all()).await, FailureKind::Invalid, words);
    });
}

#[test]
fn a_version_is_kept_until_the_other_can_bear_all() {
    run(async {
        let (api, versions) = both_ready(2).await;
        let available = |name: &str, available: u32| {
            write(&api, name, &json!({ "status": { "availableReplicas": available } }));
        };
        available("web", 1);
        let why = "Deployment shop/web-canary is kept, or both versions would be down: Deployment shop/web has 1 of 2 \
                   pods available";
        let kept = Progress::Wait { why: why.to_owned() };
        assert_eq!(versions.retire(&call(2), Side::Canary).await.unwrap(), kept);
        let next = versions.prepare(&call_of("shop-2", 1), &all()).await.unwrap();
        let why = format!("an earlier rollout has left a canary behind: {why}");
        assert_eq!(next, Readiness::waiting(why));
        available("web-canary", 1);
        assert!(waits(&versions.retire(&call(3), Side::Stable).await.unwrap()));
        assert_eq!(get(&api, "web").unwrap()["spec"]["replicas"], 2);
        assert!(get(&api, "web-canary").is_some());
        available("web", 2);
        assert!(waits(&versions.retire(&call(4), Side::Canary).await.unwrap()));
        assert_eq!(get(&api, "web-canary"), None);
    });
}

const AUTOSCALER: RouteKind = RouteKind {
    group: "autoscaling",
    version: "v2",
    kind: "HorizontalPodAutoscaler",
    plural: "horizontalpodautoscalers",
    ..DEPLOYMENT
};

#[test]
fn an_autoscaler_keeps_what_somebody_says_of_it_meanwhile() {
    // What a server fills in beside a policy that is set.
    let percent = json!({ "type": "Percent", "value": 100, "periodSeconds": 15 });
    let pods = json!({ "type": "Pods", "value": 4, "periodSeconds": 15 });
    let down = json!({ "policies": [percent] });
    let up = json!({
        "stabilizationWindowSeconds": 0, "selectPolicy": "Max", "policies": [pods, percent],
    });
    let slow = json!({ "selectPolicy": "Min" });
    let mut slow_up = up.clone();
    slow_up["selectPolicy"] = json!("Min");
    let table = [
        (json!({}), Value::Null),
        (json!({ "scaleUp": slow }), json!({ "scaleDown": down, "scaleUp": slow_up })),
        (
            json!({ "scaleUp": null, "scaleDown": { "selectPolicy": "Min", "policies": null } }),
            json!({ "scaleDown": slow }),
        ),
    ];
    run(async {
        for (change, left) in table {
            let (api, versions) = both_ready(1).await;
            let target = json!({ "kind": "Deployment", "name": "web" });
            let spec = json!({ "scaleTargetRef": target, "maxReplicas": 3 });
            api.put(&AUTOSCALER, "shop", "web", &json!({ "spec": spec }));
            let versions = versions.hold_autoscalers();
            // It is larger than before, which is when they are held.
            write(&api, "web-canary", &replicas(0));
            versions.prepare(&call(2), &all()).await.unwrap();
            let seen = || api.get(&AUTOSCALER, "shop", "web").unwrap();
            let mut filled_in = json!({ "behavior": { "scaleDown": down, "scaleUp": up } });
            filled_in["behavior"]["scaleDown"]["selectPolicy"] = json!("Disabled");
            assert_eq!(seen()["spec"]["behavior"]["scaleDown"]["selectPolicy"], "Disabled");
            let mut changed = seen();
            json_patch::merge(&mut changed["spec"], &filled_in);
            json_patch::merge(&mut changed["spec"]["behavior"], &change);
            api.put(&AUTOSCALER, "shop", "web", &changed);

            assert!(waits(&versions.retire(&call(3), Side::Canary).await.unwrap()));
            assert_eq!(seen()["spec"]["behavior"], left, "after {change}");
            assert_eq!(seen()["metadata"].get("annotations"), None);
        }
    });
}
