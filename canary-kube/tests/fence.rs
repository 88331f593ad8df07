//! What the fence keeps out and what it lets through, on an API server in memory and on a real one.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};

use canary_core::ports::TrafficRouter;
use canary_core::testing::conformance::run;
use canary_core::value::{FailureKind, Weight};
use canary_kube::testing::{Cluster, MemoryApi, differences};
use canary_kube::{FENCE, HTTP_ROUTE};
use common::{Held, apply, call, deliver, fields, observe, router};
use kube::Client;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

macro_rules! on_both {
    ($($scenario:ident)*) => {
        mod in_memory {
            $(#[test]
            fn $scenario() {
                super::in_memory(super::$scenario);
            })*
        }
        mod on_a_real_server {
            $(#[test]
            #[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-kube -- --ignored"]
            fn $scenario() {
                super::on_a_real_server(super::$scenario);
            })*
        }
    };
}

on_both! {
    a_late_raise_is_refused_by_the_server
    a_late_first_raise_is_refused_by_the_server
    a_raise_that_lands_within_an_abort_is_taken_back
    another_writer_is_never_in_the_way_and_never_overwritten
    a_lowering_needs_no_quiet_object
    lowering_takes_over_and_raising_does_not
    destinations_that_changed_places_are_not_raised
    destinations_that_change_places_within_an_abort_are_found_again
    weights_that_somebody_moved_are_not_raised_from
    a_fence_that_was_taken_away_refuses_raises_only
    the_release_is_complete_and_leaves_a_successor_alone
    a_late_release_leaves_a_successor_alone
}

/// A route object to shift, as a test sees it.
struct Route {
    client: Client,
    namespace: String,
    name: String,
}

impl Route {
    fn router(&self) -> canary_kube::RouteWeights {
        router(self.client.clone(), &self.namespace, &self.name)
    }

    fn held(&self) -> (Held, canary_kube::RouteWeights) {
        let held = Held::new(&self.client);
        let router = router(held.client.clone(), &self.namespace, &self.name);
        (held, router)
    }

    fn api(&self) -> Api<DynamicObject> {
        let kind = GroupVersionKind::gvk(HTTP_ROUTE.group, HTTP_ROUTE.version, HTTP_ROUTE.kind);
        let kind = ApiResource::from_gvk_with_plural(&kind, HTTP_ROUTE.plural);
        Api::namespaced_with(self.client.clone(), &self.namespace, &kind)
    }

    async fn read(&self) -> Value {
        serde_json::to_value(self.api().get(&self.name).await.unwrap()).unwrap()
    }

    async fn fence(&self) -> Value {
        self.read().await["metadata"]["annotations"][FENCE].clone()
    }

    /// Writes as somebody else.
    async fn merge(&self, fields: Value) {
        let (params, patch) = (PatchParams::default(), Patch::Merge(fields));
        self.api().patch(&self.name, &params, &patch).await.unwrap();
    }
}

fn in_memory<F: Future<Output = ()>>(scenario: impl FnOnce(Route) -> F) {
    run(async {
        let api = MemoryApi::new();
        api.put(&HTTP_ROUTE, "shop", "web", &fields());
        let (namespace, name) = ("shop".to_owned(), "web".to_owned());
        scenario(Route { client: api.client(), namespace, name }).await;
    });
}

fn on_a_real_server<F: Future<Output = ()>>(scenario: impl FnOnce(Route) -> F) {
    run(async {
        let cluster = Cluster::connect().await;
        let object = cluster.create(&HTTP_ROUTE, &fields()).await;
        let (namespace, name) = (object.namespace().to_owned(), object.name().to_owned());
        scenario(Route { client: cluster.client(), namespace, name }).await;
        object.delete().await;
    });
}

/// Drops a raise whose request has left and is not there yet, aborts, and lets the request arrive.
async fn a_late_raise_is_refused_by_the_server(route: Route) {
    let (router, (held, slow)) = (route.router(), route.held());
    let claimed = apply(&router, &call("a"), 0, None).await.unwrap();
    let raise = call("a");
    let request = tokio::select! {
        biased;
        raised = apply(&slow, &raise, 10, Some(&claimed.version)) => panic!("{raised:?}"),
        request = held.on_its_way() => request,
    };
    apply(&router, &call("a"), 0, None).await.unwrap();
    assert_eq!(deliver(&route.client, request).await, 422);
    assert_eq!(observe(&router).await.0, Weight::ZERO);
}

