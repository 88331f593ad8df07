//! All that is wrong before a start, at once.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use async_trait::async_trait;
use canary_core::testing::conformance::run;
use canary_core::value::{BySide, Side, Weight};
use canary_kube::testing::{Cluster, MemoryApi, RouteObject};
use canary_kube::{
    Check, Connection, Deployments, Finding, Findings, HTTP_ROUTE, Permissions, Preflight,
    ReadyPods, RouteKind, Rule, Severity, Variant, http_route,
};
use common::fields;
use kube::Client;
use kube::api::{Api, DynamicObject, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

fn preflight(client: &Client, namespace: &str, route: &str) -> Preflight {
    let router = |client| {
        let backends = BySide { stable: "web-stable".to_owned(), canary: "web-canary".to_owned() };
        http_route(client, namespace, route, Rule::Only, backends)
    };
    let pods = ReadyPods::new(client.clone(), namespace).selector(Side::Stable, "app=web");
    Preflight::new(client.clone())
        .route(format!("HTTPRoute {namespace}/{route}"), Weight::percent(1), router)
        .service(Side::Stable, namespace, "web-stable")
        .service(Side::Canary, namespace, "web-canary")
        .pods(pods)
}

async fn create(client: &Client, namespace: &str, kind: [&str; 4], name: &str, fields: Value) {
    let [group, version, kind, plural] = kind;
    let kind =
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural);
    let mut object = json!({ "apiVersion": kind.api_version, "kind": kind.kind, "metadata": {} });
    json_patch::merge(&mut object, &fields);
    object["metadata"]["name"] = json!(name);
    let api = Api::<DynamicObject>::namespaced_with(client.clone(), namespace, &kind);
    api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
}

async fn destination(client: &Client, namespace: &str, name: &str, ready: bool) {
    let spec = json!({ "spec": { "ports": [{ "port": 80 }] } });
    create(client, namespace, ["", "v1", "Service", "services"], name, spec).await;
    let slice = json!({
        "metadata": { "labels": { "kubernetes.io/service-name": name } },
        "addressType": "IPv4",
        "endpoints": [{ "addresses": ["10.9.8.7"], "conditions": { "ready": ready } }],
    });
    let kind = ["discovery.k8s.io", "v1", "EndpointSlice", "endpointslices"];
    create(client, namespace, kind, name, slice).await;
}

fn said(found: &Findings) -> Vec<String> {
    found.findings.iter().map(|finding| format!("{}: {}", finding.about, finding.what)).collect()
}

#[test]
fn nothing_is_there_and_all_of_it_is_said() {
    run(async {
        let api = MemoryApi::new();
        let found = preflight(&api.client(), "shop", "web").run().await;
        let said = said(&found);
        assert_eq!(said.len(), 4, "{found}");
        assert!(said[0].contains("it cannot be read") && said[0].contains("404"), "{said:?}");
        assert_eq!(said[1], "Service shop/web-stable (stable): it does not exist");
        assert_eq!(said[2], "Service shop/web-canary (canary): it does not exist");
        assert_eq!(said[3], "stable pods: no pod has app=web");
        assert!(!found.is_clear());
        let json = serde_json::to_string(&found).unwrap();
        assert_eq!(serde_json::from_str::<Findings>(&json).unwrap(), found);
        assert!(found.to_string().contains("\n  create it, or correct its name"), "{found}");
    });
}

#[test]
fn traffic_at_the_canary_and_a_foreign_fence_are_found() {
    run(async {
        let api = MemoryApi::new();
        let mut busy = fields();
        busy["spec"]["rules"][0]["backendRefs"][1]["weight"] = json!(5);
        api.put(&HTTP_ROUTE, "shop", "web", &busy);
        let found = said(&preflight(&api.client(), "shop", "web").run().await);
        assert!(found[0].contains("the canary has traffic already: 4.76%"), "{found:?}");

        let mut held = fields();
        held["metadata"] = json!({ "annotations": { "canary-rollout/fence": "web-7/3.2.1" } });
        api.put(&HTTP_ROUTE, "shop", "web", &held);
        let found = preflight(&api.client(), "shop", "web").run().await;
        assert!(said(&found)[0].contains("held by `web-7/3.2.1`"), "{found}");
        assert!(found.findings[0].advice.contains("another rollout"), "{found}");
    });
}

const DEPLOYMENT: RouteKind = RouteKind {
    group: "apps",
    version: "v1",
    kind: "Deployment",
    plural: "deployments",
    rules: "",
    entries: "",
    default_weight: 1,
};

fn deployment(labels: &Value) -> Value {
    json!({ "spec": {
        "replicas": 2, "selector": { "matchLabels": labels },
        "template": { "metadata": { "labels": labels }, "spec": { "containers": [{ "name": "web", "image": "web:v1" }] } },
    } })
}

