//! Calls to ports: which there are, and how long they took.

use std::collections::BTreeMap;
use std::time::Duration;

use prometheus_client::metrics::histogram::Histogram;

/// Upper bounds of how long calls take, in seconds.
const BOUNDS: [f64; 10] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// Names a call to a port, and how it came out: `ok`, `error` or `cancelled`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct CallName {
    pub(super) port: &'static str,
    pub(super) call: &'static str,
    pub(super) result: &'static str,
}

/// Holds how long calls took.
#[derive(Debug, Default)]
pub(super) struct CallTimes(BTreeMap<CallName, Histogram>);

impl CallTimes {
    pub(super) fn observe(&mut self, name: CallName, took: Duration) {
        let histogram = self.0.entry(name).or_insert_with(|| Histogram::new(BOUNDS));
        histogram.observe(took.as_secs_f64());
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&CallName, &Histogram)> {
        self.0.iter()
    }
}

/// How records write what was to be done, each with the word that stands for it here: names and weights behind it would
/// make series without end.
const KINDS: [(&str, &str); 9] = [
    ("route ", "route"),
    ("observe the route", "observe"),
    ("measure", "measure"),
    ("ask gate ", "ask_gate"),
    ("take the marks off the route", "release"),
    ("make the canary ready", "prepare"),
    ("make the new version", "promote"),
    ("make the old version", "restore"),
    ("retire ", "retire"),
];

/// Returns the word for what was to be done, `other` where it is none of those known.
pub(super) fn kind_of(action: &str) -> &'static str {
    KINDS.iter().find(|(text, _)| action.starts_with(text)).map_or("other", |(_, kind)| kind)
}
