//! A namespace with a stable version in it, and somebody who runs its pods.

use std::time::Duration;

use canary_core::ports::Call;
use canary_core::value::{BySide, EffectId, Epoch, Timestamp};
use canary_kube::testing::{Cluster, Kubelet};
use canary_kube::{Deployments, Variant};
use k8s_openapi::api::apps::v1::Deployment;
use kube::Client;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

/// A namespace of its own on a real server.
#[derive(Clone)]
pub(crate) struct Shop {
    pub(crate) client: Client,
    pub(crate) namespace: String,
    pub(crate) kubelet: Kubelet,
}

impl Shop {
    /// Makes one with a stable of so many replicas that are all available.
    pub(crate) async fn open(replicas: u32) -> Self {
        let shop = Self::empty().await;
        shop.create(&web("web", "v1", replicas)).await;
        shop.until("web", |web| web["status"]["availableReplicas"] == replicas).await;
        shop
    }

    pub(crate) async fn empty() -> Self {
        let cluster = Cluster::connect().await;
        let (client, namespace) = (cluster.client(), cluster.namespace().await);
        let kubelet = Kubelet::new(client.clone(), &namespace);
        let runs = kubelet.clone();
        #[expect(clippy::disallowed_methods, reason = "it ends with the test's runtime")]
        tokio::spawn(async move { runs.serve().await });
        Self { client, namespace, kubelet }
    }

    /// Makes the canary from stable.
    pub(crate) fn versions(&self) -> Deployments {
        self.versions_of(Variant::image("web:v2"))
    }

    pub(crate) fn versions_of(&self, variant: Variant) -> Deployments {
        Deployments::new(self.client.clone(), &self.namespace, "web", variant)
    }

    /// Takes a canary that is there, and down.
    pub(crate) async fn pair(&self) -> Deployments {
        self.create(&web("green", "v2", 0)).await;
        let names = BySide { stable: "web".to_owned(), canary: "green".to_owned() };
        Deployments::pair(self.client.clone(), &self.namespace, names)
    }

    pub(crate) fn deployments(&self) -> Api<Deployment> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub(crate) async fn create(&self, deployment: &Value) {
        let deployment = serde_json::from_value(deployment.clone()).unwrap();
        self.deployments().create(&PostParams::default(), &deployment).await.unwrap();
    }

    pub(crate) async fn get(&self, name: &str) -> Option<Value> {
        let found = self.deployments().get_opt(name).await.unwrap();
        found.map(|found| serde_json::to_value(found).unwrap())
    }

    /// Changes a Deployment as another writer.
    pub(crate) async fn merge(&self, name: &str, fields: Value) {
        let params = PatchParams::default();
        self.deployments().patch(name, &params, &Patch::Merge(fields)).await.unwrap();
    }

    pub(crate) async fn delete(&self, name: &str) {
        self.deployments().delete(name, &DeleteParams::background()).await.unwrap();
    }

    /// Waits until a Deployment is so.
    pub(crate) async fn until(&self, name: &str, is: impl Fn(&Value) -> bool) -> Value {
        let mut seen = Value::Null;
        for _ in 0..1_000 {
            seen = self.get(name).await.unwrap_or_default();
            if is(&seen) {
                return seen;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{name} never came to that: {seen:#}");
    }
}

/// Describes a Deployment of this version.
pub(crate) fn web(name: &str, version: &str, replicas: u32) -> Value {
    let labels = json!({ "app": "web", "version": version });
    json!({
        "metadata": { "name": name, "labels": { "app.kubernetes.io/instance": "shop" } },
        "spec": {
            "replicas": replicas,
            "selector": { "matchLabels": labels },
            "template": {
                "metadata": { "labels": labels },
                "spec": { "containers": [{
                    "name": "web", "image": format!("web:{version}"),
                    "env": [{ "name": "MODE", "value": "fast" }],
                }] },
            },
        },
    })
}

/// Returns the call of a rollout with this number.
pub(crate) fn call(id: u64) -> Call {
    let made = Timestamp::EPOCH;
    let deadline = made + Duration::from_secs(10);
    Call::new("shop-1".parse().unwrap(), Epoch::new(1), EffectId::new(id), 1, made, deadline)
}

/// Returns the call of another rollout.
pub(crate) fn call_of(rollout: &str, id: u64) -> Call {
    let mut call = call(id);
    call.rollout = rollout.parse().unwrap();
    call
}
