//! The loopback world under concurrent requests.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use canary_core::ports::{Applied, Call, MetricSource as _, PortError, TrafficRouter as _};
use canary_core::value::{
    BySide, Counts, EffectId, Epoch, Query, Reading, Signal, Timestamp, Traffic, Weight,
};
use canary_examples::loopback::Loopback;
use canary_examples::service::Behaviour;
use http_body_util::BodyExt as _;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// How many requests are on their way at once.
const CLIENTS: u64 = 8;

async fn world(canary_error_rate: f64) -> Loopback {
    let behaviour = |variant, error_rate| Behaviour {
        variant,
        error_rate,
        median: Duration::from_millis(1),
        slower_by: Duration::ZERO,
        seed: 7,
    };
    let behaviours =
        BySide { stable: behaviour("stable", 0.0), canary: behaviour("canary", canary_error_rate) };
    Loopback::start(behaviours).await.unwrap()
}

fn call(id: u64) -> Call {
    let made = Timestamp::EPOCH;
    let rollout = "test".parse().unwrap();
    Call::new(rollout, Epoch::new(1), EffectId::new(id), 1, made, made)
}

async fn raise(world: &Loopback, id: u64, weight: Weight) -> Result<Applied, PortError> {
    let at = world.split.observe(&call(id)).await?.version;
    let traffic = Traffic::to_canary(weight);
    world.split.apply(&call(id), &traffic, Some(&at)).await
}

type Answers = mpsc::Receiver<(StatusCode, String)>;

/// Sends requests from a few clients at once for as long as the task set lives.
fn clients(address: SocketAddr) -> (JoinSet<()>, Answers) {
    let (answered, answers) = mpsc::channel(1);
    let mut tasks = JoinSet::new();
    for _ in 0..CLIENTS {
        let answered = answered.clone();
        tasks.spawn(async move {
            let client = Client::builder(TokioExecutor::new()).build_http();
            while answered.send(request(&client, address).await).await.is_ok() {}
        });
    }
    (tasks, answers)
}

async fn request(
    client: &Client<HttpConnector, Body>,
    address: SocketAddr,
) -> (StatusCode, String) {
    get(client, format!("http://{address}/path?q=1")).await
}

async fn get(client: &Client<HttpConnector, Body>, uri: String) -> (StatusCode, String) {
    let answer = client.get(uri.parse().unwrap()).await.unwrap();
    let status = answer.status();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

/// Waits for the end of this millisecond, and reads what was counted so far.
async fn counted(world: &Loopback) -> BySide<Reading> {
    let until = world.clock.now() + Duration::from_millis(1);
    loop {
        let queries = [Query::new(Signal::Requests, Timestamp::EPOCH)];
        let mut answers = world.counters.measure(&call(0), &queries, until).await;
        let measured = answers.remove(0).unwrap();
        if measured.covered.until == until {
            return measured.sides;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_picked_after_the_acknowledgement_reaches_the_canary() {
    let world = world(0.0).await;
    let (_clients, mut answers) = clients(world.proxy.address());
    for id in 0..20 {
        raise(&world, id * 2, Weight::percent(50)).await.unwrap();
        while world.split.standing().picked.canary < 10 {
            answers.recv().await.unwrap();
        }
        let (lower, zero) = (call(id * 2 + 1), Traffic::all_stable());
        world.split.apply(&lower, &zero, None).await.unwrap();
        let acknowledged = world.split.standing().last_pick_before;
        while world.split.standing().picked.stable < 50 {
            answers.recv().await.unwrap();
        }
        assert_eq!(world.split.standing().picked.canary, 0, "picked");
        assert_eq!(world.services.canary.received_after(acknowledged), 0, "received");
    }
    assert!(world.services.canary.received_after(0) >= 200 - CLIENTS as usize);
}

#[tokio::test]
async fn the_share_that_arrives_is_the_weight() {
    let world = world(0.0).await;
    raise(&world, 1, Weight::percent(25)).await.unwrap();
    let (_clients, mut answers) = clients(world.proxy.address());
    let mut of_canary = 0_u64;
    for _ in 0..400 {
        let (status, body) = answers.recv().await.unwrap();
        assert_eq!(status, StatusCode::OK);
        of_canary += u64::from(body == "canary");
    }
    // What is still on its way may shift it by as many requests.
    assert!(of_canary.abs_diff(100) <= CLIENTS, "{of_canary} of 400");
}

#[tokio::test]
async fn what_users_got_is_what_was_counted() {
    let world = world(0.3).await;
    raise(&world, 1, Weight::percent(50)).await.unwrap();
    let client = Client::builder(TokioExecutor::new()).build_http();
    let mut got = BySide::<Counts>::default();
    for _ in 0..200 {
        let (status, body) = request(&client, world.proxy.address()).await;
        let one = Counts::new(1, u64::from(status != StatusCode::OK)).unwrap();
        match body.as_str() {
            "canary" => got.canary.add(one),
            _ => got.stable.add(one),
        }
    }
    assert!(got.canary.bad > 0 && got.stable.bad == 0, "{got:?}");
    let counted = counted(&world).await;
    assert_eq!(counted.stable, Reading::Counts(got.stable));
    assert_eq!(counted.canary, Reading::Counts(got.canary));

    let metrics = format!("http://{}/metrics", world.services.canary.address());
    let (_, text) = get(&client, metrics).await;
    for line in [
        format!("http_requests_total{{variant=\"canary\",code=\"500\"}} {}", got.canary.bad),
        format!("http_request_duration_seconds_count{{variant=\"canary\"}} {}", got.canary.total),
    ] {
        assert!(text.lines().any(|l| l == line), "no `{line}` in:\n{text}");
    }
}

#[tokio::test]
async fn a_version_that_does_not_answer_counts_as_failing() {
    let world = world(0.0).await;
    raise(&world, 1, Weight::FULL).await.unwrap();
    let (split, counters) = (world.split, world.counters);
    world.services.canary.stop().await;
    let client = Client::builder(TokioExecutor::new()).build_http();
    let (status, _) = request(&client, world.proxy.address()).await;
    assert_eq!(status, StatusCode::BAD_GATEWAY);
    assert_eq!(split.standing().picked.canary, 1);
    let tally = counters.latest(Duration::from_secs(600)).canary;
    assert_eq!(tally.counts, Counts::new(1, 1).unwrap());
}
