//! What Istio's proxies tell of requests.
//!
//! [`by_workload`] and [`by_version`] ask the sidecars that receive them. Requests that no pod took, because there is
//! none, are told by their senders alone and not counted there; [`told_by`] asks those, or the waypoints of ambient mode.

use super::{Names, Preset};
use crate::builder::LatencyUnit;

/// Which answers of a gRPC service are its own failure: `UNKNOWN`, `DEADLINE_EXCEEDED`, `UNIMPLEMENTED`, `INTERNAL`,
/// `UNAVAILABLE` and `DATA_LOSS`, as OpenTelemetry sorts them for servers.
const GRPC_FAILURES: &str = r#"grpc_response_status=~"2|4|12|13|14|15""#;

/// Says which proxy's count of a request is taken: each that it passes tells of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reporter {
    /// The sidecar of the pod that took it.
    #[default]
    Destination,
    /// The sidecar or gateway that sent it, which tells of those that no pod took, too.
    Source,
    /// The waypoint between them, in ambient mode.
    Waypoint,
}

/// Chooses whose requests are counted and which of them failed; ends with what tells the versions apart.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Istio {
    reporter: Reporter,
    grpc: bool,
    /// Namespace and workload.
    caller: Option<[String; 2]>,
}

/// Asks these proxies.
///
/// ```
/// use canary_prometheus::Prometheus;
/// use canary_prometheus::preset::istio::{self, Reporter};
///
/// // What the web shop sees of two Services, one for each version, that speak gRPC.
/// let seen = istio::told_by(Reporter::Source).called_by("shop", "web").grpc();
/// let source = Prometheus::builder("http://prometheus:9090")
///     .preset(seen.by_service("shop", "checkout", "checkout-canary"))
///     .build()?;
/// # drop(source);
/// # Ok::<(), canary_prometheus::BuildError>(())
/// ```
pub fn told_by(reporter: Reporter) -> Istio {
    Istio { reporter, ..Istio::default() }
}

/// Asks by workload, the receiving sidecars: where each version is a Deployment of its own.
#[must_use]
pub fn by_workload(
    namespace: impl Into<String>,
    stable: impl Into<String>,
    canary: impl Into<String>,
) -> Preset {
    Istio::default().by_workload(namespace, stable, canary)
}

/// Asks by a service's `version` labels, the receiving sidecars.
#[must_use]
pub fn by_version(
    namespace: impl Into<String>,
    service: &str,
    stable: impl Into<String>,
    canary: impl Into<String>,
) -> Preset {
    Istio::default().by_version(namespace, service, stable, canary)
}

impl Istio {
    /// Counts only the requests of this workload.
    pub fn called_by(mut self, namespace: impl Into<String>, workload: impl Into<String>) -> Self {
        self.caller = Some([namespace.into(), workload.into()]);
        self
    }

    /// Tells what failed by the gRPC status instead of the HTTP response code, which is 200 for nearly all of gRPC.
    ///
    /// Failed are `UNKNOWN`, `DEADLINE_EXCEEDED`, `UNIMPLEMENTED`, `INTERNAL`, `UNAVAILABLE` and `DATA_LOSS`; the others
    /// are the caller's doing.
    pub const fn grpc(mut self) -> Self {
        self.grpc = true;
        self
    }

    /// Asks by workload: where each version is a Deployment of its own.
    ///
    /// A request that no pod took has no workload.
    #[must_use]
    pub fn by_workload(
        &self,
        namespace: impl Into<String>,
        stable: impl Into<String>,
        canary: impl Into<String>,
    ) -> Preset {
        self.of(
            &Names::new(stable, canary).within(namespace),
            r#"destination_workload_namespace="{{ namespace }}", destination_workload="{{ version }}""#,
        )
    }

    /// Asks by a service's `version` labels.
    ///
    /// A request that no pod took has no version.
    #[must_use]
    pub fn by_version(
        &self,
        namespace: impl Into<String>,
        service: &str,
        stable: impl Into<String>,
        canary: impl Into<String>,
    ) -> Preset {
        let mut preset = self.of(
            &Names::new(stable, canary).within(namespace),
            r#"destination_service_namespace="{{ namespace }}", destination_service_name="{{ service }}", destination_version="{{ version }}""#,
        );
        preset.fill_in("service", service);
        preset
    }

    /// Asks by Service: where each version has its own, as a route by hosts or an `HTTPRoute` needs it.
    ///
    /// With [`Reporter::Source`], a version that has no pod left is counted as failing.
    #[must_use]
    pub fn by_service(
        &self,
        namespace: impl Into<String>,
        stable: impl Into<String>,
        canary: impl Into<String>,
    ) -> Preset {
        self.of(
            &Names::new(stable, canary).within(namespace),
            r#"destination_service_namespace="{{ namespace }}", destination_service_name="{{ version }}""#,
        )
    }

    fn of(&self, names: &Names, destination: &str) -> Preset {
        let reporter = match self.reporter {
            Reporter::Destination => "destination",
            Reporter::Source => "source",
            Reporter::Waypoint => "waypoint",
        };
        let caller = match &self.caller {
            Some(_) => {
                r#", source_workload_namespace="{{ caller_namespace }}", source_workload="{{ caller }}""#
            }
            None => "",
        };
        let mut preset = names.requests_and_latency(
            "istio_requests_total",
            &format!("reporter=\"{reporter}\", {destination}{caller}"),
            if self.grpc { GRPC_FAILURES } else { r#"response_code=~"5.*""# },
            "istio_request_duration_milliseconds_bucket",
            LatencyUnit::Milliseconds,
        );
        if let Some([namespace, workload]) = &self.caller {
            preset.fill_in("caller_namespace", namespace);
            preset.fill_in("caller", workload);
        }
        preset
    }
}
