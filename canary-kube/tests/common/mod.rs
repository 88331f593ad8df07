//! What several tests need.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each test file uses a part of it, and fails by panicking"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use canary_core::ports::{Applied, Call, PortError, TrafficRouter};
use canary_core::value::{BySide, EffectId, Epoch, Timestamp, Traffic, Version, Weight};
use canary_kube::{RouteWeights, Rule, http_route};
use http::{Method, Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::{Mutex, Semaphore, mpsc};

/// Routes by the only rule with both backends of [`fields`].
pub(crate) fn router(client: Client, namespace: &str, name: &str) -> RouteWeights {
    let backends = BySide { stable: "web-stable".to_owned(), canary: "web-canary".to_owned() };
    http_route(client, namespace, name, Rule::Only, backends)
}

/// An HTTPRoute that gives the canary nothing.
pub(crate) fn fields() -> Value {
    json!({ "spec": { "rules": [{ "backendRefs": [
        { "name": "web-stable", "port": 80, "weight": 100 },
        { "name": "web-canary", "port": 80, "weight": 0 },
    ]}]}})
}

/// Makes the next call of a rollout; later ones have greater numbers.
pub(crate) fn call(rollout: &str) -> Call {
    static EFFECTS: AtomicU64 = AtomicU64::new(1);
    let effect = EffectId::new(EFFECTS.fetch_add(1, Ordering::Relaxed));
    let made = Timestamp::EPOCH;
    let deadline = made + Duration::from_secs(30);
    Call::new(rollout.parse().unwrap(), Epoch::new(1), effect, 1, made, deadline)
}

/// Sets a whole percentage.
pub(crate) async fn apply(
    router: &impl TrafficRouter,
    call: &Call,
    percent: u8,
    at: Option<&Version>,
) -> Result<Applied, PortError> {
    let traffic = Traffic::to_canary(Weight::percent(percent));
    router.apply(call, &traffic, at).await
}

/// Reads the canary's weight and the version.
pub(crate) async fn observe(router: &impl TrafficRouter) -> (Weight, Version) {
    let observed = router.observe(&call("observer")).await.unwrap();
    (observed.traffic.canary, observed.version)
}

/// A client whose patches wait for leave; a copy of each is handed out.
pub(crate) struct Held {
    pub(crate) client: Client,
    copies: Mutex<mpsc::UnboundedReceiver<Request<Vec<u8>>>>,
    leave: Arc<Semaphore>,
}

impl Held {
    pub(crate) fn new(inner: &Client) -> Self {
        let (sender, copies) = mpsc::unbounded_channel();
        let leave = Arc::new(Semaphore::new(0));
        let (inner, permits) = (inner.clone(), leave.clone());
        let service = tower::service_fn(move |request| {
            forward(inner.clone(), sender.clone(), permits.clone(), request)
        });
        Self { client: Client::new(service, "default"), copies: Mutex::new(copies), leave }
    }

    /// Waits until a patch is on its way, and returns a copy of it.
    pub(crate) async fn on_its_way(&self) -> Request<Vec<u8>> {
        self.copies.lock().await.recv().await.unwrap()
    }

    /// Lets patches through.
    pub(crate) fn let_through(&self, patches: usize) {
        self.leave.add_permits(patches);
    }
}

async fn forward(
    inner: Client,
    copies: mpsc::UnboundedSender<Request<Vec<u8>>>,
    leave: Arc<Semaphore>,
    request: Request<Body>,
) -> Result<Response<Body>, kube::Error> {
    if request.method() != Method::PATCH {
        return inner.send(request).await;
    }
    let (head, body) = request.into_parts();
    let body = body.collect_bytes().await?;
    let copy = Request::from_parts(head.clone(), body.to_vec());
    copies.send(copy).unwrap();
    leave.acquire().await.unwrap().forget();
    inner.send(Request::from_parts(head, Body::from(body))).await
}

/// Sends a patch that was held, and returns the code of the answer.
pub(crate) async fn deliver(client: &Client, request: Request<Vec<u8>>) -> u16 {
    client.send(request.map(Body::from)).await.unwrap().status().as_u16()
}
