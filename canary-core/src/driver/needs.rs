//! What a plan needs of the ports, looked at before anything is changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::sources::Sources;
use super::{MissingGate, StartError};
use crate::gate;
use crate::policy::{GateKind, MetricSpec, Policy};
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
    if policy.is_judged() && !sources.has(&None) {
        return Err(StartError::NoMetrics { policy: policy.name().to_owned() });
    }
    let named = policy.spec().metrics.values().filter_map(|metric| match metric {
        MetricSpec::Query(query) => query.source.clone(),
        MetricSpec::Score(_) => None,
    });
    let missing: BTreeSet<Arc<str>> = named.filter(|n| !sources.has(&Some(n.clone()))).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(StartError::MissingSources { sources: missing.into_iter().collect() })
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
