//! Stands between a program and the API server, and is as unkind as a test wants.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use canary_kube::Connection;
use futures::future::BoxFuture;
use http::header::{HOST, RETRY_AFTER};
use http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kube::Client;
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// What becomes of a request.
pub(crate) enum Fate {
    Pass,
    /// Something else happens first.
    Behind(BoxFuture<'static, ()>),
    /// It is answered here, with this code; the server never sees it.
    Answer(u16),
    /// The connection ends, and the server never sees it.
    Cut,
    /// The server does what it says, and the connection ends before anybody hears of that.
    Unheard,
    /// Nothing ever comes of it.
    Hangs,
    /// It waits for leave before the server sees it.
    Held,
    /// The server answers at once, and the answer waits for leave.
    Kept,
}

/// One request and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) path: String,
    /// `None` where nobody heard an answer, or nobody has yet.
    pub(crate) code: Option<u16>,
}

impl Asked {
    /// Tells whether it is about a route.
    pub(crate) fn is_of_route(&self) -> bool {
        self.path.contains("/virtualservices/")
    }

    pub(crate) fn writes_route(&self) -> bool {
        self.is_of_route() && self.method == Method::PATCH
    }
}

type Rule = Box<dyn FnMut(&Asked) -> Fate + Send>;

struct Shared {
    server: Client,
    rule: Mutex<Rule>,
    asked: watch::Sender<Vec<Asked>>,
    leave: Semaphore,
}

/// An HTTP server on loopback.
pub(crate) struct Front {
    address: SocketAddr,
    shared: Arc<Shared>,
    _serving: JoinSet<()>,
}

impl Front {
    /// Passes everything on to the server of this kubeconfig, in the name of whoever asks.
    pub(crate) async fn to(kubeconfig: &Path) -> Self {
        let mut kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
        kubeconfig.auth_infos.iter_mut().for_each(|user| user.auth_info = Some(Default::default()));
        let options = KubeConfigOptions::default();
        let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.unwrap();
        config.default_retry = false;
        let shared = Arc::new(Shared {
            server: Client::try_from(config).unwrap(),
            rule: Mutex::new(Box::new(|_| Fate::Pass)),
            asked: watch::Sender::default(),
            leave: Semaphore::new(0),
        });
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, Arc::clone(&shared)));
        Self { address, shared, _serving: serving }
    }

    /// Writes a kubeconfig that leads here, with this user.
    pub(crate) fn kubeconfig(&self, path: &Path, user: &serde_json::Value) {
        let server = format!("http://{}", self.address);
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "front",
            "clusters": [{ "name": "front", "cluster": { "server": server } }],
            "users": [{ "name": "bot", "user": user }],
            "contexts": [{ "name": "front", "context": { "cluster": "front", "user": "bot" } }],
        });
        std::fs::write(path, kubeconfig.to_string()).unwrap();
    }

    /// Connects through it as this user.
    pub(crate) async fn client(&self, user: &serde_json::Value) -> Client {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kubeconfig");
        self.kubeconfig(&path, user);
        Connection::new().kubeconfig(path).client().await.unwrap()
    }

    /// Decides about each request from now on.
    pub(crate) fn rule(&self, rule: impl FnMut(&Asked) -> Fate + Send + 'static) {
        *self.shared.rule.lock().unwrap() = Box::new(rule);
    }

    /// Gives one request, or answer, that waits for it leave.
    pub(crate) fn let_go(&self) {
        self.shared.leave.add_permits(1);
    }

    /// Returns how many requests there were.
    pub(crate) fn count(&self) -> usize {
        self.shared.asked.borrow().len()
    }

    /// Returns the requests behind the first so many.
    pub(crate) fn since(&self, count: usize) -> Vec<Asked> {
        self.shared.asked.borrow()[count..].to_vec()
    }

    /// Waits until so many requests behind the first `count` are such.
    pub(crate) async fn until(&self, count: usize, many: usize, is: impl Fn(&Asked) -> bool) {
        let mut asked = self.shared.asked.subscribe();
        let enough =
            asked.wait_for(|asked| asked[count..].iter().filter(|asked| is(asked)).count() >= many);
        let enough = tokio::time::timeout(Duration::from_secs(30), enough).await;
        assert!(enough.is_ok(), "it was never asked for: {:?}", self.since(count));
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        connections.spawn(connection(stream, Arc::clone(&shared)));
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    let service = service_fn(move |request| Arc::clone(&shared).answer(request));
    // A connection that was cut ends with an error.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

impl Shared {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> io::Result<Response<Body>> {
        let path = request.uri().path().to_owned();
        let asked = Asked { method: request.method().clone(), path, code: None };
        let fate = self.rule.lock().unwrap()(&asked);
        let number = self.asked.borrow().len();
        self.asked.send_modify(|all| all.push(asked));
        let answer = match fate {
            Fate::Answer(code) => refusal(code),
            Fate::Cut => return Err(io::ErrorKind::ConnectionReset.into()),
            Fate::Hangs => std::future::pending().await,
            Fate::Pass => self.pass(request).await?,
            Fate::Unheard => {
                let _ = self.pass(request).await?;
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            Fate::Behind(first) => {
                first.await;
                self.pass(request).await?
            }
            Fate::Held => {
                self.leave.acquire().await.map_err(io::Error::other)?.forget();
                self.pass(request).await?
            }
            Fate::Kept => {
                let answer = self.pass(request).await?;
                self.asked.send_modify(|all| all[number].code = Some(answer.status().as_u16()));
                self.leave.acquire().await.map_err(io::Error::other)?.forget();
                answer
            }
        };
        self.asked.send_modify(|all| all[number].code = Some(answer.status().as_u16()));
        Ok(answer)
    }

    async fn pass(&self, request: Request<Incoming>) -> io::Result<Response<Body>> {
        let (mut head, body) = request.into_parts();
        head.headers.remove(HOST);
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        let request = Request::from_parts(head, Body::from(body.to_vec()));
        self.server.send(request).await.map_err(io::Error::other)
    }
}

/// Answers as the API server does, with a `Retry-After` where it asks for patience.
fn refusal(code: u16) -> Response<Body> {
    let (reason, message) = match code {
        401 => ("Unauthorized", "Unauthorized"),
        429 => ("TooManyRequests", "the server has received too many requests"),
        503 => ("ServiceUnavailable", "the server is currently unable to handle the request"),
        _ => ("InternalError", "an error"),
    };
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code,
    });
    let mut answer = Response::builder().status(code);
    if matches!(code, 429 | 503) {
        answer = answer.header(RETRY_AFTER, "30");
    }
    answer.body(Body::from(status.to_string().into_bytes())).unwrap()
}
