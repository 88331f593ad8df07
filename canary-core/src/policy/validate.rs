//! Finds everything that is wrong with a policy at once.

use std::collections::BTreeSet;

use super::{Check, CheckKind, Limit, Metric, PolicySpec, Problem, Stage, Then, Unit};
use crate::value::{Span, Weight};

const DAY_MS: u64 = 86_400_000;

/// Returns every problem, in the order of the policy's fields; none means valid.
pub(super) fn problems(spec: &PolicySpec) -> Vec<Problem> {
    let mut found = Found(problems_of_parts(spec));
    for (i, check) in spec.checks.iter().enumerate() {
        judged_anywhere(i, check, spec, &mut found);
    }
    asked_anywhere(spec, &mut found);
    found.0
}

/// Returns the problems that lie in one part alone; all that can be said where a part could not be read.
pub(super) fn problems_of_parts(spec: &PolicySpec) -> Vec<Problem> {
    let mut found = Found(Vec::new());
    head(spec, &mut found);
    stages(spec, &mut found);
    checks(spec, &mut found);
    rest(spec, &mut found);
    found.0
}

struct Found(Vec<Problem>);

impl Found {
    fn add(
        &mut self,
        path: impl Into<String>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.0.push(Problem::new(path, message, help));
    }

    /// Notes names that are empty or stand twice.
    fn names<'a>(&mut self, list: &str, what: &str, names: impl Iterator<Item = &'a str>) {
        let mut seen = BTreeSet::new();
        for (i, name) in names.enumerate() {
            let path = format!("{list}[{i}].name");
            if name.trim().is_empty() {
                self.add(
                    path,
                    format!("{what} {} has no name", i + 1),
                    "give it a name of its own",
                );
            } else if !seen.insert(name) {
                self.add(
                    path,
                    format!("two of the {list} are called `{name}`"),
                    "names stand in records and reports: make them differ",
                );
            }
        }
    }
}

fn head(spec: &PolicySpec, found: &mut Found) {
    if spec.version != 1 {
        found.add(
            "version",
            format!("version {} of the policy language is not known", spec.version),
            "this library reads version 1: write `version: 1`",
        );
    }
    if spec.name.trim().is_empty() {
        found.add("name", "the policy has no name", "name what is released: `name: checkout`");
    }
    if !(100..=DAY_MS).contains(&spec.every_ms) {
        found.add(
            "every",
            format!("the checks would run every {} ms", spec.every_ms),
            "expected 100ms to 1d, such as `every: 15s`",
        );
    }
    if spec.settle_ms > DAY_MS {
        found.add(
            "settle",
            "settling takes more than a day",
            "expected at most 1d, such as `settle: 5s`",
        );
    }
}

