//! Users at the gateway, who note who answered them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use canary_core::driver::Clock;
use canary_core::value::{Side, Timestamp};
use canary_examples::counters::Counters;
use canary_examples::stopwatch::Stopwatch;
use http_body_util::BodyExt as _;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::task::JoinSet;

/// The header that testers send.
pub(crate) const TESTER: &str = "x-canary";

/// Users of one service, at a steady rate; every tenth is a tester where there are testers.
#[derive(Debug)]
pub(crate) struct Front {
    shared: Arc<Shared>,
    _task: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    client: Client<HttpConnector, Body>,
    port: u16,
    host: String,
    clock: Clock,
    /// What users see, without the testers.
    counters: Counters,
    answers: Mutex<Vec<Answer>>,
}

/// What one request came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    pub(crate) sent: Timestamp,
    pub(crate) tester: bool,
    pub(crate) status: StatusCode,
    /// `None` where neither version answered.
    pub(crate) by: Option<Side>,
}

impl Front {
    pub(crate) fn start(
        port: u16,
        host: &str,
        per_second: u32,
        testers: bool,
        clock: Clock,
        counters: Counters,
    ) -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http();
        let answers = Mutex::default();
        let shared =
            Arc::new(Shared { client, port, host: host.to_owned(), clock, counters, answers });
        let mut task = JoinSet::new();
        task.spawn(send(Arc::clone(&shared), Duration::from_secs(1) / per_second, testers));
        Self { shared, _task: task }
    }

    /// Returns what came of every request that was answered so far.
    pub(crate) fn answers(&self) -> Vec<Answer> {
        self.shared.answers.lock().unwrap().clone()
    }
}

async fn send(shared: Arc<Shared>, every: Duration, testers: bool) {
    let mut ticks = tokio::time::interval(every);
    let mut requests = JoinSet::new();
    for number in 0_u64.. {
        ticks.tick().await;
        while requests.try_join_next().is_some() {}
        let shared = Arc::clone(&shared);
        requests.spawn(async move { shared.request(testers && number.is_multiple_of(10)).await });
    }
}

impl Shared {
    async fn request(&self, tester: bool) {
        let watch = Stopwatch::start();
        let sent = self.clock.now();
        let (status, by) = self.ask(tester).await;
        if let Some(side) = by
            && !tester
        {
            self.counters.finished(side, status.is_server_error(), watch.elapsed());
        }
        self.answers.lock().unwrap().push(Answer { sent, tester, status, by });
    }

    async fn ask(&self, tester: bool) -> (StatusCode, Option<Side>) {
        let mut request = Request::get(format!("http://127.0.0.1:{}/", self.port))
            .header(header::HOST, &self.host);
        if tester {
            request = request.header(TESTER, "true");
        }
        let Ok(answer) = self.client.request(request.body(Body::empty()).unwrap()).await else {
            return (StatusCode::BAD_GATEWAY, None);
        };
        let status = answer.status();
        let Ok(body) = answer.into_body().collect().await else {
            return (StatusCode::BAD_GATEWAY, None);
        };
        let body = body.to_bytes();
        let by = Side::BOTH.into_iter().find(|side| side.as_str().as_bytes() == body);
        (status, by)
    }
}
