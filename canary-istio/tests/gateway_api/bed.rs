//! Two versions of a service behind a gateway that the Gateway API describes.

use std::net::TcpListener as Probe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::time::Duration;

use canary_core::value::{BySide, Side};
use kube::Client;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

pub(crate) const NAMESPACE: &str = "default";

/// A kind of object: its group, version, name and plural.
pub(crate) type Kind = [&'static str; 4];

pub(crate) const HTTP: Kind = ["gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes"];
const GATEWAY: Kind = ["gateway.networking.k8s.io", "v1", "Gateway", "gateways"];
const CLASS: Kind = ["gateway.networking.k8s.io", "v1", "GatewayClass", "gatewayclasses"];
const SERVICE: Kind = ["", "v1", "Service", "services"];
const WORKLOAD: Kind = ["networking.istio.io", "v1", "WorkloadEntry", "workloadentries"];

/// The address of the Envoy that `.ci/cluster/mesh` starts, which need not exist.
const ENVOY: &str = "10.99.0.3";

pub(crate) struct Bed {
    pub(crate) name: String,
    client: Client,
    port: u16,
    versions: BySide<Version>,
}

impl Bed {
    /// Starts both versions, and gives them a gateway; there is no route yet.
    pub(crate) async fn start() -> Self {
        let port = free_port();
        let path = std::env::var("CANARY_TEST_KUBECONFIG").expect("CANARY_TEST_KUBECONFIG is set");
        std::env::var("CANARY_TEST_ENVOY").expect("CANARY_TEST_ENVOY is set");
        let versions = BySide {
            stable: Version::start(Side::Stable).await,
            canary: Version::start(Side::Canary).await,
        };
        let name = format!("gateway-{}-{port}", std::process::id());
        let client = canary_istio::client_from(path).await.unwrap();
        let bed = Self { name, client, port, versions };
        bed.describe().await;
        bed
    }

    async fn describe(&self) {
        let envoy = json!({ "canary-test": "gateway-api" });
        let class = json!({ "controllerName": "istio.io/gateway-controller" });
        self.put(CLASS, "istio", class).await;
        // The one workload of that address, whatever runs beside.
        let workload = json!({ "address": ENVOY, "labels": envoy });
        self.put(WORKLOAD, "canary-test-gateway-api", workload).await;
        let port = json!([{ "name": "http", "port": self.port, "targetPort": self.port }]);
        self.put(SERVICE, &self.name, json!({ "selector": envoy, "ports": port })).await;
        let address = format!("{}.{NAMESPACE}.svc.cluster.local", self.name);
        let gateway = json!({
            "gatewayClassName": "istio",
            "addresses": [{ "type": "Hostname", "value": address }],
            "listeners": [{ "name": "http", "port": self.port, "protocol": "HTTP" }],
        });
        self.put(GATEWAY, &self.name, gateway).await;
        for side in Side::BOTH {
            let labels = json!({ "app": self.backend(side) });
            let workload = json!({ "address": "127.0.0.1", "labels": labels });
            self.put(WORKLOAD, &self.backend(side), workload).await;
            let target = self.versions.get(side).port;
            let port = json!([{ "name": "http", "port": 80, "targetPort": target }]);
            let service = json!({ "selector": labels, "ports": port });
            self.put(SERVICE, &self.backend(side), service).await;
        }
    }

    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }

    pub(crate) fn backend(&self, side: Side) -> String {
        format!("{}-{side}", self.name)
    }

    /// Makes the route, with one rule that has these fields and all of the traffic on stable.
    pub(crate) async fn route(&self, mut rule: Value, canary: &str) {
        let stable = json!({ "name": self.backend(Side::Stable), "port": 80, "weight": 100 });
        rule["backendRefs"] = json!([stable, { "name": canary, "port": 80, "weight": 0 }]);
        let route = json!({
            "parentRefs": [{ "name": self.name }],
            "hostnames": [format!("{}.test", self.name)],
            "rules": [rule],
        });
        self.put(HTTP, &self.name, route).await;
    }

    /// Sends a request, with this value of the testers' header; returns the code and the text.
    pub(crate) async fn ask(&self, tester: Option<&str>) -> (u16, String) {
        let tester = tester.map(|value| format!("x-canary: {value}\r\n")).unwrap_or_default();
        let request = format!(
            "GET /api HTTP/1.1\r\nhost: {}.test\r\nconnection: close\r\n{tester}\r\n",
            self.name
        );
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)).await else {
            return (0, String::new());
        };
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        if stream.read_to_string(&mut answer).await.is_err() {
            return (0, String::new());
        }
        let code = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        (code, body.to_owned())
    }

    /// Returns how many requests have reached a version.
    pub(crate) fn arrivals(&self, side: Side) -> usize {
        self.versions.get(side).arrivals.load(Ordering::Relaxed)
    }

    /// Waits until something is so.
    pub(crate) async fn eventually(&self, so: impl AsyncFn() -> bool) {
        for _ in 0..600 {
            if so().await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("it is never so: {}", self.read(HTTP).await);
    }

    pub(crate) async fn read(&self, kind: Kind) -> Value {
        serde_json::to_value(self.api(kind).get(&self.name).await.unwrap()).unwrap()
    }

    /// Deletes what is this bed's alone.
    pub(crate) async fn end(&self) {
        let backends = Side::BOTH.map(|side| self.backend(side));
        let delete = async |kind, name: &str| {
            self.api(kind).delete(name, &DeleteParams::default()).await.unwrap();
        };
        for kind in [HTTP, GATEWAY, SERVICE] {
            delete(kind, &self.name).await;
        }
        for name in &backends {
            delete(SERVICE, name).await;
            delete(WORKLOAD, name).await;
        }
    }

    async fn put(&self, kind: Kind, name: &str, spec: Value) {
        let resource = resource(kind);
        let object = json!({
            "apiVersion": resource.api_version, "kind": resource.kind,
            "metadata": { "name": name }, "spec": spec,
        });
        let params = PatchParams::apply("bed").force();
        self.api(kind).patch(name, &params, &Patch::Apply(&object)).await.unwrap();
    }

    fn api(&self, kind: Kind) -> Api<DynamicObject> {
        let resource = resource(kind);
        match kind {
            CLASS => Api::all_with(self.client(), &resource),
            _ => Api::namespaced_with(self.client(), NAMESPACE, &resource),
        }
    }
}

