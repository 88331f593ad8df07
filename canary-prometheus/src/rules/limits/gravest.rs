//! Which of a policy's checks count: those whose failing does most.

use canary_core::policy::{Check, CheckKind, Comparison, Policy, Then};

use super::Bound;

/// Joins the bounds of those checks whose failing does most.
pub(super) fn gravest(
    policy: &Policy,
    comparison: Comparison,
    read: impl Fn(&CheckKind) -> Option<Bound>,
) -> Option<Bound> {
    let mut found: Option<(Then, Bound)> = None;
    for check in policy.checks() {
        let then = effect(check);
        each_that_fails_it(&check.kind, &mut |kind| {
            let Some(bound) = read(kind) else { return };
            found = match found {
                Some((graver, known)) if graver > then => Some((graver, known)),
                Some((same, known)) if same == then => {
                    Some((same, known.strictest(bound, comparison)))
                }
                _ => Some((then, bound)),
            };
        });
    }
    found.map(|(_, bound)| bound)
}

/// Returns what a check's failing does; one that only reports does no more than warn.
pub(super) fn effect(check: &Check) -> Then {
    if check.dry_run { Then::Warn } else { check.then }
}

/// Visits what makes a check fail by itself.
pub(super) fn each_that_fails_it<'a>(kind: &'a CheckKind, see: &mut dyn FnMut(&'a CheckKind)) {
    match kind {
        CheckKind::Any(parts) => parts.iter().for_each(|part| each_that_fails_it(part, see)),
        leaf => see(leaf),
    }
}
