//! How latency is counted.

use std::time::Duration;

use canary_core::value::{Buckets, Reading, Signal};
use serde_json::json;

use super::{BEGIN, PATIENT, always, at, measure, series, source, success};

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
