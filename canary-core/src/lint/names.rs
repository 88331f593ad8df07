//! Names that nothing defines and that look like a slip of others.

use super::Finding;
use crate::policy::{CheckKind, Metric, MetricSpec, Policy, nearest, slips_of};
use crate::value::GateName;

/// What most metric sources know without being told.
const USUAL: [&str; 9] = [
    "error_rate",
    "success_rate",
    "request_rate",
    "latency.p50",
    "latency.p95",
    "latency.p99",
    "cpu",
    "memory",
    "restarts",
];

pub(super) fn findings(policy: &Policy, found: &mut Vec<Finding>) {
    metrics(policy, found);
    gates(policy, found);
}

fn metrics(policy: &Policy, found: &mut Vec<Finding>) {
    let own = &policy.spec().metrics;
    let mut read = |path: String, metric: &Metric| {
        let Metric::Custom(name) = metric else { return };
        if own.contains_key(&**name) {
            return;
        }
        let known = USUAL.into_iter().chain(own.keys().map(String::as_str));
        if let Some(meant) = nearest(name, known, slips_of(name)).filter(|meant| **meant != **name)
        {
            found.push(Finding::new(
                "likely-misspelt",
                path,
                format!("`{name}` is no built-in metric, and not defined under `metrics`"),
                format!(
                    "did you mean `{meant}`? Otherwise define it: `metrics: {{ {name}: {{}} }}`"
                ),
            ));
        }
    };
    for (name, metric) in own {
        if let MetricSpec::Score(parts) = metric {
            for part in parts {
                read(format!("metrics.{name}.score.{}", part.metric), &part.metric);
            }
        }
    }
    for (i, stage) in policy.stages().iter().enumerate() {
        for limit in &stage.pass.limits {
            read(format!("stages[{i}].pass.{}", limit.metric), &limit.metric);
        }
    }
    for (i, check) in policy.checks().iter().enumerate() {
        check.kind.visit_at(&format!("checks[{i}]"), &mut |path, kind| {
            if let CheckKind::Threshold { metric, .. } | CheckKind::MannWhitney { metric, .. } =
                kind
            {
                read(format!("{path}.metric"), metric);
            }
        });
    }
}

fn gates(policy: &Policy, found: &mut Vec<Finding>) {
    let listed = &policy.spec().gates;
    for (path, gate) in policy.spec().asked_gates() {
        if listed.contains_key(gate) {
            continue;
        }
        let name = gate.as_str();
        if let Some(meant) = nearest(name, listed.keys().map(GateName::as_str), slips_of(name)) {
            found.push(Finding::new(
                "likely-misspelt",
                path,
                format!("the gate `{name}` does not stand under `gates`"),
                format!("did you mean `{meant}`? Otherwise list it: `gates: {{ {name}: {{}} }}`"),
            ));
        }
    }
}
