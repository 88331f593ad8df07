//! What each preset reads off a real Prometheus is what was served under the names that meshes and Kubernetes document.

use std::fmt::Write as _;
use std::time::Duration;

use canary_core::value::{Counts, Measured, Reading, Side, Signal, Timestamp};
use canary_prometheus::Prometheus;
use canary_prometheus::preset::istio::{Istio, Reporter};
use canary_prometheus::preset::{Preset, business, http, istio, linkerd, pods};

use crate::support::{Exporter, PrometheusServer, eventually, now};
use crate::{both_seen, custom, measure, truth};

/// What a version answers between two scrapes: how many requests well, not found, and badly.
const SERVED: [(u64, u64, u64); 2] = [(80, 9, 1), (5, 1, 4)];

const VERSIONS: [(&str, &str, &str); 2] =
    [("stable", "checkout", "v1"), ("canary", "checkout-canary", "v2")];

/// The bounds of which there are buckets in the page, in milliseconds; the bad requests are slow.
const BOUNDS: [u64; 3] = [25, 500, 1_000];

/// Writes the series of a histogram and of a counter for each kind of answer; `labels` has the code in it.
fn served(
    page: &mut String,
    n: u64,
    code: u64,
    (counter, counted): (&str, &str),
    buckets: (&str, &str),
) {
    writeln!(page, "{counter}{{{counted}}} {n}").unwrap();
    let (name, labels) = buckets;
    for bound in BOUNDS {
        let within = if code < 500 || bound >= 500 { n } else { 0 };
        // Seconds where the name says so.
        let le = if name.contains("seconds_bucket") && !name.contains("milli") {
            (bound as f64 / 1000.0).to_string()
        } else {
            bound.to_string()
        };
        writeln!(page, "{name}{{{labels}, le=\"{le}\"}} {within}").unwrap();
    }
    writeln!(page, "{name}{{{labels}, le=\"+Inf\"}} {n}").unwrap();
}

/// Writes what proxies and services tell at a scrape, of two versions and of what must not be counted with them.
fn requests(scrape: u64) -> String {
    let mut page = String::new();
    for ((variant, workload, version), (good, missing, bad)) in VERSIONS.into_iter().zip(SERVED) {
        let all = good + missing + bad;
        writeln!(page, "truth{{variant=\"{variant}\"}} {}", all * scrape).unwrap();
        for (code, status, n) in [(200, 0, good), (404, 5, missing), (503, 14, bad)] {
            let n = n * (40 + scrape);
            // Istio tells each request twice, once on either end, and of other namespaces too.
            for (reporter, namespace, n) in [
                ("destination", "shop", n),
                ("source", "shop", 3 * n),
                ("destination", "test", 7 * n),
            ] {
                // Who sends by a route that has a Service for each version tells that one.
                let service = if reporter == "source" { workload } else { "checkout" };
                let labels = format!(
                    "reporter=\"{reporter}\", source_workload=\"web\", source_workload_namespace=\"shop\", \
                     destination_workload=\"{workload}\", destination_workload_namespace=\"{namespace}\", \
                     destination_service=\"checkout.{namespace}.svc.cluster.local\", \
                     destination_service_name=\"{service}\", destination_service_namespace=\"{namespace}\", \
                     destination_version=\"{version}\", request_protocol=\"http\", response_code=\"{code}\", grpc_response_status=\"{status}\", \
                     response_flags=\"-\", connection_security_policy=\"mutual_tls\""
                );
                let buckets = ("istio_request_duration_milliseconds_bucket", &*labels);
                served(&mut page, n, code, ("istio_requests_total", &labels), buckets);
            }
            let class = if code < 500 { "success" } else { "failure" };
            for (direction, n) in [("inbound", n), ("outbound", 5 * n)] {
                let labels = format!(
                    "direction=\"{direction}\", namespace=\"shop\", deployment=\"{workload}\", \
                     pod=\"{workload}-5d4f8-abcde\", target_addr=\"10.0.0.1:8080\", tls=\"true\", status_code=\"{code}\""
                );
                let counted = format!("{labels}, classification=\"{class}\"");
                let buckets = ("response_latency_ms_bucket", &*labels);
                served(&mut page, n, code, ("response_total", &counted), buckets);
            }
            let labels = format!("version=\"{version}\", method=\"GET\", status=\"{code}\"");
            let buckets = ("http_request_duration_seconds_bucket", &*labels);
            served(&mut page, n, code, ("http_requests_total", &labels), buckets);
        }
    }
    page
}

