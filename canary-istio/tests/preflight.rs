//! What is found before a start: VirtualServices in each other's way, numbers that no proxy takes, Istio's own word.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use canary_core::testing::conformance::run;
use canary_core::value::{BySide, Traffic, Weight};
use canary_istio::{
    DESTINATION_RULE, DestinationRuleCheck, Subsets, VIRTUAL_SERVICE, VirtualServiceCheck,
    VirtualServiceRouter,
};
use canary_kube::testing::{Cluster, MemoryApi};
use canary_kube::{Account, Connection, Findings, Permissions, Preflight, Severity};
use common::{header, route};
use serde_json::{Value, json};

/// A VirtualService of these hosts with the two routes' worth of fields that the others differ in.
fn service(hosts: &[&str], more: Value) -> Value {
    let mut spec = json!({ "hosts": hosts, "http": [route("primary", [100, 0])] });
    json_patch::merge(&mut spec, &more);
    json!({ "spec": spec })
}

fn mesh(others: &[(&str, &str, Value)]) -> MemoryApi {
    let api = MemoryApi::new();
    api.put(&VIRTUAL_SERVICE, "shop", "checkout", &service(&["checkout"], json!({})));
    for (namespace, name, fields) in others {
        api.put(&VIRTUAL_SERVICE, namespace, name, fields);
    }
    api
}

async fn look(api: &MemoryApi, namespace: &str, name: &str) -> Findings {
    let check = VirtualServiceCheck::new(api.client(), namespace, name);
    Preflight::new(api.client()).check(check).run().await
}

fn severities(found: &Findings) -> Vec<Severity> {
    found.findings.iter().map(|finding| finding.severity).collect()
}

#[tokio::test]
async fn another_one_for_the_same_host_in_the_mesh_is_found_however_it_is_written() {
    let whole = "checkout.shop.svc.cluster.local";
    for (namespace, hosts, more) in [
        ("shop", vec!["checkout"], json!({})),
        ("shop", vec!["other", "Checkout"], json!({ "gateways": ["public", "mesh"] })),
        ("edge", vec![whole], json!({ "exportTo": ["*"] })),
        ("edge", vec![whole], json!({ "exportTo": ["shop", "."] })),
    ] {
        let api = mesh(&[(namespace, "other", service(&hosts, more.clone()))]);
        let found = look(&api, "shop", "checkout").await;
        let [finding] = &found.findings[..] else { panic!("{hosts:?} {more}: {found}") };
        assert_eq!(finding.severity, Severity::Error);
        assert_eq!(finding.about, "VirtualService shop/checkout");
        let says = format!("VirtualService {namespace}/other is for {whole} in the mesh, too");
        assert!(finding.what.starts_with(&says), "{finding}");
    }
}

#[tokio::test]
async fn what_takes_other_requests_is_in_nobodys_way() {
    let whole = "checkout.shop.svc.cluster.local";
    for (namespace, hosts, more) in [
        // A short name is of its own namespace, and a name with a dot is what it is.
        ("edge", vec!["checkout"], json!({})),
        ("edge", vec!["checkout.shop"], json!({})),
        ("edge", vec![whole], json!({ "gateways": ["public"] })),
        // Routes for other requests, which this one's name goes before.
        ("edge", vec!["*.shop.svc.cluster.local", "*"], json!({})),
        // Nobody calls it by both.
        ("edge", vec![whole], json!({ "exportTo": ["~"] })),
    ] {
        let api = mesh(&[(namespace, "other", service(&hosts, more.clone()))]);
        let found = look(&api, "shop", "checkout").await;
        assert_eq!(found.findings, [], "{hosts:?} {more}");
        assert_eq!(found.well, ["VirtualServices beside shop/checkout"]);
    }
    let private = service(&["checkout"], json!({ "exportTo": ["."] }));
    let api = mesh(&[("edge", "other", service(&[whole], json!({ "exportTo": ["."] })))]);
    api.put(&VIRTUAL_SERVICE, "shop", "checkout", &private);
    assert_eq!(look(&api, "shop", "checkout").await.findings, []);
}

#[tokio::test]
async fn a_wildcard_does_not_get_what_another_one_names() {
    let api = mesh(&[("edge", "all", service(&["*.shop.svc.cluster.local"], json!({})))]);
    let found = look(&api, "edge", "all").await;
    assert_eq!(severities(&found), [Severity::Warning], "{found}");
    let says = "requests for checkout.shop.svc.cluster.local go by VirtualService shop/checkout";
    assert!(found.findings[0].what.starts_with(says), "{found}");
}

