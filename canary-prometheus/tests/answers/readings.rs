//! What is asked for, and what answers are read as.

use std::time::Duration;

use canary_core::ports::{Call, MetricSource};
use canary_core::value::{
    Buckets, Counts, EffectId, Epoch, FailureKind, Measured, Query, Reading, Signal, Timestamp,
    Window,
};
use serde_json::{Value, json};
use wiremock::matchers::body_string_contains;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::{BEGIN, PATIENT, always, at, measure, pool, source, success};

/// Adds an answer to queries in whose form body a text occurs; mounted first, asked first.
async fn to(server: &MockServer, query: &str, answer: ResponseTemplate) {
    Mock::given(body_string_contains(query)).respond_with(answer).mount(server).await;
}

/// One series with a sample every 15 s from second 15 on.
fn series(labels: Value, values: &[&str]) -> Value {
    let values: Vec<_> = (1..)
        .zip(values)
        .map(|(n, value)| json!([(BEGIN / 1000 + 15 * n) as f64 + 0.123, value]))
        .collect();
    json!({ "metric": labels, "values": values })
}

#[tokio::test]
async fn requests_take_four_queries_for_the_samples_that_the_window_needs() {
    let server = MockServer::start().await;
    let canary = "variant%3D%22v2%22%7D";
    let bad = "5..%22%7D%5B330000ms%5D&time=1700000060.000";
    let canary_bad = "v2%22%2C+code%3D%7E%225..";
    to(&server, canary_bad, success("matrix", json!([series(json!({}), &["0", "1", "4"])]))).await;
    to(&server, bad, success("matrix", json!([]))).await;
    let total =
        json!([series(json!({"p": "1"}), &["50", "60", "5"]), series(json!({}), &["7", "9", "9"])]);
    to(&server, canary, success("matrix", total)).await;
    to(
        &server,
        "variant%3D%22stable%22%7D",
        success("matrix", json!([series(json!({}), &["1", "5", "9"])])),
    )
    .await;

    let measured = measure(&source(&server.uri()), Signal::Requests, PATIENT).await.unwrap();
    let covered = Window::new(at(30), at(45) + Duration::from_millis(123));
    assert_eq!(measured.covered, covered);
    let counts = |total, bad| Reading::Counts(Counts::new(total, bad).unwrap());
    // Samples at 15, 30 and 45 s and a little: two steps end behind the cursor at 30 s.
    assert_eq!(measured.sides.stable, counts(8, 0));
    assert_eq!(measured.sides.canary, counts(10 + 5 + 2, 4));
    assert_eq!(measured.notes, ["canary: 1 counter resets"]);
    let asked = server.received_requests().await.unwrap();
    assert_eq!(asked.len(), 4);
}

#[tokio::test]
async fn more_bad_requests_than_requests_are_refused() {
    let server = MockServer::start().await;
    to(&server, "5..", success("matrix", json!([series(json!({}), &["0", "6", "9"])]))).await;
    to(&server, "query", success("matrix", json!([series(json!({}), &["1", "5", "9"])]))).await;
    let error = measure(&source(&server.uri()), Signal::Requests, PATIENT).await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::Invalid);
    assert!(error.to_string().contains("9 of 8 requests are bad"), "{error}");
}

#[tokio::test]
async fn histograms_of_several_pods_are_added_bucket_by_bucket() {
    let bucket =
        |pod: &str, le: &str, values: &[&str]| series(json!({"pod": pod, "le": le}), values);
    let server = always(success(
        "matrix",
        json!([
            bucket("a", "+Inf", &["10", "12", "30"]),
            bucket("a", "0.0082", &["9", "10", "20"]),
            bucket("b", "+Inf", &["1", "1", "9"]),
            bucket("b", "8.2e-03", &["0", "0", "1"]),
        ]),
    ))
    .await;
    let measured = measure(&source(&server.uri()), Signal::Latency, PATIENT).await.unwrap();
    let buckets = Buckets::new(vec![8.2], vec![12, 16]).unwrap();
    assert_eq!(measured.sides.canary, Reading::Buckets(buckets));
}

