//! Every query of the rules and of the dashboard, written once.
//!
//! All give seconds, bytes, requests per second, or ratios from 0 to 1. A
//! query that sums over series leaves no labels, so that any two can be
//! compared with each other.

use canary_core::policy::Quantile;
use canary_core::value::Side;

use super::{Mesh, Service};

/// What rates and quantiles are taken over; it stands in the names of the recording rules.
pub(crate) const WINDOW: &str = "5m";

/// What failing probes are counted over: shorter, so that those of a start are soon forgotten.
const PROBES: &str = "2m";

/// Letters and digits of the names that Kubernetes makes up: no vowels, so that it spells no word.
const MADE_UP: &str = "[bcdfghjklmnpqrstvwxz2456789]";

/// Names the recording rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recorded {
    CanaryErrorRate,
    StableErrorRate,
    RequestRate,
    LatencyP50,
    LatencyP95,
    LatencyP99,
    SuccessRate,
    TrafficShare,
    Cpu,
    Memory,
}

impl Recorded {
    /// All, in an order in which each is recorded before it is used.
    pub(crate) const ALL: [Self; 10] = [
        Self::CanaryErrorRate,
        Self::StableErrorRate,
        Self::RequestRate,
        Self::LatencyP50,
        Self::LatencyP95,
        Self::LatencyP99,
        Self::SuccessRate,
        Self::TrafficShare,
        Self::Cpu,
        Self::Memory,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::CanaryErrorRate => "canary:error_rate:5m",
            Self::StableErrorRate => "stable:error_rate:5m",
            Self::RequestRate => "canary:request_rate:5m",
            Self::LatencyP50 => "canary:latency_p50:5m",
            Self::LatencyP95 => "canary:latency_p95:5m",
            Self::LatencyP99 => "canary:latency_p99:5m",
            Self::SuccessRate => "canary:success_rate:5m",
            Self::TrafficShare => "canary:traffic_percentage:5m",
            Self::Cpu => "canary:cpu_usage:5m",
            Self::Memory => "canary:memory_usage:5m",
        }
    }
}

/// Names a resource as kube-state-metrics does, with what cAdvisor counts of it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Resource {
    Cpu,
    Memory,
}

/// Names a probe as the kubelet does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Probe {
    Readiness,
    Liveness,
}

