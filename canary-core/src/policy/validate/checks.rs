//! Checks: each by itself, and in its plan.

use super::found::Found;
use super::{DAY_MS, kind};
use crate::policy::{
    Check, CheckKind, HARD_LIMIT, Late, PROGRESS, PolicySpec, Stage, Then, Unclear,
};
use crate::value::{GateName, Span, Weight};

pub(super) fn all(spec: &PolicySpec, found: &mut Found) {
    found.names("checks", "check", &[HARD_LIMIT, PROGRESS], spec.checks.iter().map(|c| &*c.name));
    for (i, check) in spec.checks.iter().enumerate() {
        let path = format!("checks[{i}]");
        kind::whole(&path, check, spec, found);
        times(&path, check, spec, found);
        for (field, patience) in [("no_data", check.no_data), ("errors", check.errors)] {
            if let Some(patience) = patience {
                found.patience(&format!("{path}.{field}"), patience);
            }
        }
        if asks(check, spec)
            && let Err(error) = GateName::new(&*check.name)
        {
            found.add(
                format!("{path}.name"),
                format!(
                    "the question that check `{}` asks cannot be answered: {error}",
                    check.name
                ),
                "a check that asks has a plain name, such as `slow`",
            );
        }
    }
}

/// Tells whether a check may ask a person: because it fails, or because nothing can be said.
fn asks(check: &Check, spec: &PolicySpec) -> bool {
    let no_data = check.no_data.unwrap_or(spec.no_data);
    let errors = check.errors.unwrap_or(spec.errors);
    let lacks = no_data.then == Then::Ask || errors.then == Then::Ask;
    let unclear = matches!(check.kind, CheckKind::AsGoodAsStable { unclear: Unclear::Ask, .. });
    check.then == Then::Ask || (check.is_binding() && (lacks || unclear))
}

fn times(path: &str, check: &Check, spec: &PolicySpec, found: &mut Found) {
    let name = &check.name;
    found.at_most_a_year(&format!("{path}.delay"), check.delay_ms);
    let Some(every) = check.every_ms else {
        return;
    };
    if every < spec.every_ms || every > DAY_MS {
        found.add(
            format!("{path}.every"),
            format!(
                "check `{name}` would be looked at every {}, and the metrics every {}",
                Span(every),
                Span(spec.every_ms)
            ),
            "expected at least the policy's `every`, and at most 1d",
        );
    }
}

/// Finds what is wrong between checks, stages and gates, but for checks of which something could not be read.
pub(super) fn together(spec: &PolicySpec, unread: &impl Fn(&str) -> bool, found: &mut Found) {
    for (i, check) in spec.checks.iter().enumerate() {
        let path = format!("checks[{i}]");
        if unread(&path) {
            continue;
        }
        judged_anywhere(&path, check, spec, found);
        if asks(check, spec) && is_a_gate(&check.name, spec) {
            found.add(
                format!("{path}.name"),
                format!("check `{}` asks a question of the same name as a gate", check.name),
                "an answer could mean either: make the names differ",
            );
        }
    }
}

fn is_a_gate(name: &str, spec: &PolicySpec) -> bool {
    let asked = spec.asked_gates();
    let mut all = spec.gates.keys().chain(asked.into_iter().map(|(_, gate)| gate));
    all.any(|gate| gate.as_str() == name)
}

/// Refuses a check that could never fail: the plan leaves it nothing, or too little time, to look at.
fn judged_anywhere(path: &str, check: &Check, spec: &PolicySpec, found: &mut Found) {
    if spec.stages.is_empty() {
        return;
    }
    let name = &check.name;
    let plan = Applies::of(check, spec);
    if plan.nowhere {
        let compares = !spec.judges_alone(&check.kind);
        let what = if compares { "both sides have" } else { "the canary has" };
        let from = match check.from {
            Weight::ZERO => String::new(),
            from => format!(" from {from} on"),
        };
        found.add(
            path,
            format!(
                "check `{name}` is never judged: there is no stage{from} in which {what} traffic"
            ),
            if compares {
                "add a stage between 0% and 100%, or compare with a number such as `above: 5%`"
            } else {
                "add a stage above 0%"
            },
        );
        return;
    }
    let Some(held) = plan.held_ms else {
        return;
    };
    if let Some(Late { field, why, less }) = check.too_late_for(held, spec.every_ms) {
        found.add(
            format!("{path}.{field}"),
            format!(
                "check `{name}` is never judged: {why}, and the stages in which it applies hold {}",
                Span(held)
            ),
            format!("expected {less}, or longer holds"),
        );
    }
}

/// Says where in the plan a check applies.
struct Applies {
    nowhere: bool,
    /// For how long; `None` where a gate makes that open.
    held_ms: Option<u64>,
}

impl Applies {
    fn of(check: &Check, spec: &PolicySpec) -> Self {
        let mut applies = Self { nowhere: true, held_ms: Some(0) };
        for (i, stage) in spec.stages.iter().enumerate() {
            if spec.judges_at(check, stage.split()) {
                applies.nowhere = false;
                // A gate may take any time.
                let next = spec.stages.get(i + 1);
                let gated = !stage.gates.is_empty()
                    || next.is_some_and(|stage| !stage.enter.is_empty())
                    || (next.is_none() && !spec.promotion.gates.is_empty());
                applies.add(stage, gated);
            }
        }
        if spec.judges_at(check, Weight::FULL.into()) {
            applies.hold(spec.promotion.keep_old_ms);
        }
        applies
    }

    fn add(&mut self, stage: &Stage, gated: bool) {
        if gated {
            self.held_ms = None;
        } else {
            self.hold(stage.hold_ms);
        }
    }

    fn hold(&mut self, millis: u64) {
        self.held_ms = self.held_ms.map(|held| held.saturating_add(millis));
    }
}
