//! Alerts about the pods: what they use, and how they are.

use std::time::Duration;

use canary_core::policy::{Metric, Policy};
use canary_core::value::Side;

use super::{Alert, Severity};
use crate::rules::Service;
use crate::rules::limits::{self, Bound, CRITICAL, Limited, WORTH_A_LOOK};
use crate::rules::query::Probe;

/// How many failures of a probe are borne: Kubernetes takes three in a row as one that counts.
const BORNE: u32 = 2;

pub(super) fn all(policy: &Policy, service: &Service) -> Vec<Alert> {
    vec![
        not_ready(policy, service),
        high_cpu(policy, service),
        high_memory(policy, service),
        more_memory_than_stable(policy, service),
        no_stable(service),
        crash_looping(service),
        readiness_failing(service),
        liveness_failing(service),
    ]
}

fn not_ready(policy: &Policy, service: &Service) -> Alert {
    Alert {
        name: "CanaryPodsNotReady",
        severity: Severity::Warning,
        expr: format!("{} > 0", service.not_ready()),
        lasting: Duration::from_millis(policy.spec().workload.ready_within_ms),
        summary: "{{ $value }} pods of the canary are not ready".into(),
        advice: "Look at the pods' events: images that cannot be pulled, no room on the nodes, probes that fail.",
    }
}

fn high_cpu(policy: &Policy, service: &Service) -> Alert {
    let told = "a container of the canary uses {{ $value | humanizePercentage }} of its CPU limit";
    Alert {
        name: "CanaryHighCPUUsage",
        advice: "Give the canary more replicas or a higher limit, or find what the new version computes.",
        ..Alert::beyond(Limited::Cpu, policy, service, told)
    }
}

fn high_memory(policy: &Policy, service: &Service) -> Alert {
    let told =
        "a container of the canary uses {{ $value | humanizePercentage }} of its memory limit";
    Alert {
        name: "CanaryHighMemoryUsage",
        advice: "Raise the limit before the container is killed, or find what the new version keeps.",
        ..Alert::beyond(Limited::Memory, policy, service, told)
    }
}

fn more_memory_than_stable(policy: &Policy, service: &Service) -> Alert {
    let metric = Metric::Custom("memory".into());
    let times = limits::times_stable(policy, &metric).unwrap_or(Bound::new(1.5, WORTH_A_LOOK));
    let (canary, stable) =
        (service.memory_of_a_pod(Side::Canary), service.memory_of_a_pod(Side::Stable));
    Alert {
        name: "CanaryMemoryUsageHigherThanStable",
        severity: Severity::Info,
        expr: format!("{canary}\n/ ({stable} > 0) > {}", times.at),
        lasting: times.lasting,
        summary: format!(
            "a pod of the canary uses {{{{ $value | printf \"%.1f\" }}}} times as much memory as one of stable; {} times \
             is well",
            times.at
        ),
        advice: "Watch whether it rises further: a leak shows at a weight at which nothing else does yet.",
    }
}

/// A canary without anything to compare it with, or to go back to.
fn no_stable(service: &Service) -> Alert {
    let (canary, stable) = (service.ready(Side::Canary), service.ready(Side::Stable));
    Alert {
        name: "CanaryVersionDivergence",
        severity: Severity::Info,
        expr: format!("{canary} > 0\nunless {stable} > 0"),
        lasting: WORTH_A_LOOK,
        summary: "there are {{ $value }} ready pods of the canary and none of stable".into(),
        advice: "Bring stable back before anything else: without it there is no way back, and nothing to compare with.",
    }
}

fn crash_looping(service: &Service) -> Alert {
    Alert {
        name: "CanaryPodCrashLooping",
        severity: Severity::Critical,
        expr: format!("{} > 0", service.crash_loops()),
        lasting: Duration::ZERO,
        summary: "{{ $value }} containers of the canary crash again and again".into(),
        advice: "Abort the rollout if it does not take the canary back by itself; then read the logs of the last crash.",
    }
}

fn readiness_failing(service: &Service) -> Alert {
    Alert {
        name: "CanaryReadinessProbesFailing",
        severity: Severity::Warning,
        lasting: WORTH_A_LOOK,
        advice: "A pod that is not ready gets no requests, so the canary's numbers are those of the rest. Look at what the \
                 probe asks for.",
        ..probes_failing(service, Probe::Readiness)
    }
}

fn liveness_failing(service: &Service) -> Alert {
    Alert {
        name: "CanaryLivenessProbesFailing",
        severity: Severity::Critical,
        lasting: CRITICAL,
        advice: "Kubernetes restarts such a container. Abort the rollout if it does not take the canary back by itself.",
        ..probes_failing(service, Probe::Liveness)
    }
}

fn probes_failing(service: &Service, probe: Probe) -> Alert {
    Alert {
        name: "",
        severity: Severity::Warning,
        expr: format!("{} > {BORNE}", service.failed_probes(probe)),
        lasting: WORTH_A_LOOK,
        summary: format!(
            "{} probes of a container of the canary failed {{{{ $value | printf \"%.0f\" }}}} times in two minutes",
            format!("{probe:?}").to_ascii_lowercase()
        ),
        advice: "",
    }
}
