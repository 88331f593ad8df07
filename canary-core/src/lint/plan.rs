//! The plan as a whole: how fast it goes, and where it is judged.

use std::time::Duration;

use super::{Finding, mixed};
use crate::policy::{Check, CheckKind, Policy, Stage, Then};
use crate::value::{Span, Weight, millis};

/// The share of the users that should at most see a new version first.
const LARGE: Weight = Weight::percent(25);

/// The longest look with which evidence convicts quickly.
const LONG_LOOK: Duration = Duration::from_secs(15);

/// The longest look for which requests on their way matter.
const SHORT_LOOK: Duration = Duration::from_secs(10);

pub(super) fn findings(policy: &Policy, found: &mut Vec<Finding>) {
    looks(policy, found);
    settling(policy, found);
    first_stage(policy, found);
    let binding = || policy.checks().iter().filter(|check| check.is_binding());
    if binding().next().is_none() && !policy.hard_limit() {
        found.push(Finding::new(
            "unjudged",
            "checks",
            "nothing can take the canary back: holds and gates alone decide",
            "add a check such as `{ name: errors, worse_than_stable: 1.25x }`",
        ));
        return;
    }
    let judged_at = |weight| binding().any(|check| policy.spec().judges_at(check, weight));
    let last = format!("stages[{}]", policy.full_stage());
    if mixed(policy).all(|(_, stage)| !policy.hard_limit() && !judged_at(stage.split())) {
        found.push(Finding::new(
            "decided-at-full",
            last,
            "nothing is judged before all users have the new version",
            "add a stage at 50% or less, and a check that applies there",
        ));
    } else {
        if mixed(policy).all(|(_, stage)| !judged_at(stage.split())) {
            found.push(Finding::new(
                "unjudged",
                "checks",
                "below 100% only the hard limit judges: a canary that fails less than half of its requests goes on to \
                 all users",
                "add a check such as `{ name: errors, worse_than_stable: 1.25x }`",
            ));
        }
        if !judged_at(Weight::FULL.into()) {
            found.push(Finding::new(
                "nothing-at-full",
                last,
                "at 100% no check can stop the rollout: there is no stable to compare with",
                "add a limit in numbers, such as `{ name: too-many-errors, metric: error_rate, above: 5%, for: 2m }`",
            ));
        }
    }
    comparison(policy, found);
    if !policy.hard_limit() && mixed(policy).next().is_some() {
        found.push(Finding::new(
            "no-hard-limit",
            "hard_limit",
            "a canary that fails half of its requests is taken back only as fast as the checks find out",
            "remove `hard_limit: off`",
        ));
    }
}

fn looks(policy: &Policy, found: &mut Vec<Finding>) {
    let mut evidence = false;
    for check in policy.checks() {
        check.kind.visit(&mut |kind| evidence |= matches!(kind, CheckKind::WorseThanStable { .. }));
    }
    let every = Span(millis(policy.every()));
    if evidence && policy.every() > LONG_LOOK {
        found.push(Finding::new(
            "long-looks",
            "every",
            format!("evidence is gathered in looks of {every}, and a bad canary is convicted by several of them"),
            "expected at most `every: 15s`",
        ));
    }
    if policy.settle().is_zero() && policy.every() <= SHORT_LOOK && policy.is_judged() {
        found.push(Finding::new(
            "no-settling",
            "every",
            format!(
                "looks of {every} count requests for a weight that were on their way before it"
            ),
            "leave them out: `settle: 2s`, or as long as the slowest requests take",
        ));
    }
}

/// Finds stages of which more is left out than is looked at.
fn settling(policy: &Policy, found: &mut Vec<Finding>) {
    let settle = policy.settle();
    let short = |stage: &&Stage| !stage.hold().is_zero() && stage.hold() <= settle;
    let planned = &policy.spec().stages;
    let Some(stage) = planned.iter().find(short).filter(|_| policy.is_judged()) else {
        return;
    };
    found.push(Finding::new(
        "long-settling",
        "settle",
        format!(
            "{} are left out after each change of weight, and stage `{}` then holds {}",
            Span(millis(settle)),
            stage.name,
            Span(stage.hold_ms)
        ),
        "expected as long as the slowest requests take, such as `settle: 5s`, or a longer `hold`",
    ));
}

fn first_stage(policy: &Policy, found: &mut Vec<Finding>) {
    let first = policy.stages().iter().enumerate().find(|(_, stage)| stage.weight > Weight::ZERO);
    let Some((i, stage)) = first.filter(|(_, stage)| stage.weight > LARGE) else {
        return;
    };
    found.push(Finding::new(
        "large-first-stage",
        format!("stages[{i}].weight"),
        format!("{} of the users are the first to see the new version", stage.weight),
        format!("begin with {LARGE} or less"),
    ));
}

/// Finds plans that take the canary back for what is not its fault.
fn comparison(policy: &Policy, found: &mut Vec<Finding>) {
    let takes_back = |check: &&Check| check.is_binding() && check.then == Then::RollBack;
    let absolute = |check: &&Check| {
        let metric = matches!(check.kind, CheckKind::Threshold { .. });
        takes_back(check) && metric && !check.kind.compares()
    };
    let compares = |check: &Check| check.is_binding() && check.kind.compares();
    let first = policy.checks().iter().position(|check| absolute(&check));
    let Some(first) = first.filter(|_| !policy.checks().iter().any(compares)) else {
        return;
    };
    if mixed(policy).next().is_some() {
        found.push(Finding::new(
            "no-comparison",
            format!("checks[{first}]"),
            "no check compares with stable: an outage that both versions suffer takes back an innocent canary",
            "add `{ name: worse, worse_than_stable: 1.25x }`, and let limits in numbers `hold`",
        ));
    }
}