/// The same where no fence was there yet, so that the raise is based on the resource version.
async fn a_late_first_raise_is_refused_by_the_server(route: Route) {
    let (router, (held, slow)) = (route.router(), route.held());
    let (_, version) = observe(&router).await;
    let raise = call("a");
    let request = tokio::select! {
        biased;
        raised = apply(&slow, &raise, 10, Some(&version)) => panic!("{raised:?}"),
        request = held.on_its_way() => request,
    };
    apply(&router, &call("a"), 0, None).await.unwrap();
    router.release(&call("a")).await.unwrap();
    assert_eq!(deliver(&route.client, request).await, 422);
    assert_eq!(observe(&router).await.0, Weight::ZERO);
    assert_eq!(route.fence().await, json!(null));
}

/// The late raise arrives after the abort has read the object and before it writes.
async fn a_raise_that_lands_within_an_abort_is_taken_back(route: Route) {
    let (router, (held, slow)) = (route.router(), route.held());
    let claimed = apply(&router, &call("a"), 0, None).await.unwrap();
    let (raise, abort) = (call("a"), call("a"));
    let aborting = apply(&slow, &abort, 0, None);
    let raising = async {
        let _patch_of_the_abort = held.on_its_way().await;
        apply(&router, &raise, 10, Some(&claimed.version)).await.unwrap();
        assert_eq!(observe(&router).await.0, Weight::percent(10));
        held.let_through(2);
    };
    let (aborted, ()) = tokio::join!(aborting, raising);
    assert_eq!(aborted.unwrap().accepted.canary, Weight::ZERO);
    assert_eq!(observe(&router).await.0, Weight::ZERO);
}

async fn another_writer_is_never_in_the_way_and_never_overwritten(route: Route) {
    let router = route.router();
    let done = AtomicBool::new(false);
    let writing = async {
        let mut written = 0;
        while !done.load(Ordering::Relaxed) {
            written += 1;
            let labels = json!({ "count": written.to_string(), format!("n{}", written % 50): "x" });
            route.merge(json!({ "metadata": { "labels": labels } })).await;
        }
        written
    };
    let shifting = async {
        let mut version = apply(&router, &call("a"), 0, None).await.unwrap().version;
        for percent in 1..=40 {
            let raised = apply(&router, &call("a"), percent, Some(&version)).await;
            version = raised.expect("one try is enough").version;
            // The in-memory server answers at once: give the other writer its turn.
            tokio::task::yield_now().await;
        }
        done.store(true, Ordering::Relaxed);
    };
    let (written, ()) = tokio::join!(writing, shifting);
    assert_eq!(observe(&router).await.0, Weight::percent(40));
    let labels = route.read().await["metadata"]["labels"].clone();
    assert_eq!(labels["count"], json!(written.to_string()));
    assert_eq!(labels.as_object().unwrap().len(), 1 + written.min(50));
}

async fn a_lowering_needs_no_quiet_object(route: Route) {
    let router = route.router();
    let done = AtomicBool::new(false);
    let writing = async {
        while !done.load(Ordering::Relaxed) {
            let count = call("writer").id.to_string();
            route.merge(json!({ "metadata": { "labels": { "count": count } } })).await;
        }
    };
    let lowering = async {
        for _ in 0..20 {
            // Another writer of the fence: the hardest case, as each lowering finds none.
            route.merge(json!({ "metadata": { "annotations": { FENCE: null } } })).await;
            apply(&router, &call("a"), 0, None).await.expect("one call is enough");
        }
        done.store(true, Ordering::Relaxed);
    };
    tokio::join!(writing, lowering);
}

async fn lowering_takes_over_and_raising_does_not(route: Route) {
    let router = route.router();
    let claimed = apply(&router, &call("old"), 0, None).await.unwrap();
    let raised = apply(&router, &call("old"), 10, Some(&claimed.version)).await.unwrap();
    let (_, version) = observe(&router).await;
    let refused = apply(&router, &call("new"), 20, Some(&version)).await.unwrap_err();
    assert_eq!(refused.kind(), FailureKind::Conflict);
    assert!(refused.to_string().contains("held by `old/"), "{refused}");

    let taken = apply(&router, &call("new"), 10, None).await.unwrap();
    let refused = apply(&router, &call("old"), 20, Some(&raised.version)).await.unwrap_err();
    assert_eq!(refused.kind(), FailureKind::Conflict);
    apply(&router, &call("new"), 20, Some(&taken.version)).await.unwrap();
    assert_eq!(observe(&router).await.0, Weight::percent(20));
}

/// Lets the two backends change places, each weight staying where it is: the canary gets everything.
async fn swap_backends(route: &Route) {
    let mut rules = route.read().await["spec"]["rules"].clone();
    rules[0]["backendRefs"][0]["name"] = json!("web-canary");
    rules[0]["backendRefs"][1]["name"] = json!("web-stable");
    route.merge(json!({ "spec": { "rules": rules } })).await;
}

async fn weights_of(route: &Route) -> [Value; 2] {
    let backends = route.read().await["spec"]["rules"][0]["backendRefs"].clone();
    [backends[0]["weight"].clone(), backends[1]["weight"].clone()]
}

