//! Routers that look with a watch: they ask the API server less, and are right all the same.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use canary_core::ports::TrafficRouter;
use canary_core::testing::conformance::run;
use canary_core::value::Weight;
use canary_kube::testing::{Cluster, MemoryApi, RouteObject};
use canary_kube::{HTTP_ROUTE, RouteWatch, RouteWeights};
use common::{apply, call, fields, observe, router};
use http::Request;
use kube::Client;
use kube::client::Body;
use serde_json::json;

mod conformance {
    canary_core::router_conformance!(
        #[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-kube -- --ignored"]
        || async {
            let bed = super::Bed::start().await;
            // It lives as long as its clones, one of which the router has.
            bed.router
        }
    );
}

/// A route with a watch, and how many requests were made beside it.
struct Bed {
    object: RouteObject,
    router: RouteWeights,
    requests: Arc<AtomicUsize>,
}

impl Bed {
    async fn start() -> Self {
        let cluster = Cluster::connect().await;
        let object = cluster.create(&HTTP_ROUTE, &fields()).await;
        let requests = Arc::new(AtomicUsize::new(0));
        let client = counting(cluster.client(), Arc::clone(&requests));
        let watch = RouteWatch::start(cluster.client(), HTTP_ROUTE, Some(object.namespace()));
        let router = router(client, object.namespace(), object.name()).watched(&watch);
        let bed = Self { object, router, requests };
        bed.wait(|| async { bed.costs(observe(&bed.router)).await.1 == 0 }).await;
        bed
    }

    /// Does something, and returns how many requests it took.
    async fn costs<T>(&self, work: impl Future<Output = T>) -> (T, usize) {
        let before = self.requests.load(Ordering::Relaxed);
        let done = work.await;
        (done, self.requests.load(Ordering::Relaxed) - before)
    }

