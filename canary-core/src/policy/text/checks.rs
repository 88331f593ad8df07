//! Checks: what they look at, and what follows.

use super::cursor::Fields;
use super::gates::gate_name;
use super::mode::Mode;
use super::node::{Node, Value};
use super::{read, scalar};
use crate::policy::{
    Check, CheckKind, Comparison, Evident, Limit, MAX_DEPTH, Problem, Then, Weighed,
};
use crate::value::{Weight, millis};

/// Stands in for what a check looks at where that cannot be read.
const HARMLESS: CheckKind = CheckKind::All(Vec::new());

/// The keys that say what a check looks at.
const KINDS: [&str; 8] =
    ["metric", "worse_than_stable", "as_good_as_stable", "objective", "gate", "all", "any", "not"];

/// The keys that go with one of them.
const DETAILS: [&str; 11] = [
    "above",
    "below",
    "for",
    "samples",
    "significance",
    "mann_whitney",
    "at",
    "of",
    "false_alarm",
    "false_pass",
    "unclear",
];

pub(super) fn check(i: usize, node: &Node, mode: Mode, p: &mut Vec<Problem>) -> Check {
    let mut fields = Fields::open(node, format!("checks[{i}]"), "a check", p);
    let name = fields.require("name", "errors", scalar::text, p).unwrap_or_default();
    // Evidence about an objective says nothing against the canary alone.
    let usual = if fields.shows("objective") { Then::Hold } else { mode.usual() };
    let then = then(&mut fields, usual, p);
    let kind = kind(&mut fields, 1, p).unwrap_or(HARMLESS);
    let mut check = Check::new(name, kind).then(then);
    check.dry_run = fields.read("dry_run", scalar::switch, p).unwrap_or(false);
    check.from = fields.read("from", scalar::weight, p).unwrap_or(Weight::ZERO);
    fields.millis("delay", &mut check.delay_ms, p);
    check.every_ms = fields.read("every", scalar::duration, p).map(millis);
    check.tolerance.failures = fields.read("failures", scalar::small_count, p);
    check.tolerance.in_a_row = fields.read("failures_in_a_row", scalar::small_count, p);
    check.tolerance.successes = fields.read("successes", scalar::small_count, p).unwrap_or(0);
    check.no_data = read::patience(&mut fields, "no_data", p);
    check.errors = read::patience(&mut fields, "errors", p);
    fields.close(p);
    check
}

/// Reads what is done when the check fails: `then`, or `severity` for short.
fn then(fields: &mut Fields<'_>, usual: Then, p: &mut Vec<Problem>) -> Then {
    let then = fields.read("then", scalar::then, p);
    let severity = fields.read("severity", scalar::severity, p);
    if fields.has("then") && fields.has("severity") {
        p.push(Problem::new(
            fields.path("severity"),
            "a check has both `then` and `severity`",
            "remove one: `severity: critical` is short for `then: roll_back`, `warning` for `warn`",
        ));
    }
    then.or(severity).unwrap_or(usual)
}

/// Reads what is looked at; `None` where it cannot be read, which is noted.
fn kind(fields: &mut Fields<'_>, depth: usize, p: &mut Vec<Problem>) -> Option<CheckKind> {
    let found: Vec<&str> = KINDS.into_iter().filter(|key| fields.shows(key)).collect();
    let problem = match found.as_slice() {
        [] => Some(Problem::new(
            fields.here(),
            "the check looks at nothing",
            "write `metric: error_rate` with `above: 5%`, or `worse_than_stable: 1.25x`",
        )),
        [_] if depth > MAX_DEPTH => Some(Problem::new(
            fields.here(),
            format!("a check lies more than {MAX_DEPTH} deep in others"),
            "write some of them as checks of their own",
        )),
        [_] => None,
        [first, second, ..] => Some(Problem::new(
            fields.path(second),
            format!("a check looks at both `{first}` and `{second}`"),
            "write two checks, or put them together: `all: [..]`, `any: [..]`",
        )),
    };
    if let Some(problem) = problem {
        p.push(problem);
        // Named so that they are not called unknown on top of that.
        KINDS.into_iter().chain(DETAILS).for_each(|key| _ = fields.node(key));
        return None;
    }
    match found[0] {
        "worse_than_stable" => {
            let ratio = fields.read("worse_than_stable", scalar::times, p);
            let false_alarm = fields.read("false_alarm", scalar::share, p).unwrap_or(0.01);
            let of = weighed(fields, p);
            Some(CheckKind::WorseThanStable { ratio: ratio?, false_alarm, of })
        }
        "as_good_as_stable" => {
            let ratio = fields.read("as_good_as_stable", scalar::times, p);
            let false_pass = fields.read("false_pass", scalar::share, p).unwrap_or(0.05);
            let unclear = fields.read("unclear", scalar::unclear, p).unwrap_or_default();
            Some(CheckKind::AsGoodAsStable { ratio: ratio?, false_pass, unclear })
        }
        "objective" => {
            let kept = fields.read("objective", scalar::share, p);
            let false_alarm = fields.read("false_alarm", scalar::share, p).unwrap_or(0.01);
            // As people write it: 99.9 % leaves 0.1 %, to the last digit.
            let allowed = ((1.0 - kept?) * 1e12).round() / 1e12;
            Some(CheckKind::Objective { allowed, false_alarm })
        }
        "gate" => fields.read("gate", gate_name, p).map(|gate| CheckKind::Gate { gate }),
        "all" => Some(CheckKind::All(parts(fields, "all", depth, p))),
        "any" => Some(CheckKind::Any(parts(fields, "any", depth, p))),
        "not" => {
            let part = fields.map("not", p)?;
            Some(CheckKind::Not(Box::new(part_kind(part, depth, p))))
        }
        _ if fields.shows("significance") => ab(fields, p),
        _ if fields.shows("mann_whitney") => mann_whitney(fields, p),
        _ => threshold(fields, p),
    }
}

