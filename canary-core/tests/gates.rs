//! What the library's own gates decide.
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::time::Duration;

use canary_core::gate::{AllOf, AnyOf, FnGate, HttpGate, Not, WindowGate};
use canary_core::policy::{Calendar, Moment};
use canary_core::ports::{Call, Decision, Gate, GateContext, MockGate, PortError};
use canary_core::value::{EffectId, Epoch, FailureKind, Timestamp, Weight};
use proptest::prelude::*;
use wiremock::matchers::{header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

fn call_at(now: Timestamp) -> Call {
    let deadline = now + Duration::from_secs(10);
    Call::new("shop-1".parse().unwrap(), Epoch::new(1), EffectId::new(1), 1, now, deadline)
}

fn context(moment: Moment, stage: &str) -> GateContext {
    GateContext::new("smoke".parse().unwrap(), moment, stage, Weight::percent(10))
}

async fn ask(gate: &dyn Gate) -> Result<Decision, PortError> {
    gate.decide(&call_at(Timestamp::from_millis(1_000_000)), &context(Moment::Leaving, "half"))
        .await
}

/// What one gate says.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Says {
    Open,
    Wait(u64),
    Reject,
    Fails,
}

fn gate(says: Says) -> MockGate {
    let mut gate = MockGate::new();
    gate.expect_decide().returning(move |_, _| match says {
        Says::Open => Ok(Decision::Open),
        Says::Wait(retry_after_ms) => {
            Ok(Decision::Wait { retry_after_ms, why: "not yet".to_owned() })
        }
        Says::Reject => Ok(Decision::reject("never")),
        Says::Fails => Err(PortError::new(FailureKind::Unavailable, "down")),
    });
    gate
}

fn heard(decision: Result<Decision, PortError>) -> Says {
    match decision {
        Ok(Decision::Open) => Says::Open,
        Ok(Decision::Wait { retry_after_ms, .. }) => Says::Wait(retry_after_ms),
        Ok(Decision::Reject { .. }) => Says::Reject,
        Err(_) => Says::Fails,
    }
}

fn says() -> impl Strategy<Value = Says> {
    prop_oneof![
        Just(Says::Open),
        (1_u64..1000).prop_map(Says::Wait),
        Just(Says::Reject),
        Just(Says::Fails),
    ]
}

fn waits(all: &[Says]) -> impl Iterator<Item = u64> {
    all.iter().filter_map(|says| match says {
        Says::Wait(ms) => Some(*ms),
        _ => None,
    })
}

proptest! {
    #[test]
    fn all_of_them_must_be_open(all in proptest::collection::vec(says(), 1..6)) {
        let (first, rest) = all.split_first().unwrap();
        let together = rest.iter().fold(AllOf::new(gate(*first)), |g, says| g.and(gate(*says)));
        let expected = if all.contains(&Says::Reject) {
            Says::Reject
        } else if all.contains(&Says::Fails) {
            Says::Fails
        } else {
            waits(&all).max().map_or(Says::Open, Says::Wait)
        };
        prop_assert_eq!(heard(futures_block_on(ask(&together))), expected);
    }

    #[test]
    fn any_of_them_may_be_open(all in proptest::collection::vec(says(), 1..6)) {
        let (first, rest) = all.split_first().unwrap();
        let together = rest.iter().fold(AnyOf::new(gate(*first)), |g, says| g.or(gate(*says)));
        let expected = if all.contains(&Says::Open) {
            Says::Open
        } else if let Some(soonest) = waits(&all).min() {
            Says::Wait(soonest)
        } else if all.contains(&Says::Fails) {
            Says::Fails
        } else {
            Says::Reject
        };
        prop_assert_eq!(heard(futures_block_on(ask(&together))), expected);
    }
}

fn futures_block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

