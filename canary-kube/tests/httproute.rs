//! Requests that reach the canary by their headers through an HTTPRoute, copies, and what controllers say.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use canary_core::driver::{Clock, Driver};
use canary_core::policy::Policy;
use canary_core::ports::{Applied, PortError, TrafficRouter};
use canary_core::testing::conformance::run;
use canary_core::value::{BySide, FailureKind, Traffic, Weight};
use canary_kube::testing::{Cluster, MemoryApi, RouteObject};
use canary_kube::{
    HTTP_ROUTE, OWN_RULE, Preflight, RouteKind, RouteWeights, Rule, dry_run, http_route,
    http_route_of,
};
use common::{call, router};
use serde_json::{Value, json};

fn header() -> BTreeMap<String, String> {
    BTreeMap::from([("x-canary".to_owned(), "true".to_owned())])
}

fn testers() -> Traffic {
    Traffic::all_stable().with_header(header())
}

fn mirrored(points: u16) -> Traffic {
    Traffic::all_stable().with_mirror(Weight::from_basis_points(points).unwrap())
}

fn backend(name: &str, weight: u64) -> Value {
    json!({ "name": name, "port": 80, "weight": weight })
}

/// A rule with about everything that one may have.
fn full() -> Value {
    json!({
        "name": "api",
        "matches": [
            { "path": { "type": "PathPrefix", "value": "/api" },
              "headers": [{ "type": "RegularExpression", "name": "x-user", "value": "a.*" }] },
            { "path": { "type": "Exact", "value": "/" } },
        ],
        "filters": [
            { "type": "RequestHeaderModifier", "requestHeaderModifier": { "set": [{ "name": "x-via", "value": "mesh" }] } },
            { "type": "RequestMirror", "requestMirror": { "backendRef": { "name": "shadow", "port": 80 } } },
        ],
        "timeouts": { "request": "5s" },
        "backendRefs": [backend("web-stable", 100), backend("web-canary", 0)],
    })
}

fn plain() -> Value {
    json!({ "backendRefs": [backend("web-stable", 100), backend("web-canary", 0)] })
}

fn api(rules: Value) -> MemoryApi {
    let api = MemoryApi::new();
    put(&api, rules);
    api
}

fn put(api: &MemoryApi, rules: Value) {
    let old = api.get(&HTTP_ROUTE, "shop", "web");
    let annotations = old.and_then(|old| old["metadata"].get("annotations").cloned());
    let fields = json!({ "metadata": { "annotations": annotations }, "spec": { "rules": rules } });
    api.put(&HTTP_ROUTE, "shop", "web", &fields);
}

fn rules(api: &MemoryApi) -> Value {
    api.get(&HTTP_ROUTE, "shop", "web").unwrap()["spec"]["rules"].clone()
}

async fn raise(router: &RouteWeights, traffic: &Traffic) -> Result<Applied, PortError> {
    let at = router.observe(&call("a")).await?.version;
    router.apply(&call("a"), traffic, Some(&at)).await
}

async fn stop(router: &RouteWeights) {
    router.apply(&call("a"), &Traffic::all_stable(), None).await.unwrap();
}

async fn observe(router: &RouteWeights) -> Traffic {
    router.observe(&call("a")).await.unwrap().traffic
}

#[tokio::test]
async fn an_own_rule_does_what_the_rule_does_for_requests_with_the_headers() {
    let api = api(json!([plain(), full()]));
    let backends = BySide { stable: "web-stable".to_owned(), canary: "web-canary".to_owned() };
    let router = http_route(api.client(), "shop", "web", Rule::Named("api".to_owned()), backends);
    assert!(router.capabilities().headers && router.capabilities().mirror);
    raise(&router, &testers()).await.unwrap();
    assert_eq!(observe(&router).await, testers());

    let asks = json!({ "type": "Exact", "name": "x-canary", "value": "true" });
    let mut own = full();
    own["name"] = json!("canary-rollout-api");
    own["matches"][0]["headers"].as_array_mut().unwrap().push(asks.clone());
    own["matches"][1]["headers"] = json!([asks]);
    own["filters"].as_array_mut().unwrap().pop();
    own["backendRefs"] = json!([backend("web-canary", 1)]);
    assert_eq!(rules(&api), json!([plain(), own, full()]));

    // The Gateway API heeds no order: moved behind, it takes the requests all the same.
    put(&api, json!([plain(), full(), own]));
    assert_eq!(observe(&router).await, testers());
    stop(&router).await;
    assert_eq!(rules(&api), json!([plain(), full()]));
}

