//! What a Prometheus would have scraped of a service and its rollout, as promtool takes it.

use canary_core::value::Side;
use canary_prometheus::rules::Mesh;
use serde_json::{Value, json};

/// How many minutes each series lasts.
pub(crate) const MINUTES: u64 = 30;

/// Gathers series.
#[derive(Clone)]
pub(crate) struct World {
    mesh: Mesh,
    series: Vec<Value>,
}

impl World {
    pub(crate) fn new(mesh: Mesh) -> Self {
        Self { mesh, series: Vec::new() }
    }

    pub(crate) fn series(&self) -> &[Value] {
        &self.series
    }

    /// Adds a counter that rises by so much a minute.
    fn counter(mut self, series: String, by: f64) -> Self {
        self.series.push(json!({ "series": series, "values": format!("0+{by}x{MINUTES}") }));
        self
    }

    /// Adds a number that stays.
    fn gauge(mut self, series: String, value: f64) -> Self {
        self.series.push(json!({ "series": series, "values": format!("{value}x{MINUTES}") }));
        self
    }

    /// Adds requests of a side, so many a minute well and so many failed.
    pub(crate) fn requests(self, side: Side, well: f64, failed: f64) -> Self {
        let result = match self.mesh {
            Mesh::Istio => r#"response_code="200""#,
            _ => r#"classification="success""#,
        };
        let world = self.answers(side, result, well);
        if failed > 0.0 { world.failures(side, failed) } else { world }
    }

    /// Adds requests of a side that failed, so many a minute.
    pub(crate) fn failures(self, side: Side, failed: f64) -> Self {
        let result = match self.mesh {
            Mesh::Istio => r#"response_code="503""#,
            _ => r#"classification="failure""#,
        };
        self.answers(side, result, failed)
    }

    fn answers(self, side: Side, result: &str, count: f64) -> Self {
        let workload = self.workload(side);
        let metric = match self.mesh {
            Mesh::Istio => "istio_requests_total",
            _ => "response_total",
        };
        self.counter(format!("{metric}{{{workload},{result}}}"), count)
    }

    /// Adds as many requests of a side a minute, all of which took between two times, in seconds.
    pub(crate) fn latency(self, side: Side, count: f64, [from, to]: [f64; 2]) -> Self {
        let metric = match self.mesh {
            Mesh::Istio => "istio_request_duration_milliseconds_bucket",
            _ => "response_latency_ms_bucket",
        };
        let workload = self.workload(side);
        let bucket = |le: &str| format!(r#"{metric}{{{workload},le="{le}"}}"#);
        let (empty, full) =
            (bucket(&(from * 1000.0).to_string()), bucket(&(to * 1000.0).to_string()));
        let all = bucket("+Inf");
        self.counter(empty, 0.0).counter(full, count).counter(all, count).requests(side, count, 0.0)
    }

    fn workload(&self, side: Side) -> String {
        let deployment = if side == Side::Canary { "checkout-canary" } else { "checkout" };
        match self.mesh {
            Mesh::Istio => format!(
                r#"reporter="destination",destination_workload_namespace="shop",destination_workload="{deployment}""#
            ),
            _ => format!(r#"namespace="shop",deployment="{deployment}",direction="inbound""#),
        }
    }

    /// Adds a container that uses so much of one core and of a gibibyte, which are its limits.
    pub(crate) fn container(self, side: Side, cpu: f64, memory: f64) -> Self {
        const GIB: f64 = 1_073_741_824.0;
        let own = format!(r#"namespace="shop",pod="{}",container="app""#, pod(side));
        let whole = format!(r#"namespace="shop",pod="{}",container="""#, pod(side));
        let limit = |resource: &str| {
            format!(r#"kube_pod_container_resource_limits{{{own},resource="{resource}"}}"#)
        };
        let (cpu_limit, memory_limit) = (limit("cpu"), limit("memory"));
        self.counter(format!("container_cpu_usage_seconds_total{{{own}}}"), cpu * 60.0)
            .counter(format!("container_cpu_usage_seconds_total{{{whole}}}"), 600.0)
            .gauge(format!("container_memory_working_set_bytes{{{own}}}"), memory * GIB)
            .gauge(cpu_limit, 1.0)
            .gauge(memory_limit, GIB)
    }

    /// Adds a pod of a side.
    pub(crate) fn pod(self, side: Side, ready: bool) -> Self {
        let status = |condition: &str| {
            let own = format!(r#"namespace="shop",pod="{}""#, pod(side));
            format!(r#"kube_pod_status_ready{{{own},condition="{condition}"}}"#)
        };
        let (yes, no) = (status("true"), status("false"));
        self.gauge(yes, f64::from(u8::from(ready))).gauge(no, f64::from(u8::from(!ready)))
    }

    /// Adds a container that waits for this reason.
    pub(crate) fn waiting(self, side: Side, reason: &str) -> Self {
        let own =
            format!(r#"namespace="shop",pod="{}",container="app",reason="{reason}""#, pod(side));
        self.gauge(format!("kube_pod_container_status_waiting_reason{{{own}}}"), 1.0)
    }

    /// Adds a probe of the canary that fails so often a minute.
    pub(crate) fn failing(self, probe: &str, by: f64) -> Self {
        let own = format!(r#"namespace="shop",pod="{}",container="app""#, pod(Side::Canary));
        let result = format!(r#"probe_type="{probe}",result="failed""#);
        self.counter(format!("prober_probe_total{{{own},{result}}}"), by)
    }

    /// Adds a metric of the rollout, without its prefix.
    pub(crate) fn rollout(self, metric: &str, value: f64) -> Self {
        self.rollout_with(metric, "", value)
    }

    /// Adds a metric of the rollout with further labels.
    pub(crate) fn rollout_with(self, metric: &str, labels: &str, value: f64) -> Self {
        let own = r#"target="shop/checkout""#;
        self.gauge(format!("canary_rollout_{metric}{{{own}{labels}}}"), value)
    }

    /// Lets the last series of the same kind end after so many minutes.
    pub(crate) fn until(mut self, minutes: u64) -> Self {
        if let Some(values) = self.series.last_mut().and_then(|last| last.get_mut("values")) {
            let text = values.as_str().unwrap_or_default();
            let (value, _) = text.rsplit_once('x').unwrap_or((text, ""));
            *values = json!(format!("{value}x{minutes} stale"));
        }
        self
    }
}

/// Names a pod as Kubernetes does.
fn pod(side: Side) -> &'static str {
    match side {
        Side::Canary => "checkout-canary-6d4cf56db6-2xk8p",
        Side::Stable => "checkout-7b9c8d6f5-zx9wq",
    }
}
