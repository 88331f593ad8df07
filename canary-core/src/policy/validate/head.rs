//! What stands beside stages, checks and gates.

use super::found::Found;
use super::{DAY_MS, YEAR_MS};
use crate::policy::{PolicySpec, Then, WorkloadSpec};
use crate::value::{Audience, Member};

pub(super) fn all(spec: &PolicySpec, found: &mut Found) {
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
    if spec.lag_ms > DAY_MS {
        found.add(
            "lag",
            "what is more than a day old would count as fresh",
            "expected at most 1d, such as `lag: 1m`",
        );
    }
    header(spec, found);
    if let Some(audience) = &spec.audience {
        self::audience(audience, found);
    }
}

/// Refuses headers that no request could bear.
fn header(spec: &PolicySpec, found: &mut Found) {
    for (name, value) in &spec.header {
        let token =
            |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&b);
        if name.is_empty() || !name.bytes().all(token) {
            found.add(
                format!("header.{name}"),
                format!("`{name}` is no name of a header"),
                "expected lower-case letters, digits and `-`, such as `x-canary`",
            );
        }
        if value.is_empty() || value.chars().any(char::is_control) {
            found.add(
                format!("header.{name}"),
                format!("the header `{name}` has a value that no request can bear"),
                "expected a plain text, such as `\"true\"`",
            );
        }
    }
}

fn audience(audience: &Audience, found: &mut Found) {
    if audience.by.trim().is_empty() {
        found.add(
            "audience.by",
            "it is not said what tells users apart",
            "name it, such as `by: user`",
        );
    }
    for (i, member) in audience.always.iter().enumerate() {
        let (field, text) = match member {
            Member::List(name) => ("list", name),
            Member::Segment(name) => ("segment", name),
            Member::EmailDomain(domain) => ("email_domain", domain),
        };
        let path = format!("audience.always[{i}].{field}");
        if text.trim().is_empty() {
            found.add(path, "nobody is meant by an empty name", "name it, or remove it");
        } else if field == "email_domain" && text.contains('@') {
            found.add(
                path,
                format!("`{text}` is an address, not a domain"),
                "expected what stands after the `@`, such as `example.com`",
            );
        }
    }
}

/// Looks at what is done where something is not as it should be, and at what is kept.
pub(super) fn what_goes_wrong(spec: &PolicySpec, found: &mut Found) {
    found.patience("no_data", spec.no_data);
    found.patience("errors", spec.errors);
    if let Some(progress) = spec.progress {
        if progress.then == Then::Warn {
            found.add(
                "progress.then",
                "a rollout that stands still has nothing to go on with",
                "expected `hold` (it is told), `ask` or `roll_back`",
            );
        }
        if !(1_000..=YEAR_MS).contains(&progress.after_ms) {
            found.add(
                "progress.within",
                format!("no rollout gets on within {} ms", progress.after_ms),
                "expected 1s to 365d, such as `2h`",
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
    workload(spec.workload, found);
    found.at_most_a_year("promotion.keep_old", spec.promotion.keep_old_ms);
    if spec.keep > 1_000 {
        found.add(
            "keep",
            format!("{} rollouts of a target would be remembered", spec.keep),
            "expected 0 to 1000, such as `keep: 10`",
        );
    } else if spec.fast_return > spec.keep {
        found.add(
            "fast_return",
            format!(
                "a version among the last {} is to return fast, but only {} are remembered",
                spec.fast_return, spec.keep
            ),
            format!("expected at most {}, or a higher `keep`", spec.keep),
        );
    }
}

fn workload(workload: WorkloadSpec, found: &mut Found) {
    if !(1_000..=DAY_MS).contains(&workload.ready_within_ms) {
        found.add(
            "workload.ready_within",
            format!("no version becomes ready within {} ms", workload.ready_within_ms),
            "expected 1s to 1d, such as `ready_within: 5m`",
        );
    } else if workload.ready_for_ms >= workload.ready_within_ms {
        found.add(
            "workload.ready_for",
            "a version would have to be ready for longer than it has time to become ready",
            "expected less than `ready_within`, such as `ready_for: 30s`",
        );
    }
    found.at_most_a_year("workload.keep_after_success", workload.keep_after_success_ms);
    found.at_most_a_year("workload.keep_after_abort", workload.keep_after_abort_ms);
}