    /// Waits until something is so.
    async fn wait<F: Future<Output = bool>>(&self, so: impl Fn() -> F) {
        for _ in 0..500 {
            if so().await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("it is never so");
    }
}

/// A server in memory with the route `shop/web`, and a watch on that namespace which is never told anything after its
/// first list.
async fn half_dead() -> (MemoryApi, RouteWatch) {
    let api = MemoryApi::new();
    api.put(&HTTP_ROUTE, "shop", "web", &fields());
    let inner = api.client();
    let (listed, mut until) = tokio::sync::watch::channel(false);
    let service = tower::service_fn(move |request: Request<Body>| {
        let (inner, listed) = (inner.clone(), listed.clone());
        async move {
            if request.uri().query().is_some_and(|query| query.contains("watch=")) {
                // Whoever asks for news has taken in the list.
                listed.send_replace(true);
                std::future::pending::<()>().await;
            }
            inner.send(request).await
        }
    });
    let client = Client::new(service, "default");
    let watch = RouteWatch::start(client, HTTP_ROUTE, Some("shop"));
    until.wait_for(|listed| *listed).await.unwrap();
    (api, watch)
}

#[tokio::test]
async fn what_is_not_watched_is_read_each_time() {
    let (api, watch) = half_dead().await;
    api.put(&HTTP_ROUTE, "pay", "web", &fields());
    let [watched, other] =
        ["shop", "pay"].map(|namespace| router(api.client(), namespace, "web").watched(&watch));
    drop(api.take_requests());
    observe(&watched).await;
    assert_eq!(api.take_requests(), [""; 0], "the watch knows it");
    assert_eq!(observe(&other).await.0, Weight::ZERO);
    let mut half = fields();
    half["spec"]["rules"][0]["backendRefs"][1]["weight"] = json!(100);
    api.put(&HTTP_ROUTE, "pay", "web", &half);
    assert_eq!(observe(&other).await.0, Weight::percent(50));
}

/// The answer to a raise is lost, and so is what the watch would have told of it.
#[tokio::test]
async fn what_became_of_a_write_without_an_answer_is_read() {
    let (api, watch) = half_dead().await;
    let deaf = Client::new(
        tower::service_fn({
            let inner = api.client();
            move |request: Request<Body>| {
                let inner = inner.clone();
                async move {
                    let patch = request.method() == http::Method::PATCH;
                    let mut answer = inner.send(request).await?;
                    if patch {
                        *answer.status_mut() = http::StatusCode::GATEWAY_TIMEOUT;
                    }
                    Ok::<_, kube::Error>(answer)
                }
            }
        }),
        "default",
    );
    let router = |client| router(client, "shop", "web").watched(&watch);
    let claimed = apply(&router(api.client()), &call("a"), 0, None).await.unwrap();
    apply(&router(deaf), &call("a"), 20, Some(&claimed.version)).await.unwrap_err();
    let router = router(api.client());
    apply(&router, &call("a"), 20, Some(&claimed.version)).await.unwrap_err();
    let (weight, version) = observe(&router).await;
    assert_eq!(weight, Weight::percent(20));
    apply(&router, &call("a"), 30, Some(&version)).await.unwrap();
}

/// Somebody else has written, and the watch does not tell: a refused write is not tried at the same place again.
#[tokio::test]
async fn a_refusal_makes_the_next_look_a_new_one() {
    let (api, watch) = half_dead().await;
    let router = router(api.client(), "shop", "web").watched(&watch);
    let claimed = apply(&router, &call("a"), 0, None).await.unwrap();
    let mut object = api.get(&HTTP_ROUTE, "shop", "web").unwrap();
    object["spec"]["rules"][0]["backendRefs"][1]["weight"] = json!(1);
    api.put(&HTTP_ROUTE, "shop", "web", &object);
    let (_, stale) = observe(&router).await;
    apply(&router, &call("a"), 20, Some(&claimed.version)).await.unwrap_err();
    let (weight, version) = observe(&router).await;
    assert!(weight > Weight::ZERO && version != stale, "{weight}");
    apply(&router, &call("a"), 20, Some(&version)).await.unwrap();
}

fn counting(inner: Client, requests: Arc<AtomicUsize>) -> Client {
    let service = tower::service_fn(move |request: Request<Body>| {
        requests.fetch_add(1, Ordering::Relaxed);
        let inner = inner.clone();
        async move { inner.send(request).await }
    });
    Client::new(service, "default")
}

#[test]
#[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-kube -- --ignored"]
fn a_look_costs_nothing_and_a_change_one_request() {
    run(async {
        let bed = Bed::start().await;
        let id = "watched-1";
        let (claimed, cost) = bed.costs(apply(&bed.router, &call(id), 0, None)).await;
        let claimed = claimed.unwrap();
        assert_eq!(cost, 1);
        let next = call(id);
        let raise = apply(&bed.router, &next, 20, Some(&claimed.version));
        let (raised, cost) = bed.costs(raise).await;
        assert_eq!((raised.unwrap().accepted.canary, cost), (Weight::percent(20), 1));
        let ((weight, _), cost) = bed.costs(observe(&bed.router)).await;
        assert_eq!((weight, cost), (Weight::percent(20), 0), "its own write is known at once");
        let (lowered, cost) = bed.costs(apply(&bed.router, &call(id), 0, None)).await;
        assert_eq!((lowered.unwrap().accepted.canary, cost), (Weight::ZERO, 1));
        bed.object.delete().await;
    });
}

#[test]
#[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-kube -- --ignored"]
fn what_others_write_is_seen() {
    run(async {
        let bed = Bed::start().await;
        apply(&bed.router, &call("watched-2"), 0, None).await.unwrap();
        let mut rules = bed.object.read().await["spec"]["rules"].clone();
        rules[0]["backendRefs"][1]["weight"] = json!(100);
        bed.object.merge(&json!({ "spec": { "rules": rules } })).await;
        bed.wait(|| async { observe(&bed.router).await.0 == Weight::percent(50) }).await;
        bed.object.delete().await;
        bed.wait(|| async { bed.router.observe(&call("watched-2")).await.is_err() }).await;
    });
}

/// The last look may be older than what another one has written: it is lowered all the same.
#[test]
#[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-kube -- --ignored"]
fn what_was_raised_behind_its_back_is_lowered() {
    run(async {
        let bed = Bed::start().await;
        apply(&bed.router, &call("watched-3"), 0, None).await.unwrap();
        let mut rules = bed.object.read().await["spec"]["rules"].clone();
        for weight in [10, 60, 30, 90] {
            rules[0]["backendRefs"][1]["weight"] = json!(weight);
            bed.object.merge(&json!({ "spec": { "rules": rules } })).await;
            let lowered = apply(&bed.router, &call("watched-3"), 0, None).await.unwrap();
            assert_eq!(lowered.accepted.canary, Weight::ZERO);
            let now = bed.object.read().await["spec"]["rules"][0]["backendRefs"][1].clone();
            assert_eq!(now["weight"], 0);
        }
        bed.object.delete().await;
    });
}
