//! Two versions of a service, which note what reaches them.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use canary_core::driver::Clock;
use canary_core::value::{Side, Timestamp};
use canary_examples::server::Server;

/// One version on loopback.
#[derive(Debug)]
pub(crate) struct Version {
    server: Server,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    side: Side,
    clock: Clock,
    /// Of so many requests in a thousand, evenly spread, each fails.
    failing: AtomicU32,
    arrivals: Mutex<Vec<Arrival>>,
}

/// A request that reached a version.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    pub(crate) at: Timestamp,
}

impl Version {
    pub(crate) async fn start(side: Side, clock: Clock) -> Self {
        let shared = Shared { side, clock, failing: AtomicU32::new(0), arrivals: Mutex::default() };
        let shared = Arc::new(shared);
        let router = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        Self { server: Server::start(router).await.unwrap(), shared }
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Lets so many of a thousand requests fail from now on.
    pub(crate) fn fail(&self, of_a_thousand: u32) {
        self.shared.failing.store(of_a_thousand, Ordering::Relaxed);
    }

    pub(crate) fn arrivals(&self) -> Vec<Arrival> {
        self.shared.arrivals.lock().unwrap().clone()
    }
}

async fn answer(State(shared): State<Arc<Shared>>) -> (StatusCode, &'static str) {
    let arrival = Arrival { at: shared.clock.now() };
    let number = {
        let mut arrivals = shared.arrivals.lock().unwrap();
        arrivals.push(arrival);
        u32::try_from(arrivals.len()).unwrap()
    };
    let failing = shared.failing.load(Ordering::Relaxed);
    // As evenly as can be: the share has risen by one more request than with the one before.
    let fails = number * failing / 1000 > (number - 1) * failing / 1000;
    let status = if fails { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK };
    (status, shared.side.as_str())
}