/// Reads what evidence weighs: one word, or several with their weights.
fn weighed(fields: &mut Fields<'_>, p: &mut Vec<Problem>) -> Vec<Weighed> {
    const ALL: [Evident; 2] = [Evident::Errors, Evident::Latency];
    let several = |node: &Node| matches!(node.value, Value::Map(_));
    if !fields.node("of").is_some_and(several) {
        let what = fields.read("of", scalar::evident, p);
        return what.map(|what| Weighed::new(what, 1.0)).into_iter().collect();
    }
    let Some(mut of) = fields.map("of", p) else { return Vec::new() };
    let weight = |what: Evident, of: &mut Fields<'_>, p: &mut Vec<Problem>| {
        of.read(what.as_str(), scalar::number, p).map(|weight| Weighed::new(what, weight))
    };
    let weighed = ALL.into_iter().filter_map(|what| weight(what, &mut of, p)).collect();
    of.close(p);
    weighed
}

fn mann_whitney(fields: &mut Fields<'_>, p: &mut Vec<Problem>) -> Option<CheckKind> {
    let metric = fields.read("metric", scalar::metric, p);
    let ratio = fields.read("mann_whitney", scalar::times, p);
    fields.read("at", scalar::stage_end, p);
    Some(CheckKind::MannWhitney { metric: metric?, ratio: ratio? })
}

fn parts(
    fields: &mut Fields<'_>,
    field: &'static str,
    depth: usize,
    p: &mut Vec<Problem>,
) -> Vec<CheckKind> {
    let path = fields.path(field);
    let mut kinds = Vec::new();
    for (j, node) in fields.list(field, p).iter().enumerate() {
        let part = Fields::open(node, format!("{path}[{j}]"), "a part of a check", p);
        kinds.push(part_kind(part, depth, p));
    }
    kinds
}

fn part_kind(mut part: Fields<'_>, depth: usize, p: &mut Vec<Problem>) -> CheckKind {
    let kind = kind(&mut part, depth + 1, p);
    part.close(p);
    kind.unwrap_or(HARMLESS)
}

fn ab(fields: &mut Fields<'_>, p: &mut Vec<Problem>) -> Option<CheckKind> {
    let metric = fields.read("metric", scalar::metric, p);
    let significance = fields.read("significance", scalar::share, p);
    let samples = fields.require("samples", "10000", scalar::count, p);
    fields.read("at", scalar::stage_end, p);
    Some(CheckKind::Ab { metric: metric?, significance: significance?, samples: samples? })
}

fn threshold(fields: &mut Fields<'_>, p: &mut Vec<Problem>) -> Option<CheckKind> {
    let metric = fields.read("metric", scalar::metric, p);
    let mut for_ms = 0;
    fields.millis("for", &mut for_ms, p);
    let samples = fields.read("samples", scalar::count, p).unwrap_or(0);
    let comparison = match (fields.shows("above"), fields.shows("below")) {
        (true, false) => Comparison::Above,
        (false, true) => Comparison::Below,
        (both, _) => {
            ["above", "below"].into_iter().for_each(|key| _ = fields.node(key));
            let message =
                if both { "a check has both `above` and `below`" } else { "a check has no limit" };
            p.push(Problem::new(
                fields.here(),
                message,
                "write one of `above: 5%` and `below: 95%`",
            ));
            return None;
        }
    };
    // It is known here, whatever it is a limit on.
    _ = fields.node(comparison.as_str());
    let metric = metric?;
    let unit = metric.unit();
    let limit: Option<Limit> =
        fields.read(comparison.as_str(), |node| scalar::limit(node, unit), p);
    Some(CheckKind::Threshold { metric, comparison, limit: limit?, for_ms, samples })
}
