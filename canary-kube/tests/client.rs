//! The client that this crate makes.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::error::Error;
use std::io::Write;

use canary_core::ports::TrafficRouter;
use canary_core::value::FailureKind;
use canary_kube::client_from;
use common::{call, router};
use wiremock::matchers::{header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

fn kubeconfig(server: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    write!(
        file,
        "apiVersion: v1\n\
         kind: Config\n\
         clusters: [{{ name: c, cluster: {{ server: '{server}' }} }}]\n\
         users: [{{ name: u, user: {{ token: hush }} }}]\n\
         contexts: [{{ name: x, context: {{ cluster: c, user: u }} }}]\n\
         current-context: x\n"
    )
    .unwrap();
    file
}

#[tokio::test]
async fn it_logs_in_and_tries_each_request_once() {
    let server = MockServer::start().await;
    let route = "/apis/gateway.networking.k8s.io/v1/namespaces/shop/httproutes/web";
    Mock::given(method("GET"))
        .and(path(route))
        .and(header("authorization", "Bearer hush"))
        .respond_with(ResponseTemplate::new(503).insert_header("retry-after", "0"))
        .expect(1)
        .mount(&server)
        .await;
    let client = client_from(kubeconfig(&server.uri()).path()).await.unwrap();
    let error = router(client, "shop", "web").observe(&call("a")).await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::Unavailable);
}

#[tokio::test]
async fn a_kubeconfig_that_cannot_be_used_is_an_error_with_its_reason() {
    let missing = client_from("/nowhere/kubeconfig").await.err().unwrap();
    assert_eq!(missing.to_string(), "no Kubernetes client can be made");
    let reason = missing.source().unwrap().to_string();
    assert!(reason.contains("/nowhere/kubeconfig"), "{reason}");
    assert!(client_from(kubeconfig("no address").path()).await.is_err());
}
