//! Turns the tree into the stable form, noting everything that cannot be read.

use super::cursor::Fields;
use super::node::{Node, Value};
use super::scalar;
use crate::policy::{
    Check, CheckKind, Comparison, GateKind, GateSpec, Limit, Metric, Otherwise, Patience,
    PolicySpec, Problem, Stage, Then,
};
use crate::value::{GateName, Weight, millis};

/// Stands in for what a check looks at where that cannot be read.
const HARMLESS: CheckKind = CheckKind::WorseThanStable { ratio: 1.0, false_alarm: 0.01 };

/// Reads a policy. Where something cannot be read, a harmless value stands in
/// for it, so that the rest can be checked all the same.
pub(super) fn policy(root: &Node) -> (PolicySpec, Vec<Problem>) {
    let mut problems = Vec::new();
    let p = &mut problems;
    let mut spec = PolicySpec::new("");
    let mut fields = Fields::open(root, "", "the policy", p);

    if let Some(version) = fields.require("version", "1", scalar::count, p) {
        spec.version = u32::try_from(version).unwrap_or(u32::MAX);
    }
    spec.name = fields.require("name", "checkout", scalar::text, p).unwrap_or_default();
    if let Some(every) = fields.read("every", scalar::duration, p) {
        spec.every_ms = millis(every);
    }
    if let Some(settle) = fields.read("settle", scalar::duration, p) {
        spec.settle_ms = millis(settle);
    }
    for (i, node) in fields.list("stages", p).iter().enumerate() {
        spec.stages.push(stage(i, node, p));
    }
    for (i, node) in fields.list("checks", p).iter().enumerate() {
        spec.checks.push(check(i, node, p));
    }
    if let Some(node) = fields.node("gates") {
        gates(node, &mut spec, p);
    }
    if let Some(node) = fields.node("no_data") {
        spec.no_data = no_data(node, p);
    }
    if let Some(on) = fields.read("hard_limit", scalar::switch, p) {
        spec.hard_limit = on;
    }
    if let Some(node) = fields.node("rollback") {
        let mut rollback = Fields::open(node, "rollback", "`rollback`", p);
        if let Some(within) = rollback.read("within", scalar::duration, p) {
            spec.rollback_within_ms = millis(within);
        }
        rollback.close(p);
    }
    fields.close(p);
    (spec, problems)
}

fn stage(i: usize, node: &Node, p: &mut Vec<Problem>) -> Stage {
    let mut fields = Fields::open(node, format!("stages[{i}]"), "a stage", p);
    let weight = fields.require("weight", "5%", scalar::weight, p);
    let hold = fields.require("hold", "5m", scalar::duration, p).unwrap_or_default();
    let fallback = || weight.map_or_else(|| format!("stage {}", i + 1), |w| w.to_string());
    let name = fields.read("name", scalar::text, p).unwrap_or_else(fallback);
    let mut stage = Stage::new(name, weight.unwrap_or(Weight::ZERO), hold);
    for (j, gate) in fields.list("gates", p).iter().enumerate() {
        match scalar::text(gate)
            .map_err(str::to_owned)
            .and_then(|t| GateName::new(t).map_err(|e| e.to_string()))
        {
            Ok(name) => stage.gates.push(name),
            Err(why) => p.push(Problem::new(
                format!("stages[{i}].gates[{j}]"),
                format!("a gate's name is {}", gate.describe()),
                format!("expected a plain name such as `oncall` ({why})"),
            )),
        }
    }
    fields.close(p);
    stage
}

fn check(i: usize, node: &Node, p: &mut Vec<Problem>) -> Check {
    let path = format!("checks[{i}]");
    let mut fields = Fields::open(node, path.clone(), "a check", p);
    let name = fields.require("name", "errors", scalar::text, p).unwrap_or_default();
    let then = fields.read("then", scalar::then, p).unwrap_or(Then::RollBack);
    let kind = if fields.node("worse_than_stable").is_some() {
        let ratio = fields.read("worse_than_stable", scalar::times, p);
        let false_alarm = fields.read("false_alarm", scalar::share, p).unwrap_or(0.01);
        ratio.map(|ratio| CheckKind::WorseThanStable { ratio, false_alarm })
    } else {
        threshold(&path, &mut fields, p)
    };
    fields.close(p);
    Check::new(name, kind.unwrap_or(HARMLESS)).then(then)
}

