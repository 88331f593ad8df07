//! Findings that were read and accepted.

use super::{Assumptions, Finding};
use crate::policy::Policy;

/// Every finding by its name, and what it is about; the names never change.
pub const NAMES: [(&str, &str); 20] = [
    ("decided-at-full", "nothing is judged before all users have the new version"),
    ("evidence-too-slow", "the plan ends before even a bad canary is convicted by the evidence"),
    ("false-alarms", "a limit takes back innocent canaries by chance alone"),
    ("gate-without-timeout", "the rollout waits for a gate for as long as it takes"),
    ("large-first-stage", "the first users are more than a quarter of all"),
    (
        "likely-misspelt",
        "a metric or gate that is not defined has nearly the name of one that is, or the name of one elsewhere",
    ),
    (
        "long-looks",
        "evidence is gathered in looks longer than 15 s, so that it takes long to convict",
    ),
    ("long-settling", "more of a stage is left out of what is measured than is looked at"),
    ("looser-limit", "a limit lies behind another that takes the canary back first"),
    ("never-fails", "the plan is too short for a check to fail at all"),
    (
        "no-comparison",
        "no check compares with stable, so an outage of both takes back an innocent canary",
    ),
    ("no-hard-limit", "a canary that fails half of its requests is not taken back at once"),
    ("no-progress", "a check may hold a healthy rollout for ever, and no `progress` ends that"),
    ("no-settling", "requests that were still on their way count for the new weight"),
    ("nothing-at-full", "at 100% no check can take the canary back"),
    ("short-window", "a look back has less than two scrapes in it"),
    ("too-few-requests", "there are not as many requests as a check or a stage asks for"),
    ("unjudged", "below 100% only the hard limit judges, or nothing does"),
    ("unknown-finding", "`allow` names a finding that does not exist"),
    ("unneeded-allow", "`allow` names a finding that this policy does not have"),
];

/// Marks what the policy accepts, and finds what it accepts for nothing.
pub(super) fn apply(policy: &Policy, assumptions: &Assumptions, found: &mut Vec<Finding>) {
    let allow = &policy.spec().allow;
    for finding in found.iter_mut() {
        finding.accepted = allow.iter().any(|name| name == finding.name);
    }
    for (i, name) in allow.iter().enumerate() {
        let path = format!("allow[{i}]");
        if !NAMES.iter().any(|(known, _)| known == name) {
            let known = NAMES.map(|(name, _)| name).join(", ");
            found.push(Finding::new(
                "unknown-finding",
                path,
                format!("there is no finding `{name}`"),
                format!("expected one of {known}"),
            ));
        } else if !found.iter().any(|finding| finding.name == name) && can_tell(name, assumptions) {
            found.push(Finding::new(
                "unneeded-allow",
                path,
                format!("the policy accepts `{name}`, which was not found"),
                "remove it, so that it is seen when it appears",
            ));
        }
    }
}

/// Tells whether all is known that a finding needs.
fn can_tell(name: &str, assumptions: &Assumptions) -> bool {
    let traffic = assumptions.requests_per_second.is_some();
    match name {
        "too-few-requests" => traffic,
        "false-alarms" | "evidence-too-slow" => traffic && assumptions.base_error_rate.is_some(),
        "short-window" => assumptions.scrape_interval.is_some(),
        _ => true,
    }
}
