//! What Kubernetes tells of pods: cAdvisor and kube-state-metrics.

use super::{Names, Preset, value};

/// The pods of a Deployment: its name, that of a ReplicaSet, and one of their own.
const PODS: &str = r#"namespace="{{ namespace }}", pod=~"{{ version }}-[a-z0-9]+-[a-z0-9]+""#;

/// Asks by Deployment for `cpu` and `memory` (of their limits, 1 is all), `restarts` (in the time looked at), and
/// `ready` (of the replicas that should be, 1 is all).
///
/// They are for a metrics server that keeps the labels `namespace`, `pod` and `deployment` of what it
/// scrapes (`honor_labels: true`).
#[must_use]
pub fn by_deployment(
    namespace: impl Into<String>,
    stable: impl Into<String>,
    canary: impl Into<String>,
) -> Preset {
    let names = Names::new(stable, canary).within(namespace);
    let limits =
        |of: &str| format!("sum(kube_pod_container_resource_limits{{{PODS}, resource=\"{of}\"}})");
    let cpu = format!(
        "sum(rate(container_cpu_usage_seconds_total{{{PODS}, container!=\"\"}}[{{{{ window }}}}])) / {}",
        limits("cpu")
    );
    let memory = format!(
        "sum(container_memory_working_set_bytes{{{PODS}, container!=\"\"}}) / {}",
        limits("memory")
    );
    let restarts = format!(
        "sum(changes(kube_pod_container_status_restarts_total{{{PODS}}}[{{{{ window }}}}]))"
    );
    let deployment = r#"namespace="{{ namespace }}", deployment="{{ version }}""#;
    let ready = format!(
        "min(kube_deployment_status_replicas_ready{{{deployment}}}) / min(kube_deployment_spec_replicas{{{deployment}}})"
    );
    let ask = |(name, query)| value(name, names.template(query));
    let asks = [("cpu", cpu), ("memory", memory), ("restarts", restarts), ("ready", ready)];
    Preset { asks: asks.map(ask).into() }
}
