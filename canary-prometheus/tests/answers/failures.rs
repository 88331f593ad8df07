//! Every way in which an answer can fail has its kind, and a sentence.

use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use canary_core::value::{FailureKind, Signal};
use canary_prometheus::{Limits, Prometheus};
use serde_json::json;
use wiremock::ResponseTemplate;

use super::{PATIENT, always, measure, pool, source, success};

#[tokio::test]
async fn each_failure_has_its_kind_and_says_what_the_server_said() {
    let error = |kind: &str| json!({ "status": "error", "errorType": kind, "error": "told why" });
    let told = |status, kind| ResponseTemplate::new(status).set_body_json(error(kind));
    let page = |status| ResponseTemplate::new(status).set_body_string("<html>a page of a proxy");
    for (answer, kind, text) in [
        (told(400, "bad_data"), FailureKind::Invalid, "bad_data: told why"),
        (told(422, "execution"), FailureKind::Invalid, "execution: told why"),
        (told(503, "timeout"), FailureKind::Unavailable, "timeout: told why"),
        (told(500, "internal"), FailureKind::Unavailable, "internal: told why"),
        (told(200, "execution"), FailureKind::Invalid, "execution: told why"),
        (page(502), FailureKind::Unavailable, "a page of a proxy"),
        (page(429), FailureKind::RateLimited, "a page of a proxy"),
        (page(401), FailureKind::Denied, "401"),
        (page(403), FailureKind::Denied, "403"),
        (page(404), FailureKind::NotFound, "404"),
        (page(200), FailureKind::Invalid, "no JSON of the query API (text/plain): <html>"),
        (
            ResponseTemplate::new(200).set_body_json(json!({ "status": "success" })),
            FailureKind::Invalid,
            "without data",
        ),
        (
            ResponseTemplate::new(302).insert_header("Location", "https://ana:secret@sso/?next"),
            FailureKind::Invalid,
            "redirects to https://sso;",
        ),
    ] {
        let server = always(answer).await;
        let error = measure(&source(&server.uri()), pool(), PATIENT).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        let shown = error.to_string();
        assert!(shown.contains(text) && shown.starts_with("pool of "), "{shown}");
        assert!(!shown.contains("secret"), "{shown}");
        assert_eq!(error.retry_after(), None);
    }
}

#[tokio::test]
async fn a_server_that_asks_for_rest_is_quoted() {
    for (after, seconds) in [("7", 7), ("Sun, 01 Mar 2026 12:01:30 GMT", 90)] {
        let busy = ResponseTemplate::new(429)
            .insert_header("Date", "Sun, 01 Mar 2026 12:00:00 GMT")
            .insert_header("Retry-After", after);
        let server = always(busy).await;
        let error = measure(&source(&server.uri()), pool(), PATIENT).await.unwrap_err();
        assert_eq!(error.retry_after(), Some(Duration::from_secs(seconds)));
    }
}

#[tokio::test]
async fn a_server_that_hangs_costs_no_more_than_the_deadline() {
    let server = always(success("vector", json!([])).set_delay(Duration::from_secs(3600))).await;
    let patience = Duration::from_millis(50);
    let error = measure(&source(&server.uri()), pool(), patience).await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::Timeout, "{error}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable_and_no_password_is_shown() {
    let port = {
        let probe = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        probe.local_addr().unwrap().port()
    };
    let source = source(&format!("http://ana:secret@127.0.0.1:{port}"));
    let error = measure(&source, Signal::Requests, PATIENT).await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::Unavailable, "{error}");
    let debug = format!("{error:?} {source:?}");
    let shown = format!("{debug} {}", error.into_failure());
    assert!(!shown.contains("secret") && !shown.contains("/api/"), "{shown}");
}

#[tokio::test]
async fn an_answer_beyond_a_limit_is_refused_with_the_limit() {
    let series = json!({ "metric": {}, "values": [[1.0, "1"], [2.0, "2"]] });
    let server = always(success("matrix", json!([series, series]))).await;
    let limits = Limits::default();
    for (limits, text) in [
        (limits.bytes(100), "answers with more than 100 bytes: select less"),
        (limits.series(1), "answers with more than 1 series (2)"),
        (limits.samples(3), "answers with more than 3 samples (4)"),
    ] {
        let requests = r#"requests{variant="{{ variant }}"}"#;
        let source = Prometheus::builder(server.uri()).requests(requests, requests).limits(limits);
        let error = measure(&source.build().unwrap(), Signal::Requests, PATIENT).await.unwrap_err();
        assert_eq!(error.kind(), FailureKind::Invalid);
        assert!(error.to_string().contains(text), "{error}");
    }
}

#[tokio::test]
async fn a_signal_without_a_query_is_unsupported() {
    let error = measure(&source("http://127.0.0.1:9"), Signal::Custom("cpu".into()), PATIENT)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), FailureKind::Unsupported);
    assert_eq!(error.to_string(), "there is no query for cpu, only for: requests, latency, pool");
}
