//! What is fetched for a window, and what of it is covered.

use std::time::Duration;

use canary_core::ports::{Call, MetricSource, PortError};
use canary_core::value::{
    Counts, EffectId, Epoch, FailureKind, Measured, Query, Reading, Signal, Timestamp, Window,
};
use canary_prometheus::{Limits, Prometheus};
use serde_json::json;
use wiremock::matchers::{body_string_contains, method};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::{BEGIN, PATIENT, always, at, measure, series, source, success, to};

#[tokio::test]
async fn once_the_pace_is_known_little_more_than_the_window_is_fetched() {
    let server = always(success("matrix", json!([series(json!({}), &["1", "5", "9"])]))).await;
    let source = source(&server.uri());
    for _ in 0..2 {
        let measured = measure(&source, Signal::Requests, PATIENT).await.unwrap();
        assert_eq!(measured.sides.canary, Reading::Counts(Counts::new(8, 0).unwrap()));
    }
    let ranges = ranges_of(&server).await;
    assert_eq!(ranges, ["330000ms", "330000ms", "90000ms", "90000ms"]);
}

#[tokio::test]
async fn a_series_without_a_sample_before_the_window_is_looked_for_further_back() {
    let server = MockServer::start().await;
    let both = |new: &[&str]| {
        let old = series(json!({"pod": "a"}), &["1", "5", "9"]);
        let mut new = series(json!({"pod": "a", "code": "500"}), new);
        new["values"].as_array_mut().unwrap().remove(0);
        success("matrix", json!([old, new]))
    };
    Mock::given(body_string_contains("90000ms"))
        .respond_with(both(&["-", "2", "3"]))
        .mount(&server)
        .await;
    to(&server, "query", both(&["-", "2", "3"])).await;
    let source = source(&server.uri());
    for _ in 0..2 {
        let measured = measure(&source, Signal::Requests, PATIENT).await.unwrap();
        // The process was scraped before without the series: it began at zero.
        assert_eq!(measured.sides.canary, Reading::Counts(Counts::new(8 + 3, 3).unwrap()));
    }
    let ranges = ranges_of(&server).await;
    assert_eq!(ranges[2..], ["90000ms", "90000ms", "330000ms", "330000ms"]);
}

/// Returns the ranges of all queries so far.
async fn ranges_of(server: &MockServer) -> Vec<String> {
    let asked = server.received_requests().await.unwrap();
    asked.iter().map(|request| range_of(&request.body)).collect()
}

fn range_of(body: &[u8]) -> String {
    let body = String::from_utf8(body.to_vec()).unwrap();
    body.split_once("%5B").unwrap().1.split_once("%5D").unwrap().0.to_owned()
}

#[tokio::test]
async fn a_canary_that_was_not_scraped_twice_yet_is_waited_for_and_the_reason_is_told() {
    let stable = series(json!({}), &["1", "5", "9"]);
    let once = json!({ "metric": {}, "values": [[(BEGIN / 1000 + 50) as f64, "7"]] });
    let no_series = "canary: no series (not scraped yet, without requests so far, or not what the query selects)";
    for (canary, notes) in [
        (json!([]), &[no_series][..]),
        (json!([once]), &["canary: scraped once so far, where counting begins"]),
    ] {
        let server = MockServer::start().await;
        to(&server, "v2", success("matrix", canary)).await;
        to(&server, "stable", success("matrix", json!([stable]))).await;
        let source = source(&server.uri());
        let early = measure(&source, Signal::Requests, PATIENT).await.unwrap();
        let pending = Measured::pending(at(30));
        assert_eq!(early, notes.iter().fold(pending, |all, note| all.note(*note)));

        // A minute after the cursor is four scrapes of stable later.
        let call =
            Call::new("x".parse().unwrap(), Epoch::new(1), EffectId::new(1), 1, at(90), at(120));
        let queries = [Query::new(Signal::Requests, at(20))];
        let late = source.measure(&call, &queries, at(90)).await.pop().unwrap().unwrap();
        assert_eq!(late.sides.canary, Reading::NoData);
        assert!(!late.covered.is_empty());
        assert_eq!(late.notes, notes);
    }
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
    let unseen = "no series of either side (not scraped yet, without requests so far, or not what the query selects)";
    assert!(requests.notes.contains(&unseen.to_owned()), "{:?}", requests.notes);
    let left_out = requests.notes.iter().any(|note| note.starts_with("left out"));
    assert!(left_out, "{:?}", requests.notes);
    // A cursor ahead of the clock asks nothing.
    assert_eq!(latency, Measured::pending(at(90)));
}

/// Answers with a sample every 15 s, as far back as it is asked for.
fn samples_every_15_s(request: &Request) -> ResponseTemplate {
    let reach = range_of(&request.body).trim_end_matches("ms").parse::<u64>().unwrap() / 1000;
    let end = BEGIN / 1000 + 60;
    let values: Vec<_> = (0..reach / 15).rev().map(|i| json!([end - i * 15, "1"])).collect();
    success("matrix", json!([{ "metric": {}, "values": values }]))
}

/// Asks for what came since the epoch, of which an hour is looked at.
async fn since_the_epoch(server: &MockServer, most: usize) -> Result<Measured, PortError> {
    let (total, bad) = (r#"requests{variant="{{ variant }}"}"#, r#"bad{variant="{{ variant }}"}"#);
    let source = Prometheus::builder(server.uri()).requests(total, bad);
    let source = source.limits(Limits::default().samples(most)).build().unwrap();
    let call = Call::new("x".parse().unwrap(), Epoch::new(1), EffectId::new(1), 1, at(0), at(60));
    let queries = [Query::new(Signal::Requests, Timestamp::EPOCH)];
    source.measure(&call, &queries, at(60)).await.pop().unwrap()
}

#[tokio::test]
async fn of_a_window_that_is_too_much_to_fetch_the_end_is_counted() {
    let hour = |parts: u64| format!("{}ms", 3_600_000 / parts + 300_000);
    for (most, parts, counted) in [(150, 2, true), (80, 4, true), (79, 4, false)] {
        let server = MockServer::start().await;
        Mock::given(method("POST")).respond_with(samples_every_15_s).mount(&server).await;
        let answer = since_the_epoch(&server, most).await;
        let ranges = ranges_of(&server).await;
        assert_eq!(ranges.last(), Some(&hour(parts)), "{ranges:?}");
        if !counted {
            let error = answer.unwrap_err().to_string();
            assert!(error.contains("answers with more than 79 samples (80)"), "{error}");
            continue;
        }
        let (answer, begin) = (answer.unwrap(), at(60) - Duration::from_secs(3600 / parts));
        assert_eq!(answer.covered, Window::new(begin, at(60)));
        let left_out =
            format!("left out, being too much to fetch: {} to {begin}", Timestamp::EPOCH);
        assert!(answer.notes.contains(&left_out), "{:?}", answer.notes);
    }
}

/// What is wrong in the earlier half alone would never be judged.
#[tokio::test]
async fn a_window_that_is_wrong_is_not_halved() {
    let server = MockServer::start().await;
    let burst = json!([[(BEGIN / 1000 - 3500) as f64, "1"], [(BEGIN / 1000 - 3485) as f64, "9"]]);
    let burst = success("matrix", json!([{ "metric": {}, "values": burst }]));
    Mock::given(body_string_contains("bad")).respond_with(burst).mount(&server).await;
    Mock::given(method("POST")).respond_with(samples_every_15_s).mount(&server).await;
    let error = since_the_epoch(&server, 500).await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::Invalid, "{error}");
    assert!(ranges_of(&server).await.iter().all(|range| range == "3900000ms"));
}