#[tokio::test]
async fn routes_at_a_gateway_are_put_together_and_two_for_all_requests_are_one_too_many() {
    let public = |more: Value| {
        let mut all = json!({ "gateways": ["edge/public"] });
        json_patch::merge(&mut all, &more);
        service(&["shop.example.com"], all)
    };
    let some = json!({ "http": [{ "match": [{ "uri": { "prefix": "/api" } }], "route": [] }] });
    for (theirs, severity) in [(some, Severity::Warning), (json!({}), Severity::Error)] {
        let api = mesh(&[("edge", "api", public(theirs))]);
        api.put(&VIRTUAL_SERVICE, "shop", "web", &public(json!({})));
        // By its short name in its own namespace.
        let found = look(&api, "shop", "web").await;
        assert_eq!(severities(&found), [severity], "{found}");
        assert!(found.findings[0].what.contains("for shop.example.com at edge/public"), "{found}");
    }
    // The older one's come first.
    let aged = |time: &str, more: Value| {
        let mut all = public(more);
        all["metadata"] = json!({ "creationTimestamp": time });
        all
    };
    for (theirs, severity) in
        [("2026-01-01T00:00:00Z", Severity::Error), ("2026-01-03T00:00:00Z", Severity::Warning)]
    {
        let api = mesh(&[("edge", "api", aged(theirs, json!({})))]);
        api.put(&VIRTUAL_SERVICE, "shop", "web", &aged("2026-01-02T00:00:00Z", json!({})));
        assert_eq!(severities(&look(&api, "shop", "web").await), [severity], "{theirs}");
    }
    let near = service(&["shop.example.com"], json!({ "gateways": ["public"] }));
    let api = mesh(&[("edge", "api", near)]);
    api.put(&VIRTUAL_SERVICE, "shop", "web", &public(json!({})));
    assert_eq!(severities(&look(&api, "shop", "web").await), [Severity::Error]);
}

#[tokio::test]
async fn a_delegate_has_its_roots_ways_and_none_without_a_root() {
    let delegate = service(&[], json!({}));
    let root = |hosts: &[&str]| {
        let to = json!({ "name": "routes", "namespace": "shop" });
        service(hosts, json!({ "http": [{ "delegate": to }] }))
    };
    let api = mesh(&[("shop", "routes", delegate)]);
    let found = look(&api, "shop", "routes").await;
    assert_eq!(severities(&found), [Severity::Error]);
    assert!(found.findings[0].what.contains("no VirtualService delegates to it"), "{found}");

    // It is in nobody's way itself, beside two of the same host.
    api.put(&VIRTUAL_SERVICE, "edge", "root", &root(&["cart.shop.svc.cluster.local"]));
    assert_eq!(look(&api, "shop", "routes").await.findings, []);
    assert_eq!(look(&api, "edge", "root").await.findings, []);
    api.put(&VIRTUAL_SERVICE, "shop", "cart", &service(&["cart"], json!({})));
    let found = look(&api, "shop", "routes").await;
    assert_eq!(found.findings[0].about, "VirtualService edge/root", "{found}");
    assert!(
        found.findings[0].what.contains("VirtualService shop/cart is for cart.shop."),
        "{found}"
    );
}

#[tokio::test]
async fn numbers_that_spoil_the_routes_of_a_proxy_are_found_in_whosever_routes_they_are() {
    for (weights, says) in [
        (json!([105, -5]), "the weight -5 in http route 0"),
        (json!([0, 0]), "no weight above 0 in http route 0"),
        (json!([1, 2_147_483_648_u64]), "the weight 2147483648 in http route 0"),
    ] {
        let mut other = service(&["other"], json!({}));
        for (index, weight) in weights.as_array().unwrap().iter().enumerate() {
            other["spec"]["http"][0]["route"][index]["weight"] = weight.clone();
        }
        let api = mesh(&[("edge", "other", other.clone())]);
        let found = look(&api, "shop", "checkout").await;
        assert_eq!(severities(&found), [Severity::Error], "{found}");
        assert_eq!(found.findings[0].about, "VirtualService edge/other");
        assert!(found.findings[0].what.contains(says), "{found}");
        // Proxies that have nothing to do with these.
        other["spec"]["gateways"] = json!(["public"]);
        let api = mesh(&[("edge", "other", other)]);
        assert_eq!(look(&api, "shop", "checkout").await.findings, []);
    }
}

