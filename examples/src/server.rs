//! An HTTP server on an ephemeral port of loopback.

use std::future::IntoFuture as _;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// Serves until it is stopped; dropping it ends it at once.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinSet<io::Result<()>>,
}

impl Server {
    /// Begins to serve on a port that the system chooses.
    ///
    /// # Errors
    /// If loopback cannot be listened on.
    pub async fn start(router: Router) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let serve = axum::serve(listener, router).with_graceful_shutdown(async {
            // An error says that the server was dropped, which is the same.
            let _ = stopped.await;
        });
        let mut task = JoinSet::new();
        task.spawn(serve.into_future());
        Ok(Self { address, stop, task })
    }

    /// Returns where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers what has begun, then ends.
    pub async fn stop(self) {
        drop(self.stop);
        self.task.join_all().await;
    }
}