fn stages(spec: &PolicySpec, found: &mut Found) {
    if spec.stages.is_empty() {
        found.add(
            "stages",
            "the policy has no stages",
            "write at least one, such as `- { name: full, weight: 100%, hold: 10m }`",
        );
        return;
    }
    found.names("stages", "stage", spec.stages.iter().map(|s| s.name.as_str()));
    for (i, pair) in spec.stages.windows(2).enumerate() {
        let (before, this) = (&pair[0], &pair[1]);
        if this.weight <= before.weight {
            found.add(
                format!("stages[{}].weight", i + 1),
                format!(
                    "stage `{}`: weight {} is not above the {} before it",
                    this.name, this.weight, before.weight
                ),
                "weights rise from stage to stage; to take the canary back, use `then: roll_back` in a check",
            );
        }
    }
    for (i, stage) in spec.stages.iter().enumerate() {
        if stage.hold_ms > 365 * DAY_MS {
            found.add(
                format!("stages[{i}].hold"),
                format!("stage `{}` would last more than a year", stage.name),
                "expected at most 365d",
            );
        }
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
}

fn checks(spec: &PolicySpec, found: &mut Found) {
    found.names("checks", "check", spec.checks.iter().map(|c| &*c.name));
    for (i, check) in spec.checks.iter().enumerate() {
        if *check.name == *crate::policy::HARD_LIMIT {
            found.add(
                format!("checks[{i}].name"),
                format!("`{}` is the name of the built-in check", check.name),
                "call it something else, or turn the built-in one off with `hard_limit: off`",
            );
        }
        kind(i, check, found);
    }
}

/// Refuses a check that could never fail: the plan leaves it nothing, or too little time, to look at.
fn judged_anywhere(i: usize, check: &Check, spec: &PolicySpec, found: &mut Found) {
    let applies = |stage: &&Stage| check.kind.applies_at(stage.weight);
    let stages: Vec<&Stage> = spec.stages.iter().filter(applies).collect();
    let compares = check.kind.compares();
    let name = &check.name;
    if stages.is_empty() && !spec.stages.is_empty() {
        let what = if compares { "both sides have" } else { "the canary has" };
        found.add(
            format!("checks[{i}]"),
            format!("check `{name}` is never judged: there is no stage in which {what} traffic"),
            if compares {
                "add a stage between 0% and 100%, or compare with a number such as `above: 5%`"
            } else {
                "add a stage above 0%"
            },
        );
    }
    if let CheckKind::Threshold { for_ms, .. } = check.kind {
        let held = stages.iter().fold(0_u64, |sum, stage| sum.saturating_add(stage.hold_ms));
        // A gate may take any time.
        let gated = stages.iter().any(|stage| !stage.gates.is_empty());
        if for_ms > held && !gated && !stages.is_empty() {
            found.add(
                format!("checks[{i}].for"),
                format!("check `{name}` is never judged: it looks at {}, and the stages in which it applies hold {}", Span(for_ms), Span(held)),
                "expected a shorter `for`, or longer holds",
            );
        }
    }
}

fn kind(i: usize, check: &Check, found: &mut Found) {
    let name = &check.name;
    match &check.kind {
        CheckKind::Ab { .. } | CheckKind::Gate { .. } => {}
        CheckKind::All(_) | CheckKind::Any(_) | CheckKind::Not(_) => {}
        CheckKind::Threshold { metric, comparison, limit, for_ms, samples } => {
            if let Err(unknown) = metric.to_string().parse::<Metric>() {
                found.add(
                    format!("checks[{i}].metric"),
                    format!("check `{name}`: {unknown}"),
                    "see the list of metrics",
                );
            }
            let path = format!("checks[{i}].{}", comparison.as_str());
            match *limit {
                Limit::Absolute(value) => absolute(&path, name, metric, value, found),
                Limit::TimesStable(times)
                    if !(times.is_finite() && times > 0.0 && times <= 1000.0) =>
                {
                    found.add(
                        path,
                        format!("check `{name}`: {times} times stable is no limit"),
                        "expected more than 0 and at most 1000, such as `1.5x stable`",
                    );
                }
                Limit::TimesStable(_) => {}
            }
            if *for_ms > DAY_MS {
                found.add(
                    format!("checks[{i}].for"),
                    format!("check `{name}` looks back more than a day"),
                    "expected at most 1d, such as `for: 2m`",
                );
            }
            if *samples > 0
                && metric.signal() != crate::value::Signal::Requests
                && metric.unit() != Unit::Millis
            {
                found.add(
                    format!("checks[{i}].samples"),
                    format!("check `{name}`: `{metric}` has no requests to count"),
                    "`samples` goes with error_rate, success_rate, request_rate and latency",
                );
            }
        }
        CheckKind::WorseThanStable { ratio, false_alarm } => {
            if check.then == Then::Hold {
                found.add(
                    format!("checks[{i}].then"),
                    format!("check `{name}` would hold for good: evidence does not fade"),
                    "expected `roll_back` or `warn`; to hold while things are bad, use a limit such as `above: 5%`",
                );
            }
            if !(ratio.is_finite() && (1.0..=100.0).contains(ratio)) {
                found.add(
                    format!("checks[{i}].worse_than_stable"),
                    format!("check `{name}`: a ratio of {ratio} cannot be judged"),
                    "expected 1 to 100 times, such as `1.25x`",
                );
            }
            if !(false_alarm.is_finite() && *false_alarm >= 1e-9 && *false_alarm <= 0.5) {
                found.add(
                    format!("checks[{i}].false_alarm"),
                    format!(
                        "check `{name}`: a false-alarm probability of {false_alarm} makes no sense"
                    ),
                    "expected more than 0% and at most 50%, such as `1%`",
                );
            }
        }
    }
}

fn absolute(path: &str, name: &str, metric: &Metric, value: f64, found: &mut Found) {
    let (ok, expected) = match metric.unit() {
        Unit::Share => ((0.0..=1.0).contains(&value), "0% to 100%, such as `5%`"),
        Unit::Millis => (value > 0.0, "a duration above zero, such as `500ms`"),
        Unit::PerSecond => (value >= 0.0, "requests per second, zero or more"),
        Unit::Plain => (true, "a finite number"),
    };
    if !value.is_finite() || !ok {
        found.add(
            path,
            format!("check `{name}`: {value} is no limit for `{metric}`"),
            format!("expected {expected}"),
        );
    }
}

fn rest(spec: &PolicySpec, found: &mut Found) {
    if spec.no_data.then == Then::Warn {
        found.add(
            "no_data.then",
            "a rollout that cannot be seen would go on",
            "expected `hold` or `roll_back`",
        );
    }
    for (gate, gate_spec) in &spec.gates {
        if gate_spec.timeout_ms == Some(0) {
            found.add(
                format!("gates.{gate}.timeout"),
                format!("gate `{gate}` has no time to open"),
                "expected a duration above zero, such as `timeout: 4h`",
            );
        }
    }
    if !(1_000..=DAY_MS).contains(&spec.rollback_within_ms) {
        found.add(
            "rollback.within",
            format!("a roll-back cannot be expected within {} ms", spec.rollback_within_ms),
            "expected 1s to 1d, such as `5m`",
        );
    }
}

/// Refuses a gate that no stage asks: most likely it is misspelt.
fn asked_anywhere(spec: &PolicySpec, found: &mut Found) {
    for gate in spec.gates.keys() {
        if !spec.stages.iter().any(|stage| stage.gates.contains(gate)) {
            found.add(
                format!("gates.{gate}"),
                format!("no stage asks the gate `{gate}`"),
                format!("add `gates: [{gate}]` to a stage, or remove it here; is it spelt alike in both places?"),
            );
        }
    }
}