async fn destinations_that_changed_places_are_not_raised(route: Route) {
    let router = route.router();
    let claimed = apply(&router, &call("a"), 0, None).await.unwrap();
    swap_backends(&route).await;
    let refused = apply(&router, &call("a"), 10, Some(&claimed.version)).await.unwrap_err();
    assert_eq!(refused.kind(), FailureKind::Conflict);
    assert_eq!(weights_of(&route).await, [100, 0]);
    assert_eq!(observe(&router).await.0, Weight::FULL);
    apply(&router, &call("a"), 0, None).await.unwrap();
    assert_eq!(weights_of(&route).await, [0, 100]);
}

/// The backends change places after the abort has read the object and before it writes.
async fn destinations_that_change_places_within_an_abort_are_found_again(route: Route) {
    let (router, (held, slow)) = (route.router(), route.held());
    let claimed = apply(&router, &call("a"), 0, None).await.unwrap();
    apply(&router, &call("a"), 10, Some(&claimed.version)).await.unwrap();
    let abort = call("a");
    let aborting = apply(&slow, &abort, 0, None);
    let moving = async {
        let _patch_of_the_abort = held.on_its_way().await;
        swap_backends(&route).await;
        held.let_through(2);
    };
    let (aborted, ()) = tokio::join!(aborting, moving);
    aborted.unwrap();
    assert_eq!(weights_of(&route).await, [0, 100]);
}

async fn weights_that_somebody_moved_are_not_raised_from(route: Route) {
    let router = route.router();
    let claimed = apply(&router, &call("a"), 0, None).await.unwrap();
    let mut rules = fields()["spec"]["rules"].clone();
    rules[0]["backendRefs"][0]["weight"] = json!(70);
    rules[0]["backendRefs"][1]["weight"] = json!(30);
    route.merge(json!({ "spec": { "rules": rules } })).await;
    let refused = apply(&router, &call("a"), 50, Some(&claimed.version)).await.unwrap_err();
    assert_eq!(refused.kind(), FailureKind::Conflict);
    assert_eq!(observe(&router).await.0, Weight::percent(30));
    apply(&router, &call("a"), 0, None).await.unwrap();
    assert_eq!(observe(&router).await.0, Weight::ZERO);
}

async fn a_fence_that_was_taken_away_refuses_raises_only(route: Route) {
    let router = route.router();
    let claimed = apply(&router, &call("a"), 0, None).await.unwrap();
    let raised = apply(&router, &call("a"), 10, Some(&claimed.version)).await.unwrap();
    route.merge(json!({ "metadata": { "annotations": { FENCE: null } } })).await;
    let refused = apply(&router, &call("a"), 20, Some(&raised.version)).await.unwrap_err();
    assert_eq!(refused.kind(), FailureKind::Conflict);
    apply(&router, &call("a"), 5, None).await.unwrap();
    assert_eq!(observe(&router).await.0, Weight::percent(5));
}

async fn the_release_is_complete_and_leaves_a_successor_alone(route: Route) {
    let (router, before, earlier) = (route.router(), route.read().await, call("a"));
    let claimed = apply(&router, &call("a"), 0, None).await.unwrap();
    apply(&router, &call("a"), 10, Some(&claimed.version)).await.unwrap();
    let last = apply(&router, &call("a"), 0, None).await.unwrap();
    let refused = router.release(&earlier).await.unwrap_err();
    assert_eq!(refused.kind(), FailureKind::Conflict);
    assert_ne!(route.fence().await, json!(null));
    router.release(&call("a")).await.unwrap();
    assert_eq!(differences(&before, &route.read().await), [""; 0]);
    let refused = apply(&router, &call("a"), 10, Some(&last.version)).await.unwrap_err();
    assert_eq!(refused.kind(), FailureKind::Conflict);

    apply(&router, &call("b"), 0, None).await.unwrap();
    let fence = route.fence().await;
    router.release(&call("a")).await.unwrap();
    assert_eq!(route.fence().await, fence);
}

/// The successor takes over after the release has read the object and before it writes.
async fn a_late_release_leaves_a_successor_alone(route: Route) {
    let (router, (held, slow)) = (route.router(), route.held());
    apply(&router, &call("a"), 0, None).await.unwrap();
    let release = call("a");
    let releasing = slow.release(&release);
    let taking_over = async {
        let _patch_of_the_release = held.on_its_way().await;
        apply(&router, &call("b"), 0, None).await.unwrap();
        held.let_through(1);
        route.fence().await
    };
    let (released, fence) = tokio::join!(releasing, taking_over);
    released.unwrap();
    assert_ne!(fence, json!(null));
    assert_eq!(route.fence().await, fence);
}
