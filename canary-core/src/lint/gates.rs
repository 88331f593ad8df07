//! Gates that may never open.

use super::Finding;
use crate::policy::{GateKind, Policy};

pub(super) fn findings(policy: &Policy, found: &mut Vec<Finding>) {
    for gate in policy.gates() {
        let spec = policy.gate(gate);
        // A calendar opens by itself; a gate that only a check asks is not waited for.
        let opens = matches!(spec.kind, GateKind::Window(_));
        if opens || spec.timeout_ms.is_some() || !policy.waits_for(gate) {
            continue;
        }
        found.push(Finding::new(
            "gate-without-timeout",
            format!("gates.{gate}"),
            format!("the rollout waits for the gate `{gate}` for as long as it takes"),
            "say for how long, and what then: `timeout: 4h, otherwise: roll_back`",
        ));
    }
}