/// Reads a signal over some scrapes, and how many those were.
async fn some_steps(source: &Prometheus, signal: Signal, begin: Timestamp) -> (Measured, u64) {
    let enough = begin + Duration::from_secs(4);
    let measured = eventually("some scrapes", async || {
        let measured = measure(source, signal.clone(), begin, now()).await.unwrap();
        (measured.covered.until >= enough).then_some(measured)
    })
    .await;
    let [stable, canary] = truth(source, begin, measured.covered.until).await;
    let all = SERVED.map(|(good, missing, bad)| good + missing + bad);
    assert_eq!(stable / all[0], canary / all[1], "one process tells both");
    (measured, stable / all[0])
}

#[tokio::test]
#[ignore = "needs the prometheus binary: apt-get install prometheus, then cargo test -p canary-prometheus -- --ignored"]
async fn requests_and_latency_of_each_preset_are_what_was_served() {
    let exporter = Exporter::serve(|scrape| Some(requests(scrape)));
    let server = PrometheusServer::start(&[exporter.address()]).await;
    let truth = r#"truth{variant="{{ variant }}"}"#;
    let begin =
        both_seen(&Prometheus::builder(server.url()).value("truth", truth).build().unwrap()).await;
    let (stable, canary) = ("checkout", "checkout-canary");
    let senders = || istio::told_by(Reporter::Source).called_by("shop", "web");
    // With how often each request is told under these names.
    let presets: [(&str, u64, Preset); 8] = [
        ("istio by workload", 1, istio::by_workload("shop", stable, canary)),
        ("istio by version", 1, istio::by_version("shop", stable, "v1", "v2")),
        ("istio by gRPC status", 1, Istio::default().grpc().by_workload("shop", stable, canary)),
        ("istio's senders", 3, senders().by_workload("shop", stable, canary)),
        ("istio's senders by service", 3, senders().by_service("shop", stable, canary)),
        ("istio's senders of gRPC", 3, senders().grpc().by_service("shop", stable, canary)),
        ("linkerd", 1, linkerd::by_deployment("shop", stable, canary)),
        ("http", 1, http::by_label("version", "v1", "v2")),
    ];
    for (name, times, preset) in presets {
        let source =
            Prometheus::builder(server.url()).preset(preset).value("truth", truth).build().unwrap();
        let (measured, steps) = some_steps(&source, Signal::Requests, begin).await;
        let steps = steps * times;
        for (side, (good, missing, bad)) in Side::BOTH.into_iter().zip(SERVED) {
            let counts = Counts::new((good + missing + bad) * steps, bad * steps).unwrap();
            assert_eq!(*measured.sides.get(side), Reading::Counts(counts), "{name}, {side}");
        }
        let (measured, steps) = some_steps(&source, Signal::Latency, begin).await;
        let steps = steps * times;
        for (side, (good, missing, bad)) in Side::BOTH.into_iter().zip(SERVED) {
            let Reading::Buckets(buckets) = measured.sides.get(side) else {
                panic!("{name}, {side}: {measured:?}");
            };
            assert_eq!(buckets.bounds(), BOUNDS.map(|bound| bound as f64), "{name}");
            let expected = [(good + missing) * steps, bad * steps, 0, 0];
            assert_eq!(buckets.counts(), expected, "{name}, {side}");
        }
    }
}

/// How far apart the samples of containers are; they bear times of their own, as cAdvisor's do.
const APART: Duration = Duration::from_secs(15);

/// The scrape at which pods are looked at.
const LOOK: u64 = 6;

fn stamp(begin: Timestamp, scrape: u64) -> Timestamp {
    begin + APART * u32::try_from(scrape).unwrap()
}

