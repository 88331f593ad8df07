//! A service with users, in a cluster with a mesh and a Prometheus.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use canary_core::value::Side;
use canary_examples::delivery::Job;
use canary_kube::testing::Kubelet;
use canary_kube::{Account, HTTP_ROUTE};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{Api, DeleteParams, DynamicObject, PostParams};
use kube::config::Kubeconfig;
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};
use tempfile::{NamedTempFile, TempDir};
use tokio::task::JoinSet;

use crate::bed::Bed;
use crate::front::Front;
use crate::programs::example;
use crate::support::{Exporter, PrometheusServer, eventually, get};

const NAMESPACE: &str = "default";

/// How many users' requests there are in a second.
const RATE: u32 = 200;

/// A service that two pods of `web:v1` run; what was made is deleted by [`Platform::end`].
#[derive(Debug)]
pub(crate) struct Platform {
    pub(crate) bed: Bed,
    pub(crate) users: Arc<Front>,
    pub(crate) state: Arc<TempDir>,
    /// The way to the cluster as an account that may do what a delivery needs, and nothing else.
    account: NamedTempFile,
    prometheus: PrometheusServer,
    _exporter: Exporter,
    _kubelet: JoinSet<()>,
}

impl Platform {
    pub(crate) async fn start() -> Self {
        Self::start_with(Arc::new(tempfile::tempdir().unwrap())).await
    }

    /// Starts another service, whose rollouts are kept beside this one's.
    pub(crate) async fn another(&self) -> Self {
        Self::start_with(Arc::clone(&self.state)).await
    }

    async fn start_with(state: Arc<TempDir>) -> Self {
        let bed = Bed::start().await;
        let mut kubelet = JoinSet::new();
        let plays = Kubelet::new(bed.client(), NAMESPACE);
        kubelet.spawn(async move { plays.serve().await });
        let users = Arc::new(bed.users(RATE, false));
        let (seen, name) = (Arc::clone(&users), bed.name.clone());
        let exporter = Exporter::serve(move |_| Some(metrics(&seen, &name)));
        let prometheus = PrometheusServer::start(&[exporter.address()]).await;
        let account = account(&bed.name);
        let platform =
            Self { bed, users, state, account, prometheus, _exporter: exporter, _kubelet: kubelet };
        platform.describe().await;
        platform.wait().await;
        platform
    }

    /// Begins to call `deploy` for the new image, with steps of seconds.
    pub(crate) fn deploy(&self, options: &[&str]) -> Command {
        let mut command = self.deploy_as(&["--step-duration", "4s"]);
        command.args(["--istiod", &variable("CANARY_TEST_ISTIOD")]).args(options);
        command
    }

    /// Begins to call `deploy` for the new image, with nothing said of how.
    pub(crate) fn deploy_as(&self, options: &[&str]) -> Command {
        let mut command = example("deploy");
        command.args([&self.bed.name, "web:v2", "--prometheus", self.prometheus.url()]);
        command.arg("--kubeconfig").arg(self.account.path());
        command.arg("--state").arg(self.state.path()).args(options);
        command
    }

    /// Names what is delivered to.
    pub(crate) fn target(&self) -> String {
        format!("{NAMESPACE}/{}", self.bed.name)
    }

    /// Begins to call `resume`.
    pub(crate) fn resume(&self, options: &[&str]) -> Command {
        let mut command = example("resume");
        command.arg("--state").arg(self.state.path()).args(options);
        command
    }

    /// Returns the image of a version's Deployment, `None` where there is none.
    pub(crate) async fn image(&self, side: Side) -> Option<String> {
        let name = match side {
            Side::Stable => self.bed.name.clone(),
            Side::Canary => format!("{}-canary", self.bed.name),
        };
        let found = self.api::<Deployment>().get_opt(&name).await.unwrap()?;
        found.spec.unwrap().template.spec.unwrap().containers.remove(0).image
    }

