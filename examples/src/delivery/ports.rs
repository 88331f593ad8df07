//! What a delivery is carried out with: router, versions, metrics and gates.

use std::fs;
use std::sync::Arc;

use anyhow::Context as _;
use canary_core::driver::DriverBuilder;
use canary_core::policy::{AlertFilter, GateKind, Policy};
use canary_core::ports::TrafficRouter;
use canary_core::value::{BySide, Side};
use canary_istio::{SyncProbe, VirtualServiceRouter};
use canary_kube::{Deployments, ReadyPods, Variant};
use canary_linkerd::HttpRouteRouter;
use canary_prometheus::preset::istio::Istio;
use canary_prometheus::preset::{istio, linkerd, pods};
use canary_prometheus::{AlertGate, Endpoint, Prometheus};
use kube::Client;

use super::address::shown;
use super::job::{Job, Mesh, Reporter};

impl Job {
    /// Makes what moves the traffic.
    #[must_use]
    pub fn router(&self, client: Client) -> Arc<dyn TrafficRouter> {
        let BySide { stable, canary } = self.destinations();
        let (namespace, name) = (&self.namespace, self.route());
        match self.mesh {
            Mesh::Istio => {
                Arc::new(VirtualServiceRouter::new(client, namespace, name).subsets(stable, canary))
            }
            Mesh::Linkerd => {
                Arc::new(HttpRouteRouter::new(client, namespace, name).backends(stable, canary))
            }
        }
    }

    /// Makes what runs the two versions.
    pub fn versions(&self, client: Client) -> Deployments {
        let variant = Variant::image(&self.image);
        let variant = match &self.container {
            Some(name) => variant.container(name),
            None => variant,
        };
        let BySide { stable, canary } = self.deployments();
        let versions = Deployments::new(client, &self.namespace, stable, variant).canary(canary);
        if self.leave_autoscalers { versions } else { versions.hold_autoscalers() }
    }

    /// Makes what measures them.
    ///
    /// # Errors
    /// Where the address is none.
    pub fn metrics(&self) -> anyhow::Result<Prometheus> {
        let (namespace, BySide { stable, canary }) = (&self.namespace, self.deployments());
        let of_mesh = match self.mesh {
            Mesh::Istio => self.istio().by_workload(namespace, &stable, &canary),
            Mesh::Linkerd => linkerd::by_deployment(namespace, &stable, &canary),
        };
        let of_pods = pods::by_deployment(namespace, stable, canary);
        let source = Prometheus::builder(self.endpoint()?).preset(of_mesh).preset(of_pods);
        source.build().with_context(|| format!("--prometheus {}", shown(&self.prometheus)))
    }

    fn istio(&self) -> Istio {
        let told = istio::told_by(match self.reporter {
            Reporter::Destination => istio::Reporter::Destination,
            Reporter::Source => istio::Reporter::Source,
            Reporter::Waypoint => istio::Reporter::Waypoint,
        });
        if self.grpc { told.grpc() } else { told }
    }

    /// Says how Prometheus is asked.
    fn endpoint(&self) -> anyhow::Result<Endpoint> {
        let mut endpoint = Endpoint::new(&self.prometheus);
        if let Some(file) = &self.prometheus_token_file {
            endpoint = endpoint.bearer_token_file(file);
        }
        if let Some(tenant) = &self.prometheus_tenant {
            endpoint = endpoint.tenant(tenant);
        }
        if let Some(file) = &self.prometheus_ca {
            let pem = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
            endpoint = endpoint.root_certificates(pem);
        }
        Ok(endpoint)
    }

    /// Makes the gate that asks for pods; those of the canary once there is one.
    #[must_use]
    pub fn pods(&self, client: Client, sides: &[Side]) -> ReadyPods {
        let names = self.deployments();
        let none = ReadyPods::new(client, &self.namespace);
        sides.iter().fold(none, |pods, &side| pods.deployment(side, names.get(side)))
    }

