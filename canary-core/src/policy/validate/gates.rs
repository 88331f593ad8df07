//! Gates: how they are asked, and whether they are.

use super::found::Found;
use crate::policy::{GateKind, HttpProbe, PROGRESS, PolicySpec, nearest, slips_of};
use crate::value::GateName;

pub(super) fn all(spec: &PolicySpec, found: &mut Found) {
    for (gate, gate_spec) in &spec.gates {
        let path = format!("gates.{gate}");
        if gate.as_str() == PROGRESS {
            found.add(
                &path,
                format!("no gate can be called `{gate}`: a rollout that stands still asks so"),
                "call it something else",
            );
        }
        if gate_spec.timeout_ms == Some(0) {
            found.add(
                format!("{path}.timeout"),
                format!("gate `{gate}` has no time to open"),
                "expected a duration above zero, such as `timeout: 4h`",
            );
        }
        found.at_most_a_year(&format!("{path}.timeout"), gate_spec.timeout_ms.unwrap_or(0));
        match &gate_spec.kind {
            GateKind::Supplied | GateKind::Approval => {}
            #[cfg(feature = "calendar")]
            GateKind::Window(calendar) => self::calendar(&path, calendar, found),
            // Without the feature nobody can tell, and nobody can open it either.
            #[cfg(not(feature = "calendar"))]
            GateKind::Window(_) => {}
            GateKind::Http(probe) => http(&path, gate, probe, found),
            GateKind::Alerts(alerts) => {
                if alerts.severity.as_ref().is_some_and(|severity| severity.trim().is_empty()) {
                    found.add(
                        format!("{path}.alerts.severity"),
                        format!("gate `{gate}` asks for alerts of no severity"),
                        "name one, such as `critical`, or remove the key",
                    );
                }
            }
        }
    }
}

#[cfg(feature = "calendar")]
fn calendar(path: &str, calendar: &crate::policy::Calendar, found: &mut Found) {
    let path = format!("{path}.{}", if calendar.freeze { "freeze" } else { "window" });
    for error in calendar.errors() {
        let (field, expected) = if error.is_zone() {
            ("zone", "expected an IANA name, such as `Europe/Berlin`")
        } else {
            (
                "cron",
                "expected minute, hour, day, month and weekday, such as `\"* 9-16 * * MON-THU\"`",
            )
        };
        found.add(format!("{path}.{field}"), error.to_string(), expected);
    }
}

fn http(path: &str, gate: &GateName, probe: &HttpProbe, found: &mut Found) {
    let host = probe.url.strip_prefix("https://").or_else(|| probe.url.strip_prefix("http://"));
    let plain = host.is_some_and(|rest| {
        !rest.is_empty()
            && !rest.starts_with('/')
            && !rest.chars().any(|c| c.is_whitespace() || c.is_control())
    });
    if !plain {
        found.add(
            format!("{path}.http.url"),
            format!("gate `{gate}` asks `{}`, which is no page", probe.url),
            "expected an address such as `https://shop/healthz`",
        );
    }
    if !(100..=599).contains(&probe.expect) {
        found.add(
            format!("{path}.http.expect"),
            format!("gate `{gate}` expects {}, which is no HTTP status", probe.expect),
            "expected 100 to 599, such as `200`",
        );
    }
}

/// Refuses a gate that is asked nowhere, most likely because it is misspelt, and one that is asked too often.
pub(super) fn asked_anywhere(spec: &PolicySpec, found: &mut Found) {
    let asked = spec.asked_gates();
    for (gate, gate_spec) in &spec.gates {
        if !asked.iter().any(|(_, name)| *name == gate) {
            found.add(
                format!("gates.{gate}"),
                format!("nothing asks the gate `{gate}`"),
                unasked(gate, spec, &asked),
            );
        }
        let watched =
            |(path, name): &(String, &GateName)| path.starts_with("checks[") && *name == gate;
        if gate_spec.kind == GateKind::Approval && asked.iter().any(watched) {
            found.add(
                format!("gates.{gate}"),
                format!(
                    "a check asks the gate `{gate}` at each look, and a person would have to answer"
                ),
                format!("ask it once instead: add `gates: [{gate}]` to a stage"),
            );
        }
    }
}

/// Says what to do with a gate that nothing asks.
fn unasked(gate: &GateName, spec: &PolicySpec, asked: &[(String, &GateName)]) -> String {
    let unknown =
        asked.iter().map(|(_, name)| *name).filter(|name| !spec.gates.contains_key(*name));
    let name = gate.as_str();
    match nearest(name, unknown.map(GateName::as_str), 2.max(slips_of(name))) {
        Some(other) => {
            format!("`{other}` is asked, which does not stand here: is it the same one?")
        }
        None => format!("add `gates: [{gate}]` to a stage, or remove it here"),
    }
}