#[tokio::test]
async fn weights_rise_beside_the_headers_in_one_request() {
    let api = api(json!([plain()]));
    let router = router(api.client(), "shop", "web");
    let raised = raise(&router, &testers()).await.unwrap();
    drop(api.take_requests());
    let tenth = Traffic::to_canary(Weight::percent(10)).with_header(header());
    router.apply(&call("a"), &tenth, Some(&raised.version)).await.unwrap();
    assert_eq!(api.take_requests(), ["PATCH application/json-patch+json"]);
    assert_eq!(observe(&router).await, tenth);
    let asks = json!([{ "headers": [{ "type": "Exact", "name": "x-canary", "value": "true" }] }]);
    assert_eq!(rules(&api)[0]["matches"], asks);
    stop(&router).await;
    assert_eq!(rules(&api), json!([plain()]));
}

#[tokio::test]
async fn headers_that_the_rule_asks_for_itself_and_empty_ones_are_refused() {
    for (name, value, says) in [
        ("X-User", "a", "something of the header `X-User` itself"),
        ("x-canary", "", "cannot ask for an empty `x-canary`"),
    ] {
        let api = api(json!([full()]));
        let router = router(api.client(), "shop", "web");
        let header = BTreeMap::from([(name.to_owned(), value.to_owned())]);
        let refused = raise(&router, &Traffic::all_stable().with_header(header)).await.unwrap_err();
        assert_eq!(refused.kind(), FailureKind::Invalid);
        assert!(refused.to_string().contains(says), "{refused}");
        assert_eq!(rules(&api), json!([full()]));
    }
}

#[tokio::test]
async fn an_own_rule_that_asks_for_nothing_more_is_seen() {
    let api = api(json!([plain()]));
    let router = router(api.client(), "shop", "web");
    raise(&router, &testers()).await.unwrap();
    let mut now = rules(&api);
    now[0].as_object_mut().unwrap().remove("matches");
    put(&api, now);
    let error = router.observe(&call("a")).await.unwrap_err();
    assert!(error.to_string().contains("whatever their headers"), "{error}");
    stop(&router).await;
    assert_eq!(rules(&api), json!([plain()]));
}

#[tokio::test]
async fn copies_go_to_the_canary_beside_other_filters_and_end_with_the_rollout() {
    let mut rule = full();
    rule["filters"].as_array_mut().unwrap().pop();
    for rule in [rule, plain()] {
        let api = api(json!([rule]));
        let router = router(api.client(), "shop", "web");
        for (points, share) in [
            (500, json!({ "percent": 5 })),
            (50, json!({ "fraction": { "numerator": 50, "denominator": 10_000 } })),
            (10_000, json!({})),
        ] {
            raise(&router, &mirrored(points)).await.unwrap();
            let mut mirror = json!({ "backendRef": { "name": "web-canary", "port": 80 } });
            json_patch::merge(&mut mirror, &share);
            let filter = json!({ "type": "RequestMirror", "requestMirror": mirror });
            let now = rules(&api);
            assert_eq!(now[0]["filters"].as_array().unwrap().last().unwrap(), &filter);
            assert_eq!(observe(&router).await, mirrored(points));
        }
        stop(&router).await;
        assert_eq!(rules(&api), json!([rule]));
    }
}

#[tokio::test]
async fn copies_to_somebody_else_stay() {
    let api = api(json!([full()]));
    let router = router(api.client(), "shop", "web");
    let refused = raise(&router, &mirrored(100)).await.unwrap_err();
    assert!(refused.to_string().contains("copies its requests to somewhere else"), "{refused}");
    raise(&router, &testers()).await.unwrap();
    stop(&router).await;
    assert_eq!(rules(&api), json!([full()]));

    // Ours beside theirs, by somebody else's hand: what the canary gets cannot be told, and is taken away.
    let mut both = full();
    let ours = json!({ "backendRef": { "name": "web-canary", "port": 80 } });
    let ours = json!({ "type": "RequestMirror", "requestMirror": ours });
    both["filters"].as_array_mut().unwrap().push(ours);
    put(&api, json!([both]));
    router.observe(&call("a")).await.unwrap_err();
    stop(&router).await;
    assert_eq!(rules(&api), json!([full()]));
}

