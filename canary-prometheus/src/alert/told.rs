//! What people read where alerts close a gate.

use std::collections::BTreeMap;

use crate::alert::answer::{Alert, State};
use crate::http::beginning;

/// How many alerts are named.
const NAMED: usize = 3;

/// How many characters of a server's word for a name or a time are kept.
const WORD: usize = 100;

/// Names the alerts, those that are there for longest first; nothing where there are none.
///
/// Their labels tell them apart, so those that were asked for are left out: all of them have these.
pub(super) fn sentence(mut alerts: Vec<Alert>, asked: &BTreeMap<&str, String>) -> Option<String> {
    alerts.sort_by(|a, b| {
        let key = |alert: &Alert| (alert.state == State::Pending, alert.since.clone());
        key(a).cmp(&key(b)).then_with(|| a.labels.cmp(&b.labels))
    });
    let count = alerts.len();
    let pending = alerts.iter().any(|alert| alert.state == State::Pending);
    let verb = match (count, pending) {
        (0, _) => return None,
        (1, false) => "alert fires",
        (_, false) => "alerts fire",
        (1, true) => "alert is pending",
        (_, true) => "alerts fire or are pending",
    };
    let mut named: Vec<String> =
        alerts.into_iter().take(NAMED).map(|alert| name(alert, asked)).collect();
    if count > NAMED {
        named.push(format!("{} more", count - NAMED));
    }
    Some(format!("{count} {verb}: {}", named.join("; ")))
}

/// Writes `CanaryHighErrorRate {pod="a"} since 2026-03-01T12:00:00Z`.
fn name(alert: Alert, asked: &BTreeMap<&str, String>) -> String {
    let Alert { mut labels, since, state } = alert;
    let mut text = word(&labels.remove("alertname").unwrap_or_else(|| "without a name".to_owned()));
    for label in asked.keys() {
        labels.remove(label);
    }
    if !labels.is_empty() {
        text += &format!(" {labels}");
    }
    if state == State::Pending {
        text += " pending";
    }
    if !since.is_empty() {
        text += &format!(" since {}", word(&to_the_second(&since)));
    }
    text
}

/// Leaves out the fraction of a time, of which Prometheus has nine digits.
fn to_the_second(time: &str) -> String {
    match time.split_once('.') {
        Some((whole, rest)) => {
            format!("{whole}{}", rest.trim_start_matches(|c: char| c.is_ascii_digit()))
        }
        None => time.to_owned(),
    }
}

fn word(text: &str) -> String {
    beginning(text).chars().take(WORD).collect()
}
