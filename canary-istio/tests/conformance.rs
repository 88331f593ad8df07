//! The router keeps the promises of its port: on an API server in memory, and on a real one.

use canary_istio::{VIRTUAL_SERVICE, VirtualServiceRouter};
use canary_kube::testing::{Cluster, MemoryApi};
use serde_json::{Value, json};

mod in_memory {
    canary_core::router_conformance!(|| async { super::in_memory() });
}

mod on_a_real_server {
    canary_core::router_conformance!(
        #[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-istio -- --ignored"]
        super::on_a_real_server
    );
}

fn in_memory() -> VirtualServiceRouter {
    let api = MemoryApi::new();
    api.put(&VIRTUAL_SERVICE, "shop", "checkout", &fields());
    VirtualServiceRouter::new(api.client(), "shop", "checkout")
        .route("primary")
        .subsets("stable", "canary")
}

async fn on_a_real_server() -> VirtualServiceRouter {
    let cluster = Cluster::connect().await;
    let object = cluster.create(&VIRTUAL_SERVICE, &fields()).await;
    VirtualServiceRouter::new(cluster.client(), object.namespace(), object.name())
        .route("primary")
        .subsets("stable", "canary")
}

fn fields() -> Value {
    json!({ "spec": {
        "hosts": ["checkout"],
        "http": [{ "name": "primary", "route": [
            { "destination": { "host": "checkout", "subset": "stable" }, "weight": 100 },
            { "destination": { "host": "checkout", "subset": "canary" }, "weight": 0 },
        ]}],
    }})
}
