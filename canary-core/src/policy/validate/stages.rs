//! The steps of the plan.

use super::found::Found;
use super::metrics::absolute;
use crate::policy::{BAKE, PolicySpec, Scale, Stage};
use crate::value::{GateName, StageRef, Weight};

pub(super) fn all(spec: &PolicySpec, found: &mut Found) {
    no_gate_twice("start.gates", &spec.start, found);
    if spec.stages.is_empty() {
        found.add(
            "stages",
            "the policy has no stages",
            "write at least one, such as `- { name: full, weight: 100%, hold: 10m }`",
        );
        return;
    }
    let reserved = [BAKE, StageRef::START.as_str(), StageRef::PROMOTION.as_str()];
    found.names("stages", "stage", &reserved, spec.stages.iter().map(|s| s.name.as_str()));
    rising(spec, found);
    for (i, stage) in spec.stages.iter().enumerate() {
        one(&format!("stages[{i}]"), stage, spec, found);
    }
    let last = spec.stages.len() - 1;
    if spec.stages[last].weight != Weight::FULL {
        found.add(
            format!("stages[{last}].weight"),
            format!(
                "the last stage ends at {}, so the rollout would never finish",
                spec.stages[last].weight
            ),
            "the last stage has all of the traffic: `weight: 100%`",
        );
    }
    no_gate_twice("promotion.gates", &spec.promotion.gates, found);
    no_gate_twice("promotion.after", &spec.promotion.after, found);
}

/// Refuses a stage that gives the canary no more than the one before it.
fn rising(spec: &PolicySpec, found: &mut Found) {
    for (i, pair) in spec.stages.windows(2).enumerate() {
        let (before, this) = (&pair[0], &pair[1]);
        if this.weight > before.weight {
            continue;
        }
        let path = format!("stages[{}].weight", i + 1);
        let Stage { name, weight, .. } = this;
        if *weight == Weight::ZERO && before.weight == Weight::ZERO {
            if this.mirror <= before.mirror {
                found.add(
                    path,
                    format!("stage `{name}` gives the canary no more than the one before it"),
                    "weights rise from stage to stage, or at 0% the share that is mirrored: `mirror: 10%`",
                );
            }
            continue;
        }
        found.add(
            path,
            format!("stage `{name}`: weight {weight} is not above the {} before it", before.weight),
            "weights rise from stage to stage; to take the canary back, use `then: roll_back` in a check",
        );
    }
}

fn one(path: &str, stage: &Stage, spec: &PolicySpec, found: &mut Found) {
    let name = &stage.name;
    if stage.hold_ms > super::YEAR_MS {
        found.add(
            format!("{path}.hold"),
            format!("stage `{name}` would last more than a year"),
            "expected at most 365d",
        );
    }
    if stage.weight == Weight::ZERO && stage.mirror == Weight::ZERO && spec.header.is_empty() {
        found.add(
            path,
            format!("nothing reaches the canary in stage `{name}`"),
            "give it a share of the traffic, a `mirror`, or the policy a `header: { x-canary: \"true\" }`",
        );
    }
    if stage.weight == Weight::FULL && stage.mirror != Weight::ZERO {
        found.add(
            format!("{path}.mirror"),
            format!("stage `{name}` has all of the traffic: stable has no requests to copy"),
            "remove `mirror`",
        );
    }
    if matches!(stage.scale, Some(Scale::Replicas(0) | Scale::Share(Weight::ZERO))) {
        found.add(
            format!("{path}.scale"),
            format!("stage `{name}` leaves the canary without a replica"),
            "expected at least one replica, such as `2`, or a share such as `50%`",
        );
    }
    no_gate_twice(&format!("{path}.enter"), &stage.enter, found);
    no_gate_twice(&format!("{path}.gates"), &stage.gates, found);
    pass(path, stage, spec, found);
}

fn pass(path: &str, stage: &Stage, spec: &PolicySpec, found: &mut Found) {
    let owner = format!("stage `{}`", stage.name);
    if !stage.pass.is_empty() && !stage.split().reaches_canary() {
        found.add(
            format!("{path}.pass"),
            format!("{owner} cannot be passed: at 0% without a `mirror` the canary has no requests to judge"),
            "move `pass` to a stage above 0%, give this one a `mirror`, or ask a gate instead",
        );
    }
    for limit in &stage.pass.limits {
        let path = format!("{path}.pass.{}", limit.metric);
        if spec.compares(&limit.metric) && !stage.split().is_mixed() {
            found.add(
                &*path,
                format!("{owner} cannot be passed: every part of `{}` compares with stable, which has no traffic there", limit.metric),
                "move it to a stage between 0% and 100%, or give a part limits in numbers",
            );
        }
        absolute((&path, &owner), &limit.metric, limit.limit, spec, found);
    }
}

fn no_gate_twice(path: &str, gates: &[GateName], found: &mut Found) {
    for (i, gate) in gates.iter().enumerate() {
        if gates[..i].contains(gate) {
            found.add(
                format!("{path}[{i}]"),
                format!("the gate `{gate}` is asked twice at once"),
                "remove one of them",
            );
        }
    }
}