    /// Returns everything that a delivery may touch, but for what their controllers write.
    pub(crate) async fn objects(&self) -> Vec<Value> {
        let list = self.api::<Deployment>().list(&self.of_this()).await.unwrap();
        let mut all: Vec<_> = list.into_iter().map(|it| json!([it.metadata, it.spec])).collect();
        all.push(self.bed.route().await);
        let routes = self.http_routes().list(&self.of_this()).await.unwrap();
        all.extend(routes.into_iter().map(|route| json!([route.metadata, route.data["spec"]])));
        all
    }

    /// Returns how many requests were answered, none of which failed.
    #[track_caller]
    pub(crate) fn none_failed(&self) -> usize {
        let answers = self.users.answers();
        let failed = answers.iter().find(|answer| !answer.status.is_success());
        assert!(failed.is_none(), "{failed:?}");
        answers.len()
    }

    /// Makes what Linkerd splits traffic by, under the same name.
    pub(crate) async fn add_http_route(&self) {
        let name = &self.bed.name;
        let backend = |side: Side, weight| json!({ "name": format!("{name}-{}", side.as_str()), "port": 80, "weight": weight });
        let route = json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": HTTP_ROUTE.kind,
            "metadata": { "name": name, "labels": { "bed": name } },
            "spec": { "rules": [{ "backendRefs": [backend(Side::Stable, 100), backend(Side::Canary, 0)] }] },
        });
        let (routes, route) = (self.http_routes(), serde_json::from_value(route).unwrap());
        routes.create(&PostParams::default(), &route).await.unwrap();
    }

    /// Makes what scales stable by what it uses.
    pub(crate) async fn add_autoscaler(&self) {
        let name = &self.bed.name;
        let autoscaler = json!({
            "metadata": { "name": name, "labels": { "bed": name } },
            "spec": {
                "minReplicas": 2, "maxReplicas": 4,
                "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": name },
            },
        });
        self.create::<HorizontalPodAutoscaler>(autoscaler).await;
    }

    /// Returns what the autoscaler's policy for fewer replicas is.
    pub(crate) async fn scales_down(&self) -> Value {
        let found = self.api::<HorizontalPodAutoscaler>().get(&self.bed.name).await.unwrap();
        json!(found.spec)["behavior"]["scaleDown"]["selectPolicy"].clone()
    }

    fn http_routes(&self) -> Api<DynamicObject> {
        let gvk = GroupVersionKind::gvk(HTTP_ROUTE.group, HTTP_ROUTE.version, HTTP_ROUTE.kind);
        let resource = ApiResource::from_gvk_with_plural(&gvk, HTTP_ROUTE.plural);
        Api::namespaced_with(self.bed.client(), NAMESPACE, &resource)
    }

    pub(crate) async fn end(self) {
        let (delete, of_this) = (DeleteParams::background(), self.of_this());
        self.api::<Deployment>().delete_collection(&delete, &of_this).await.unwrap();
        self.api::<HorizontalPodAutoscaler>().delete_collection(&delete, &of_this).await.unwrap();
        self.api::<RoleBinding>().delete_collection(&delete, &of_this).await.unwrap();
        self.api::<Role>().delete_collection(&delete, &of_this).await.unwrap();
        self.http_routes().delete_collection(&delete, &of_this).await.unwrap();
        self.api::<EndpointSlice>().delete_collection(&delete, &of_this).await.unwrap();
        self.api::<Service>().delete(&self.bed.name, &delete).await.unwrap();
        self.bed.end().await;
    }

    async fn describe(&self) {
        let name = &self.bed.name;
        let labels = json!({ "app": name, "version": "stable", "bed": name });
        let deployment = json!({
            "metadata": { "name": name, "labels": labels },
            "spec": {
                "replicas": 2, "selector": { "matchLabels": labels },
                "template": {
                    "metadata": { "labels": labels },
                    "spec": { "containers": [{ "name": "web", "image": "web:v1" }] },
                },
            },
        });
        // No pod has an address here, so its endpoints are said.
        let service =
            json!({ "metadata": { "name": name }, "spec": { "ports": [{ "port": 80 }] } });
        let slice = json!({
            "metadata": { "name": name, "labels": { "kubernetes.io/service-name": name, "bed": name } },
            "addressType": "IPv4",
            "endpoints": [{ "addresses": ["10.9.8.7"], "conditions": { "ready": true } }],
        });
        self.create::<Deployment>(deployment).await;
        self.create::<Service>(service).await;
        self.create::<EndpointSlice>(slice).await;
        self.allow("istio").await;
        self.allow("linkerd").await;
    }

    /// Allows the account to do what a delivery by this mesh needs.
    async fn allow(&self, mesh: &str) {
        let name = &self.bed.name;
        let job = json!({ "service": name, "image": "", "namespace": NAMESPACE, "mesh": mesh, "prometheus": "" });
        let job: Job = serde_json::from_value(job).unwrap();
        let account = Account::service(NAMESPACE, name);
        for mut object in job.permissions().objects(&format!("{name}-{mesh}"), &account) {
            object["metadata"]["labels"] = json!({ "bed": name });
            match object["kind"].as_str().unwrap() {
                "Role" => self.create::<Role>(object).await,
                _ => self.create::<RoleBinding>(object).await,
            }
        }
    }

    async fn create<K>(&self, object: Value)
    where
        K: kube::Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + std::fmt::Debug,
        K: serde::Serialize + serde::de::DeserializeOwned,
    {
        let object = serde_json::from_value(object).unwrap();
        self.api::<K>().create(&PostParams::default(), &object).await.unwrap();
    }

    /// Waits until stable runs, and Prometheus knows its requests.
    async fn wait(&self) {
        let deployments = self.api::<Deployment>();
        eventually("a stable that is available", async || {
            let status = deployments.get(&self.bed.name).await.unwrap().status.unwrap();
            (status.available_replicas == Some(2)).then_some(())
        })
        .await;
        let query =
            format!("{}/api/v1/query?query=rate(istio_requests_total[10s])", self.prometheus.url());
        eventually("requests in Prometheus", async || {
            get(&query).filter(|answer| answer.contains("\"value\"")).map(drop)
        })
        .await;
        tokio::time::sleep(Duration::from_secs(3)).await;
    }

    fn of_this(&self) -> kube::api::ListParams {
        kube::api::ListParams::default().labels(&format!("bed={}", self.bed.name))
    }

    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.bed.client(), NAMESPACE)
    }
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is set"))
}

