//! What a plan needs of the ports, looked at before anything is changed.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::sources::{SourceName, Sources};
use super::{MissingGate, StartError, WrongQuery};
use crate::gate;
use crate::policy::{CheckKind, Evident, GateKind, Metric, MetricSpec, Policy, Weighed};
use crate::ports::{Capabilities, Gate};
use crate::value::{GateName, Query, Signal, Timestamp, Weight};

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

/// Checks that every metric source that the plan asks is there and can be asked that.
pub(super) fn check_sources(policy: &Policy, sources: &Sources) -> Result<(), StartError> {
    let Asked { by: mut missing, queries, .. } = asked(policy);
    missing.retain(|name, _| !sources.has(name));
    if let Some(looking) = missing.remove(&None) {
        return Err(StartError::NoMetrics { policy: policy.name().to_owned(), looking });
    }
    let missing: Vec<Arc<str>> = missing.into_keys().flatten().collect();
    if !missing.is_empty() {
        return Err(StartError::MissingSources { sources: missing });
    }
    let wrong = queries.into_iter().filter_map(|(path, query)| {
        let why = sources.check(&query).err()?.into_failure().message;
        Some(WrongQuery { path, why })
    });
    let queries: Vec<_> = wrong.collect();
    if queries.is_empty() { Ok(()) } else { Err(StartError::WrongQueries { queries }) }
}

/// Returns the sources that anything needs, and what needs each; `None` stands for the one without a name, which counts
/// the requests.
fn asked(policy: &Policy) -> Asked<'_> {
    let mut asked = Asked { policy, by: BTreeMap::new(), queries: BTreeMap::new() };
    if policy.hard_limit() {
        asked.requests("the hard limit (`hard_limit: off` switches it off)");
    }
    for check in policy.checks() {
        let owner = format!("check `{}`", check.name);
        check.kind.visit(&mut |kind| match kind {
            CheckKind::Threshold { metric, .. }
            | CheckKind::Ab { metric, .. }
            | CheckKind::MannWhitney { metric, .. } => asked.metric(metric, &owner),
            CheckKind::WorseThanStable { of, .. } => asked.evidence(of, &owner),
            CheckKind::AsGoodAsStable { .. } | CheckKind::Objective { .. } => {
                asked.requests(&owner);
            }
            CheckKind::Gate { .. } | CheckKind::All(_) | CheckKind::Any(_) | CheckKind::Not(_) => {}
        });
    }
    for stage in policy.stages().iter().filter(|stage| !stage.pass.is_empty()) {
        let owner = format!("what stage `{}` must pass", stage.name);
        asked.requests(&owner);
        stage.pass.limits.iter().for_each(|limit| asked.metric(&limit.metric, &owner));
    }
    asked
}

/// Collects which sources are asked, and by what.
struct Asked<'a> {
    policy: &'a Policy,
    by: BTreeMap<SourceName, Vec<String>>,
    /// What they are asked, by where the policy says it.
    queries: BTreeMap<String, Query>,
}

impl Asked<'_> {
    fn note(&mut self, source: SourceName, owner: &str) {
        let owners = self.by.entry(source).or_default();
        if owners.last().is_none_or(|last| last != owner) {
            owners.push(owner.to_owned());
        }
    }

    fn requests(&mut self, owner: &str) {
        self.note(None, owner);
        self.query(Signal::Requests.to_string(), Query::new(Signal::Requests, Timestamp::EPOCH));
    }

    /// What is weighed beside the requests, which are counted at every look.
    fn evidence(&mut self, of: &[Weighed], owner: &str) {
        self.requests(owner);
        if of.iter().any(|weighed| weighed.what == Evident::Latency) {
            let query = Query::new(Signal::Latency, Timestamp::EPOCH);
            self.query(query.signal.to_string(), query);
        }
    }

    fn query(&mut self, path: String, query: Query) {
        self.queries.insert(path, query);
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
            Some(MetricSpec::Query(asked)) => {
                self.note(asked.source.clone(), owner);
                let mut query = Query::new(metric.signal(), Timestamp::EPOCH);
                query.source.clone_from(&asked.source);
                query.text.clone_from(&asked.query);
                self.query(format!("metrics.{metric}"), query);
            }
            None => {
                self.note(None, owner);
                let signal = metric.signal();
                self.query(signal.to_string(), Query::new(signal, Timestamp::EPOCH));
            }
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
