//! The router keeps the promises of its port: on an API server in memory, and on a real one.

use canary_kube::HTTP_ROUTE;
use canary_kube::testing::{Cluster, MemoryApi};
use canary_linkerd::HttpRouteRouter;
use serde_json::{Value, json};

mod in_memory {
    canary_core::router_conformance!(|| async { super::in_memory() });
}

mod on_a_real_server {
    canary_core::router_conformance!(
        #[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-linkerd -- --ignored"]
        super::on_a_real_server
    );
}

fn in_memory() -> HttpRouteRouter {
    let api = MemoryApi::new();
    api.put(&HTTP_ROUTE, "shop", "checkout", &fields());
    HttpRouteRouter::new(api.client(), "shop", "checkout").backends("web-stable", "web-canary")
}

async fn on_a_real_server() -> HttpRouteRouter {
    let cluster = Cluster::connect().await;
    let object = cluster.create(&HTTP_ROUTE, &fields()).await;
    HttpRouteRouter::new(cluster.client(), object.namespace(), object.name())
        .backends("web-stable", "web-canary")
}

fn fields() -> Value {
    json!({ "spec": {
        "parentRefs": [{ "kind": "Service", "group": "core", "name": "web", "port": 80 }],
        "rules": [{ "backendRefs": [
            { "name": "web-stable", "port": 80, "weight": 1 },
            { "name": "web-canary", "port": 80, "weight": 0 },
        ]}],
    }})
}
