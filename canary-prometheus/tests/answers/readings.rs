//! What is asked for, and what answers are read as.

use std::time::Duration;

use canary_core::ports::{Call, MetricSource};
use canary_core::value::{
    Buckets, BySide, Counts, EffectId, Epoch, FailureKind, Measured, PodCounts, Query, Reading,
    Signal, Timestamp, Window,
};
use canary_prometheus::Prometheus;
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
    let range = |body: &[u8]| {
        let body = String::from_utf8(body.to_vec()).unwrap();
        body.split_once("%5B").unwrap().1.split_once("%5D").unwrap().0.to_owned()
    };
    asked.iter().map(|request| range(&request.body)).collect()
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
async fn buckets_that_contradict_each_other_are_repaired_upward_and_told() {
    let bucket = |le: &str, values: &[&str]| series(json!({"le": le}), values);
    let server = always(success(
        "matrix",
        json!([
            bucket("0.1", &["0", "4", "9"]),
            bucket("0.2", &["0", "4", "8"]),
            // Its newest sample is not there yet.
            bucket("+Inf", &["0", "5", "10"]),
            bucket("0.4", &["0", "5"]),
        ]),
    ))
    .await;
    let source = source(&server.uri());
    let measured = measure(&source, Signal::Latency, PATIENT).await.unwrap();
    let buckets = |counts: [u64; 4]| {
        Reading::Buckets(Buckets::new(vec![100.0, 200.0, 400.0], counts.into()).unwrap())
    };
    assert_eq!(measured.covered.until, at(30) + Duration::from_millis(123));
    assert_eq!(measured.sides.canary, buckets([4, 0, 1, 0]));

    let server = always(success(
        "matrix",
        json!([
            bucket("0.1", &["0", "4", "9"]),
            bucket("0.2", &["0", "4", "8"]),
            bucket("0.4", &["0", "4", "8"]),
            bucket("+Inf", &["0", "5", "10"]),
        ]),
    ))
    .await;
    let measured = measure(&super::source(&server.uri()), Signal::Latency, PATIENT).await.unwrap();
    assert_eq!(measured.sides.canary, buckets([9, 0, 0, 1]));
    let note =
        "canary: a bucket rose by less than a smaller one in it and is taken to have risen as much";
    assert_eq!(measured.notes[0], note);
}

#[tokio::test]
async fn native_histograms_are_counted_between_powers_of_two() {
    // 0.25 to 0.5 s in two buckets of a finer resolution, 2 to 4 s in one, and zero by itself.
    let sample = |second: u64, zero: u64, quick: u64, slow: u64| {
        json!([(BEGIN / 1000 + second) as f64, {
            "count": (zero + 2 * quick + slow).to_string(), "sum": "9", "buckets": [
                [3, "-1e-128", "1e-128", zero.to_string()],
                [0, "0.25", "0.3535533905932738", quick.to_string()],
                [0, "0.3535533905932738", "0.5", quick.to_string()],
                [0, "2", "4", slow.to_string()],
            ]
        }])
    };
    let samples = [sample(15, 1, 2, 3), sample(30, 2, 4, 3), sample(45, 2, 5, 4)];
    let server =
        always(success("matrix", json!([{ "metric": {"pod": "a"}, "histograms": samples }]))).await;
    let measured = measure(&source(&server.uri()), Signal::Latency, PATIENT).await.unwrap();
    let Reading::Buckets(buckets) = &measured.sides.canary else { panic!("{measured:?}") };
    assert_eq!(buckets.bounds()[..2], [0.976563, 1.953125]);
    let counts = buckets.counts().iter().enumerate().filter(|(_, count)| **count > 0);
    // From the sample at 30 s on; 500 ms is the tenth bound, 4 s the thirteenth.
    assert_eq!(Vec::from_iter(counts), [(9, &2), (12, &1)]);
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