#[tokio::test]
async fn a_mesh_without_mirrors_is_asked_for_none() {
    let api = api(json!([plain()]));
    let router = router(api.client(), "shop", "web").without_mirror();
    assert!(router.capabilities().headers && !router.capabilities().mirror);
    assert_eq!(raise(&router, &mirrored(100)).await.unwrap_err().kind(), FailureKind::Invalid);
    raise(&router, &testers()).await.unwrap();
}

/// Writes a controller's word on the route as it is now.
fn say(api: &MemoryApi, status: &str, generation: u64) {
    let mut object = api.get(&HTTP_ROUTE, "shop", "web").unwrap();
    let condition = json!({
        "type": "Accepted", "status": status, "reason": "Because", "message": "so it is",
        "observedGeneration": generation,
    });
    let parent = json!({
        "controllerName": "example.com/mesh", "parentRef": { "kind": "Service", "name": "web" },
        "conditions": [condition],
    });
    object["status"] = json!({ "parents": [parent] });
    api.put(&HTTP_ROUTE, "shop", "web", &object);
}

#[tokio::test]
async fn a_route_that_a_controller_rejects_is_an_error_in_its_words() {
    let api = api(json!([plain()]));
    let router = router(api.client(), "shop", "web");
    // It says so of any generation to come.
    say(&api, "False", 99);
    let refused = raise(&router, &testers()).await.unwrap_err();
    assert_eq!(refused.kind(), FailureKind::Invalid);
    let says = "HTTPRoute shop/web: example.com/mesh does not accept it for Service web: Because: so it is";
    assert_eq!(refused.to_string(), says);
    // What was written stands, and is taken back whatever the controller says.
    assert_eq!(observe(&router).await, testers());
    stop(&router).await;
    router.release(&call("a")).await.unwrap();
    assert_eq!(rules(&api), json!([plain()]));

    let check = |client| self::router(client, "shop", "web");
    let found = Preflight::new(api.client()).route("it", Weight::percent(1), check).run().await;
    assert!(found.findings[0].what.contains("does not accept it"), "{found}");
}

#[tokio::test(start_paused = true)]
async fn a_word_on_what_was_is_waited_out_and_a_controller_that_is_down_holds_nothing_up() {
    let api = api(json!([plain()]));
    let router = router(api.client(), "shop", "web");
    say(&api, "True", 1);
    let clock = Clock::system();
    let begun = clock.now();
    raise(&router, &testers()).await.unwrap();
    // Half of the call's time, as nobody looks.
    assert_eq!(clock.now().since(begun), Duration::from_secs(15));

    say(&api, "True", 1);
    let later = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        say(&api, "False", 9);
    };
    let tenth = Traffic::to_canary(Weight::percent(10)).with_header(header());
    let (refused, ()) = tokio::join!(raise(&router, &tenth), later);
    assert!(refused.unwrap_err().to_string().contains("does not accept it"));
    // Nothing is waited for on the way back.
    say(&api, "True", 1);
    let begun = clock.now();
    stop(&router).await;
    assert_eq!(clock.now().since(begun), Duration::ZERO);
}

/// A rollout whose first stage the controller rejects ends, in its words, with everything as it was.
#[tokio::test(start_paused = true)]
async fn a_rollout_of_a_rejected_route_is_rolled_back() {
    let api = api(json!([plain()]));
    say(&api, "False", 99);
    let stage = Duration::from_secs(600);
    let policy = Policy::builder("shop").stage("full", Weight::FULL, stage).without_hard_limit();
    let policy = Arc::new(policy.build().unwrap());
    let router = router(api.client(), "shop", "web");
    let clock = Clock::system();
    let begun = clock.now();
    let handle =
        Driver::builder(policy).router(router).start("shop-1".parse().unwrap()).await.unwrap();
    let finished = handle.finished().await.unwrap();
    let outcome = format!("{:?}", finished.outcome());
    assert!(
        outcome.contains("RouterFailed") && outcome.contains("does not accept it"),
        "{outcome}"
    );
    assert!(clock.now().since(begun) < stage, "{:?}", clock.now().since(begun));
    assert_eq!(rules(&api), json!([plain()]));
}

/// A kind of route on a server whose schema knows no names and no shares of copies, as older ones do.
const OLD: RouteKind = RouteKind { group: "old.canary.test", ..HTTP_ROUTE };

