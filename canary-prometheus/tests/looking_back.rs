//! A look back gives what looks gave then, and costs the server far fewer requests.
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use canary_core::ports::{Call, MetricSource, PortError};
use canary_core::value::{
    EffectId, Epoch, FailureKind, Measured, Query, RolloutId, Signal, Timestamp, Window,
};
use canary_prometheus::{LatencyUnit, Prometheus};
use serde_json::{Value, json};
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

const BEGIN: u64 = 1_700_000_000_000;

/// How far the samples go, in seconds.
const END: u64 = 50 * 60;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis(BEGIN + seconds * 1000)
}

/// Scrapes of one side, every 15 s: of stable all, of the canary without some and with a restart; its errors begin late.
fn samples(canary: bool, bad: bool) -> Vec<(u64, u64)> {
    let scrapes = (0..END / 15).filter(|n| !canary || !(70..75).contains(n) && *n > 4);
    let lived = |n: u64| if canary && n >= 120 { n - 119 } else { n };
    let scrapes = scrapes.filter(|n| !bad || *n >= 90);
    scrapes.map(|n| (n * 15 + 3 * u64::from(canary), lived(n) * if bad { 2 } else { 40 })).collect()
}

/// Answers as a server does that has these samples.
fn answer(request: &Request) -> ResponseTemplate {
    let form: BTreeMap<String, String> = serde_urlencoded(&request.body);
    let query = &form["query"];
    let ms = |name: &str| (form[name].parse::<f64>().unwrap() * 1000.0).round() as u64 - BEGIN;
    let canary = query.contains("canary");
    let seconds = |s: u64| (BEGIN / 1000 + s) as f64;
    if request.url.path().ends_with("query_range") {
        let step = form["step"].trim_end_matches("ms").parse::<usize>().unwrap();
        let times = (ms("start")..=ms("end")).step_by(step).map(|ms| ms / 1000);
        let values: Vec<Value> =
            times.map(|s| json!([seconds(s), format!("{}", pool(canary, s))])).collect();
        return success("matrix", json!([{ "metric": {}, "values": values }]));
    }
    let until = ms("time") / 1000;
    let Some((selector, range)) = query.split_once('[') else {
        let value = json!([seconds(until), pool(canary, until).to_string()]);
        return success("vector", json!([{ "metric": {}, "value": value }]));
    };
    let reach = range.trim_end_matches("ms]").parse::<u64>().unwrap().div_ceil(1000);
    let series = |labels: Value, bad: bool| {
        let within = |(s, _): &(u64, u64)| *s <= until && s + reach > until;
        let seen = samples(canary, bad).into_iter().filter(within);
        let values: Vec<Value> = seen.map(|(s, n)| json!([seconds(s), n.to_string()])).collect();
        (!values.is_empty()).then(|| json!({ "metric": labels, "values": values }))
    };
    let all = if selector.starts_with("requests") {
        [("200", false), ("503", true)]
            .map(|(code, bad)| series(json!({ "instance": "a", "code": code }), bad))
    } else {
        ["0.1", "+Inf"].map(|le| series(json!({ "instance": "a", "le": le }), false))
    };
    success("matrix", Value::Array(all.into_iter().flatten().collect()))
}

fn pool(canary: bool, s: u64) -> f64 {
    (s % 700) as f64 / if canary { 700.0 } else { 7_000.0 }
}

fn success(kind: &str, result: Value) -> ResponseTemplate {
    let data = json!({ "resultType": kind, "result": result });
    ResponseTemplate::new(200).set_body_json(json!({ "status": "success", "data": data }))
}

fn serde_urlencoded(body: &[u8]) -> BTreeMap<String, String> {
    let text = std::str::from_utf8(body).unwrap();
    let pairs = text.split('&').map(|pair| pair.split_once('=').unwrap());
    pairs.map(|(name, value)| (name.to_owned(), decoded(value))).collect()
}

fn decoded(text: &str) -> String {
    let mut bytes = text.bytes();
    let mut plain = Vec::new();
    while let Some(byte) = bytes.next() {
        plain.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
            }
            other => other,
        });
    }
    String::from_utf8(plain).unwrap()
}

async fn server() -> (MockServer, Prometheus) {
    server_failing(|_| None).await
}

