//! The steps of the plan.

use std::fmt;

use canary_core::policy::{Comparison, Policy, Scale, Stage};
use canary_core::value::{GateName, Weight};

use super::list;
use crate::table::table;
use crate::words::{duration, limit};

pub(super) fn show(f: &mut fmt::Formatter<'_>, policy: &Policy) -> fmt::Result {
    let start = &policy.spec().start;
    if !start.is_empty() {
        writeln!(f, "Asked before anything else: {}\n", list(start))?;
    }
    f.write_str(&planned(policy))?;
    for stage in policy.stages() {
        let more = more(stage);
        if !more.is_empty() {
            writeln!(f, "- {}: {}", stage.name, more.join("; "))?;
        }
    }
    Ok(())
}

fn planned(policy: &Policy) -> String {
    let last = if policy.gates().next().is_some() { "gates before it is left" } else { "" };
    let row = |stage: &Stage| {
        let gates: Vec<_> = stage.gates.iter().map(GateName::as_str).collect();
        let weight = stage.weight.to_string();
        [stage.name.clone(), weight, duration(stage.hold()), gates.join(", ")]
    };
    table(["stage", "weight", "hold", last], &[0, 3], policy.stages().iter().map(row))
}

/// Says what stands in no column.
fn more(stage: &Stage) -> Vec<String> {
    let mut more = Vec::new();
    if !stage.enter.is_empty() {
        more.push(format!("asked before its weight: {}", list(&stage.enter)));
    }
    if stage.mirror != Weight::ZERO {
        more.push(format!("the canary gets a copy of {} of stable's requests", stage.mirror));
    }
    match stage.scale {
        Some(Scale::Replicas(1)) => more.push("1 replica".to_owned()),
        Some(Scale::Replicas(count)) => more.push(format!("{count} replicas")),
        Some(Scale::Share(share)) => more.push(format!("{share} of stable's replicas")),
        Some(other) => more.push(format!("{other:?}")),
        None => {}
    }
    let mut pass = Vec::new();
    if stage.pass.samples > 0 {
        pass.push(format!("{} requests", stage.pass.samples));
    }
    for bound in &stage.pass.limits {
        let not = match bound.comparison {
            Comparison::Above => "at most",
            Comparison::Below => "at least",
        };
        let at = limit(bound.metric.unit(), bound.limit);
        pass.push(format!("{} of {not} {at}", bound.metric));
    }
    if !pass.is_empty() {
        more.push(format!("left once the canary had in it {}", pass.join(", ")));
    }
    more
}
