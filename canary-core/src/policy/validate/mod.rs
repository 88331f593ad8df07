//! Finds everything that is wrong with a policy at once.

mod checks;
mod found;
mod gates;
mod head;
mod kind;
mod metrics;
mod stages;
mod unread;

use super::{PolicySpec, Problem};
use found::Found;

const DAY_MS: u64 = 86_400_000;
const YEAR_MS: u64 = 365 * DAY_MS;

/// Returns every problem, in the order of the policy's fields; none means valid.
pub(super) fn problems(spec: &PolicySpec) -> Vec<Problem> {
    problems_beside(spec, &[], |path| path)
}

/// Returns every problem that is none of those of what could not be read, and does not follow from them; `in_text` tells
/// where in the text a path of the form stands.
pub(super) fn problems_beside(
    spec: &PolicySpec,
    unread: &[Problem],
    in_text: impl Fn(String) -> String,
) -> Vec<Problem> {
    let mut found = Found::new(Vec::new());
    head::all(spec, &mut found);
    metrics::all(spec, &mut found);
    stages::all(spec, &mut found);
    checks::all(spec, &mut found);
    head::what_goes_wrong(spec, &mut found);
    gates::all(spec, &mut found);
    found.problems.retain(|problem| {
        let path = in_text(problem.path.clone());
        !unread.iter().any(|other| path.starts_with(&other.path) || other.path.starts_with(&path))
    });
    // What follows from several parts together is only known where all of them could be read.
    if unread.iter().all(|problem| unread::leaves_the_plan(&problem.path)) {
        let unread = |path: &str| unread.iter().any(|problem| problem.path.starts_with(path));
        checks::together(spec, &unread, &mut found);
    }
    if unread.iter().all(|problem| unread::asks_no_gate(&problem.path)) {
        gates::asked_anywhere(spec, &mut found);
    }
    for problem in &mut found.problems {
        problem.path = in_text(std::mem::take(&mut problem.path));
    }
    // What stands once in the text may stand for several stages.
    found.problems.dedup_by(|later, first| later.path == first.path);
    found.problems
}