/// Writes what cAdvisor, kube-state-metrics and a shop's own counters tell at a scrape.
fn pods_page(begin: Timestamp, scrape: u64) -> String {
    let mut page = String::new();
    let at = stamp(begin, scrape).as_millis();
    let mut tell = |name: &str, labels: &str, value: f64| {
        writeln!(page, "{name}{{namespace=\"shop\", {labels}}} {value} {at}").unwrap();
    };
    for (number, (variant, deployment, _)) in VERSIONS.into_iter().enumerate() {
        let canary = number as f64;
        for pod in ["aaaaa", "bbbbb"] {
            let pod = format!("pod=\"{deployment}-5d4f8-{pod}\"");
            // The last is what the pod uses all in all.
            for container in ["app", "proxy", ""] {
                let of = format!("{pod}, container=\"{container}\"");
                // An eighth of a core in each container of stable, a quarter in each of the canary.
                let used = 15.0 * scrape as f64 * (0.125 + 0.125 * canary);
                tell("container_cpu_usage_seconds_total", &of, used);
                tell("container_memory_working_set_bytes", &of, 1e6 + 5e5 * canary);
                if !container.is_empty() {
                    for (resource, limit) in [("cpu", 0.5), ("memory", 2e6)] {
                        let of = format!("{of}, resource=\"{resource}\"");
                        tell("kube_pod_container_resource_limits", &of, limit);
                    }
                }
            }
            let restarts = if number == 1 { scrape.saturating_sub(3) as f64 } else { 2.0 };
            let app = format!("{pod}, container=\"app\"");
            tell("kube_pod_container_status_restarts_total", &app, restarts);
        }
        let of = format!("deployment=\"{deployment}\"");
        tell("kube_deployment_spec_replicas", &of, 2.0);
        tell("kube_deployment_status_replicas_ready", &of, 2.0 - canary);
        for (provider, good) in [("a", 9.0), ("b", 6.0 - 3.0 * canary)] {
            for (result, n) in [("authorised", good), ("declined", 12.0 - good)] {
                let of =
                    format!("variant=\"{variant}\", provider=\"{provider}\", result=\"{result}\"");
                tell("payments_total", &of, n * scrape as f64);
            }
        }
    }
    page
}

#[tokio::test]
#[ignore = "needs the prometheus binary: apt-get install prometheus, then cargo test -p canary-prometheus -- --ignored"]
async fn what_pods_and_payments_tell_is_what_was_served() {
    let begin = Timestamp::from_millis(now().as_millis() / 1000 * 1000 - 20 * 60_000);
    let exporter = Exporter::serve(move |scrape| Some(pods_page(begin, scrape)));
    let server = PrometheusServer::start(&[exporter.address()]).await;
    let good = r#"payments_total{variant="{{ variant }}", result="authorised"}"#;
    let all = r#"payments_total{variant="{{ variant }}"}"#;
    let source = Prometheus::builder(server.url())
        .preset(pods::by_deployment("shop", "checkout", "checkout-canary"))
        .preset(business::share("authorised", good, all))
        .preset(business::lowest_share("lowest", "provider", good, all))
        .preset(business::highest_share("highest", "provider", good, all))
        .value("newest", "max(timestamp(kube_deployment_spec_replicas))")
        .build()
        .unwrap();
    let (until, after) = (stamp(begin, LOOK), stamp(begin, LOOK - 4));
    eventually("the scrape that is looked at", async || {
        let newest = measure(&source, custom("newest"), after, until).await.unwrap();
        let expected = Reading::Value(until.as_millis() as f64 / 1000.0);
        (newest.sides.stable == expected).then_some(())
    })
    .await;
    for (name, stable, canary) in [
        ("cpu", 0.25, 0.5),
        ("memory", 0.5, 0.75),
        ("restarts", 0.0, 6.0),
        ("ready", 1.0, 0.5),
        ("authorised", 15.0 / 24.0, 12.0 / 24.0),
        ("lowest", 0.5, 0.25),
        ("highest", 0.75, 0.75),
    ] {
        let measured = measure(&source, custom(name), after, until).await.unwrap();
        for (side, expected) in Side::BOTH.into_iter().zip([stable, canary]) {
            match measured.sides.get(side) {
                Reading::Value(value) => {
                    assert!((value - expected).abs() < 1e-9, "{name} of {side}: {value}");
                }
                other => panic!("{name} of {side}: {other:?}"),
            }
        }
    }
}
