//! A VirtualService on a real API server, and rollouts that move it.

use std::path::PathBuf;
use std::time::Duration;

use canary_core::driver::{Driver, DriverBuilder, Handle};
use canary_core::observe::Memory;
use canary_core::policy::{GateSpec, Policy};
use canary_core::ports::MetricSource;
use canary_core::record::{Content, Outcome, Record};
use canary_core::rollout::Status;
use canary_core::source::FnSource;
use canary_core::value::{
    Actor, Counts, Failure, GateName, Measured, Reading, RolloutId, Weight, Window,
};
use canary_istio::{VIRTUAL_SERVICE, VirtualServiceRouter};
use canary_kube::ConfigMapStore;
use canary_kube::testing::{Cluster, RouteObject, differences};
use kube::Client;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

/// A VirtualService with two routes, of which rollouts move the second.
#[derive(Clone)]
pub(crate) struct Shop {
    pub(crate) cluster: Cluster,
    pub(crate) object: RouteObject,
    /// The object as it was.
    before: Value,
    /// Where the state of its rollouts is kept: nobody else's is there.
    namespace: String,
    pub(crate) records: Memory,
}

impl Shop {
    pub(crate) async fn open() -> Self {
        let cluster = Cluster::connect().await;
        let object = cluster.create(&VIRTUAL_SERVICE, &fields()).await;
        let before = object.read().await;
        let namespace = cluster.namespace().await;
        Self { cluster, object, before, namespace, records: Memory::new(10_000) }
    }

    /// Keeps the state of this route's rollouts.
    pub(crate) fn store(&self, client: Client) -> ConfigMapStore {
        ConfigMapStore::new(client, &self.namespace)
    }

    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    pub(crate) fn router(&self, client: Client) -> VirtualServiceRouter {
        router(client, self.object.namespace(), self.object.name())
    }

    /// Puts a rollout together that moves this route by this client, and stays at each weight this long.
    pub(crate) fn builder(&self, client: Client, hold: Duration) -> DriverBuilder {
        self.policy(policy(hold), client)
    }

    /// Puts a rollout by this policy together.
    pub(crate) fn policy(&self, policy: Policy, client: Client) -> DriverBuilder {
        let target = format!("{}/{}", self.object.namespace(), self.object.name());
        Driver::builder(policy)
            .target(target.parse().unwrap())
            .router(self.router(client))
            .metrics(healthy())
            .observer(self.records.clone())
    }

    pub(crate) fn id(&self) -> RolloutId {
        format!("{}-1", self.object.name()).parse().unwrap()
    }

    pub(crate) async fn start(&self, client: Client) -> Handle {
        self.builder(client, SHORT).start(self.id()).await.unwrap()
    }

    /// Returns what the canary gets, by the object itself.
    pub(crate) async fn weight(&self) -> u64 {
        let object = self.object.read().await;
        let route = &object["spec"]["http"][position(&object)]["route"];
        let weights = [0, 1].map(|side| route[side]["weight"].as_u64().unwrap_or(0));
        assert_eq!(weights[0] + weights[1], 100, "{object:#}");
        weights[1]
    }

    /// Fails unless the object is as it was but for what the canary gets.
    pub(crate) async fn is_as_it_was_but_for(&self, weight: u64) {
        let mut expected = self.before.clone();
        set_weight(&mut expected, weight);
        self.is(&expected).await;
    }

    /// Fails unless the object is so, but for what the server writes by itself.
    pub(crate) async fn is(&self, expected: &Value) {
        let object = self.object.read().await;
        assert_eq!(differences(expected, &object), [""; 0], "{object:#}");
    }

    pub(crate) fn api(&self) -> Api<DynamicObject> {
        let kind = VIRTUAL_SERVICE;
        let gvk = GroupVersionKind::gvk(kind.group, kind.version, kind.kind);
        let resource = ApiResource::from_gvk_with_plural(&gvk, kind.plural);
        Api::namespaced_with(self.cluster.client(), self.object.namespace(), &resource)
    }

    /// Changes the object by a JSON patch as another writer.
    pub(crate) async fn patch(&self, operations: Value) {
        let patch = Patch::<()>::Json(serde_json::from_value(operations).unwrap());
        let (api, name) = (self.api(), self.object.name());
        api.patch(name, &PatchParams::default(), &patch).await.unwrap();
    }

    /// Lets the two routes change places, as another writer.
    pub(crate) async fn reorder(&self) {
        self.patch(json!([{ "op": "move", "from": "/spec/http/1", "path": "/spec/http/0" }])).await;
    }

    /// Gives the canary so much, wherever its route is now, as another writer.
    pub(crate) async fn send(&self, canary: u64) {
        let object = self.object.read().await;
        let at = position(&object);
        let path = |rest: &str| format!("/spec/http/{at}/{rest}");
        self.patch(json!([
            { "op": "test", "path": path("name"), "value": "primary" },
            { "op": "replace", "path": path("route/0/weight"), "value": 100 - canary },
            { "op": "replace", "path": path("route/1/weight"), "value": canary },
        ]))
        .await;
    }

