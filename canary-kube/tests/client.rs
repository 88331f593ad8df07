//! The client that this crate makes.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::io::Write;

use canary_core::ports::TrafficRouter;
use canary_core::value::FailureKind;
use canary_kube::{Connection, client_from};
use common::{call, router};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
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
async fn reads_take_turns_and_writes_wait_for_none_of_them() {
    let server = Silent::start().await;
    let client = client_from(kubeconfig(&server.address).path()).await.unwrap();
    let route = || "/apis/gateway.networking.k8s.io/v1/namespaces/shop/httproutes/web".to_owned();
    let mut asked = JoinSet::new();
    let mut ask = |method: &str| {
        let request = http::Request::builder().method(method).uri(route()).body(Vec::new());
        let client = client.clone();
        asked.spawn(async move { client.request_text(request.unwrap()).await });
    };
    (0..40).for_each(|_| ask("GET"));
    server.has(|arrived| arrived.reads >= 16).await;
    ask("PATCH");
    let arrived = server.has(|arrived| arrived.writes == 1).await;
    assert_eq!(arrived.reads, 16);
    server.answers.send_replace(true);
    while let Some(answer) = asked.join_next().await {
        answer.unwrap().unwrap_err();
    }
    server.has(|arrived| arrived.reads >= 40).await;
}

/// A server that says nothing until it is told to.
struct Silent {
    address: String,
    arrived: watch::Sender<Arrived>,
    answers: watch::Sender<bool>,
    _server: JoinSet<()>,
}

#[derive(Clone, Copy, Default)]
struct Arrived {
    reads: usize,
    writes: usize,
}

impl Silent {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (arrived, answers) = (watch::Sender::default(), watch::Sender::new(false));
        let (counted, told) = (arrived.clone(), answers.clone());
        let mut server = JoinSet::new();
        server.spawn(async move {
            let mut heard = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                heard.spawn(Self::hear(stream, counted.clone(), told.subscribe()));
            }
        });
        Self { address, arrived, answers, _server: server }
    }

    async fn hear(
        mut stream: TcpStream,
        arrived: watch::Sender<Arrived>,
        mut answers: watch::Receiver<bool>,
    ) {
        let mut request = [0; 4096];
        // Requests without a body come in one piece.
        let read = stream.read(&mut request).await.unwrap();
        let reads = request[..read].starts_with(b"GET ");
        arrived.send_modify(|arrived| {
            *(if reads { &mut arrived.reads } else { &mut arrived.writes }) += 1;
        });
        answers.wait_for(|answers| *answers).await.unwrap();
        let nothing = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        stream.write_all(nothing).await.unwrap();
    }

    async fn has(&self, is: impl Fn(&Arrived) -> bool) -> Arrived {
        *self.arrived.subscribe().wait_for(|arrived| is(arrived)).await.unwrap()
    }
}

#[tokio::test]
async fn a_kubeconfig_that_cannot_be_used_is_an_error_with_its_reason() {
    let why = async |connection: Connection| connection.client().await.err().unwrap().to_string();
    let missing = why(Connection::new().kubeconfig("/nowhere/kubeconfig")).await;
    assert!(
        missing.starts_with(
            "no way to a cluster: the kubeconfig /nowhere/kubeconfig cannot be read: No such file"
        ),
        "{missing}"
    );
    let file = kubeconfig("http://127.0.0.1:1");
    let there = Connection::new().kubeconfig(file.path());
    assert_eq!(there.server().await.unwrap(), "http://127.0.0.1:1/");
    let other = why(there.context("y")).await;
    assert!(other.contains("has no context `y`: `kubectl config get-contexts`"), "{other}");
    assert!(client_from(kubeconfig("no address").path()).await.is_err());
}
