//! A reverse proxy in front of two versions.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::Response;
use canary_core::value::BySide;
use http_body_util::BodyExt as _;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use crate::counters::Counters;
use crate::server::Server;
use crate::split::{Pick, Split};
use crate::stopwatch::Stopwatch;

/// The header that carries the number of the pick to the version that was picked.
pub const PICK: HeaderName = HeaderName::from_static("x-pick");

/// When a version that has not answered counts as failed.
const PATIENCE: Duration = Duration::from_secs(5);

/// What concerns one connection only and is not passed on.
const HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// A running proxy on loopback: asks a [`Split`] for the side of each request, and tells [`Counters`] how
/// it went.
///
/// Bodies are read whole before they are passed on: it is made for small answers.
#[derive(Debug)]
pub struct Proxy {
    server: Server,
}

#[derive(Debug)]
struct Shared {
    split: Split,
    counters: Counters,
    upstreams: BySide<SocketAddr>,
    client: Client<HttpConnector, Body>,
}

impl Proxy {
    /// Starts a proxy in front of the two versions.
    ///
    /// # Errors
    /// If loopback cannot be listened on.
    pub async fn start(
        upstreams: BySide<SocketAddr>,
        split: Split,
        counters: Counters,
    ) -> io::Result<Self> {
        let shared = Shared {
            split,
            counters,
            upstreams,
            client: Client::builder(TokioExecutor::new()).build_http(),
        };
        let router = Router::new().fallback(forward).with_state(Arc::new(shared));
        let server = Server::start(router).await?;
        Ok(Self { server })
    }

    /// Returns where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.server.address()
    }
}

async fn forward(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let watch = Stopwatch::start();
    let pick = shared.split.pick();
    let answer = tokio::time::timeout(PATIENCE, shared.send(pick, request)).await;
    let response = match answer {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => plain(StatusCode::BAD_GATEWAY, error.to_string()),
        Err(_) => plain(StatusCode::GATEWAY_TIMEOUT, "no answer in time".to_owned()),
    };
    let bad = response.status().is_server_error();
    shared.counters.finished(pick.side, bad, watch.elapsed());
    response
}

impl Shared {
    async fn send(&self, pick: Pick, request: Request) -> anyhow::Result<Response> {
        let (mut head, body) = request.into_parts();
        let path = head.uri.path_and_query().cloned();
        head.uri = Uri::builder()
            .scheme("http")
            .authority(self.upstreams.get(pick.side).to_string())
            .path_and_query(path.unwrap_or_else(|| PathAndQuery::from_static("/")))
            .build()?;
        strip(&mut head.headers);
        head.headers.insert(PICK, HeaderValue::from(pick.number));
        let answer = self.client.request(Request::from_parts(head, body)).await?;
        let (mut head, body) = answer.into_parts();
        strip(&mut head.headers);
        let body: Bytes = body.collect().await?.to_bytes();
        Ok(Response::from_parts(head, Body::from(body)))
    }
}

fn strip(headers: &mut HeaderMap) {
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}

fn plain(status: StatusCode, text: String) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response
}