async fn old_server(cluster: &Cluster) -> RouteObject {
    use kube::api::{Api, DynamicObject, Patch, PatchParams};
    use kube::core::{ApiResource, GroupVersionKind};

    let any = json!({ "type": "array", "items": { "type": "object", "x-kubernetes-preserve-unknown-fields": true } });
    let mirror = json!({ "type": "object", "properties": { "backendRef": any["items"] } });
    let filter = json!({ "type": { "type": "string" }, "requestMirror": mirror });
    let filters = json!({ "type": "array", "items": { "type": "object", "properties": filter } });
    let rule = json!({ "type": "object", "properties": { "matches": any, "filters": filters, "backendRefs": any } });
    let rules =
        json!({ "type": "object", "properties": { "rules": { "type": "array", "items": rule } } });
    let schema = json!({ "type": "object", "properties": { "spec": rules } });
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": "httproutes.old.canary.test" },
        "spec": {
            "group": OLD.group, "scope": "Namespaced",
            "names": { "kind": OLD.kind, "plural": OLD.plural },
            "versions": [{ "name": OLD.version, "served": true, "storage": true, "schema": { "openAPIV3Schema": schema } }],
        },
    });
    let kind = GroupVersionKind::gvk("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
    let api: Api<DynamicObject> = Api::all_with(cluster.client(), &ApiResource::from_gvk(&kind));
    let params = PatchParams::apply("test").force();
    api.patch("httproutes.old.canary.test", &params, &Patch::Apply(&definition)).await.unwrap();
    let established = async || {
        let now = api.get("httproutes.old.canary.test").await.unwrap().data;
        let conditions = now["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.iter().any(|c| c["type"] == "Established" && c["status"] == "True")
    };
    while !established().await {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // It is served a little later than it is established.
    loop {
        let gvk = GroupVersionKind::gvk(OLD.group, OLD.version, OLD.kind);
        let kind = ApiResource::from_gvk_with_plural(&gvk, OLD.plural);
        let routes: Api<DynamicObject> = Api::namespaced_with(cluster.client(), "default", &kind);
        if routes.list(&kube::api::ListParams::default()).await.is_ok() {
            return cluster.create(&OLD, &json!({ "spec": { "rules": [plain()] } })).await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[test]
#[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-kube -- --ignored"]
fn headers_and_copies_on_a_real_server() {
    run(async {
        let cluster = Cluster::connect().await;
        let mut rule = full();
        rule["filters"].as_array_mut().unwrap().pop();
        let object = cluster.create(&HTTP_ROUTE, &json!({ "spec": { "rules": [rule] } })).await;
        let before = object.read().await["spec"].clone();
        let router = router(cluster.client(), object.namespace(), object.name());
        let all = testers().with_mirror(Weight::from_basis_points(50).unwrap());
        raise(&router, &all).await.unwrap();
        assert_eq!(observe(&router).await, all);
        let rules = object.read().await["spec"]["rules"].clone();
        assert_eq!(rules[0]["name"], format!("{OWN_RULE}api"));
        assert_eq!(rules[0]["timeouts"], json!({ "request": "5s" }));
        let some = Traffic::to_canary(Weight::percent(20)).with_header(header());
        raise(&router, &some.clone().with_mirror(Weight::percent(7))).await.unwrap();
        raise(&router, &some).await.unwrap();
        assert_eq!(observe(&router).await, some);
        stop(&router).await;
        router.release(&call("a")).await.unwrap();
        assert_eq!(object.read().await["spec"], before);
        object.delete().await;
    });
}

#[test]
#[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-kube -- --ignored"]
fn what_the_servers_schema_does_not_know_is_refused_before_anything_is_written() {
    run(async {
        let cluster = Cluster::connect().await;
        let object = old_server(&cluster).await;
        let before = object.read().await;
        let backends = BySide { stable: "web-stable".to_owned(), canary: "web-canary".to_owned() };
        let (namespace, name) = (object.namespace(), object.name());
        let router =
            |client| http_route_of(OLD, client, namespace, name, Rule::Only, backends.clone());
        for client in [cluster.client(), dry_run(&cluster.client())] {
            let router = router(client);
            for (traffic, says) in
                [(testers(), "rules[0].name"), (mirrored(500), "requestMirror.percent")]
            {
                let refused = raise(&router, &traffic).await.unwrap_err();
                assert_eq!(refused.kind(), FailureKind::Invalid, "{refused}");
                assert!(refused.to_string().contains(says), "{refused}");
                assert_eq!(object.read().await, before);
            }
        }
        // Copies of all requests take no field that is new.
        let router = router(cluster.client());
        raise(&router, &mirrored(10_000)).await.unwrap();
        stop(&router).await;
        router.release(&call("a")).await.unwrap();
        assert_eq!(object.read().await["spec"], before["spec"]);
        object.delete().await;
    });
}