fn threshold(path: &str, fields: &mut Fields<'_>, p: &mut Vec<Problem>) -> Option<CheckKind> {
    if fields.node("metric").is_none() {
        p.push(Problem::new(
            path,
            "the check looks at nothing",
            "write `metric: error_rate` with `above: 5%`, or `worse_than_stable: 1.25x`",
        ));
        // Named so that they are not called unknown on top of that.
        for field in ["above", "below", "for", "samples"] {
            fields.node(field);
        }
        return None;
    }
    let metric = fields.read("metric", metric, p);
    let for_ms = fields.read("for", scalar::duration, p).map_or(0, millis);
    let samples = fields.read("samples", scalar::count, p).unwrap_or(0);
    let above = fields.node("above").is_some();
    let below = fields.node("below").is_some();
    let comparison = match (above, below) {
        (true, false) => Comparison::Above,
        (false, true) => Comparison::Below,
        (both, _) => {
            let message =
                if both { "a check has both `above` and `below`" } else { "a check has no limit" };
            p.push(Problem::new(path, message, "write one of `above: 5%` and `below: 95%`"));
            return None;
        }
    };
    let metric = metric?;
    let unit = metric.unit();
    let limit: Option<Limit> =
        fields.read(comparison.as_str(), |node| scalar::limit(node, unit), p);
    Some(CheckKind::Threshold { metric, comparison, limit: limit?, for_ms, samples })
}

fn metric(node: &Node) -> Result<Metric, scalar::Expected> {
    let expected = "error_rate, success_rate, request_rate, latency.p50 to latency.p99.9, \
                    or a name that the metric source knows";
    scalar::text(node).and_then(|text| text.parse().map_err(|_| expected))
}

fn gates(node: &Node, spec: &mut PolicySpec, p: &mut Vec<Problem>) {
    let Value::Map(entries) = &node.value else {
        let message = format!("`gates` is {}, not a map", node.describe());
        p.push(Problem::new("gates", message, "write `gates: { oncall: { approval: {} } }`"));
        return;
    };
    for (key, value) in entries {
        let path = format!("gates.{}", key.key());
        match GateName::new(key.key()) {
            Ok(name) => {
                let gate = gate(value, path, p);
                spec.gates.insert(name, gate);
            }
            Err(error) => p.push(Problem::new(
                path,
                error.to_string(),
                "give it a plain name such as `oncall`",
            )),
        }
    }
}

fn gate(node: &Node, path: String, p: &mut Vec<Problem>) -> GateSpec {
    let mut fields = Fields::open(node, path, "a gate", p);
    let mut gate = GateSpec::default();
    if let Some(approval) = fields.node("approval") {
        gate.kind = GateKind::Approval;
        Fields::open(approval, fields.path("approval"), "`approval`", p).close(p);
    }
    gate.timeout_ms = fields.read("timeout", scalar::duration, p).map(millis);
    if let Some(otherwise) = fields.read("otherwise", otherwise, p) {
        gate.otherwise = otherwise;
    }
    fields.close(p);
    gate
}

fn otherwise(node: &Node) -> Result<Otherwise, scalar::Expected> {
    match scalar::text(node).as_deref() {
        Ok("roll_back") => Ok(Otherwise::RollBack),
        Ok("open") => Ok(Otherwise::Open),
        _ => Err("`roll_back` or `open`"),
    }
}

fn no_data(node: &Node, p: &mut Vec<Problem>) -> Patience {
    let mut fields = Fields::open(node, "no_data", "`no_data`", p);
    let mut no_data = Patience::default();
    if let Some(after) = fields.read("after", scalar::duration, p) {
        no_data.after_ms = millis(after);
    }
    if let Some(then) = fields.read("then", scalar::then, p) {
        no_data.then = then;
    }
    fields.close(p);
    no_data
}
