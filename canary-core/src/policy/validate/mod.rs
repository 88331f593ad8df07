//! Finds everything that is wrong with a policy at once.

mod checks;
mod found;
mod gates;
mod head;
mod kind;
mod metrics;
mod stages;

use super::{PolicySpec, Problem};
use found::Found;

const DAY_MS: u64 = 86_400_000;
const YEAR_MS: u64 = 365 * DAY_MS;

/// Returns every problem, in the order of the policy's fields; none means valid.
pub(super) fn problems(spec: &PolicySpec) -> Vec<Problem> {
    let mut found = Found::new(problems_of_parts(spec));
    checks::together(spec, &mut found);
    gates::asked_anywhere(spec, &mut found);
    found.problems
}

/// Returns the problems that lie in one part alone; all that can be said where a part could not be read.
pub(super) fn problems_of_parts(spec: &PolicySpec) -> Vec<Problem> {
    let mut found = Found::new(Vec::new());
    head::all(spec, &mut found);
    metrics::all(spec, &mut found);
    stages::all(spec, &mut found);
    checks::all(spec, &mut found);
    head::what_goes_wrong(spec, &mut found);
    gates::all(spec, &mut found);
    found.problems
}