#[test]
fn a_canary_that_cannot_be_made_is_found_and_none_is_made() {
    run(async {
        let api = MemoryApi::new();
        let look = async || {
            let versions =
                |client| Deployments::new(client, "shop", "web", Variant::image("web:v2"));
            let preflight = Preflight::new(api.client());
            preflight.workload("Deployment shop/web", Weight::percent(1), versions).run().await
        };
        let found = look().await;
        assert_eq!(
            said(&found),
            ["Deployment shop/web: no canary can be made: Deployment shop/web is not there"]
        );
        assert_eq!(found.findings[0].advice, "create stable first, or correct its name");

        api.put(&DEPLOYMENT, "shop", "web", &deployment(&json!({ "app": "web" })));
        let found = said(&look().await);
        assert!(
            found[0].contains("would match the pods of Deployment shop/web-canary"),
            "{found:?}"
        );

        let labels = json!({ "app": "web", "version": "v1" });
        api.put(&DEPLOYMENT, "shop", "web", &deployment(&labels));
        let denied =
            json!({ "kind": "Status", "status": "Failure", "reason": "Forbidden", "code": 403 });
        api.answer_next(403, None, denied.to_string());
        let found = look().await;
        let says = "apply a Role that allows it (`Permissions::manifest`)";
        assert_eq!(found.findings[0].advice, says, "{found}");

        let found = look().await;
        assert_eq!(found.well, ["Deployment shop/web: a canary for 1% can be made"], "{found}");
        assert_eq!(api.get(&DEPLOYMENT, "shop", "web-canary"), None);
    });
}

#[derive(Debug)]
struct Told(Severity);

#[async_trait]
impl Check for Told {
    fn about(&self) -> String {
        "a check of one's own".to_owned()
    }

    async fn findings(&self) -> Vec<Finding> {
        match self.0 {
            Severity::Error => vec![Finding::error(self.about(), "error")],
            Severity::Warning => vec![Finding::warning(self.about(), "warning")],
            _ => Vec::new(),
        }
    }
}

#[test]
fn only_errors_keep_a_rollout_from_a_start_and_come_first() {
    run(async {
        let client = MemoryApi::new().client();
        let checks = |severities: &[Severity]| {
            severities
                .iter()
                .fold(Preflight::new(client.clone()), |all, severity| all.check(Told(*severity)))
        };
        let found = checks(&[Severity::Note, Severity::Warning]).run().await;
        assert!(found.is_clear());
        assert_eq!(found.well, ["a check of one's own"]);
        let found = checks(&[Severity::Warning, Severity::Error]).run().await;
        assert!(!found.is_clear());
        assert_eq!(found.findings[0].severity, Severity::Error);
    });
}

#[test]
#[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-kube -- --ignored"]
fn on_a_real_server() {
    run(async {
        let cluster = Cluster::connect().await;
        let (client, namespace) = (cluster.client(), cluster.namespace().await);
        let kind = ["gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes"];
        create(&client, &namespace, kind, "web", fields()).await;
        destination(&client, &namespace, "web-stable", true).await;
        destination(&client, &namespace, "web-canary", false).await;
        let permissions = Permissions::new().route(&HTTP_ROUTE, &namespace, "web");
        let found =
            preflight(&client, &namespace, "web").permissions(permissions.clone()).run().await;
        let expected = [
            format!(
                "Service {namespace}/web-canary (canary): no pod behind it is ready, of 1 known"
            ),
            "stable pods: no pod has app=web".to_owned(),
        ];
        assert_eq!(said(&found), expected, "{found}");
        assert!(found.well.iter().any(|well| well.ends_with("1% and back tried")), "{found}");
        assert!(found.well.contains(&"permissions".to_owned()), "{found}");

        // Who may read and not write is told so by the server, for the first weight too.
        let path = std::env::var("CANARY_TEST_KUBECONFIG").unwrap();
        let nobody =
            Connection::new().kubeconfig(path).impersonate("nobody").client().await.unwrap();
        let found = Preflight::new(nobody).permissions(permissions).run().await;
        let expected = ["get", "patch"].map(|verb| {
            format!(
                "permissions: may not {verb} httproutes.gateway.networking.k8s.io web in {namespace}, \
                 which moves the weights of this route"
            )
        });
        assert_eq!(said(&found), expected, "{found}");
    });
}

#[test]
#[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-kube -- --ignored"]
fn trying_a_route_on_a_real_server_leaves_it_as_it_was() {
    run(async {
        let cluster = Cluster::connect().await;
        let object: RouteObject = cluster.create(&HTTP_ROUTE, &fields()).await;
        let before = object.read().await;
        preflight(&cluster.client(), object.namespace(), object.name()).run().await;
        assert_eq!(object.read().await, before);
        object.delete().await;
    });
}
