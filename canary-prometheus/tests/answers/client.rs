//! How the source presents itself to a server.

use std::fs;
use std::net::Ipv4Addr;
use std::sync::Arc;

use canary_core::value::{FailureKind, Reading};
use canary_prometheus::{Endpoint, Prometheus};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use wiremock::matchers::{header, method, path, query_param};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::{PATIENT, measure, pool, success};

/// Asks a server with one query that is the same on both sides.
fn source(endpoint: Endpoint) -> Prometheus {
    Prometheus::builder(endpoint).value("pool", "pool").build().unwrap()
}

async fn server() -> MockServer {
    let server = MockServer::start().await;
    let half = success("scalar", json!([1.0, "0.5"]));
    Mock::given(path("/prom/api/v1/query")).respond_with(half).mount(&server).await;
    server
}

fn endpoint(server: &MockServer) -> Endpoint {
    Endpoint::new(format!("{}/prom/", server.uri()))
}

async fn last(server: &MockServer) -> Request {
    server.received_requests().await.unwrap().pop().unwrap()
}

#[tokio::test]
async fn credentials_and_headers_are_sent_with_every_query_and_shown_nowhere() {
    let server = server().await;
    let endpoint =
        endpoint(&server).basic_auth("ana", "secret").tenant("shop").header("x-key", "secret-key");
    let source = source(endpoint);
    let measured = measure(&source, pool(), PATIENT).await.unwrap();
    assert_eq!(measured.sides.canary, Reading::Value(0.5));
    assert!(!format!("{source:?}").contains("secret"));
    let headers = last(&server).await.headers;
    assert_eq!(headers["authorization"], "Basic YW5hOnNlY3JldA==");
    assert_eq!(
        (&headers["x-scope-orgid"], &headers["x-key"]),
        (&"shop".parse().unwrap(), &"secret-key".parse().unwrap())
    );
    assert_eq!(headers["accept-encoding"], "gzip");
}

#[tokio::test]
async fn a_token_is_read_from_its_file_each_time() {
    let server = server().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    fs::write(&file, "first-secret\n").unwrap();
    let source = source(endpoint(&server).bearer_token_file(&file));
    for token in ["first-secret", "second-secret"] {
        fs::write(&file, format!("{token}\n")).unwrap();
        measure(&source, pool(), PATIENT).await.unwrap();
        assert_eq!(last(&server).await.headers["authorization"], format!("Bearer {token}"));
    }
    fs::write(&file, "secret with\nlines").unwrap();
    let error = measure(&source, pool(), PATIENT).await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::Unavailable);
    let shown = format!("{error:?} {source:?} {error}");
    assert!(shown.contains("has no token in it") && !shown.contains("secret"), "{shown}");
}

/// Refuses a request and shows it, as some pages do, with the password as the server reads it. Readers of JSON quote texts.
fn show(request: &Request) -> ResponseTemplate {
    let said = ["authorization", "x-key", "x-team", "x-scope-orgid"]
        .map(|name| request.headers.get(name).map_or("", |value| value.to_str().unwrap()));
    ResponseTemplate::new(401).set_body_string(format!("\"{} or pass-word?\"", said.join(" | ")))
}

#[tokio::test]
async fn what_a_server_was_told_in_confidence_is_not_quoted() {
    let server = MockServer::start().await;
    Mock::given(method("POST")).respond_with(show).mount(&server).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    fs::write(&file, "secret-token").unwrap();
    let named = server.uri().replace("http://", "http://ana:pass-word@");
    let plain = || Endpoint::new(server.uri()).tenant("a-long-name").header("x-team", "shop");
    for (endpoint, said) in [
        (plain().basic_auth("ana", "pass-word"), "Basic … |  | shop | a-long-name or …?"),
        (Endpoint::new(named), "Basic … |  |  |  or …?"),
        (plain().bearer_token_file(&file), "Bearer … |  | shop | a-long-name or pass-word?"),
        (plain().header("x-key", "secret-key"), " | … | shop | a-long-name or pass-word?"),
    ] {
        let error = measure(&source(endpoint), pool(), PATIENT).await.unwrap_err();
        assert_eq!(error.kind(), FailureKind::Denied);
        let shown = error.to_string();
        let quoted = format!("\"{said}\": invalid type: string \"{said}\", expected ");
        assert!(shown.contains(&quoted), "{shown}");
    }
}

#[tokio::test]
async fn a_query_may_be_a_get() {
    let server = MockServer::start().await;
    Mock::given(method("GET"))
        .and(query_param("query", "pool"))
        .and(query_param("time", "1700000060.000"))
        .respond_with(success("scalar", json!([1.0, "0.5"])))
        .mount(&server)
        .await;
    let source = source(Endpoint::new(server.uri()).with_get());
    let measured = measure(&source, pool(), PATIENT).await.unwrap();
    assert_eq!(measured.sides.canary, Reading::Value(0.5));
}

#[tokio::test]
async fn a_proxy_is_asked_instead() {
    let proxy = MockServer::start().await;
    Mock::given(header("host", "prometheus.invalid:9090"))
        .respond_with(success("scalar", json!([1.0, "0.5"])))
        .mount(&proxy)
        .await;
    let source = source(Endpoint::new("http://prometheus.invalid:9090").proxy(proxy.uri()));
    let measured = measure(&source, pool(), PATIENT).await.unwrap();
    assert_eq!(measured.sides.canary, Reading::Value(0.5));
}

/// Holds a certificate and its key, as PEM and as rustls has them.
struct Signed {
    pem: String,
    key_pem: String,
    chain: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

fn sign(issuer: &Issuer<'_, KeyPair>) -> Signed {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, issuer).unwrap();
    Signed {
        pem: certificate.pem(),
        key_pem: key.serialize_pem(),
        chain: certificate.der().clone(),
        key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
    }
}

#[tokio::test]
async fn both_sides_show_their_certificates() {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&key).unwrap();
    let issuer = Issuer::new(params, key);
    let (theirs, ours) = (sign(&issuer), sign(&issuer));

    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone()).unwrap();
    let provider = Arc::new(ring::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(vec![theirs.chain], theirs.key)
        .unwrap();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let serving = async {
        while let Ok((stream, _)) = listener.accept().await {
            // Without a certificate of the authority's, the handshake fails.
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).await;
            let body =
                r#"{"status":"success","data":{"resultType":"scalar","result":[1.0,"0.5"]}}"#;
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    };

    let trusting =
        || Endpoint::new(format!("https://{address}")).root_certificates(authority.pem());
    let known = trusting().client_certificate(ours.pem.clone(), ours.key_pem.clone());
    let asking = async {
        let measured = measure(&source(known), pool(), PATIENT).await.unwrap();
        assert_eq!(measured.sides.canary, Reading::Value(0.5));

        let stranger = sign(&Issuer::new(
            CertificateParams::new(Vec::<String>::new()).unwrap(),
            KeyPair::generate().unwrap(),
        ));
        let stranger = trusting().client_certificate(stranger.pem, stranger.key_pem);
        for endpoint in [trusting(), stranger] {
            let error = measure(&source(endpoint), pool(), PATIENT).await.unwrap_err();
            assert_eq!(error.kind(), FailureKind::Unavailable, "{error}");
        }
    };
    tokio::select! {
        () = serving => panic!("the server ended"),
        () = asking => {}
    }
}
