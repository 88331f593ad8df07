//! Gates: how they are asked, and where they are named.

use std::collections::BTreeMap;

use super::cursor::Fields;
use super::node::{Node, Value};
use super::scalar;
use crate::policy::{AlertFilter, Calendar, GateKind, GateSpec, HttpProbe, Problem};
use crate::value::{GateName, millis};

pub(super) fn read(node: &Node, p: &mut Vec<Problem>) -> BTreeMap<GateName, GateSpec> {
    let mut gates = BTreeMap::new();
    let Value::Map(entries) = &node.value else {
        let message = format!("`gates` is {}, not a map", node.describe());
        p.push(Problem::new("gates", message, "write `gates: { oncall: { approval: {} } }`"));
        return gates;
    };
    for (key, value) in entries {
        let path = format!("gates.{}", key.key());
        match GateName::new(key.key()) {
            Ok(name) => {
                let gate = gate(value, path, p);
                gates.insert(name, gate);
            }
            Err(error) => p.push(
                Problem::new(path, error.to_string(), "give it a plain name such as `oncall`")
                    .standing(key.at),
            ),
        }
    }
    gates
}

fn gate(node: &Node, path: String, p: &mut Vec<Problem>) -> GateSpec {
    if !matches!(node.value, Value::Map(_) | Value::Null) {
        let message = format!("a gate is {}, not a map", node.describe());
        let help =
            "say what it asks, such as `{ approval: {} }`, or `{}` where the program supplies it";
        p.push(Problem::new(path, message, help));
        return GateSpec::default();
    }
    let mut fields = Fields::open(node, path, "a gate", p);
    let mut gate = GateSpec::of(kind(&mut fields, p));
    gate.timeout_ms = fields.read("timeout", scalar::duration, p).map(millis);
    if let Some(otherwise) = fields.read("otherwise", scalar::otherwise, p) {
        gate.otherwise = otherwise;
    }
    fields.close(p);
    gate
}

/// Reads who decides; the program does where nothing is said.
fn kind(fields: &mut Fields<'_>, p: &mut Vec<Problem>) -> GateKind {
    let mut kinds = Vec::new();
    if let Some(approval) = fields.map("approval", p) {
        approval.close(p);
        kinds.push(("approval", GateKind::Approval));
    }
    for (field, freeze) in [("window", false), ("freeze", true)] {
        if let Some(calendar) = fields.map(field, p) {
            kinds.push((field, GateKind::Window(self::calendar(calendar, freeze, p))));
        }
    }
    if let Some(http) = fields.map("http", p) {
        kinds.push(("http", GateKind::Http(probe(http, p))));
    }
    if let Some(mut alerts) = fields.map("alerts", p) {
        let severity = alerts.read("severity", scalar::text, p);
        alerts.close(p);
        kinds.push(("alerts", GateKind::Alerts(AlertFilter { severity })));
    }
    if let [(first, _), (second, _), ..] = kinds.as_slice() {
        p.push(Problem::new(
            fields.path(second),
            format!("a gate has both `{first}` and `{second}`"),
            "write two gates, and ask both: `gates: [one, other]`",
        ));
    }
    kinds.into_iter().next().map_or(GateKind::Supplied, |(_, kind)| kind)
}

fn calendar(mut fields: Fields<'_>, freeze: bool, p: &mut Vec<Problem>) -> Calendar {
    let cron = fields.require("cron", "\"* 9-16 * * MON-THU\"", scalar::text, p);
    let zone = fields.read("zone", scalar::text, p);
    fields.close(p);
    // What is missing is said already: any minute stands in for it.
    let mut calendar = Calendar::open(cron.unwrap_or_else(|| "* * * * *".to_owned()), "UTC");
    calendar.freeze = freeze;
    if let Some(zone) = zone {
        calendar.zone = zone;
    }
    calendar
}

fn probe(mut fields: Fields<'_>, p: &mut Vec<Problem>) -> HttpProbe {
    let url = fields.require("url", "https://shop/healthz", scalar::text, p);
    let mut probe = HttpProbe::get(url.unwrap_or_else(|| "http://localhost/".to_owned()));
    if let Some(status) = fields.read("expect", scalar::count, p) {
        probe.expect = u16::try_from(status).unwrap_or(u16::MAX);
    }
    fields.close(p);
    probe
}

/// Reads a list of the names of gates.
pub(super) fn names(
    fields: &mut Fields<'_>,
    field: &'static str,
    p: &mut Vec<Problem>,
) -> Vec<GateName> {
    let path = fields.path(field);
    let mut names = Vec::new();
    for (j, gate) in fields.list(field, p).iter().enumerate() {
        match name(gate) {
            Ok(name) => names.push(name),
            Err(why) => p.push(Problem::new(
                format!("{path}[{j}]"),
                format!("a gate's name is {}", gate.describe()),
                format!("expected a plain name such as `oncall` ({why})"),
            )),
        }
    }
    names
}

fn name(node: &Node) -> Result<GateName, String> {
    scalar::text(node)
        .map_err(str::to_owned)
        .and_then(|text| GateName::new(text).map_err(|error| error.to_string()))
}

pub(super) fn gate_name(node: &Node) -> Result<GateName, scalar::Expected> {
    name(node).map_err(|_| "a gate's plain name, such as `no-critical-alert`")
}