#[tokio::test]
async fn not_turns_a_gate_round_and_never_rejects() {
    assert!(matches!(heard(ask(&Not::new(gate(Says::Open))).await), Says::Wait(_)));
    assert_eq!(heard(ask(&Not::new(gate(Says::Wait(5)))).await), Says::Open);
    assert_eq!(heard(ask(&Not::new(gate(Says::Reject))).await), Says::Open);
    assert_eq!(heard(ask(&Not::new(gate(Says::Fails))).await), Says::Fails);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_open_waits_for_no_other_that_hangs() {
    #[derive(Debug)]
    struct Hangs;
    #[async_trait::async_trait]
    impl Gate for Hangs {
        async fn decide(&self, _: &Call, _: &GateContext) -> Result<Decision, PortError> {
            std::future::pending().await
        }
    }
    assert_eq!(heard(ask(&AnyOf::new(Hangs).or(gate(Says::Open))).await), Says::Open);
    assert_eq!(heard(ask(&AllOf::new(Hangs).and(gate(Says::Reject))).await), Says::Reject);
}

#[tokio::test]
async fn a_function_sees_what_it_is_asked_about() {
    let small = FnGate::new(|context| match context.weight {
        weight if weight > Weight::percent(10) => Decision::reject("too much"),
        _ => Decision::Open,
    });
    assert_eq!(heard(ask(&small).await), Says::Open);
}

#[tokio::test]
async fn a_window_tells_when_it_opens() {
    // A Thursday at 17:30 in Berlin.
    let now = Timestamp::from_millis(1_767_889_800_000);
    let hours = Calendar::open("* 9-16 * * MON-THU", "Europe/Berlin");
    let gate = WindowGate::new(&hours).unwrap();
    let ask =
        |at| async move { gate.decide(&call_at(at), &context(Moment::Entering, "half")).await };
    let monday = Timestamp::from_millis(1_768_204_800_000);
    match ask.clone()(now).await.unwrap() {
        Decision::Wait { retry_after_ms, why } => {
            assert_eq!(now + Duration::from_millis(retry_after_ms), monday);
            assert_eq!(why, format!("it opens at {monday}"));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(ask(monday).await.unwrap(), Decision::Open);
    let frozen = WindowGate::new(&Calendar::freeze("* * * * *", "UTC")).unwrap();
    let decision = frozen.decide(&call_at(now), &context(Moment::Start, "")).await.unwrap();
    assert!(matches!(decision, Decision::Wait { .. }), "a freeze without an end");
    assert!(WindowGate::new(&Calendar::open("* * *", "UTC")).is_err());
}

async fn server(answers: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("GET")).and(path("/healthz")).respond_with(answers).mount(&server).await;
    server
}

fn page(server: &MockServer) -> String {
    format!("{}/healthz", server.uri())
}

#[tokio::test]
async fn a_page_opens_with_the_status_headers_and_content_that_are_expected() {
    let ready = ResponseTemplate::new(200)
        .set_body_json(serde_json::json!({ "checks": [{ "status": "ready" }] }));
    let server = server(ready).await;
    assert_eq!(heard(ask(&HttpGate::get(page(&server))).await), Says::Open);
    let json = |value: &str| HttpGate::get(page(&server)).expect_json("/checks/0/status", value);
    assert_eq!(heard(ask(&json("ready")).await), Says::Open);
    assert_eq!(heard(ask(&json("starting")).await), Says::Wait(5_000));
    assert_eq!(
        heard(ask(&HttpGate::get(page(&server)).expect_status(204)).await),
        Says::Wait(5_000)
    );

    let private = MockServer::start().await;
    let answer = Mock::given(header("x-canary", "true")).respond_with(ResponseTemplate::new(200));
    answer.mount(&private).await;
    let gate = HttpGate::get(private.uri());
    assert!(matches!(heard(ask(&gate).await), Says::Wait(_)));
    assert_eq!(heard(ask(&gate.header("x-canary", "true")).await), Says::Open);
}

#[tokio::test]
async fn the_third_wrong_answer_in_a_row_rejects() {
    let server = server(ResponseTemplate::new(503)).await;
    let gate = HttpGate::get(page(&server));
    let call = call_at(Timestamp::from_millis(1_000_000));
    let (first, second) = (context(Moment::Leaving, "first"), context(Moment::Leaving, "second"));
    for (context, expected) in [
        (&first, Says::Wait(5_000)),
        (&first, Says::Wait(5_000)),
        // Another stage has a count of its own.
        (&second, Says::Wait(5_000)),
        (&first, Says::Reject),
    ] {
        assert_eq!(heard(gate.decide(&call, context).await), expected, "{}", context.stage);
    }
    // A right answer in between begins anew.
    server.reset().await;
    let mixed = [503, 503, 200, 503, 503];
    for (i, status) in mixed.into_iter().enumerate() {
        let answer = ResponseTemplate::new(status);
        Mock::given(method("GET")).respond_with(answer).up_to_n_times(1).mount(&server).await;
        let context = context(Moment::Watch, "");
        let heard = heard(gate.decide(&call, &context).await);
        let expected = if status == 200 { Says::Open } else { Says::Wait(5_000) };
        assert_eq!(heard, expected, "answer {i}");
        server.reset().await;
    }
}

#[tokio::test]
async fn no_answer_is_no_wrong_answer() {
    // Nobody listens there.
    let gone = HttpGate::get("http://127.0.0.1:9/healthz");
    for _ in 0..5 {
        assert_eq!(ask(&gone).await.unwrap_err().kind(), FailureKind::Unavailable);
    }
    let slow = server(ResponseTemplate::new(200).set_delay(Duration::from_secs(60))).await;
    let now = Timestamp::from_millis(1_000_000);
    let (rollout, epoch) = ("shop-1".parse().unwrap(), Epoch::new(1));
    let hurry =
        Call::new(rollout, epoch, EffectId::new(1), 1, now, now + Duration::from_millis(50));
    let answer = HttpGate::get(page(&slow)).decide(&hurry, &context(Moment::Leaving, "half")).await;
    assert_eq!(answer.unwrap_err().kind(), FailureKind::Timeout);
}

#[tokio::test]
async fn an_address_that_is_none_is_told_without_what_is_secret() {
    for address in ["ftp://user:secret@shop/healthz", "http//user:secret@shop", "http://"] {
        let gate = HttpGate::get(address);
        let error = gate.check().unwrap_err();
        assert_eq!(error.kind(), FailureKind::Invalid);
        assert!(!error.to_string().contains("secret") && !format!("{gate:?}").contains("secret"));
        assert_eq!(ask(&gate).await.unwrap_err().kind(), FailureKind::Invalid);
    }
    assert!(HttpGate::get("http://shop").header("a b", "c").check().is_err());
    let gate = HttpGate::get("http://user:secret@127.0.0.1:9/healthz");
    let error = ask(&gate).await.unwrap_err().into_failure().to_string();
    assert!(!error.contains("secret") && !format!("{gate:?}").contains("secret"), "{error}");
}