/// Starts a server that answers unless it is told to fail.
async fn server_failing(
    fails: impl Fn(&Request) -> Option<ResponseTemplate> + Send + Sync + 'static,
) -> (MockServer, Prometheus) {
    let server = MockServer::start().await;
    let answer = move |request: &Request| fails(request).unwrap_or_else(|| answer(request));
    Mock::given(method("POST")).respond_with(answer).mount(&server).await;
    let source = Prometheus::builder(server.uri())
        .requests(
            r#"requests{variant="{{ variant }}"}"#,
            r#"requests{variant="{{ variant }}", code=~"5.."}"#,
        )
        .latency(r#"seconds_bucket{variant="{{ variant }}"}"#, LatencyUnit::Seconds)
        .value("pool", r#"pool{variant="{{ variant }}"}"#)
        .build()
        .unwrap();
    (server, source)
}

fn rollout() -> RolloutId {
    "checkout-42".parse().unwrap()
}

fn queries(from: Timestamp) -> Vec<Query> {
    let pool = Signal::Custom("pool".into());
    [Signal::Requests, Signal::Latency, pool].map(|signal| Query::new(signal, from)).to_vec()
}

/// Looks as a rollout does, with what the server has at each time.
async fn look(source: &Prometheus, span: Window, every: Duration) -> Vec<(Signal, Measured)> {
    let (mut queries, mut now, mut all) = (queries(span.after), span.after, Vec::new());
    while now < span.until {
        now = (now + every).min(span.until);
        let deadline = now + Duration::from_secs(60);
        let call = Call::new(rollout(), Epoch::new(1), EffectId::new(1), 1, now, deadline);
        let answers = source.measure(&call, &queries, now).await;
        for (query, answer) in queries.iter_mut().zip(answers) {
            let measured = answer.unwrap();
            if !measured.covered.is_empty() {
                query.after = measured.covered.until;
                all.push((query.signal.clone(), measured));
            }
        }
    }
    all
}

#[tokio::test]
async fn a_look_back_gives_what_looks_gave_then() {
    // Beyond several parts that are fetched at once, the last look sooner than the others.
    let span = Window::new(at(400), at(2_907));
    for every in [13, 40] {
        let (server, source) = server().await;
        let every = Duration::from_secs(every);
        let mut back = Vec::new();
        let take = |query: &Query, measured| back.push((query.signal.clone(), measured));
        source.look_back(&rollout(), &queries(span.after), span, every, take).await.unwrap();
        let asked = server.received_requests().await.unwrap().len();
        let then = look(&source, span, every).await;
        let live = server.received_requests().await.unwrap().len() - asked;
        assert!(back.len() > 100, "{}", back.len());
        assert_eq!(back, then, "every {every:?}");
        // Two requests for requests, two for latency, two for the number in each of three parts, and the number at the end.
        assert!(asked <= 3 * 6 + 2 && asked * 10 < live, "{asked} requests, {live} live");
    }
}

#[tokio::test]
async fn a_side_that_never_shows_is_refused_with_its_query() {
    let (_server, source) = server().await;
    // The canary's first scrapes are later.
    let span = Window::new(at(0), at(60));
    let (rollout, queries) = (rollout(), queries(span.after));
    let back = source.look_back(&rollout, &queries, span, Duration::from_secs(15), |_, _| {});
    let error = back.await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::NotFound);
    assert_eq!(
        error.to_string(),
        "requests of canary: the server has no two samples between 2023-11-14T22:13:20.000Z and \
         2023-11-14T22:14:20.000Z of `requests{variant=\"canary\"}`"
    );
}

/// Tells whether a request is for a later part of the past than the first.
fn is_midway(request: &Request) -> bool {
    let form = serde_urlencoded(&request.body);
    let until = form.get("end").or(form.get("time")).unwrap();
    until.parse::<f64>().unwrap() > (BEGIN / 1000 + 400 + 900) as f64
}

/// Asks to be left alone for no time at all, so that nobody waits here.
fn not_now(status: u16) -> ResponseTemplate {
    ResponseTemplate::new(status).insert_header("retry-after", "0").set_body_string("not now")
}

async fn look_back(source: &Prometheus, span: Window) -> Result<Vec<Measured>, PortError> {
    let mut all = Vec::new();
    let (rollout, queries) = (rollout(), queries(span.after));
    let take = |_: &Query, measured| all.push(measured);
    source.look_back(&rollout, &queries, span, Duration::from_secs(40), take).await?;
    Ok(all)
}

#[tokio::test]
async fn what_fails_midway_and_passes_changes_nothing() {
    let span = Window::new(at(400), at(2_907));
    let (_calm, source) = server().await;
    let calm = look_back(&source, span).await.unwrap();
    let seen = Mutex::<BTreeMap<Vec<u8>, u32>>::default();
    let (_server, source) = server_failing(move |request| {
        let mut seen = seen.lock().unwrap();
        let times = seen.entry(request.body.clone()).or_default();
        *times += 1;
        (is_midway(request) && *times <= 4)
            .then(|| not_now([503, 429, 500, 502][*times as usize - 1]))
    })
    .await;
    assert_eq!(look_back(&source, span).await.unwrap(), calm);
}

#[tokio::test]
async fn what_does_not_pass_and_what_fails_at_once_ends_a_look_back() {
    let span = Window::new(at(400), at(2_907));
    for (midway, status, kind, tries) in [
        (true, 503, FailureKind::Unavailable, 5),
        (true, 422, FailureKind::Invalid, 1),
        (false, 503, FailureKind::Unavailable, 1),
    ] {
        let fails =
            move |request: &Request| (is_midway(request) == midway).then(|| not_now(status));
        let (server, source) = server_failing(fails).await;
        let error = look_back(&source, span).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        let mut asked = BTreeMap::<Vec<u8>, usize>::new();
        let requests = server.received_requests().await.unwrap();
        for request in requests.iter().filter(|request| is_midway(request) == midway) {
            *asked.entry(request.body.clone()).or_default() += 1;
        }
        // Where one side fails for good, the other is no longer asked for.
        assert_eq!(asked.into_values().max(), Some(tries));
    }
}