#[tokio::test]
async fn what_istiod_wrote_in_the_status_is_passed_on() {
    let mut fields = service(&["checkout"], json!({}));
    let link = "https://istio.io/latest/docs/reference/config/analysis/ist0101/";
    fields["status"] = json!({ "validationMessages": [
        { "type": { "code": "IST0101", "name": "ReferencedResourceNotFound" }, "level": "ERROR", "documentationUrl": link },
        { "type": { "code": "IST0130" }, "level": "WARNING" },
        { "type": { "code": "IST0130" }, "level": "WARNING" },
        { "type": { "code": "IST0102" }, "level": "INFO" },
    ]});
    let api = mesh(&[]);
    api.put(&VIRTUAL_SERVICE, "shop", "checkout", &fields);
    let found = look(&api, "shop", "checkout").await;
    assert_eq!(severities(&found), [Severity::Error, Severity::Warning, Severity::Note]);
    let first = &found.findings[0];
    assert_eq!(first.what, "Istio's analysis says IST0101 ReferencedResourceNotFound");
    assert_eq!(first.advice, link);
}

#[tokio::test]
async fn what_is_missing_is_said() {
    let found = look(&mesh(&[]), "shop", "gone").await;
    assert_eq!(found.findings[0].what, "it does not exist");
    let api = mesh(&[]);
    api.answer_next(500, None, "no");
    assert_eq!(severities(&look(&api, "shop", "checkout").await), [Severity::Error]);

    // Where not all namespaces may be listed, its own is.
    let api = mesh(&[("shop", "other", service(&["checkout"], json!({})))]);
    api.answer_next(403, None, "no");
    let found = look(&api, "shop", "checkout").await;
    assert_eq!(severities(&found), [Severity::Error, Severity::Note]);
    assert!(found.findings[1].what.contains("only those of shop may be listed"), "{found}");
}

#[tokio::test]
async fn headers_and_mirrors_of_a_plan_are_tried_before_the_start() {
    let api = mesh(&[]);
    let try_all = async |stages: Vec<Traffic>| {
        let router = |client| {
            VirtualServiceRouter::new(client, "shop", "checkout").subsets("stable", "canary")
        };
        Preflight::new(api.client()).route_through("it", stages, router).run().await
    };
    let before = api.get(&VIRTUAL_SERVICE, "shop", "checkout");
    let testers = Traffic::all_stable().with_header(header());
    let five = Traffic::to_canary(Weight::percent(5)).with_header(header());
    let copies = five.clone().with_mirror(Weight::percent(1));
    let found = try_all(vec![testers.clone(), five, copies.clone()]).await;
    assert!(found.findings.is_empty(), "{found}");
    let upper = Traffic::all_stable().with_header([("X-Canary".into(), "true".into())].into());
    let found = try_all(vec![testers, upper]).await;
    assert!(found.findings[0].what.contains("write `x-canary` for `X-Canary`"), "{found}");
    assert_eq!(api.get(&VIRTUAL_SERVICE, "shop", "checkout"), before);

    let theirs = json!({ "http": [{ "mirror": { "host": "shadow" }, "route": route("", [100, 0])["route"] }] });
    api.put(&VIRTUAL_SERVICE, "shop", "checkout", &service(&["checkout"], theirs));
    let found = try_all(vec![copies]).await;
    assert!(found.findings[0].what.contains("to somewhere else already"), "{found}");
}

#[tokio::test]
async fn outlier_detection_is_warned_of_and_affinity_noted() {
    let api = MemoryApi::new();
    let rule = |policy: Value, subsets: &[&str]| {
        let subsets = subsets.iter().map(|name| json!({ "name": name, "labels": {} }));
        let subsets: Vec<_> = subsets.collect();
        json!({ "spec": { "host": "checkout", "trafficPolicy": policy, "subsets": subsets } })
    };
    let cookie = json!({ "httpCookie": { "name": "user", "ttl": "1h" } });
    let policy = json!({ "outlierDetection": {}, "loadBalancer": { "consistentHash": cookie } });
    api.put(&DESTINATION_RULE, "shop", "checkout", &rule(policy, &["stable"]));
    let look = async |added: bool| {
        let subsets = Subsets::new(api.client(), "shop", "checkout", "stable", "canary");
        let check = DestinationRuleCheck::new(subsets, "checkout");
        let check = if added { check.canary_is_added() } else { check };
        Preflight::new(api.client()).check(check).run().await
    };
    let found = look(false).await;
    assert_eq!(severities(&found), [Severity::Error, Severity::Warning, Severity::Note]);
    assert!(found.findings[0].what.contains("has no subset `canary`"), "{found}");
    assert!(found.findings[1].what.contains("outlierDetection"), "{found}");
    assert!(found.findings[2].what.contains("the cookie `user`"), "{found}");
    assert_eq!(severities(&look(true).await), [Severity::Warning, Severity::Note]);

    api.put(&DESTINATION_RULE, "shop", "checkout", &rule(json!({}), &["stable", "canary"]));
    assert_eq!(look(false).await.well, ["DestinationRule shop/checkout"]);
}

