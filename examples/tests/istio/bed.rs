//! A service in two versions behind the gateway of a real mesh.

use std::env;
use std::net::TcpListener;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use canary_core::driver::Clock;
use canary_core::value::{BySide, Side};
use canary_examples::counters::Counters;
use canary_istio::VirtualServiceRouter;
use kube::Client;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

use crate::front::Front;
use crate::versions::Version;

const NAMESPACE: &str = "default";

/// Everything of one test; what it made on the cluster is deleted by [`Bed::end`].
#[derive(Debug)]
pub(crate) struct Bed {
    pub(crate) clock: Clock,
    pub(crate) counters: Counters,
    pub(crate) versions: BySide<Version>,
    pub(crate) name: String,
    client: Client_,
    port: u16,
}

/// A client, whose own type has no `Debug`.
#[derive(Clone)]
struct Client_(Client);

impl std::fmt::Debug for Client_ {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client")
    }
}

impl Bed {
    /// Starts both versions, and gives them a gateway, a host and a route with all traffic on stable.
    pub(crate) async fn start() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let clock = Clock::system();
        let versions = BySide {
            stable: Version::start(Side::Stable, clock).await,
            canary: Version::start(Side::Canary, clock).await,
        };
        let path = env::var("CANARY_TEST_KUBECONFIG").expect("CANARY_TEST_KUBECONFIG is set");
        let bed = Self {
            clock,
            counters: Counters::new(clock),
            versions,
            name: format!("shop-{}-{number}", std::process::id()),
            client: Client_(canary_istio::client_from(path).await.unwrap()),
            port: free_port(),
        };
        bed.describe().await;
        bed.wait_for_route().await;
        bed
    }

    pub(crate) fn host(&self) -> String {
        format!("{}.test", self.name)
    }

    pub(crate) fn client(&self) -> Client {
        self.client.0.clone()
    }

    pub(crate) fn router(&self) -> VirtualServiceRouter {
        VirtualServiceRouter::new(self.client(), NAMESPACE, &self.name)
            .route("primary")
            .subsets("stable", "canary")
    }

    /// Lets users in.
    pub(crate) fn users(&self, per_second: u32, testers: bool) -> Front {
        let counters = self.counters.clone();
        Front::start(self.port, &self.host(), per_second, testers, self.clock, counters)
    }

    /// Reads the VirtualService.
    pub(crate) async fn route(&self) -> Value {
        let object = self.api("VirtualService").get(&self.name).await.unwrap();
        serde_json::to_value(object).unwrap()
    }

    /// Makes another route on the same port that no proxy can take, so that it takes no route at all any more.
    pub(crate) async fn spoil_routes(&self) {
        let way = |side: Side, weight| json!({ "destination": { "host": self.host(), "subset": side.as_str() }, "weight": weight });
        let ways = [way(Side::Stable, 105), way(Side::Canary, -5)];
        let spec = json!({
            "hosts": ["spoilt.test"], "gateways": [self.name], "http": [{ "route": ways }],
        });
        self.create("VirtualService", &format!("{}-spoilt", self.name), spec).await;
    }

    /// Writes another object of the mesh every so often, without end.
    pub(crate) async fn keep_writing(&self, every: Duration) {
        let entries = self.api("DestinationRule");
        let mut ticks = tokio::time::interval(every);
        for number in 0_u64.. {
            ticks.tick().await;
            let idle = json!({ "idleTimeout": format!("{}s", 100 + number % 1000) });
            let spec = json!({ "trafficPolicy": { "connectionPool": { "http": idle } } });
            let (params, patch) = (PatchParams::default(), Patch::Merge(json!({ "spec": spec })));
            entries.patch(&self.name, &params, &patch).await.unwrap();
        }
    }

    /// Deletes what was made on the cluster.
    pub(crate) async fn end(&self) {
        let of_this = ListParams::default().labels(&format!("bed={}", self.name));
        for kind in KINDS {
            self.api(kind).delete_collection(&DeleteParams::default(), &of_this).await.unwrap();
        }
    }

    async fn create(&self, kind: &str, name: &str, spec: Value) {
        let mut object = DynamicObject::new(name, &resource(kind));
        object.metadata.labels = Some([("bed".to_owned(), self.name.clone())].into());
        object.data = json!({ "spec": spec });
        self.api(kind).create(&PostParams::default(), &object).await.unwrap();
    }

    async fn describe(&self) {
        let (name, host) = (&self.name, self.host());
        let endpoint = |side: Side| {
            json!({
                "address": "127.0.0.1",
                "ports": { "http": self.versions.get(side).address().port() },
                "labels": { "version": side.as_str() },
            })
        };
        let subset =
            |side: Side| json!({ "name": side.as_str(), "labels": { "version": side.as_str() } });
        let way = |side: Side, weight| json!({ "destination": { "host": host, "subset": side.as_str() }, "weight": weight });
        let specs = [
            json!({
                "hosts": [host], "resolution": "STATIC", "location": "MESH_INTERNAL",
                "ports": [{ "number": 8000, "name": "http", "protocol": "HTTP" }],
                "endpoints": Side::BOTH.map(endpoint),
            }),
            json!({ "host": host, "subsets": Side::BOTH.map(subset) }),
            json!({
                "selector": { "istio": "canary-test-gateway" },
                "servers": [{
                    "port": { "number": self.port, "name": "http", "protocol": "HTTP" },
                    "hosts": ["*"], "bind": "127.0.0.1",
                }],
            }),
            json!({
                "hosts": [host], "gateways": [name],
                "http": [{
                    "name": "primary", "retries": { "attempts": 0 },
                    "route": [way(Side::Stable, 100), way(Side::Canary, 0)],
                }],
            }),
        ];
        for (kind, spec) in KINDS.into_iter().zip(specs) {
            self.create(kind, name, spec).await;
        }
    }

    /// Waits until the gateway routes to stable.
    async fn wait_for_route(&self) {
        for _ in 0..100 {
            let front = self.users(20, false);
            tokio::time::sleep(Duration::from_millis(300)).await;
            if front.answers().last().is_some_and(|last| last.by == Some(Side::Stable)) {
                return;
            }
        }
        panic!("the gateway never routed to {}", self.host());
    }

    fn api(&self, kind: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client(), NAMESPACE, &resource(kind))
    }
}

/// What a service behind a gateway needs, in the order in which it is made.
const KINDS: [&str; 4] = ["ServiceEntry", "DestinationRule", "Gateway", "VirtualService"];

fn resource(kind: &str) -> ApiResource {
    let plural = match kind {
        "ServiceEntry" => "serviceentries".to_owned(),
        _ => format!("{}s", kind.to_lowercase()),
    };
    let gvk = GroupVersionKind::gvk("networking.istio.io", "v1", kind);
    ApiResource::from_gvk_with_plural(&gvk, &plural)
}

/// Finds a port that is free, below those that connections get.
fn free_port() -> u16 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let first = 10_000 + u64::from(std::process::id()) % 5_000;
    let port = |n: u64| u16::try_from(first + n % 5_000).unwrap();
    (0..5_000)
        .map(|_| port(NEXT.fetch_add(1, Ordering::Relaxed)))
        .find(|&port| TcpListener::bind(("127.0.0.1", port)).is_ok())
        .expect("a free port")
}
