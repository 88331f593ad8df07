//! What is asked at the wrong time, of the wrong things, or too late.

use std::time::Duration;

use canary_core::policy::{How, Scale};
use canary_core::ports::{Capacity, PortError, Progress, Workload};
use canary_core::testing::conformance::run;
use canary_core::value::{FailureKind, Side, Weight};
use canary_kube::testing::Fate;
use canary_kube::{Deployments, Variant};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::api::{Api, PostParams};
use serde_json::{Value, json};

use crate::support::{Shop, call, call_of, web};

pub(crate) async fn ready(versions: &Deployments, capacity: Capacity) {
    let mut last = None;
    for _ in 0..500 {
        let readiness = versions.prepare(&call(1), &capacity).await.unwrap();
        if readiness.ready_for.is_some_and(|ready| ready >= capacity.weight) {
            return;
        }
        last = Some(readiness);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("never ready: {last:?}");
}

pub(crate) fn all() -> Capacity {
    Capacity::new(Weight::FULL, None)
}

/// Asks until it is done.
pub(crate) async fn done<F: Future<Output = Result<Progress, PortError>>>(ask: impl Fn() -> F) {
    let mut last = None;
    for _ in 0..500 {
        match ask().await.unwrap() {
            Progress::Done => return,
            wait => last = Some(wait),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("never done: {last:?}");
}

pub(crate) fn refused<T: std::fmt::Debug>(
    answer: Result<T, PortError>,
    kind: FailureKind,
    words: &str,
) {
    let error = answer.unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(words), "{error}");
}

fn kept(answer: Result<Progress, PortError>, words: &str) {
    let Progress::Wait { why } = answer.unwrap() else { panic!("{words}") };
    assert!(why.contains(words), "{why}");
}

#[test]
#[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-kube -- --ignored"]
fn no_version_goes_while_the_other_cannot_bear_all() {
    run(async {
        let shop = Shop::open(2).await;
        let versions = shop.versions();
        ready(&versions, all()).await;

        shop.kubelet.image("web:v1", Fate::NotReady);
        shop.until("web", |web| web["status"].get("availableReplicas").is_none()).await;
        let why = format!(
            "Deployment {0}/web-canary is kept, or both versions would be down: Deployment {0}/web has 0 of 2 pods \
             available",
            shop.namespace
        );
        kept(versions.retire(&call(2), Side::Canary).await, &why);
        let of_another = versions.prepare(&call_of("shop-2", 1), &all()).await.unwrap();
        assert!(of_another.why.ends_with(&why), "{of_another:?}");

        shop.kubelet.image("web:v1", Fate::Ready);
        shop.kubelet.image("web:v2", Fate::NotReady);
        shop.until("web-canary", |web| web["status"].get("availableReplicas").is_none()).await;
        let why = format!(
            "web is not replaced: Deployment {}/web-canary has 0 of 2 pods",
            shop.namespace
        );
        refused(versions.promote(&call(3), How::InPlace).await, FailureKind::Conflict, &why);
        let why = "web is kept, or both versions would be down: Deployment";
        kept(versions.retire(&call(4), Side::Stable).await, why);
        shop.until("web", |web| web["status"]["availableReplicas"] == 2).await;
        assert_eq!(shop.get("web").await.unwrap()["spec"]["replicas"], 2);
        // A canary that nobody could reach is no reason to keep it.
        done(|| async { versions.retire(&call(5), Side::Canary).await }).await;
        shop.until("web-canary", Value::is_null).await;

        let old_goes = shop.versions().delete_old();
        refused(
            old_goes.retire(&call(6), Side::Stable).await,
            FailureKind::NotFound,
            "web-canary is not there",
        );
    });
}

#[test]
#[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-kube -- --ignored"]
fn the_old_one_is_not_deleted_while_the_canary_would_go_with_it() {
    run(async {
        let shop = Shop::open(1).await;
        let versions = shop.versions().delete_old();
        ready(&versions, all()).await;
        let why = format!(
            "web is not deleted: Deployment {}/web-canary would go with it",
            shop.namespace
        );
        refused(versions.retire(&call(2), Side::Stable).await, FailureKind::Conflict, &why);
        done(|| async { versions.promote(&call(3), How::Swap).await }).await;
        done(|| async { versions.retire(&call(4), Side::Stable).await }).await;
        shop.until("web", Value::is_null).await;
        assert_eq!(shop.get("web-canary").await.unwrap()["status"]["availableReplicas"], 1);
    });
}

#[test]
#[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-kube -- --ignored"]
fn a_canary_goes_with_stable() {
    run(async {
        let shop = Shop::open(1).await;
        ready(&shop.versions(), all()).await;
        shop.delete("web").await;
        shop.until("web-canary", Value::is_null).await;
    });
}

#[test]
#[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-kube -- --ignored"]
fn what_was_not_made_here_is_left_alone_and_what_was_left_behind_is_not() {
    run(async {
        let shop = Shop::open(1).await;
        shop.create(&web("web-canary", "v7", 1)).await;
        let versions = shop.versions();
        refused(
            versions.prepare(&call(1), &all()).await,
            FailureKind::Invalid,
            "web-canary is there and was not made from Deployment",
        );
        assert_eq!(versions.retire(&call(2), Side::Canary).await.unwrap(), Progress::Done);
        assert_eq!(shop.get("web-canary").await.unwrap()["spec"]["replicas"], 1);

        let other_name = || shop.versions().canary("web-next");
        ready(&other_name(), all()).await;
        // What is not of this rollout is made anew.
        let next = shop.versions_of(Variant::image("web:v3")).canary("web-next");
        refused(
            next.prepare(&call(3), &all()).await,
            FailureKind::Invalid,
            "was made to run something else than this rollout asks for now",
        );
        let of_next = |id| call_of("shop-2", id);
        let readiness = next.prepare(&of_next(1), &all()).await.unwrap();
        assert!(
            readiness.why.starts_with("an earlier rollout has left a canary behind"),
            "{readiness:?}"
        );
        shop.until("web-next", Value::is_null).await;
        next.prepare(&of_next(2), &all()).await.unwrap();
        let image = "/spec/template/spec/containers/0/image";
        assert_eq!(shop.get("web-next").await.unwrap().pointer(image), Some(&json!("web:v3")));
    });
}

#[test]
#[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-kube -- --ignored"]
fn a_version_that_took_over_is_no_canary_in_the_next_rollout() {
    run(async {
        let shop = Shop::open(1).await;
        let versions = shop.pair().await;
        ready(&versions, all()).await;
        done(|| async { versions.promote(&call(2), How::Swap).await }).await;
        done(|| async { versions.retire(&call(3), Side::Stable).await }).await;
        let words = "green became the stable one in rollout shop-1: name it as stable now";
        refused(versions.prepare(&call_of("shop-2", 1), &all()).await, FailureKind::Invalid, words);
        assert_eq!(shop.get("green").await.unwrap()["status"]["availableReplicas"], 1);
    });
}

#[test]
#[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-kube -- --ignored"]
fn selectors_that_match_both_are_refused() {
    run(async {
        let shop = Shop::empty().await;
        let mut plain = web("web", "v1", 1);
        plain["spec"]["selector"]["matchLabels"] = json!({ "app": "web" });
        shop.create(&plain).await;
        let words = "would match the pods of Deployment";
        refused(shop.versions().prepare(&call(1), &all()).await, FailureKind::Invalid, words);
        assert_eq!(shop.get("web-canary").await, None);
        shop.until("web", |web| web["status"]["availableReplicas"] == 1).await;
        ready(&shop.versions_of(Variant::image("web:v2").label("app", "web-canary")), all()).await;

        let mut wide = web("wide", "v1", 0);
        wide["spec"]["selector"]["matchLabels"] = json!({ "version": "v1" });
        wide["spec"]["template"]["metadata"]["labels"]["app"] = json!("wide");
        shop.create(&wide).await;
        let names =
            canary_core::value::BySide { stable: "web".to_owned(), canary: "wide".to_owned() };
        let pair = Deployments::pair(shop.client.clone(), &shop.namespace, names);
        refused(pair.prepare(&call(2), &all()).await, FailureKind::Invalid, words);
    });
}

#[test]
#[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-kube -- --ignored"]
fn the_canary_is_as_large_as_its_weight_or_the_plan_needs_and_never_shrinks() {
    run(async {
        let shop = Shop::open(5).await;
        let versions = shop.versions();
        let percent = Weight::percent;
        for (weight, scale, replicas) in [
            (Weight::ZERO, None, 1),
            (percent(20), None, 1),
            (percent(21), None, 2),
            (percent(10), None, 2),
            (percent(30), Some(Scale::Replicas(4)), 4),
            (percent(40), Some(Scale::Share(percent(10))), 4),
            (Weight::FULL, None, 5),
        ] {
            ready(&versions, Capacity::new(weight, scale)).await;
            assert_eq!(
                shop.get("web-canary").await.unwrap()["spec"]["replicas"],
                replicas,
                "{weight}"
            );
        }
        // An autoscaler has made stable smaller meanwhile.
        shop.merge("web", json!({ "spec": { "replicas": 2 } })).await;
        ready(&versions, all()).await;
        assert_eq!(shop.get("web-canary").await.unwrap()["spec"]["replicas"], 5);
        done(|| async { versions.promote(&call(2), How::InPlace).await }).await;
        assert_eq!(shop.get("web").await.unwrap()["status"]["availableReplicas"], 5);
    });
}

#[test]
#[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-kube -- --ignored"]
fn how_large_stable_was_in_an_earlier_rollout_does_not_count() {
    run(async {
        let shop = Shop::open(4).await;
        let versions = shop.pair().await;
        ready(&versions, all()).await;
        // That rollout never came to its end.
        shop.merge("web", json!({ "spec": { "replicas": 1 } })).await;
        shop.merge("green", json!({ "spec": { "replicas": 0 } })).await;
        versions.prepare(&call_of("shop-2", 1), &all()).await.unwrap();
        assert_eq!(shop.get("green").await.unwrap()["spec"]["replicas"], 1);
    });
}

#[test]
#[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-kube -- --ignored"]
fn a_pod_counts_once_it_has_been_ready_for_long_enough() {
    run(async {
        let shop = Shop::open(1).await;
        let long = shop.versions_of(Variant::image("web:v2").ready_for(Duration::from_secs(3_600)));
        long.prepare(&call(1), &all()).await.unwrap();
        long.prepare(&call(1), &all()).await.unwrap();
        let seen = |canary: &Value| {
            canary["status"]["observedGeneration"] == canary["metadata"]["generation"]
        };
        let ready = |canary: &Value| canary["status"]["readyReplicas"] == 1;
        shop.until("web-canary", |canary| ready(canary) && seen(canary)).await;
        let readiness = long.prepare(&call(2), &all()).await.unwrap();
        assert_eq!(readiness.ready_for, None);
        assert!(readiness.why.ends_with("web-canary has 0 of 1 pods available"), "{readiness:?}");
    });
}

#[test]
#[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-kube -- --ignored"]
fn what_else_is_different_is_promoted_and_restored_too() {
    run(async {
        let shop = Shop::open(1).await;
        // The server writes this in its own way.
        let asked = json!({ "limits": { "cpu": 1, "memory": "1024Mi" } });
        let limits = json!({ "limits": { "cpu": "1", "memory": "1Gi" } });
        let variant = Variant::image("web:v2").env("MODE", "slow").env("NEW", "").resources(asked);
        let versions = shop.versions_of(variant);
        ready(&versions, all()).await;
        let container = async || {
            let web = shop.get("web").await.unwrap();
            web["spec"]["template"]["spec"]["containers"][0].clone()
        };
        let before = container().await;
        // Somebody changes stable meanwhile: that stays.
        let pull = json!([{ "name": "web", "image": "web:v1", "workingDir": "/srv",
            "env": [{ "name": "MODE", "value": "fast" }] }]);
        shop.merge("web", json!({ "spec": { "template": { "spec": { "containers": pull } } } }))
            .await;
        done(|| async { versions.promote(&call(2), How::InPlace).await }).await;
        let mut expected = before.clone();
        expected["workingDir"] = json!("/srv");
        let old = expected.clone();
        expected["image"] = json!("web:v2");
        expected["env"] = json!([{ "name": "MODE", "value": "slow" }, { "name": "NEW" }]);
        expected["resources"] = limits;
        assert_eq!(container().await, expected);
        done(|| async { versions.restore(&call(3), How::InPlace).await }).await;
        assert_eq!(container().await, old);
    });
}

#[test]
#[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-kube -- --ignored"]
fn an_autoscaler_is_held_while_the_rollout_runs() {
    run(async {
        let shop = Shop::open(1).await;
        let api = Api::<HorizontalPodAutoscaler>::namespaced(shop.client.clone(), &shop.namespace);
        for (name, target, policy) in
            [("web", "web", "Min"), ("plain", "web", ""), ("other", "other", "Min")]
        {
            let mut autoscaler = json!({
                "metadata": { "name": name },
                "spec": {
                    "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": target },
                    "minReplicas": 1, "maxReplicas": 3,
                },
            });
            if !policy.is_empty() {
                autoscaler["spec"]["behavior"] = json!({ "scaleDown": { "selectPolicy": policy } });
            }
            let autoscaler = serde_json::from_value(autoscaler).unwrap();
            api.create(&PostParams::default(), &autoscaler).await.unwrap();
        }
        let look = async |name: &str| {
            let mut seen = serde_json::to_value(api.get(name).await.unwrap()).unwrap();
            let metadata = seen["metadata"].take();
            json!([metadata["annotations"], seen["spec"]])
        };
        let names = ["web", "plain", "other"];
        let all_of = async || [look(names[0]).await, look(names[1]).await, look(names[2]).await];
        let before = all_of().await;
        let versions = shop.versions().hold_autoscalers();
        ready(&versions, all()).await;
        let held = all_of().await;
        let policies =
            held.each_ref().map(|held| &held[1]["behavior"]["scaleDown"]["selectPolicy"]);
        assert_eq!(policies, ["Disabled", "Disabled", "Min"]);
        done(|| async { versions.retire(&call(2), Side::Canary).await }).await;
        assert_eq!(all_of().await, before);
    });
}