/// Writes a kubeconfig by which one acts as a service account of this name.
fn account(name: &str) -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    let mut kubeconfig = Kubeconfig::read_from(variable("CANARY_TEST_KUBECONFIG")).unwrap();
    let user = kubeconfig.auth_infos[0].auth_info.as_mut().unwrap();
    user.impersonate = Some(Account::service(NAMESPACE, name).user());
    // JSON is YAML.
    fs::write(&file, serde_json::to_string(&kubeconfig).unwrap()).unwrap();
    file
}

/// Writes what the mesh would tell of the requests that users have made; all of them took 20 ms.
fn metrics(users: &Front, name: &str) -> String {
    let answers = users.answers();
    let mut page = String::new();
    for side in Side::BOTH {
        let workload =
            if side == Side::Stable { name.to_owned() } else { format!("{name}-canary") };
        let labels = format!(
            r#"reporter="destination",destination_workload_namespace="{NAMESPACE}",destination_workload="{workload}",pod="{workload}-1""#
        );
        let by = answers.iter().filter(|answer| answer.by == Some(side));
        let (total, bad) = by.fold((0_u64, 0_u64), |(total, bad), answer| {
            (total + 1, bad + u64::from(answer.status.is_server_error()))
        });
        if side == Side::Canary && total == 0 {
            continue;
        }
        for (code, count) in [("200", total - bad), ("500", bad)] {
            writeln!(page, r#"istio_requests_total{{{labels},response_code="{code}"}} {count}"#)
                .unwrap();
        }
        for bound in ["25", "500", "1000", "+Inf"] {
            writeln!(
                page,
                r#"istio_request_duration_milliseconds_bucket{{{labels},le="{bound}"}} {total}"#
            )
            .unwrap();
        }
    }
    page
}
