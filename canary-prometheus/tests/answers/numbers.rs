//! Numbers, and what the server remarks.

use canary_core::ports::{Call, MetricSource};
use canary_core::value::{BySide, EffectId, Epoch, Measured, Query, Reading, Signal, Window};
use canary_prometheus::Prometheus;
use serde_json::json;
use wiremock::{MockServer, ResponseTemplate};

use super::{PATIENT, always, at, measure, pool, source, success, to};

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

/// Answers each number of a union with what it asks for by itself.
fn marked(numbers: &[(&str, &str)]) -> ResponseTemplate {
    let one = |(mark, value): &(&str, &str)| json!({ "metric": { "canary_query": mark }, "value": [1.0, value] });
    success("vector", numbers.iter().map(one).collect())
}

#[tokio::test]
async fn all_numbers_of_a_look_are_one_query_and_equal_ones_are_asked_once() {
    let server = always(marked(&[("0", "0.25"), ("1", "0.5"), ("3", "NaN")])).await;
    let source = Prometheus::builder(server.uri())
        .value("pool", r#"pool{variant="{{ variant }}"}"#)
        .value("shared", "scalar(queue_length)")
        .build()
        .unwrap();
    let words = |text: &str| {
        let mut query = Query::new(Signal::Custom("more".into()), at(30));
        query.text = Some(text.into());
        query
    };
    let queries = [
        Query::new(Signal::Custom("pool".into()), at(30)),
        Query::new(Signal::Custom("shared".into()), at(30)),
        words("sum(rate(jobs[{{ window }}])) # a remark"),
    ];
    let call = Call::new("x".parse().unwrap(), Epoch::new(1), EffectId::new(1), 1, at(60), at(120));
    let answers = source.measure(&call, &queries, at(60)).await;
    let sides = |i: usize| answers[i].as_ref().unwrap().sides.clone();
    assert_eq!(sides(0), BySide { stable: Reading::Value(0.5), canary: Reading::Value(0.25) });
    assert_eq!(sides(1), BySide { stable: Reading::NoData, canary: Reading::NoData });
    assert_eq!(sides(2), BySide { stable: Reading::NotFinite, canary: Reading::NotFinite });
    let asked = server.received_requests().await.unwrap();
    let [one] = &asked[..] else { panic!("{asked:?}") };
    let query = String::from_utf8(one.body.clone()).unwrap();
    assert!(query.contains("vector%28scalar%28queue_length"), "{query}");
    assert!(query.contains("jobs%5B60000ms%5D%29%29+%23+a+remark%0A%29"), "{query}");
}

#[tokio::test]
async fn a_number_that_spoils_the_others_is_asked_by_itself() {
    let server = MockServer::start().await;
    let wrong = json!({ "status": "error", "errorType": "execution", "error": "many-to-many" });
    let wrong = || ResponseTemplate::new(422).set_body_json(&wrong);
    to(&server, "canary_query", wrong()).await;
    to(&server, "query=bad", wrong()).await;
    to(&server, "query=good", success("scalar", json!([1.0, "7"]))).await;
    let source =
        Prometheus::builder(server.uri()).value("bad", "bad").value("good", "good").build();
    let queries = ["bad", "good"].map(|name| Query::new(Signal::Custom(name.into()), at(30)));
    let call = Call::new("x".parse().unwrap(), Epoch::new(1), EffectId::new(1), 1, at(60), at(120));
    let answers = source.unwrap().measure(&call, &queries, at(60)).await;
    let error = answers[0].as_ref().unwrap_err().to_string();
    assert!(error.starts_with("bad of stable: ") && error.contains("many-to-many"), "{error}");
    assert_eq!(answers[1].as_ref().unwrap().sides.canary, Reading::Value(7.0));
}
