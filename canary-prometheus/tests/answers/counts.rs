//! How requests are counted, and what cannot be.

use std::time::Duration;

use canary_core::value::{
    BySide, Counts, FailureKind, Measured, PodCounts, Reading, Signal, Window,
};
use canary_prometheus::Prometheus;
use serde_json::json;
use wiremock::MockServer;

use super::{BEGIN, PATIENT, always, at, measure, series, source, success, to};

#[tokio::test]
async fn requests_take_one_query_a_side_for_the_samples_that_the_window_needs() {
    let server = MockServer::start().await;
    // The range and the instant, and how long the server may work on it.
    let canary = "variant%3D%22v2%22%7D%5B330000ms%5D&time=1700000060.000&timeout=10000ms";
    let total = json!([
        series(json!({"pod": "a", "code": "200"}), &["50", "60", "5"]),
        series(json!({"pod": "a", "code": "503"}), &["0", "1", "4"]),
        series(json!({"pod": "b", "code": "200"}), &["7", "9", "9"]),
    ]);
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
    let counts = |total, bad| Counts::new(total, bad).unwrap();
    // Samples at 15, 30 and 45 s and a little: two steps end behind the cursor at 30 s.
    assert_eq!(measured.sides.stable, Reading::Counts(counts(8, 0)));
    assert_eq!(measured.sides.canary, Reading::Counts(counts(10 + 5 + 4 + 2, 4)));
    let pods = [PodCounts::new("a", counts(19, 4)), PodCounts::new("b", counts(2, 0))];
    assert_eq!(measured.pods, BySide { stable: Vec::new(), canary: pods.into() });
    assert_eq!(measured.notes, ["canary: 1 counter was reset"]);
    assert_eq!(server.received_requests().await.unwrap().len(), 2);
}

#[tokio::test]
async fn bad_requests_of_another_name_take_a_query_of_their_own() {
    let server = MockServer::start().await;
    let counted = |values: &[&str]| success("matrix", json!([series(json!({}), values)]));
    to(&server, "query=errors", counted(&["0", "6", "9"])).await;
    to(&server, "query=requests", counted(&["1", "7", "20"])).await;
    let by_name = |total: &str, bad: &str| {
        let [total, bad] =
            [total, bad].map(|name| format!("{name}{{variant=\"{{{{ variant }}}}\"}}"));
        Prometheus::builder(server.uri()).requests(total, bad).build().unwrap()
    };
    let source = by_name("requests", "errors");
    let measured = measure(&source, Signal::Requests, PATIENT).await.unwrap();
    assert_eq!(measured.sides.canary, Reading::Counts(Counts::new(19, 9).unwrap()));
    assert_eq!(server.received_requests().await.unwrap().len(), 4);

    let swapped = by_name("errors", "requests");
    let error = measure(&swapped, Signal::Requests, PATIENT).await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::Invalid);
    assert!(error.to_string().contains("19 of 9 requests are bad"), "{error}");
}

#[tokio::test]
async fn what_cannot_be_used_is_left_out_and_told() {
    let mut twice = series(json!({"pod": "a"}), &["1", "5", "9"]);
    let again = twice["values"][2].clone();
    twice["values"].as_array_mut().unwrap().push(again);
    let ended = series(json!({"pod": "b"}), &["3", "4", "NaN"]);
    let server = always(success("matrix", json!([twice, ended]))).await;
    let measured = measure(&source(&server.uri()), Signal::Requests, PATIENT).await.unwrap();
    assert_eq!(measured.sides.canary, Reading::Counts(Counts::new(5, 0).unwrap()));
    assert_eq!(
        measured.notes[..2],
        [
            "canary: 1 sample at the time of another was left out",
            "canary: 1 sample that is no number was left out",
        ]
    );
}

#[tokio::test]
async fn several_servers_that_scrape_the_same_processes_count_once() {
    let replica = |name: &str| series(json!({"replica": name, "pod": "a"}), &["1", "5", "9"]);
    let server = always(success("matrix", json!([replica("a"), replica("b")]))).await;
    let requests = r#"requests{variant="{{ variant }}"}"#;
    let source = || Prometheus::builder(server.uri()).requests(requests, requests);
    for (source, count) in [(source(), 16), (source().replica_label("replica"), 8)] {
        let source = source.build().unwrap();
        let measured = measure(&source, Signal::Requests, PATIENT).await.unwrap();
        let counts = Counts::new(count, count).unwrap();
        assert_eq!(measured.sides.canary, Reading::Counts(counts));
        assert_eq!(measured.pods.canary, [PodCounts::new("a", counts)]);
    }
}

#[tokio::test]
async fn increase_is_a_fallback_that_says_so_and_takes_long_windows_only() {
    let server = MockServer::start().await;
    let one = |value: &str| success("vector", json!([{ "metric": {}, "value": [1.0, value] }]));
    to(&server, "code", success("vector", json!([]))).await;
    to(
        &server,
        "query=sum%28increase%28requests%7Bvariant%3D%22stable%22%7D%5B30000ms%5D",
        one("104.4"),
    )
    .await;
    to(&server, "canary", one("NaN")).await;
    let requests = r#"requests{variant="{{ variant }}"}"#;
    let bad = r#"requests{variant="{{ variant }}", code="500"}"#;
    let source = |scrape| {
        let builder = Prometheus::builder(server.uri());
        builder.requests_by_increase(requests, bad, Duration::from_secs(scrape)).build().unwrap()
    };
    let measured = measure(&source(7), Signal::Requests, PATIENT).await.unwrap();
    let stable = Reading::Counts(Counts::new(104, 0).unwrap());
    assert_eq!(measured.sides, BySide { stable, canary: Reading::NotFinite });
    assert!(measured.notes[0].starts_with("counted with increase()"), "{:?}", measured.notes);
    let early = measure(&source(8), Signal::Requests, PATIENT).await.unwrap();
    assert_eq!(early, Measured::pending(at(30)));
}

#[tokio::test]
async fn series_that_cannot_be_counted_are_named() {
    let one = |labels, values: &[&str]| success("matrix", json!([series(labels, values)]));
    let le = |le: &str| json!({"pod": "a", "le": le});
    let bucket = |pod: &str, le: &str| series(json!({"pod": pod, "le": le}), &["1", "2"]);
    let native = json!([{ "metric": {"pod": "a"}, "histograms": [[1.0, {"count": "1"}]] }]);
    for (signal, answer, text) in [
        (Signal::Requests, one(json!({"pod": "a"}), &["0.5"]), r#"{pod="a"} is 0.5 at"#),
        (Signal::Requests, one(json!({"pod": "a"}), &["+Inf"]), r#"{pod="a"} is inf"#),
        (Signal::Requests, one(json!({"pod": "a"}), &["-1"]), r#"{pod="a"} is -1"#),
        (Signal::Requests, success("matrix", native.clone()), r#"{pod="a"} is a native histogram"#),
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
            success("matrix", json!([bucket("a", "1"), native[0]])),
            "some of the series are native histograms",
        ),
        (
            Signal::Latency,
            success(
                "matrix",
                json!([{ "metric": {"pod": "a"}, "histograms": [
                    [BEGIN as f64 / 1000.0, {"count": "3", "buckets": [[0, "1", "4", "3"]]}],
                ]}]),
            ),
            r#"{pod="a"} has a bucket from 1 to 4: it is wider"#,
        ),
    ] {
        let server = always(answer).await;
        let error = measure(&source(&server.uri()), signal, PATIENT).await.unwrap_err();
        assert_eq!(error.kind(), FailureKind::Invalid);
        assert!(error.to_string().contains(text), "{error}");
    }
}
