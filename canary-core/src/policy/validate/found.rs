//! Collects problems.

use std::collections::BTreeSet;

use crate::policy::{Patience, Problem, Then};

pub(super) struct Found {
    pub(super) problems: Vec<Problem>,
}

impl Found {
    pub(super) const fn new(problems: Vec<Problem>) -> Self {
        Self { problems }
    }

    pub(super) fn add(
        &mut self,
        path: impl Into<String>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.problems.push(Problem::new(path, message, help));
    }

    /// Notes names that are empty or stand twice, and those that mean something else already.
    pub(super) fn names<'a>(
        &mut self,
        list: &str,
        what: &str,
        reserved: &[&str],
        names: impl Iterator<Item = &'a str>,
    ) {
        let mut seen = BTreeSet::new();
        for (i, name) in names.enumerate() {
            let path = format!("{list}[{i}].name");
            if name.trim().is_empty() {
                self.add(
                    path,
                    format!("{what} {} has no name", i + 1),
                    "give it a name of its own",
                );
            } else if reserved.contains(&name) {
                self.add(
                    path,
                    format!("no {what} can be called `{name}`: the library calls something of its own so"),
                    "call it something else",
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

    /// Notes a lack that would be borne without anything standing still.
    pub(super) fn patience(&mut self, path: &str, patience: Patience) {
        if patience.then == Then::Warn {
            self.add(
                format!("{path}.then"),
                "a rollout that cannot be seen would go on",
                "expected `hold`, `ask` or `roll_back`",
            );
        }
        self.at_most_a_year(&format!("{path}.after"), patience.after_ms);
    }

    /// Notes a time that nobody can have meant.
    pub(super) fn at_most_a_year(&mut self, path: &str, millis: u64) {
        if millis > super::YEAR_MS {
            self.add(path, "that is more than a year", "expected at most 365d");
        }
    }
}