    /// Makes the gate that asks for alerts about the service.
    fn alerts(&self, which: &AlertFilter) -> anyhow::Result<AlertGate> {
        let (namespace, service) = (self.namespace.as_str(), self.service.as_str());
        let all = AlertGate::prometheus(self.endpoint()?).label("namespace", namespace);
        let all = all.label("service", service);
        let gate = match &which.severity {
            Some(severity) => all.severity(severity),
            None => all,
        };
        gate.build().with_context(|| format!("--prometheus {}", shown(&self.prometheus)))
    }

    /// Gives a rollout by this policy its router, versions, metrics and gates.
    ///
    /// # Errors
    /// Where an address is none.
    pub fn equip<P>(
        &self,
        mut builder: DriverBuilder<P>,
        client: &Client,
        policy: &Policy,
    ) -> anyhow::Result<DriverBuilder<P>> {
        let router = self.router(client.clone());
        builder = match &self.istiod {
            Some(address) => builder.router(SyncProbe::new(address)?.watch(router)),
            None => builder.router(router),
        };
        for name in policy.gates() {
            builder = match policy.gate(name).kind {
                GateKind::Supplied => {
                    builder.gate(name.as_str(), self.pods(client.clone(), &Side::BOTH))
                }
                GateKind::Alerts(which) => builder.gate(name.as_str(), self.alerts(&which)?),
                _ => builder,
            };
        }
        Ok(builder.workload(self.versions(client.clone())).metrics(self.metrics()?))
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;
    use canary_core::ports::{Call, MetricSource as _};
    use canary_core::value::{EffectId, Epoch, Query, Signal};
    use serde_json::json;
    use tokio::sync::mpsc;
    use tokio::task::JoinSet;

    use super::super::job::tests::job;
    use super::*;

    /// Answers every query with nothing, and returns what was asked.
    async fn asked(job: impl FnOnce(String) -> Job) -> Vec<String> {
        let (told, mut asked) = mpsc::unbounded_channel();
        let answer = move |headers: HeaderMap, query: String| {
            let of = |name: &str| headers.get(name).map_or("", |value| value.to_str().unwrap());
            let (token, tenant) = (of("authorization"), of("x-scope-orgid"));
            told.send(format!("{token}|{tenant}|{query}")).unwrap();
            std::future::ready(r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#)
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let router = axum::Router::new().fallback(answer);
        let mut served = JoinSet::new();
        served.spawn(async { axum::serve(listener, router).await });
        let source = job(address).metrics().unwrap();
        let now = canary_core::driver::Clock::system().now();
        let (rollout, patience) = ("web-1".parse().unwrap(), std::time::Duration::from_secs(9));
        let call = Call::new(rollout, Epoch::new(1), EffectId::new(1), 1, now, now + patience);
        let query = Query::new(Signal::Requests, now - std::time::Duration::from_secs(60));
        drop(source.measure(&call, &[query], now).await);
        drop(served);
        asked.close();
        let mut all = Vec::new();
        while let Some(one) = asked.recv().await {
            all.push(one);
        }
        all
    }

    #[tokio::test]
    async fn prometheus_is_asked_as_the_options_say() {
        let token = tempfile::NamedTempFile::new().unwrap();
        fs::write(&token, "secret").unwrap();
        let with = |mut more: serde_json::Value| async move {
            asked(|address| {
                more["prometheus"] = json!(address);
                job(&more)
            })
            .await
        };
        let plain = with(json!({})).await.concat();
        assert!(
            plain.starts_with("||query=istio_requests_total%7Breporter%3D%22destination"),
            "{plain}"
        );
        let options = json!({
            "prometheus_token_file": token.path(), "prometheus_tenant": "shop", "grpc": true, "reporter": "waypoint",
        });
        let told = with(options.clone()).await.concat();
        let begin = "Bearer secret|shop|query=istio_requests_total%7Breporter%3D%22waypoint";
        assert!(told.starts_with(begin), "{told}");
        // Which of them failed is seen in the answers, where there are any.
        let by_status = format!("{:?}", istio::told_by(istio::Reporter::Waypoint).grpc());
        assert_eq!(format!("{:?}", job(&options).istio()), by_status);
        let missing = job(&json!({ "prometheus_ca": "/nowhere/ca.pem" })).metrics().unwrap_err();
        assert_eq!(missing.to_string(), "cannot read /nowhere/ca.pem");
    }
}
