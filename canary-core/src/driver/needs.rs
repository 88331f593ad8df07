//! What a plan needs of the ports, looked at before anything is changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::sources::{SourceName, Sources};
use super::{MissingGate, StartError};
use crate::gate;
use crate::policy::{CheckKind, GateKind, Metric, MetricSpec, Policy};
use crate::ports::{Capabilities, Gate};
use crate::value::{GateName, Weight};

/// Checks that a router can do what the plan asks of it.
pub(super) fn check_router(policy: &Policy, can: &Capabilities) -> Result<(), StartError> {
    for stage in policy.stages() {
        if let Some(weight) = [stage.weight, stage.mirror].into_iter().find(|w| !can.can_hold(*w)) {
            return Err(StartError::WeightTooFine {
                stage: stage.name.clone(),
                weight,
                resolution: can.resolution,
            });
        }
    }
    let mut lacks = Vec::new();
    if !policy.spec().header.is_empty() && !can.headers {
        lacks.push("send requests by their headers, which `header` asks for".to_owned());
    }
    if policy.spec().audience.is_some() && !can.audience {
        lacks.push("choose the canary's share by user, which `audience` asks for".to_owned());
    }
    let mirroring = policy.stages().iter().find(|stage| stage.mirror != Weight::ZERO);
    if let (Some(stage), false) = (mirroring, can.mirror) {
        lacks.push(format!("copy requests, which stage `{}` asks for with `mirror`", stage.name));
    }
    if lacks.is_empty() { Ok(()) } else { Err(StartError::RouterLacks { lacks }) }
}

/// Checks that every metric source that the plan asks is there.
pub(super) fn check_sources(policy: &Policy, sources: &Sources) -> Result<(), StartError> {
    let missing: Vec<SourceName> =
        asked(policy).into_iter().filter(|name| !sources.has(name)).collect();
    if missing.contains(&None) {
        return Err(StartError::NoMetrics { policy: policy.name().to_owned() });
    }
    let sources: Vec<Arc<str>> = missing.into_iter().flatten().collect();
    if sources.is_empty() { Ok(()) } else { Err(StartError::MissingSources { sources }) }
}

/// Returns the sources that anything needs; `None` stands for the one without a name, which counts the requests.
fn asked(policy: &Policy) -> BTreeSet<SourceName> {
    let mut asked = BTreeSet::new();
    if policy.hard_limit() || policy.stages().iter().any(|stage| !stage.pass.is_empty()) {
        asked.insert(None);
    }
    for check in policy.checks() {
        check.kind.visit(&mut |kind| match kind {
            CheckKind::Threshold { metric, .. } | CheckKind::Ab { metric, .. } => {
                ask_for(policy, metric, &mut asked);
            }
            CheckKind::WorseThanStable { .. } => drop(asked.insert(None)),
            CheckKind::Gate { .. } | CheckKind::All(_) | CheckKind::Any(_) | CheckKind::Not(_) => {}
        });
    }
    for limit in policy.stages().iter().flat_map(|stage| &stage.pass.limits) {
        ask_for(policy, &limit.metric, &mut asked);
    }
    asked
}

fn ask_for(policy: &Policy, metric: &Metric, asked: &mut BTreeSet<SourceName>) {
    let spec = match metric {
        Metric::Custom(name) => policy.spec().metrics.get(&**name),
        _ => None,
    };
    match spec {
        Some(MetricSpec::Score(parts)) => {
            // No part is a score itself.
            parts.iter().for_each(|part| ask_for(policy, &part.metric, asked));
        }
        Some(MetricSpec::Query(query)) => drop(asked.insert(query.source.clone())),
        None => drop(asked.insert(None)),
    }
}

/// Adds the gates that the plan itself describes to those that code supplies.
pub(super) fn add_gates(
    policy: &Policy,
    gates: &mut BTreeMap<GateName, Arc<dyn Gate>>,
) -> Result<(), StartError> {
    let mut missing = Vec::new();
    for name in policy.gates() {
        let kind = policy.gate(name).kind;
        if kind == GateKind::Approval || gates.contains_key(name) {
            continue;
        }
        match gate::of(&kind) {
            Ok(gate) => drop(gates.insert(name.clone(), gate)),
            Err(why) => missing.push(MissingGate { gate: name.clone(), why }),
        }
    }
    if missing.is_empty() { Ok(()) } else { Err(StartError::MissingGates { gates: missing }) }
}
