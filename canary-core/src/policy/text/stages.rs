//! Stages: one by one, or by rule.

use super::cursor::Fields;
use super::gates::names;
use super::node::{Node, Value};
use super::read::Moved;
use super::scalar;
use crate::policy::{Pass, PassLimit, PolicySpec, Problem, Stage};
use crate::value::{Weight, millis};

/// Reads the stages, and returns how long the last one says that the old version is kept.
pub(super) fn read(
    fields: &mut Fields<'_>,
    spec: &mut PolicySpec,
    moved: &mut Moved,
    p: &mut Vec<Problem>,
) -> Option<u64> {
    let entries = fields.list("stages", p);
    let mut kept = None;
    for (i, node) in entries.iter().enumerate() {
        let path = format!("stages[{i}]");
        let mut fields = Fields::open(node, path.clone(), "a stage", p);
        for stage in entry(i, &mut fields, p) {
            moved.note(format!("stages[{}]", spec.stages.len()), path.clone());
            spec.stages.push(stage);
        }
        if let Some(time) = fields.read("keep_old", scalar::duration, p) {
            if i + 1 == entries.len() {
                kept = Some(millis(time));
                moved.note("promotion.keep_old", fields.path("keep_old"));
            } else {
                p.push(Problem::new(
                    fields.path("keep_old"),
                    "the old version has traffic until the last stage, and is kept anyway",
                    "move `keep_old` to the last stage",
                ));
            }
        }
        fields.close(p);
    }
    kept
}

/// Reads one entry: a stage, or several that follow from a rule.
fn entry(i: usize, fields: &mut Fields<'_>, p: &mut Vec<Problem>) -> Vec<Stage> {
    let by_rule = fields.shows("from") || fields.shows("to");
    let weights = if by_rule {
        ramp(fields, p)
    } else {
        fields.require("weight", "5%", scalar::weight, p).into_iter().collect()
    };
    let hold = fields.require("hold", "5m", scalar::duration, p).unwrap_or_default();
    let name = if by_rule { None } else { fields.read("name", scalar::text, p) };
    let mut stage = Stage::new("", Weight::ZERO, hold);
    if let Some(mirror) = fields.read("mirror", scalar::weight, p) {
        stage.mirror = mirror;
    }
    stage.enter = names(fields, "enter", p);
    stage.gates = names(fields, "gates", p);
    stage.scale = fields.read("scale", scalar::scale, p);
    if let Some(node) = fields.node("pass") {
        stage.pass = pass(node, &fields.path("pass"), p);
    }
    if weights.is_empty() && by_rule {
        return Vec::new();
    }
    if weights.is_empty() {
        // What is wrong with its weight is said already.
        stage.name = name.unwrap_or_else(|| format!("stage {}", i + 1));
        return vec![stage];
    }
    let named = |weight: &Weight| {
        let name = name.clone().unwrap_or_else(|| weight.to_string());
        Stage { name, weight: *weight, ..stage.clone() }
    };
    weights.iter().map(named).collect()
}

/// Says how one weight follows from the one before.
#[derive(Clone, Copy)]
enum Rule {
    Factor(f64),
    Increment(Weight),
}

/// Reads `from: 5%, to: 50%, factor: 2`; empty where it cannot be read.
fn ramp(fields: &mut Fields<'_>, p: &mut Vec<Problem>) -> Vec<Weight> {
    let from = fields.require("from", "5%", scalar::weight, p);
    let to = fields.require("to", "50%", scalar::weight, p);
    let rule = match (fields.has("factor"), fields.has("increment")) {
        (true, false) => fields.read("factor", factor, p).map(Rule::Factor),
        (false, true) => fields.read("increment", increment, p).map(Rule::Increment),
        (both, _) => {
            let message = if both {
                "the steps rise both by a factor and by an increment"
            } else {
                "it is not said how the steps rise"
            };
            p.push(Problem::new(
                fields.path("from"),
                message,
                "write one of `factor: 2` and `increment: 15%`",
            ));
            None
        }
    };
    let (Some(from), Some(to), Some(rule)) = (from, to, rule) else {
        return Vec::new();
    };
    if to <= from {
        p.push(Problem::new(
            fields.path("to"),
            format!("the steps end at {to}, which is not above {from} where they begin"),
            "weights rise: write a higher `to`",
        ));
        return Vec::new();
    }
    if from == Weight::ZERO && matches!(rule, Rule::Factor(_)) {
        p.push(Problem::new(
            fields.path("from"),
            "whatever the factor, 0% stays 0%",
            "begin higher, such as `from: 1%`, or rise by an increment",
        ));
        return Vec::new();
    }
    steps(from, to, rule)
}

/// Returns the weights from one to the other; however the steps fall, the last is exactly `to`.
fn steps(from: Weight, to: Weight, rule: Rule) -> Vec<Weight> {
    let mut weights = vec![from];
    let mut at = from.basis_points();
    while at < to.basis_points() {
        let next = match rule {
            Rule::Increment(by) => at.saturating_add(by.basis_points()),
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "the cast saturates, and nothing here is negative"
            )]
            Rule::Factor(by) => (f64::from(at) * by).round() as u16,
        };
        at = next.max(at + 1).min(to.basis_points());
        weights.extend(Weight::from_basis_points(at));
    }
    weights
}

fn factor(node: &Node) -> Result<f64, scalar::Expected> {
    scalar::number(node).ok().filter(|factor| *factor > 1.0).ok_or("a number above 1, such as `2`")
}

fn increment(node: &Node) -> Result<Weight, scalar::Expected> {
    let above_zero = |weight: &Weight| *weight > Weight::ZERO;
    scalar::weight(node)
        .ok()
        .filter(above_zero)
        .ok_or("a percentage above 0% in steps of 0.01%, such as `15%`")
}

/// Reads `{ samples: 5000, health: ">= 99%" }`.
fn pass(node: &Node, path: &str, p: &mut Vec<Problem>) -> Pass {
    let mut pass = Pass::default();
    let Value::Map(entries) = &node.value else {
        let message = format!("`pass` is {}, not a map", node.describe());
        p.push(Problem::new(
            path,
            message,
            "write `pass: { samples: 5000, error_rate: \"<= 1%\" }`",
        ));
        return pass;
    };
    for (key, value) in entries {
        let name = key.key();
        let wrong = |expected: &str| {
            Problem::new(
                format!("{path}.{name}"),
                format!("`{name}` is {}", value.describe()),
                format!("expected {expected}"),
            )
            .standing(value.at)
        };
        if name == "samples" {
            match scalar::count(value) {
                Ok(samples) => pass.samples = samples,
                Err(expected) => p.push(wrong(expected)),
            }
            continue;
        }
        match scalar::metric(key) {
            Ok(metric) => match scalar::bound(value, metric.unit()) {
                Ok((bad, limit)) => pass.limits.push(PassLimit::new(metric, bad, limit)),
                Err(expected) => p.push(wrong(expected)),
            },
            Err(expected) => p.push(
                Problem::new(
                    format!("{path}.{name}"),
                    format!("`{name}` is no metric"),
                    format!("expected `samples`, {expected}"),
                )
                .standing(key.at),
            ),
        }
    }
    pass
}
