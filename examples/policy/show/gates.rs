//! Who opens the gates.

use std::fmt;
use std::time::Duration;

use canary_core::policy::{GateKind, GateSpec, Otherwise, Policy};

use crate::words::duration;

pub(super) fn show(f: &mut fmt::Formatter<'_>, policy: &Policy) -> fmt::Result {
    let mut names = policy.gates().peekable();
    if names.peek().is_some() {
        writeln!(f, "\nGates:")?;
    }
    for name in names {
        let gate = policy.gate(name);
        if policy.waits_for(name) {
            writeln!(f, "- {name}: {}", opens(&gate))?;
        } else {
            writeln!(f, "- {name}: {}; asked with every look", who(&gate.kind))?;
        }
    }
    Ok(())
}

/// Says how a gate opens, and what is done if it does not.
fn opens(gate: &GateSpec) -> String {
    let who = who(&gate.kind);
    let Some(timeout) = gate.timeout_ms.map(Duration::from_millis) else {
        return format!("{who}; it is waited for as long as it takes");
    };
    let otherwise = match gate.otherwise {
        Otherwise::Open => "the rollout goes on without it",
        _ => "the canary is taken back",
    };
    format!("{who}; after {} without an answer {otherwise}", duration(timeout))
}

fn who(kind: &GateKind) -> String {
    match kind {
        GateKind::Approval => "a person approves it".to_owned(),
        GateKind::Supplied => "the program that runs the rollout decides".to_owned(),
        GateKind::Window(calendar) => {
            let open = if calendar.freeze { "closed" } else { "open" };
            format!("{open} in the minutes {} of {}", calendar.cron, calendar.zone)
        }
        GateKind::Http(probe) => format!("{} answers with {}", probe.url, probe.expect),
        GateKind::Alerts(alerts) => match &alerts.severity {
            Some(severity) => format!("no {severity} alert fires"),
            None => "no alert fires".to_owned(),
        },
        other => format!("{other:?}"),
    }
}
