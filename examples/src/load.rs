//! A load that does not wait for answers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::body::Body;
use axum::http::Uri;
use http_body_util::BodyExt as _;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

/// How many requests may be on their way at once; one more is left out.
const AT_ONCE: usize = 1_000;

/// Sends requests at a steady rate over kept-alive connections, however long the answers take.
///
/// Dropping it ends it.
#[derive(Debug)]
pub struct Load {
    _task: JoinSet<()>,
}

impl Load {
    /// Begins to send `per_second` requests a second to an address.
    ///
    /// # Errors
    /// If there is no such rate: it lies between 1 and 100 000 a second.
    pub fn start(address: SocketAddr, per_second: u32) -> anyhow::Result<Self> {
        anyhow::ensure!(
            (1..=100_000).contains(&per_second),
            "a load has 1 to 100000 requests a second, not {per_second}"
        );
        let uri = format!("http://{address}/").parse().context("the address")?;
        let mut task = JoinSet::new();
        task.spawn(send(uri, Duration::from_secs(1) / per_second));
        Ok(Self { _task: task })
    }
}

async fn send(uri: Uri, every: Duration) {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let free = Arc::new(Semaphore::new(AT_ONCE));
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut requests = JoinSet::new();
    loop {
        ticks.tick().await;
        while requests.try_join_next().is_some() {}
        if let Ok(permit) = Arc::clone(&free).try_acquire_owned() {
            let (client, uri) = (client.clone(), uri.clone());
            requests.spawn(async move {
                request(&client, uri).await;
                drop(permit);
            });
        }
    }
}

/// Sends one request. How it went is counted by who answers.
async fn request(client: &Client<HttpConnector, Body>, uri: Uri) {
    if let Ok(response) = client.get(uri).await {
        // A connection is kept alive only when its answer was read to the end.
        let _ = response.into_body().collect().await;
    }
}
