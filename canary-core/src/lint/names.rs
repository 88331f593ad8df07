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

/// What people call some of these elsewhere.
const ELSEWHERE: [(&str, &str); 12] = [
    ("error", "error_rate"),
    ("errors", "error_rate"),
    ("failures", "error_rate"),
    ("success", "success_rate"),
    ("availability", "success_rate"),
    ("requests", "request_rate"),
    ("rps", "request_rate"),
    ("qps", "request_rate"),
    ("throughput", "request_rate"),
    ("latency", "latency.p95"),
    ("duration", "latency.p95"),
    ("response_time", "latency.p95"),
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
        if let Some(meant) = meant_by(name, own.keys().map(String::as_str)) {
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

/// Returns the metric that a name which nothing defines probably stands for; the policy's own come first.
fn meant_by<'a>(name: &str, mut own: impl Iterator<Item = &'a str>) -> Option<Metric> {
    let lower = name.to_ascii_lowercase();
    let slip_of = |known: &mut dyn Iterator<Item = &'a str>| {
        nearest(name, known, slips_of(name)).filter(|meant| *meant != name)?.parse().ok()
    };
    let elsewhere = || {
        let known = ELSEWHERE.iter().find(|(other, _)| *other == lower)?;
        known.1.parse().ok()
    };
    slip_of(&mut own)
        .or_else(|| format!("latency.{lower}").parse().ok())
        .or_else(elsewhere)
        .or_else(|| slip_of(&mut USUAL.into_iter()))
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
                format!("did you mean `{meant}`? Otherwise list it: `gates: {{ {name}: {{ approval: {{}} }} }}`"),
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_other_tools_have_are_known_and_ones_own_come_first() {
        for (name, meant) in [
            ("p95", Some("latency.p95")),
            ("P50", Some("latency.p50")),
            ("Latency", Some("latency.p95")),
            ("rps", Some("request_rate")),
            ("availability", Some("success_rate")),
            ("latency_p95", Some("latency.p95")),
            ("failures", Some("error_rate")),
            ("errors", Some("error")),
            ("checkout_conversion", None),
        ] {
            let found = meant_by(name, ["error", "pool"].into_iter());
            assert_eq!(found.map(|metric| metric.to_string()).as_deref(), meant, "{name}");
        }
    }
}
