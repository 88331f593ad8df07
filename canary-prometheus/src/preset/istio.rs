//! What Istio's sidecars tell of the requests that reach a pod.
//!
//! Requests that no pod took, because there is none, are told by their senders alone and not counted.

use super::{Names, Preset};
use crate::builder::LatencyUnit;

/// Asks by workload: where each version is a Deployment of its own.
#[must_use]
pub fn by_workload(
    namespace: impl Into<String>,
    stable: impl Into<String>,
    canary: impl Into<String>,
) -> Preset {
    of(
        &Names::new(stable, canary).within(namespace),
        r#"destination_workload_namespace="{{ namespace }}", destination_workload="{{ version }}""#,
    )
}

/// Asks by a service's `version` labels.
#[must_use]
pub fn by_version(
    namespace: impl Into<String>,
    service: &str,
    stable: impl Into<String>,
    canary: impl Into<String>,
) -> Preset {
    let mut preset = of(
        &Names::new(stable, canary).within(namespace),
        r#"destination_service_namespace="{{ namespace }}", destination_service_name="{{ service }}", destination_version="{{ version }}""#,
    );
    preset.fill_in("service", service);
    preset
}

fn of(names: &Names, destination: &str) -> Preset {
    names.requests_and_latency(
        "istio_requests_total",
        &format!("reporter=\"destination\", {destination}"),
        r#"response_code=~"5.*""#,
        "istio_request_duration_milliseconds_bucket",
        LatencyUnit::Milliseconds,
    )
}
