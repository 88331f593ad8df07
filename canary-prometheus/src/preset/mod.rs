//! Queries for what meshes, Kubernetes and plain HTTP services export.
//!
//! A preset is a set of queries that belong together, with the names of the two versions filled in. Several presets and
//! queries of your own go into one source:
//!
//! ```
//! use canary_prometheus::Prometheus;
//! use canary_prometheus::preset::{business, istio, pods};
//!
//! let source = Prometheus::builder("http://prometheus:9090")
//!     .preset(istio::by_workload("shop", "checkout", "checkout-canary"))
//!     .preset(pods::by_deployment("shop", "checkout", "checkout-canary"))
//!     .preset(business::share(
//!         "refunds",
//!         r#"refunds_total{workload=~"{{ variant }}.*", result="ok"}"#,
//!         r#"refunds_total{workload=~"{{ variant }}.*"}"#,
//!     ))
//!     .build()?;
//! # drop(source);
//! # Ok::<(), canary_prometheus::BuildError>(())
//! ```

use canary_core::value::{BySide, Signal};

use crate::builder::{Draft, LatencyUnit};
use crate::increase::Increase;
use crate::source::Of;
use crate::template::Template;

pub mod business;
pub mod http;
pub mod istio;
pub mod linkerd;
pub mod pods;

/// Holds queries that belong together.
#[derive(Clone, Debug)]
pub struct Preset {
    pub(crate) asks: Vec<(Signal, Draft)>,
}

impl Preset {
    fn fill_in(&mut self, name: &str, value: &str) {
        for (_, draft) in &mut self.asks {
            let templates = match draft {
                Draft::Counts(Of::Requests { total, bad })
                | Draft::Increase(Increase { total, bad, .. }) => vec![total, bad],
                Draft::Counts(Of::Latency { buckets, .. }) => vec![buckets],
                Draft::Value(query) => vec![query],
            };
            templates.into_iter().for_each(|template| template.fill_in(name, value));
        }
    }
}

/// Fills in what a preset's templates name.
struct Names {
    namespace: Option<String>,
    /// What tells the versions apart, under the name `version`.
    version: BySide<String>,
}

impl Names {
    fn new(stable: impl Into<String>, canary: impl Into<String>) -> Self {
        let version = BySide { stable: stable.into(), canary: canary.into() };
        Self { namespace: None, version }
    }

    fn within(self, namespace: impl Into<String>) -> Self {
        Self { namespace: Some(namespace.into()), ..self }
    }

    fn template(&self, text: impl Into<String>) -> Template {
        let mut template = Template::new(text).with_sides("version", self.version.clone());
        if let Some(namespace) = &self.namespace {
            template.fill_in("namespace", namespace);
        }
        template
    }

    /// Makes the two questions that judge requests. `series` are the conditions that select a version's.
    fn requests_and_latency(
        &self,
        counter: &str,
        series: &str,
        bad: &str,
        buckets: &str,
        unit: LatencyUnit,
    ) -> Preset {
        let requests = Of::Requests {
            total: self.template(format!("{counter}{{{series}}}")),
            bad: self.template(format!("{counter}{{{series}, {bad}}}")),
        };
        let latency =
            Of::Latency { buckets: self.template(format!("{buckets}{{{series}}}")), unit };
        Preset {
            asks: vec![
                (Signal::Requests, Draft::Counts(requests)),
                (Signal::Latency, Draft::Counts(latency)),
            ],
        }
    }
}