#[tokio::test]
async fn subsets_mean_the_pods_of_their_version_alone() {
    let api = MemoryApi::new();
    let look = async |stable: Value, canary: Value| {
        let subsets = [("stable", stable), ("canary", canary)]
            .map(|(name, labels)| json!({ "name": name, "labels": labels }));
        let rule = json!({ "spec": { "host": "checkout", "subsets": subsets } });
        api.put(&DESTINATION_RULE, "shop", "checkout", &rule);
        let subsets = Subsets::new(api.client(), "shop", "checkout", "stable", "canary");
        let labels = |version: &str| {
            let labels = [("app", "checkout"), ("version", version)];
            labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
        };
        let pods = BySide { stable: labels("v1"), canary: labels("canary") };
        let check = DestinationRuleCheck::new(subsets, "checkout").pods(pods);
        let found = Preflight::new(api.client()).check(check).run().await.findings;
        assert!(found.iter().all(|finding| finding.severity == Severity::Error), "{found:?}");
        found.into_iter().map(|finding| finding.what).collect::<Vec<_>>()
    };
    let (v1, canary) = (json!({ "version": "v1" }), json!({ "version": "canary" }));
    let whole = json!({ "app": "checkout", "version": "v1" });
    assert_eq!(look(v1.clone(), canary.clone()).await, [""; 0]);
    assert_eq!(look(whole, canary.clone()).await, [""; 0]);

    // Whoever gets to the canary gets 503.
    let fails = "its subset `canary` means pods with track=canary, and none of the canary's: requests to it fail";
    assert_eq!(look(v1.clone(), json!({ "track": "canary" })).await, [fails]);
    let found = look(json!({ "version": "v0" }), canary.clone()).await;
    assert!(found[0].contains("and none of stable's"), "{found:?}");

    // No abort takes the users of stable from the canary's pods.
    for all in [json!({ "app": "checkout" }), json!({}), Value::Null] {
        let found = look(all, canary.clone()).await;
        assert!(
            found[0].contains("and so the canary's too: they get some of stable's"),
            "{found:?}"
        );
    }
    let found = look(v1.clone(), json!({ "app": "checkout" })).await;
    assert!(found[0].contains("and so stable's too: they get some of the canary's"), "{found:?}");
    // They were given the wrong way round.
    assert_eq!(look(canary, v1).await.len(), 4);
}

#[tokio::test]
async fn a_rule_that_may_have_another_name_is_noted() {
    let api = MemoryApi::new();
    let subsets = Subsets::new(api.client(), "shop", "checkout", "stable", "canary");
    let check = DestinationRuleCheck::new(subsets, "checkout");
    let look = async |check| Preflight::new(api.client()).check(check).run().await;
    assert_eq!(severities(&look(check.clone()).await), [Severity::Error]);
    assert_eq!(severities(&look(check.if_there()).await), [Severity::Note]);
}

#[test]
#[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-istio -- --ignored"]
fn on_a_real_server_all_namespaces_are_looked_at_where_that_is_allowed() {
    run(async {
        let cluster = Cluster::connect().await;
        let host = format!("{}.example.com", cluster.namespace().await);
        let fields = service(&[&host], json!({}));
        let first = cluster.create(&VIRTUAL_SERVICE, &fields).await;
        let second = cluster.create(&VIRTUAL_SERVICE, &fields).await;
        let check = |client| VirtualServiceCheck::new(client, first.namespace(), first.name());
        let found = Preflight::new(cluster.client()).check(check(cluster.client())).run().await;
        let says = format!("VirtualService {}/{} is for {host}", first.namespace(), second.name());
        assert!(found.findings.iter().any(|finding| finding.what.starts_with(&says)), "{found}");

        // Who may list them nowhere is told so.
        let path = std::env::var("CANARY_TEST_KUBECONFIG").unwrap();
        let nobody = Account::User("nobody".to_owned()).user();
        let nobody = Connection::new().kubeconfig(path).impersonate(nobody).client().await.unwrap();
        let permissions = Permissions::new().and(VirtualServiceCheck::permission());
        let found = Preflight::new(nobody.clone())
            .check(check(nobody))
            .permissions(permissions)
            .run()
            .await;
        assert_eq!(severities(&found), [Severity::Error; 2], "{found}");
        assert!(found.to_string().contains("may not list virtualservices"), "{found}");
        assert!(found.to_string().contains("in all namespaces"), "{found}");
        first.delete().await;
        second.delete().await;
    });
}