#[tokio::test]
async fn series_that_cannot_be_counted_are_named() {
    let one = |labels, values: &[&str]| success("matrix", json!([series(labels, values)]));
    let le = |le: &str| json!({"pod": "a", "le": le});
    let bucket = |pod: &str, le: &str| series(json!({"pod": pod, "le": le}), &["1", "2"]);
    let native = json!([{ "metric": {"pod": "a"}, "histograms": [[1.0, {"count": "1"}]] }]);
    for (signal, answer, text) in [
        (Signal::Requests, one(json!({"pod": "a"}), &["0.5"]), r#"{pod="a"} is 0.5 at"#),
        (Signal::Requests, one(json!({"pod": "a"}), &["NaN"]), r#"{pod="a"} is NaN"#),
        (Signal::Requests, one(json!({"pod": "a"}), &["-1"]), r#"{pod="a"} is -1"#),
        (Signal::Requests, success("matrix", native), r#"{pod="a"} is a native histogram"#),
        (Signal::Requests, success("vector", json!([])), "samples over a range were asked for"),
        (Signal::Latency, one(json!({"pod": "a"}), &["1"]), r#"{pod="a"} has no `le`"#),
        (Signal::Latency, one(le("1"), &["1"]), r#"{pod="a"} has no bucket with le="+Inf""#),
        (
            Signal::Latency,
            success(
                "matrix",
                json!([
                    bucket("a", "1"),
                    bucket("a", "+Inf"),
                    bucket("b", "2"),
                    bucket("b", "+Inf")
                ]),
            ),
            r#"{pod="b"} has buckets at [2000.0] ms, others have them at [1000.0] ms"#,
        ),
        (
            Signal::Latency,
            success("matrix", json!([bucket("a", "1"), series(le("+Inf"), &["1"])])),
            r#"the buckets of {pod="a"} have samples at different times"#,
        ),
    ] {
        let server = always(answer).await;
        let error = measure(&source(&server.uri()), signal, PATIENT).await.unwrap_err();
        assert_eq!(error.kind(), FailureKind::Invalid);
        assert!(error.to_string().contains(text), "{error}");
    }
}

#[tokio::test]
async fn what_the_server_remarks_is_noted_once() {
    let answer = json!({
        "status": "success",
        "data": { "resultType": "vector", "result": [{ "metric": {}, "value": [1.0, "0.25"] }] },
        "warnings": ["a store is away"],
        "infos": ["metric might not be a counter"],
    });
    let server = always(ResponseTemplate::new(200).set_body_json(answer)).await;
    let measured = measure(&source(&server.uri()), pool(), PATIENT).await.unwrap();
    let window = Window::new(at(30), at(60));
    let expected = Measured::new(window, Reading::Value(0.25), Reading::Value(0.25))
        .note("a store is away")
        .note("metric might not be a counter");
    assert_eq!(measured, expected);
}

#[tokio::test]
async fn a_window_too_long_to_fetch_begins_later_and_says_so() {
    let server = always(success("matrix", json!([]))).await;
    let source = source(&server.uri());
    let call = Call::new("x".parse().unwrap(), Epoch::new(1), EffectId::new(1), 1, at(0), at(60));
    let queries =
        [Query::new(Signal::Requests, Timestamp::EPOCH), Query::new(Signal::Latency, at(90))];
    let answers = source.measure(&call, &queries, at(60)).await;
    let [requests, latency] = <[_; 2]>::try_from(answers).unwrap().map(Result::unwrap);
    assert_eq!(requests.covered, Window::new(at(60) - Duration::from_secs(3600), at(60)));
    assert!(requests.notes[0].starts_with("left out"), "{:?}", requests.notes);
    // A cursor ahead of the clock asks nothing.
    assert_eq!(latency, Measured::pending(at(90)));
}
