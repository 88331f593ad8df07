//! What Linkerd's proxies tell of the requests that reach a pod.

use super::{Names, Preset};
use crate::builder::LatencyUnit;

/// Asks by Deployment.
#[must_use]
pub fn by_deployment(
    namespace: impl Into<String>,
    stable: impl Into<String>,
    canary: impl Into<String>,
) -> Preset {
    Names::new(stable, canary).within(namespace).requests_and_latency(
        "response_total",
        r#"namespace="{{ namespace }}", deployment="{{ version }}", direction="inbound""#,
        r#"classification="failure""#,
        "response_latency_ms_bucket",
        LatencyUnit::Milliseconds,
    )
}