fn resource([group, version, kind, plural]: Kind) -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
}

/// One version on loopback, which says its name and by which way a request came.
struct Version {
    port: u16,
    arrivals: Arc<AtomicUsize>,
    _task: JoinSet<()>,
}

impl Version {
    async fn start(side: Side) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let arrivals = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&arrivals);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(answer(stream, side, Arc::clone(&counted)));
                while connections.try_join_next().is_some() {}
            }
        });
        Self { port, arrivals, _task: task }
    }
}

/// Answers the one request of a connection.
async fn answer(mut stream: TcpStream, side: Side, arrivals: Arc<AtomicUsize>) {
    let (mut request, mut part) = (Vec::new(), [0; 4096]);
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read(&mut part).await {
            Ok(0) | Err(_) => return,
            Ok(read) => request.extend_from_slice(&part[..read]),
        }
    }
    arrivals.fetch_add(1, Ordering::Relaxed);
    let head = String::from_utf8_lossy(&request);
    let via = head.lines().find_map(|line| line.strip_prefix("x-via: ")).unwrap_or("");
    let body = format!("{side} {via}");
    let answer = format!(
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    // Who asked may be gone.
    let _ = stream.write_all(answer.as_bytes()).await;
}

/// Finds a port that is free, below those that connections get.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 15_000 + u16::try_from(std::process::id() % 5_000).unwrap();
    (0..1_000)
        .map(|_| first + NEXT.fetch_add(1, Ordering::Relaxed))
        .find(|&port| Probe::bind(("127.0.0.1", port)).is_ok())
        .expect("a free port")
}