    /// Returns how often somebody else's weights were found.
    pub(crate) fn drifts(&self) -> usize {
        let records = self.records.records();
        records.iter().filter(|(_, record)| record.content.kind() == "drifted").count()
    }

    /// Returns what failed of the rollout, and which action it was.
    pub(crate) fn failures(&self) -> Vec<(String, Failure)> {
        let failed = |record: Record| match record.content {
            Content::CallFailed { action, failure, .. } => Some((action, failure)),
            _ => None,
        };
        self.records.records().into_iter().filter_map(|(_, record)| failed(record)).collect()
    }

    /// Waits until a record is such.
    pub(crate) async fn told(&self, is: impl Fn(&Content) -> bool) {
        let told = || self.records.records().iter().any(|(_, record)| is(&record.content));
        wait(async || told()).await;
    }
}

/// Describes the routes `beta` and `primary`.
fn fields() -> Value {
    let way = |subset: &str, weight: u8| json!({ "destination": { "host": "shop", "subset": subset }, "weight": weight });
    json!({
        "metadata": { "annotations": { "team": "shop" } },
        "spec": { "hosts": ["shop"], "gateways": ["mesh"], "http": [
            {
                "name": "beta", "timeout": "3s", "route": [way("stable", 100), way("canary", 0)],
                "match": [{ "headers": { "x-beta": { "exact": "true" } } }],
            },
            {
                "name": "primary", "retries": { "attempts": 2 },
                "route": [way("stable", 100), way("canary", 0)],
            },
        ] },
    })
}

/// Returns where the route is that rollouts move.
fn position(object: &Value) -> usize {
    let routes = object["spec"]["http"].as_array().unwrap();
    routes.iter().position(|route| route["name"] == "primary").unwrap()
}

/// Writes down what the canary gets.
pub(crate) fn set_weight(object: &mut Value, canary: u64) {
    let at = position(object);
    let route = &mut object["spec"]["http"][at]["route"];
    route[0]["weight"] = json!(100 - canary);
    route[1]["weight"] = json!(canary);
}

pub(crate) fn router(client: Client, namespace: &str, name: &str) -> VirtualServiceRouter {
    VirtualServiceRouter::new(client, namespace, name).route("primary").subsets("stable", "canary")
}

/// How long a weight is held at least, and at most.
pub(crate) const SHORT: Duration = Duration::from_millis(400);
pub(crate) const HOUR: Duration = Duration::from_secs(3_600);

/// A tenth, half, then all, each judged this long.
pub(crate) fn policy(hold: Duration) -> Policy {
    Policy::builder("shop")
        .every(Duration::from_millis(100))
        .stage("tenth", Weight::percent(10), hold)
        .stage("half", Weight::percent(50), hold)
        .stage("full", Weight::FULL, hold)
        .build()
        .unwrap()
}

/// The same, where somebody is asked before half of the traffic.
pub(crate) fn asks() -> Policy {
    let mut spec = policy(SHORT).spec().clone();
    let go: GateName = "go".parse().unwrap();
    spec.stages[0].gates = vec![go.clone()];
    spec.gates.insert(go, GateSpec::approval());
    Policy::from_spec(spec).unwrap()
}

/// Finds every request well answered.
pub(crate) fn healthy() -> impl MetricSource {
    FnSource::new(|query, until| {
        let counts = |total| Counts::new(total, 0).map_or(Reading::NoData, Reading::Counts);
        Ok(Measured::new(Window::new(query.after, until), counts(100), counts(100)))
    })
}

pub(crate) fn ana() -> Actor {
    "ana".parse().unwrap()
}

/// Returns where the kubeconfig of the cluster is.
pub(crate) fn kubeconfig() -> PathBuf {
    std::env::var_os("CANARY_TEST_KUBECONFIG").unwrap().into()
}

/// Returns how an administrator is known.
pub(crate) fn admin() -> Value {
    let kubeconfig = kube::config::Kubeconfig::read_from(kubeconfig()).unwrap();
    serde_json::to_value(&kubeconfig.auth_infos[0].auth_info).unwrap()
}

/// Waits until a rollout's status is so.
pub(crate) async fn until(handle: &Handle, is: impl Fn(&Status) -> bool) {
    let mut status = handle.status();
    let waited = tokio::time::timeout(Duration::from_secs(30), status.wait_for(is)).await;
    assert!(waited.is_ok(), "it never came to that: {:?}", handle.status().borrow());
}

/// Waits until the canary gets so much, and the stage is held.
pub(crate) async fn holds(handle: &Handle, percent: u8) {
    let weight = Weight::percent(percent);
    until(handle, |status| status.phase == "holding" && status.weight == weight).await;
}

/// Waits until a rollout is over, and returns how it ended.
pub(crate) async fn ended(handle: &Handle) -> Outcome {
    let ended = tokio::time::timeout(Duration::from_secs(60), handle.finished()).await;
    let ended = ended.unwrap_or_else(|_| panic!("it never ends: {:?}", handle.status().borrow()));
    ended.unwrap().outcome().clone()
}

/// Waits until something is so.
pub(crate) async fn wait(so: impl AsyncFn() -> bool) {
    for _ in 0..3_000 {
        if so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it is never so");
}