impl Service {
    /// Reads what a recording rule of this service recorded.
    pub(crate) fn recorded(&self, rule: Recorded) -> String {
        format!(r#"{}{{namespace="{}",service="{}"}}"#, rule.name(), self.namespace, self.name)
    }

    /// What a recording rule records.
    pub(crate) fn records(&self, rule: Recorded) -> String {
        match rule {
            Recorded::CanaryErrorRate => self.error_rate(Side::Canary),
            Recorded::StableErrorRate => self.error_rate(Side::Stable),
            Recorded::RequestRate => self.request_rate(Side::Canary),
            Recorded::LatencyP50 => self.latency(Side::Canary, Quantile::P50),
            Recorded::LatencyP95 => self.latency(Side::Canary, Quantile::P95),
            Recorded::LatencyP99 => self.latency(Side::Canary, Quantile::P99),
            Recorded::SuccessRate => format!("1 - {}", self.recorded(Recorded::CanaryErrorRate)),
            Recorded::TrafficShare => {
                let (canary, stable) =
                    (self.request_rate(Side::Canary), self.request_rate(Side::Stable));
                format!(
                    "({canary} or vector(0))\n/ (({canary} or {stable} * 0) + ({stable} or {canary} * 0) > 0)"
                )
            }
            Recorded::Cpu => self.utilisation(Resource::Cpu),
            Recorded::Memory => self.utilisation(Resource::Memory),
        }
    }

    /// Requests of a side a second.
    pub(crate) fn request_rate(&self, side: Side) -> String {
        format!("sum(rate({}[{WINDOW}]))", self.requests(side))
    }

    /// The share of a side's requests that failed; nothing where there were none.
    fn error_rate(&self, side: Side) -> String {
        let failed = format!("sum(rate({}[{WINDOW}]))", self.failed_requests(side));
        format!("({failed} or vector(0))\n/ ({} > 0)", self.request_rate(side))
    }

    /// Requests of a side in the window.
    pub(crate) fn count(&self, side: Side) -> String {
        format!("sum(increase({}[{WINDOW}]))", self.requests(side))
    }

    /// Requests of a side that failed in the window; 0 where none did.
    pub(crate) fn failures(&self, side: Side) -> String {
        format!("(sum(increase({}[{WINDOW}])) or vector(0))", self.failed_requests(side))
    }

    /// Requests of both sides in the window, where there were any.
    pub(crate) fn count_of_both(&self) -> String {
        let (canary, stable) = (self.count(Side::Canary), self.count(Side::Stable));
        format!("(({canary} or {stable} * 0) + ({stable} or {canary} * 0))")
    }

    /// A quantile of a side's latency in seconds; nothing where there were no requests.
    pub(crate) fn latency(&self, side: Side, quantile: Quantile) -> String {
        let buckets = self.buckets(side);
        let quantile = quantile.fraction();
        // Of no requests the quantile is NaN, which is not at least 0.
        format!(
            "histogram_quantile({quantile}, sum by (le) (rate({buckets}[{WINDOW}]))) / 1000 >= 0"
        )
    }

    /// How much of its limit the canary's busiest container uses; nothing where none has a limit.
    fn utilisation(&self, resource: Resource) -> String {
        let (name, used) = match resource {
            Resource::Cpu => {
                let containers = self.containers("container_cpu_usage_seconds_total", Side::Canary);
                ("cpu", format!("sum by (pod, container) (rate({containers}[{WINDOW}]))"))
            }
            Resource::Memory => {
                let containers =
                    self.containers("container_memory_working_set_bytes", Side::Canary);
                ("memory", format!("max by (pod, container) ({containers})"))
            }
        };
        let pods = self.pods(Side::Canary);
        let limits = format!(r#"kube_pod_container_resource_limits{{{pods},resource="{name}"}}"#);
        format!("max({used}\n/ on (pod, container) max by (pod, container) ({limits} > 0))")
    }

    /// The memory that a pod of a side uses on average, in bytes.
    pub(crate) fn memory_of_a_pod(&self, side: Side) -> String {
        let containers = self.containers("container_memory_working_set_bytes", side);
        format!("avg(sum by (pod) (max by (pod, container) ({containers})))")
    }

    /// How many pods of a side are ready.
    pub(crate) fn ready(&self, side: Side) -> String {
        self.pods_with_condition(side, "true")
    }

    /// How many pods of the canary are not ready.
    pub(crate) fn not_ready(&self) -> String {
        self.pods_with_condition(Side::Canary, "false")
    }

    fn pods_with_condition(&self, side: Side, condition: &str) -> String {
        let pods = self.pods(side);
        format!(r#"sum(max by (pod) (kube_pod_status_ready{{{pods},condition="{condition}"}}))"#)
    }

    /// How many containers of the canary have waited in a crash loop lately.
    pub(crate) fn crash_loops(&self) -> String {
        let pods = self.pods(Side::Canary);
        let waiting = format!(
            r#"kube_pod_container_status_waiting_reason{{{pods},reason="CrashLoopBackOff"}}"#
        );
        // Between two waits such a container runs for a while.
        format!("sum(max by (pod, container) (max_over_time({waiting}[{WINDOW}])))")
    }

    /// How often the canary's probes of a kind failed lately, the worst container's.
    pub(crate) fn failed_probes(&self, probe: Probe) -> String {
        let pods = self.pods(Side::Canary);
        let kind = format!("{probe:?}");
        format!(
            r#"max(increase(prober_probe_total{{{pods},probe_type="{kind}",result="failed"}}[{PROBES}]))"#
        )
    }

    /// A metric of this service's rollout.
    pub(crate) fn rollout(&self, metric: &str) -> String {
        format!("max({})", self.rollout_series(metric, ""))
    }

    /// The series of a metric of this service's rollout, with further matchers.
    pub(crate) fn rollout_series(&self, metric: &str, matchers: &str) -> String {
        let comma = if matchers.is_empty() { "" } else { "," };
        format!(r#"{metric}{{target="{}/{}"{comma}{matchers}}}"#, self.namespace, self.name)
    }

    /// Selects the counters of a side's requests.
    pub(crate) fn requests(&self, side: Side) -> String {
        match self.mesh {
            Mesh::Istio => format!("istio_requests_total{{{}}}", self.workload(side)),
            Mesh::Linkerd => format!("response_total{{{}}}", self.workload(side)),
        }
    }

    pub(crate) fn failed_requests(&self, side: Side) -> String {
        let workload = self.workload(side);
        match self.mesh {
            Mesh::Istio => format!(r#"istio_requests_total{{{workload},response_code=~"5.*"}}"#),
            Mesh::Linkerd => format!(r#"response_total{{{workload},classification="failure"}}"#),
        }
    }

    /// Selects the buckets of a side's latency, whose bounds are milliseconds.
    pub(crate) fn buckets(&self, side: Side) -> String {
        let workload = self.workload(side);
        match self.mesh {
            Mesh::Istio => format!("istio_request_duration_milliseconds_bucket{{{workload}}}"),
            Mesh::Linkerd => format!("response_latency_ms_bucket{{{workload}}}"),
        }
    }

    fn workload(&self, side: Side) -> String {
        let (namespace, deployment) = (&self.namespace, self.deployment(side));
        match self.mesh {
            Mesh::Istio => format!(
                r#"reporter="destination",destination_workload_namespace="{namespace}",destination_workload="{deployment}""#
            ),
            Mesh::Linkerd => {
                format!(r#"namespace="{namespace}",deployment="{deployment}",direction="inbound""#)
            }
        }
    }

    /// Selects the containers of a side's pods; cAdvisor counts pods as a whole too, without a container's name.
    fn containers(&self, metric: &str, side: Side) -> String {
        format!(r#"{metric}{{{},container!~"|POD"}}"#, self.pods(side))
    }

    /// Matches the pods of a Deployment by the names that Kubernetes gives them, and not those of one that is called like it
    /// and something more.
    fn pods(&self, side: Side) -> String {
        let deployment = self.deployment(side).replace('.', r"\\.");
        format!(
            r#"namespace="{}",pod=~"{deployment}-{MADE_UP}{{1,10}}-{MADE_UP}{{5}}""#,
            self.namespace
        )
    }
}
