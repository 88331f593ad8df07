//! What keeps a canary from being ready, in words with the pod's name.

use std::time::Duration;

use canary_core::ports::{Capacity, PortError, Readiness, Workload};
use canary_core::testing::conformance::run;
use canary_core::value::{FailureKind, Weight};
use canary_kube::Deployments;
use canary_kube::testing::Fate;
use k8s_openapi::api::core::v1::{Pod, ResourceQuota};
use kube::ResourceExt;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use serde_json::json;

use crate::support::{Shop, call, web};

async fn prepare(versions: &Deployments, weight: Weight) -> Result<Readiness, PortError> {
    versions.prepare(&call(1), &Capacity::new(weight, None)).await
}

/// Asks until it says these words, and tells in how it said them.
async fn says(versions: &Deployments, words: &str) -> Result<Readiness, PortError> {
    let mut said = String::new();
    for _ in 0..500 {
        let answer = prepare(versions, Weight::FULL).await;
        said = match &answer {
            Ok(readiness) => readiness.why.clone(),
            Err(error) => error.to_string(),
        };
        if said.contains(words) {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it never says {words:?}, but {said:?}");
}

#[test]
#[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-kube -- --ignored"]
fn what_is_wrong_with_a_pod_is_said_with_its_name() {
    const FULL_NODES: &str = "0/3 nodes are available: 3 Insufficient memory.";
    let table = [
        (
            Fate::Crashes(3, "OOMKilled", 137),
            "crashes in a loop: container web was started again 3 times; the last time it was killed for using more \
             memory than it may (OOMKilled)",
        ),
        (
            Fate::Crashes(1, "Error", 1),
            "crashes in a loop: container web was started again once; the last time it ended with exit code 1 (Error)",
        ),
        (
            Fate::Waits("CreateContainerConfigError", "configmap \"web\" not found"),
            "cannot start container web (CreateContainerConfigError: configmap \"web\" not found)",
        ),
        (
            Fate::Unschedulable(FULL_NODES),
            "has no node: 0/3 nodes are available: 3 Insufficient memory.",
        ),
        (
            Fate::NotReady,
            "runs and is not ready: the readiness probe of container web fails or has not passed yet",
        ),
        (
            Fate::Restarted(2, "Error", 137),
            "runs again and is not ready: container web was started again 2 times; the last time it ended with exit \
             code 137 (Error); it crashes or its liveness probe fails",
        ),
        (
            Fate::Waits("ErrImagePull", "manifest unknown"),
            "cannot pull the image web:v2 of container web (ErrImagePull: manifest unknown)",
        ),
        (
            Fate::Waits("ImagePullBackOff", "Back-off pulling image"),
            "cannot pull the image web:v2 of container web (ImagePullBackOff: Back-off pulling image)",
        ),
    ];
    run(async {
        let shop = Shop::open(1).await;
        shop.kubelet.image("web:v2", Fate::Unseen);
        let versions = shop.versions();
        says(&versions, "was made with 1 replicas").await.unwrap();
        says(&versions, "has not started yet").await.unwrap();
        let pods = Api::<Pod>::namespaced(shop.client.clone(), &shop.namespace);
        let canaries = ListParams::default().labels("version=canary");
        let [pod] = pods.list(&canaries).await.unwrap().items.try_into().unwrap();
        for (fate, words) in table {
            let is_hopeless = words.contains("cannot pull");
            shop.kubelet.image("web:v2", fate);
            let words = format!("pod {} {words}", pod.name_any());
            match says(&versions, &words).await {
                Ok(readiness) => assert!(!is_hopeless && readiness.ready_for.is_none(), "{words}"),
                Err(error) => {
                    assert!(is_hopeless, "{words}");
                    assert_eq!(error.kind(), FailureKind::Invalid, "{words}");
                }
            }
        }
        shop.kubelet.image("web:v2", Fate::Ready);
        shop.until("web-canary", |canary| canary["status"]["availableReplicas"] == 1).await;
        assert_eq!(prepare(&versions, Weight::FULL).await.unwrap().ready_for, Some(Weight::FULL));
    });
}

#[test]
#[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-kube -- --ignored"]
fn a_quota_that_is_used_up_and_a_deadline_that_is_over_are_said() {
    run(async {
        let shop = Shop::empty().await;
        let mut stable = web("web", "v1", 2);
        stable["spec"]["progressDeadlineSeconds"] = json!(1);
        shop.create(&stable).await;
        shop.until("web", |web| web["status"]["availableReplicas"] == 2).await;
        let quotas = Api::<ResourceQuota>::namespaced(shop.client.clone(), &shop.namespace);
        let quota = json!({ "metadata": { "name": "small" }, "spec": { "hard": { "pods": "3" } } });
        let quota = serde_json::from_value(quota).unwrap();
        quotas.create(&PostParams::default(), &quota).await.unwrap();
        // What a controller would write that does not run here.
        let used = json!({ "status": { "hard": { "pods": "3" }, "used": { "pods": "2" } } });
        let params = PatchParams::default();
        quotas.patch_status("small", &params, &Patch::Merge(used)).await.unwrap();

        let versions = shop.versions();
        let why =
            "web-canary has 1 of 2 pods available; its pods cannot be made: pods \"web-canary-";
        let readiness = says(&versions, why).await.unwrap();
        assert!(readiness.why.contains("exceeded quota: small"), "{readiness:?}");
        // What is there is enough for half.
        assert_eq!(readiness.ready_for, Some(Weight::percent(50)));

        shop.kubelet.image("web:v2", Fate::NotReady);
        quotas.delete("small", &kube::api::DeleteParams::default()).await.unwrap();
        says(&versions, "its progress deadline is over; pod web-canary-").await.unwrap();
    });
}
