//! What becomes of the API server's answers.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use canary_core::ports::{Call, TrafficRouter};
use canary_core::value::{FailureKind, Version, Weight};
use canary_kube::testing::MemoryApi;
use canary_kube::{FENCE, HTTP_ROUTE};
use common::{Held, apply, call, fields, observe, router};
use kube::Client;
use serde_json::{Value, json};

fn api() -> MemoryApi {
    let api = MemoryApi::new();
    api.put(&HTTP_ROUTE, "shop", "web", &fields());
    api
}

fn status(code: u16, reason: &str, details: &Value) -> String {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "as the server says", "reason": reason, "details": details, "code": code,
    })
    .to_string()
}

#[tokio::test]
async fn an_answer_is_sorted_by_what_can_be_done_about_it() {
    let none = json!({});
    let causes = json!({ "causes": [{ "field": "spec", "message": "must not be" }] });
    for (code, body, kind) in [
        (401, status(401, "Unauthorized", &none), FailureKind::Denied),
        (403, status(403, "Forbidden", &none), FailureKind::Denied),
        (404, status(404, "NotFound", &none), FailureKind::NotFound),
        (404, "404 page not found\n".to_owned(), FailureKind::NotFound),
        (409, status(409, "Conflict", &none), FailureKind::Conflict),
        (422, status(422, "Invalid", &none), FailureKind::Conflict),
        (422, status(422, "Invalid", &causes), FailureKind::Invalid),
        (400, status(400, "BadRequest", &none), FailureKind::Invalid),
        (429, "Too many requests".to_owned(), FailureKind::RateLimited),
        (500, status(500, "InternalError", &none), FailureKind::Unavailable),
        (503, "<html>no upstream</html>".to_owned(), FailureKind::Unavailable),
        (504, status(504, "Timeout", &none), FailureKind::Timeout),
        (200, "<html>welcome</html>".to_owned(), FailureKind::Invalid),
    ] {
        let api = api();
        let router = router(api.client(), "shop", "web");
        let (_, version) = observe(&router).await;
        api.answer_next(code, None, body);
        let error = apply(&router, &call("a"), 10, Some(&version)).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{code}: {error}");
        assert!(error.to_string().starts_with("HTTPRoute shop/web: "), "{error}");
        assert_eq!(api.take_requests().len(), 2, "{code} was tried again");
    }
}

#[tokio::test]
async fn a_server_that_asks_for_patience_is_understood() {
    let details = json!({ "retryAfterSeconds": 7 });
    for (header, body, seconds) in [
        (Some(3), "Too many requests".to_owned(), 3),
        (None, status(429, "TooManyRequests", &details), 7),
        (Some(3), status(429, "TooManyRequests", &details), 3),
    ] {
        let api = api();
        api.answer_next(429, header, body);
        let router = router(api.client(), "shop", "web");
        let error = router.observe(&call("a")).await.unwrap_err();
        assert_eq!(error.retry_after(), Some(Duration::from_secs(seconds)));
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    let refuse = |_: http::Request<kube::client::Body>| async {
        Err::<http::Response<kube::client::Body>, _>(std::io::Error::other("connection refused"))
    };
    let client = Client::new(tower::service_fn(refuse), "default");
    let error = router(client, "shop", "web").observe(&call("a")).await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::Unavailable);
    assert!(error.into_failure().message.contains("connection refused"));
}

#[tokio::test]
async fn no_call_outlives_its_deadline() {
    let held = Held::new(&api().client());
    let router = router(held.client.clone(), "shop", "web");
    let call = call("a");
    let deadline = call.made + Duration::from_millis(20);
    let call = Call::new(call.rollout, call.epoch, call.id, 1, call.made, deadline);
    let error = apply(&router, &call, 0, None).await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::Timeout, "{error}");
}

#[tokio::test]
async fn a_raise_is_one_request_and_all_writes_are_json_patches() {
    let api = api();
    let router = router(api.client(), "shop", "web");
    let (get, patch) = ("GET", "PATCH application/json-patch+json");

    let (_, version) = observe(&router).await;
    assert_eq!(api.take_requests(), [get]);
    let raised = apply(&router, &call("a"), 10, Some(&version)).await.unwrap();
    assert_eq!(api.take_requests(), [patch]);
    apply(&router, &call("a"), 20, Some(&raised.version)).await.unwrap();
    assert_eq!(api.take_requests(), [patch]);
    apply(&router, &call("a"), 0, None).await.unwrap();
    assert_eq!(api.take_requests(), [get, patch]);
    router.release(&call("a")).await.unwrap();
    assert_eq!(api.take_requests(), [get, patch]);
    router.release(&call("a")).await.unwrap();
    assert_eq!(api.take_requests(), [get]);
}

#[tokio::test]
async fn an_answer_with_other_weights_is_not_taken_for_success() {
    let api = api();
    let router = router(api.client(), "shop", "web");
    let (_, version) = observe(&router).await;
    let unchanged = api.get(&HTTP_ROUTE, "shop", "web").unwrap().to_string();
    api.answer_next(200, None, unchanged);
    let error = apply(&router, &call("a"), 10, Some(&version)).await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::Conflict);
    assert!(error.to_string().contains("was to have 10%, and has 0%"), "{error}");
}

/// Each time the abort has read the object, somebody changes it before the abort writes.
#[tokio::test]
async fn an_abort_wins_against_a_writer_who_is_always_faster() {
    let api = api();
    let router = router(api.client(), "shop", "web");
    let (_, version) = observe(&router).await;
    apply(&router, &call("a"), 10, Some(&version)).await.unwrap();
    router.release(&call("a")).await.unwrap();
    let _ = api.take_requests();

    let object = api.get(&HTTP_ROUTE, "shop", "web").unwrap().to_string();
    for _ in 0..5 {
        api.answer_next(200, None, object.clone());
        api.answer_next(422, None, status(422, "Invalid", &json!({})));
    }
    let abort = call("a");
    apply(&router, &abort, 0, None).await.unwrap();
    let requests = api.take_requests();
    let last: Vec<_> = requests.iter().rev().take(3).rev().map(String::as_str).collect();
    let [merge, patch] = ["merge", "json"].map(|how| format!("PATCH application/{how}-patch+json"));
    assert_eq!(last, ["GET", &merge, &patch]);
    let fence =
        api.get(&HTTP_ROUTE, "shop", "web").unwrap()["metadata"]["annotations"][FENCE].clone();
    assert_eq!(fence, json!(format!("a/1.{}.1", abort.id)));
    assert_eq!(observe(&router).await.0, Weight::ZERO);
}

#[tokio::test]
async fn a_version_of_another_router_is_refused() {
    let api = api();
    let router = router(api.client(), "shop", "web");
    let version = Version::new("17");
    let error = apply(&router, &call("a"), 10, Some(&version)).await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::Invalid);
    assert!(api.take_requests().is_empty());
}
