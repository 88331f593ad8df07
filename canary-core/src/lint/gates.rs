//! Gates that may never open.

use super::Finding;
use crate::policy::{GateKind, Policy};
use crate::value::GateName;

pub(super) fn findings(policy: &Policy, found: &mut Vec<Finding>) {
    for gate in policy.gates() {
        let spec = policy.gate(gate);
        // A calendar opens by itself; a gate that only a check asks is not waited for.
        let opens = matches!(spec.kind, GateKind::Window(_));
        if opens || spec.timeout_ms.is_some() || !policy.waits_for(gate) {
            continue;
        }
        let help = if policy.spec().gates.contains_key(gate) {
            "say for how long, and what then: `timeout: 4h, otherwise: roll_back`".to_owned()
        } else {
            format!(
                "say for how long, and what then: `gates: {{ {gate}: {{ timeout: 4h, otherwise: roll_back }} }}`, with \
                 `approval: {{}}` in it where people open it"
            )
        };
        found.push(Finding::new(
            "gate-without-timeout",
            place_of(policy, gate),
            format!("the rollout waits for the gate `{gate}` for as long as it takes"),
            help,
        ));
    }
}

/// Returns where a gate is described, or where it is first asked if it is only named.
fn place_of(policy: &Policy, gate: &GateName) -> String {
    let asked = policy.spec().asked_gates();
    let named = asked.into_iter().find(|(_, name)| *name == gate).map(|(path, _)| path);
    named
        .filter(|_| !policy.spec().gates.contains_key(gate))
        .unwrap_or_else(|| format!("gates.{gate}"))
}
