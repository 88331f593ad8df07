//! Every way in which an answer can fail, and what is refused before anything is asked.

use std::time::Duration;

use canary_core::value::FailureKind;
use canary_prometheus::{AlertGate, AlertGateBuilder, BuildError, Endpoint, Limits};
use serde_json::json;
use wiremock::ResponseTemplate;

use super::{PATIENT, answering, by_prometheus, decide};

const PAGES: [&str; 2] = ["/api/v1/alerts", "/api/v2/alerts"];

fn gate(page: &str, endpoint: impl Into<Endpoint>) -> AlertGateBuilder {
    match page {
        "/api/v1/alerts" => AlertGate::prometheus(endpoint),
        _ => AlertGate::alertmanager(endpoint),
    }
}

#[tokio::test]
async fn each_failure_has_its_kind_and_says_what_the_server_said() {
    let page = |status| ResponseTemplate::new(status).set_body_string("<html>of a proxy");
    let both = [
        (page(502), FailureKind::Unavailable, "of a proxy"),
        (page(429), FailureKind::RateLimited, "of a proxy"),
        (page(401), FailureKind::Denied, "401"),
        (page(403), FailureKind::Denied, "403"),
        (page(404), FailureKind::NotFound, "404"),
        (page(200), FailureKind::Invalid, "no JSON of the"),
        (
            ResponseTemplate::new(302).insert_header("Location", "https://ana:secret@sso/?next"),
            FailureKind::Invalid,
            "redirects to https://sso;",
        ),
    ];
    let told = |status| {
        let error = json!({ "status": "error", "errorType": "bad_data", "error": "told why" });
        ResponseTemplate::new(status).set_body_json(error)
    };
    let cut = |body: &str| {
        let answer = ResponseTemplate::new(200).set_body_string(body);
        (answer, FailureKind::Unavailable, "broke its answer off")
    };
    let prometheus = [
        cut(r#"{"status": "success", "data": {"alerts": ["#),
        (told(400), FailureKind::Invalid, "bad_data: told why"),
        (told(503), FailureKind::Unavailable, "bad_data: told why"),
        (told(200), FailureKind::Invalid, "bad_data: told why"),
        (
            ResponseTemplate::new(200).set_body_json(json!([])),
            FailureKind::Invalid,
            "of the alerts",
        ),
    ];
    let bad = |status| ResponseTemplate::new(status).set_body_json("bad matcher format");
    let alertmanager = [
        cut(r#"[{"labels": {"#),
        (bad(400), FailureKind::Invalid, "bad matcher format"),
        (bad(500), FailureKind::Unavailable, "bad matcher format"),
        (by_prometheus(&[]), FailureKind::Invalid, "no JSON of the Alertmanager API"),
    ];
    let of = |page, cases: &[_]| cases.iter().cloned().map(|case| (page, case)).collect::<Vec<_>>();
    let cases = [
        of(PAGES[0], &both),
        of(PAGES[1], &both),
        of(PAGES[0], &prometheus),
        of(PAGES[1], &alertmanager),
    ];
    for (page, (answer, kind, text)) in cases.concat() {
        let server = answering(page, answer).await;
        let address = server.uri().replace("http://", "http://ana:secret@");
        let error = decide(&gate(page, address).build().unwrap(), PATIENT)
            .await
            .unwrap_err()
            .into_failure();
        assert_eq!(error.kind, kind, "{page} {error}");
        let shown = error.to_string();
        assert!(shown.contains(text) && shown.contains(&server.uri()), "{page} {shown}");
        assert!(!shown.contains("secret"), "{shown}");
    }
}

#[tokio::test]
async fn a_server_that_asks_for_rest_is_quoted_and_one_that_hangs_costs_the_deadline() {
    for page in PAGES {
        let busy = ResponseTemplate::new(429).insert_header("Retry-After", "7");
        let server = answering(page, busy).await;
        let error = decide(&gate(page, server.uri()).build().unwrap(), PATIENT).await.unwrap_err();
        assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));

        let hangs = ResponseTemplate::new(200).set_delay(Duration::from_secs(3600));
        let server = answering(page, hangs).await;
        let limited = Limits::default().time(Duration::from_millis(50));
        let soon = Duration::from_millis(50);
        for (limits, patience) in [(Limits::default(), soon), (limited, PATIENT)] {
            let gate = gate(page, server.uri()).limits(limits).build().unwrap();
            let error = decide(&gate, patience).await.unwrap_err();
            assert_eq!(error.kind(), FailureKind::Timeout, "{error}");
        }
    }
}

#[tokio::test]
async fn an_answer_beyond_a_limit_is_refused_with_the_limit() {
    let labels = json!({ "alertname": "A" });
    let two = by_prometheus(&[("firing", labels.clone()), ("firing", labels)]);
    let server = answering(PAGES[0], two).await;
    for (limits, text) in [
        (Limits::default().series(1), "answers with more than 1 alerts (2)"),
        (Limits::default().bytes(100), "answers with more than 100 bytes"),
    ] {
        let gate = gate(PAGES[0], server.uri()).limits(limits).build().unwrap();
        let error = decide(&gate, PATIENT).await.unwrap_err();
        assert_eq!(error.kind(), FailureKind::Invalid);
        assert!(error.to_string().contains(text), "{error}");
    }
}

#[test]
fn what_is_wrong_is_said_before_a_rollout_depends_on_it() {
    let [prometheus, alertmanager] = PAGES.map(|page| gate(page, "http://127.0.0.1:9"));
    for (builder, text) in [
        (gate(PAGES[0], "prometheus:9090"), "expected one such as"),
        (prometheus.clone().label("a-b", "c"), "`a-b` is no name of a label"),
        (prometheus.clone().label("1a", "c"), "`1a` is no name of a label"),
        (prometheus.clone().label("", "c"), "`` is no name of a label"),
        (
            prometheus.clone().variable("ns", "shop").label("a", "{{ n }}"),
            "label a: there is no variable `n`; there are rollout, ns",
        ),
        (prometheus.clone().label("a", "{{ n"), "label a: the template cannot be rendered"),
        (prometheus.clone().variable("rollout", "x"), "the variable `rollout` is filled in"),
        (alertmanager.or_pending(), "hears of an alert when it fires"),
    ] {
        let error: BuildError = builder.build().unwrap_err();
        assert!(error.to_string().contains(text), "{error}");
    }
    assert!(prometheus.or_pending().label("_a1", "{{ rollout }}").build().is_ok());
}
