//! What is looked at before a delivery.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use canary_core::driver::Clock;
use canary_core::policy::Policy;
use canary_core::ports::{Call, MetricSource, PortError, TrafficRouter};
use canary_core::rollout::queries;
use canary_core::value::{EffectId, Epoch, Failure, Measured, Query, RolloutId, Side, Signal};
use canary_kube::{Check, Finding, Preflight};
use canary_prometheus::Prometheus;
use kube::Client;

use super::address::shown;
use super::freed::Freed;
use super::subsets::BothSubsets;
use super::{Job, Mesh};

/// How far back metrics are asked for.
const LATELY: Duration = Duration::from_secs(300);

/// How long Prometheus may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Lists all that is looked at: what is allowed, the route through the whole plan and back, whether both subsets are there,
/// a canary can be made and stable is well, and whether Prometheus knows of stable what the policy asks for.
///
/// One that is to supersede whatever has the route may find the canary with traffic.
///
/// # Errors
/// Where an address is none.
pub fn looks(
    job: &Job,
    client: &Client,
    policy: &Policy,
    supersede: bool,
) -> anyhow::Result<Preflight> {
    let source = job.metrics()?;
    let service = match job.mesh {
        Mesh::Istio => job.service.clone(),
        Mesh::Linkerd => job.destinations().stable,
    };
    let (first, stages) = (policy.stages()[0].weight, 0..policy.stages().len());
    let asked = stages.map(|stage| policy.traffic(stage));
    let router = |client: Client| -> Arc<dyn TrafficRouter> {
        let router = job.router(client);
        if supersede { Arc::new(Freed(router)) } else { router }
    };
    let preflight = Preflight::new(client.clone())
        .permissions(job.permissions())
        .route_through(job.route_in_words(), asked, router)
        .workload(job.versions(client.clone()).to_string(), first, |client| job.versions(client))
        .service(Side::Stable, &job.namespace, service)
        .pods(job.pods(client.clone(), &[Side::Stable]))
        .check(Knows { source, address: shown(&job.prometheus), queries: queries(policy) });
    Ok(match job.mesh {
        Mesh::Istio => preflight.check(BothSubsets::of(job, client)),
        Mesh::Linkerd => preflight,
    })
}

fn is_known(measured: &Measured) -> bool {
    !measured.covered.is_empty() && !measured.sides.stable.is_missing()
}

/// Says what it means for a delivery that a signal is not known.
fn unknown(about: &str, signal: &Signal) -> Finding {
    let what = format!("it knows no {signal} of stable in the last five minutes");
    match signal {
        Signal::Requests | Signal::Latency => Finding::error(about, what).advice(
            "compare --namespace, --deployment and --mesh with its labels, or send some requests",
        ),
        _ => Finding::note(about, format!("{what}: until it does, nothing can be judged by that")),
    }
}

/// Looks whether Prometheus can be asked, and knows what is asked for.
struct Knows {
    source: Prometheus,
    address: String,
    queries: Vec<Query>,
}

impl fmt::Debug for Knows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Knows").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Knows {
    async fn ask(&self) -> Vec<Result<Measured, Failure>> {
        let now = Clock::system().now();
        let Ok(rollout) = RolloutId::new("preflight.canary") else { return Vec::new() };
        let call = Call::new(rollout, Epoch::new(1), EffectId::new(1), 1, now, now + PATIENCE);
        let mut queries = self.queries.clone();
        queries.iter_mut().for_each(|query| query.after = now - LATELY);
        let answers = self.source.measure(&call, &queries, now).await;
        answers.into_iter().map(|answer| answer.map_err(PortError::into_failure)).collect()
    }
}

#[async_trait]
impl Check for Knows {
    fn about(&self) -> String {
        format!("Prometheus at {} knows what the policy asks of stable", self.address)
    }

    async fn findings(&self) -> Vec<Finding> {
        let about = format!("Prometheus at {}", self.address);
        let mut failures = Vec::new();
        let mut found = Vec::new();
        for (answer, Query { signal, .. }) in self.ask().await.into_iter().zip(&self.queries) {
            match answer {
                Ok(measured) if is_known(&measured) => {}
                Ok(_) => found.push(unknown(&about, signal)),
                Err(failure) => failures.push(failure),
            }
        }
        // One that cannot be asked says so to each question, in words of its own.
        if failures.len() == self.queries.len() {
            failures.truncate(1);
        }
        let failed = failures.into_iter().map(|failure| {
            let advice = "correct --prometheus, or make a way to it: `kubectl port-forward`";
            Finding::error(&about, failure.message).advice(advice)
        });
        found.extend(failed);
        found
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use axum::Router;
    use axum::routing::post;
    use canary_kube::Severity;
    use serde_json::json;

    use super::*;
    use crate::server::Server;

    async fn found(address: String) -> Vec<Finding> {
        let job = json!({ "service": "web", "image": "web:v2", "namespace": "shop", "mesh": "istio", "prometheus": address });
        let job: Job = serde_json::from_value(job).unwrap();
        let orion = Policy::from_yaml(include_str!("../../policies/orion.yaml")).unwrap();
        let queries = queries(&orion);
        Knows { source: job.metrics().unwrap(), address, queries }.findings().await
    }

    #[tokio::test]
    async fn a_server_that_cannot_be_reached_is_told_once() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let found = found(address).await;
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].advice.starts_with("correct --prometheus"), "{found:?}");
    }

    /// Answers that there are no series.
    async fn nothing(form: String) -> String {
        let mut fields = form.split('&');
        let samples = fields.any(|field| field.starts_with("query=") && field.ends_with("%5D"));
        let kind = if samples { "matrix" } else { "vector" };
        json!({ "status": "success", "data": { "resultType": kind, "result": [] } }).to_string()
    }

    #[tokio::test]
    async fn requests_must_be_known_and_usage_should_be() {
        let server =
            Server::start(Router::new().route("/api/v1/query", post(nothing))).await.unwrap();
        let found = found(format!("http://{}", server.address())).await;
        let told = |signal: &str| {
            let what = format!("it knows no {signal} of stable");
            found.iter().find(|finding| finding.what.starts_with(&what)).map(|it| it.severity)
        };
        for signal in ["requests", "latency"] {
            assert_eq!(told(signal), Some(Severity::Error), "{found:?}");
        }
        for signal in ["cpu", "memory"] {
            assert_eq!(told(signal), Some(Severity::Note), "{found:?}");
        }
        assert_eq!(found.len(), 4, "{found:?}");
    }
}
