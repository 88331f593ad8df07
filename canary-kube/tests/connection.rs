//! How a client connects, and as whom.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write;
use std::time::Duration;

use canary_core::ports::StateStore;
use canary_core::value::FailureKind;
use canary_kube::{ConfigMapStore, Connection, port_error};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ListParams};
use serde_json::json;
use wiremock::matchers::{header, method};
use wiremock::{Mock, MockServer, ResponseTemplate};

fn kubeconfig(servers: [&str; 2]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let [first, second] = servers;
    write!(
        file,
        "apiVersion: v1\n\
         kind: Config\n\
         clusters: [{{ name: a, cluster: {{ server: '{first}' }} }}, {{ name: b, cluster: {{ server: '{second}' }} }}]\n\
         users: [{{ name: u, user: {{ token: hush }} }}]\n\
         contexts: [{{ name: x, context: {{ cluster: a, user: u }} }}, {{ name: y, context: {{ cluster: b, user: u, namespace: shop }} }}]\n\
         current-context: x\n"
    )
    .unwrap();
    file
}

#[tokio::test]
async fn it_says_what_calls_and_as_whom_in_the_context_that_was_chosen() {
    let server = MockServer::start().await;
    let list = json!({ "apiVersion": "v1", "kind": "List", "metadata": {}, "items": [] });
    Mock::given(method("GET"))
        .and(header("user-agent", concat!("canary/", env!("CARGO_PKG_VERSION"))))
        .and(header("impersonate-user", "system:serviceaccount:canary:bot"))
        .and(header("impersonate-group", "deployers"))
        .and(header("authorization", "Bearer hush"))
        .respond_with(ResponseTemplate::new(200).set_body_json(list))
        .expect(1)
        .mount(&server)
        .await;
    let file = kubeconfig(["http://127.0.0.1:1", &server.uri()]);
    let connection = Connection::new().kubeconfig(file.path()).context("y");
    let connection = connection.impersonate("system:serviceaccount:canary:bot");
    let client = connection.groups(["deployers"]).client().await.unwrap();
    assert_eq!(client.default_namespace(), "shop");
    assert_eq!(ConfigMapStore::new(client, "canary").targets().await.unwrap(), []);
}

#[tokio::test]
async fn a_context_that_is_not_there_is_an_error() {
    let file = kubeconfig(["http://127.0.0.1:1", "http://127.0.0.1:2"]);
    let error =
        Connection::new().kubeconfig(file.path()).context("z").client().await.err().unwrap();
    assert!(error.to_string().contains("no context `z`"), "{error}");
}

#[tokio::test]
async fn a_server_that_is_silent_is_given_up() {
    let server = MockServer::start().await;
    let late = ResponseTemplate::new(200).set_delay(Duration::from_secs(60));
    Mock::given(method("GET")).respond_with(late).mount(&server).await;
    let file = kubeconfig([&server.uri(), "http://127.0.0.1:2"]);
    let connection = Connection::new().kubeconfig(file.path());
    let client = connection.patience(Duration::from_millis(20)).client().await.unwrap();
    let maps = Api::<ConfigMap>::namespaced(client, "canary");
    let error = port_error(maps.list(&ListParams::default()).await.unwrap_err());
    assert_eq!(error.kind(), FailureKind::Timeout, "{error}");
}