fn value(name: &str, query: Template) -> (Signal, Draft) {
    (Signal::Custom(name.into()), Draft::Value(query))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use canary_core::value::{Side, Timestamp, Window};

    use super::istio::Reporter;
    use super::*;
    use crate::Prometheus;
    use crate::rules::{Mesh, Service};
    use crate::template::Variables;

    /// Renders what a preset asks for the canary, by signal, over a minute.
    fn rendered(preset: &Preset) -> Vec<(String, String)> {
        rendered_for(Side::Canary, preset)
    }

    fn rendered_for(side: Side, preset: &Preset) -> Vec<(String, String)> {
        let variables = Variables::default();
        let (rollout, minute) = ("x-1".parse().unwrap(), Timestamp::from_millis(60_000));
        let render = |template: &Template| {
            let window = Window::new(Timestamp::EPOCH, minute);
            template.render(&variables, &rollout, side, window).unwrap()
        };
        let all = preset.asks.iter().flat_map(|(signal, draft)| {
            let templates = match draft {
                Draft::Counts(Of::Requests { total, bad })
                | Draft::Increase(Increase { total, bad, .. }) => vec![total, bad],
                Draft::Counts(Of::Latency { buckets, .. }) => vec![buckets],
                Draft::Value(query) => vec![query],
            };
            templates.into_iter().map(|template| (signal.to_string(), render(template)))
        });
        all.collect()
    }

    #[test]
    fn each_preset_asks_what_its_exporter_tells() {
        let preset = istio::by_workload("shop", "checkout", "checkout-canary");
        let series = r#"reporter="destination", destination_workload_namespace="shop", destination_workload="checkout-canary""#;
        assert_eq!(
            rendered(&preset),
            [
                ("requests".to_owned(), format!("istio_requests_total{{{series}}}")),
                (
                    "requests".to_owned(),
                    format!("istio_requests_total{{{series}, response_code=~\"5.*\"}}")
                ),
                (
                    "latency".to_owned(),
                    format!("istio_request_duration_milliseconds_bucket{{{series}}}")
                ),
            ]
        );
        let seen = istio::told_by(Reporter::Source).called_by("edge", "we\"b").grpc();
        let preset = seen.by_service("shop", "checkout", "checkout-canary");
        let series = r#"reporter="source", destination_service_namespace="shop", destination_service_name="checkout-canary", source_workload_namespace="edge", source_workload="we\"b""#;
        assert_eq!(rendered(&preset)[0].1, format!("istio_requests_total{{{series}}}"));
        let failed = r#"grpc_response_status=~"2|4|12|13|14|15""#;
        assert_eq!(rendered(&preset)[1].1, format!("istio_requests_total{{{series}, {failed}}}"));
        let preset = istio::told_by(Reporter::Waypoint).by_workload("shop", "a", "b");
        assert!(rendered(&preset)[2].1.contains(r#"{reporter="waypoint", "#));
        let preset = linkerd::by_deployment("shop", "checkout", "checkout-canary");
        let series = r#"namespace="shop", deployment="checkout-canary", direction="inbound""#;
        assert_eq!(
            rendered(&preset)[1].1,
            format!("response_total{{{series}, classification=\"failure\"}}")
        );
        let preset = http::by_label("version", "v1", "v2.0");
        assert_eq!(
            rendered(&preset)[1].1,
            r#"http_requests_total{ version="v2.0", status=~"5.."}"#
        );
        let preset = pods::by_deployment("shop", "checkout", "checkout.canary");
        let restarts = r#"sum(changes(kube_pod_container_status_restarts_total{namespace="shop", pod=~"checkout\\.canary-[a-z0-9]+-[a-z0-9]+"}[60000ms]))"#;
        assert!(rendered(&preset).contains(&("restarts".to_owned(), restarts.to_owned())));
    }

    /// Splits a selector into its metric and its matchers.
    fn parts(selector: &str) -> (&str, BTreeSet<&str>) {
        let (metric, matchers) = selector.strip_suffix('}').unwrap().split_once('{').unwrap();
        (metric, matchers.split(',').map(str::trim).collect())
    }

    #[test]
    fn what_judges_a_rollout_and_what_watches_it_select_the_same_series() {
        let names = ("shop", "checkout", "checkout-canary");
        for (mesh, preset) in [
            (Mesh::Istio, istio::by_workload(names.0, names.1, names.2)),
            (Mesh::Linkerd, linkerd::by_deployment(names.0, names.1, names.2)),
        ] {
            let service = Service::new(mesh, names.0, names.1).unwrap();
            let service = service.deployments(names.1, names.2).unwrap();
            for side in Side::BOTH {
                let watched = [service.requests(side), service.failed_requests(side)];
                let watched = watched.into_iter().chain([service.buckets(side)]);
                for ((signal, judged), watched) in
                    rendered_for(side, &preset).into_iter().zip(watched)
                {
                    assert_eq!(parts(&judged), parts(&watched), "{signal} of {side} on {mesh}");
                }
            }
        }
    }

    #[test]
    fn every_preset_can_be_built_whatever_the_versions_are_called() {
        for (stable, canary) in [("checkout", "checkout-canary"), ("v1\"", "\\v2|.*")] {
            for preset in [
                istio::by_workload("shop", stable, canary),
                istio::by_version("shop", "checkout", stable, canary),
                istio::told_by(Reporter::Source)
                    .called_by(stable, canary)
                    .by_service("shop", stable, canary),
                linkerd::by_deployment("shop", stable, canary),
                http::by_label("variant", stable, canary),
                pods::by_deployment("shop", stable, canary),
                business::share("a", "b", r#"c{variant="{{ variant }}"}"#),
                business::lowest_share("a", "psp", "b", "c"),
                business::highest_share("a", "psp", "b", "c"),
            ] {
                Prometheus::builder("http://127.0.0.1").preset(preset).build().unwrap();
            }
        }
    }
}
