//! What is still known where something could not be read.

/// The keys of the whole policy that say nothing about its steps, nor about who is asked.
const BESIDE: [&str; 17] = [
    "version",
    "name",
    "settle",
    "lag",
    "header",
    "audience",
    "metrics",
    "gates",
    "hard_limit",
    "no_data",
    "errors",
    "drift",
    "rollback",
    "workload",
    "keep",
    "fast_return",
    "allow",
];

/// The keys of stages and checks under which no gate can stand.
const NO_GATE: [&str; 28] = [
    "name",
    "weight",
    "hold",
    "mirror",
    "scale",
    "keep_old",
    "samples",
    "metric",
    "above",
    "below",
    "for",
    "worse_than_stable",
    "as_good_as_stable",
    "objective",
    "significance",
    "mann_whitney",
    "at",
    "of",
    "false_alarm",
    "false_pass",
    "unclear",
    "then",
    "severity",
    "dry_run",
    "from",
    "delay",
    "every",
    "after",
];

/// Tells whether the steps of the plan are known where this could not be read.
pub(super) fn leaves_the_plan(path: &str) -> bool {
    let first = path.split(['.', '[']).next().unwrap_or_default();
    first == "checks" || BESIDE.contains(&first)
}

/// Tells whether all gates that are asked are known where this could not be read.
pub(super) fn asks_no_gate(path: &str) -> bool {
    let mut steps = path.split('.');
    let first = steps.next().unwrap_or_default();
    let in_list = first.starts_with("stages[") || first.starts_with("checks[");
    let one_key = |key: &str| NO_GATE.contains(&key);
    BESIDE.contains(&first)
        || first == "every"
        || (in_list && steps.next_back().is_some_and(one_key))
}
