//! What a plan needs of the ports, looked at before anything is changed.

use std::collections::BTreeMap;
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
    let mut missing = asked(policy);
    missing.retain(|name, _| !sources.has(name));
    if let Some(looking) = missing.remove(&None) {
        return Err(StartError::NoMetrics { policy: policy.name().to_owned(), looking });
    }
    let sources: Vec<Arc<str>> = missing.into_keys().flatten().collect();
    if sources.is_empty() { Ok(()) } else { Err(StartError::MissingSources { sources }) }
}

/// Returns the sources that anything needs, and what needs each; `None` stands for the one without a name, which counts
/// the requests.
fn asked(policy: &Policy) -> BTreeMap<SourceName, Vec<String>> {
    let mut asked = Asked { policy, by: BTreeMap::new() };
    if policy.hard_limit() {
        asked.note(None, "the hard limit (`hard_limit: off` switches it off)");
    }
    for check in policy.checks() {
        let owner = format!("check `{}`", check.name);
        check.kind.visit(&mut |kind| match kind {
            CheckKind::Threshold { metric, .. }
            | CheckKind::Ab { metric, .. }
            | CheckKind::MannWhitney { metric, .. } => asked.metric(metric, &owner),
            CheckKind::WorseThanStable { .. }
            | CheckKind::AsGoodAsStable { .. }
            | CheckKind::Objective { .. } => asked.note(None, &owner),
            CheckKind::Gate { .. } | CheckKind::All(_) | CheckKind::Any(_) | CheckKind::Not(_) => {}
        });
    }
    for stage in policy.stages().iter().filter(|stage| !stage.pass.is_empty()) {
        let owner = format!("what stage `{}` must pass", stage.name);
        asked.note(None, &owner);
        stage.pass.limits.iter().for_each(|limit| asked.metric(&limit.metric, &owner));
    }
    asked.by
}

/// Collects which sources are asked, and by what.
struct Asked<'a> {
    policy: &'a Policy,
    by: BTreeMap<SourceName, Vec<String>>,
}

impl Asked<'_> {
    fn note(&mut self, source: SourceName, owner: &str) {
        let owners = self.by.entry(source).or_default();
        if owners.last().is_none_or(|last| last != owner) {
            owners.push(owner.to_owned());
        }
    }

    fn metric(&mut self, metric: &Metric, owner: &str) {
        let spec = match metric {
            Metric::Custom(name) => self.policy.spec().metrics.get(&**name),
            _ => None,
        };
        match spec {
            Some(MetricSpec::Score(parts)) => {
                // No part is a score itself.
                parts.iter().for_each(|part| self.metric(&part.metric, owner));
            }
            Some(MetricSpec::Query(query)) => self.note(query.source.clone(), owner),
            None => self.note(None, owner),
        }
    }
}

/// Checks that the plan asks every gate that code supplies.
pub(super) fn check_gates(
    policy: &Policy,
    supplied: &BTreeMap<GateName, Arc<dyn Gate>>,
) -> Result<(), StartError> {
    let known: Vec<GateName> = policy.gates().cloned().collect();
    let gates: Vec<GateName> =
        supplied.keys().filter(|gate| !known.contains(gate)).cloned().collect();
    if gates.is_empty() {
        return Ok(());
    }
    Err(StartError::UnknownGates { policy: policy.name().to_owned(), gates, known })
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
