//! The metrics of the user's, and limits on any.

use super::found::Found;
use crate::policy::{Limit, Metric, MetricSpec, PolicySpec, ScorePart, Unit};

pub(super) fn all(spec: &PolicySpec, found: &mut Found) {
    for (name, metric) in &spec.metrics {
        let path = format!("metrics.{name}");
        if !matches!(name.parse(), Ok(Metric::Custom(_))) || name == "samples" {
            found.add(
                &path,
                format!("no metric of yours can be called `{name}`"),
                "expected letters, digits and `_`, beginning with a letter, and no built-in name",
            );
        }
        match metric {
            MetricSpec::Query(query) => {
                for (field, text) in [("source", &query.source), ("query", &query.query)] {
                    if text.as_ref().is_some_and(|text| text.trim().is_empty()) {
                        found.add(
                            format!("{path}.{field}"),
                            format!("the {field} of `{name}` is empty"),
                            "write it, or remove the key",
                        );
                    }
                }
            }
            MetricSpec::Score(parts) => score(&path, name, parts, spec, found),
        }
    }
}

fn score(path: &str, name: &str, parts: &[ScorePart], spec: &PolicySpec, found: &mut Found) {
    if parts.is_empty() {
        found.add(
            format!("{path}.score"),
            format!("the score `{name}` has no parts"),
            "write at least one, such as `score: { error_rate: 50, latency.p95: 50 }`",
        );
    }
    for (i, part) in parts.iter().enumerate() {
        let metric = &part.metric;
        let path = format!("{path}.score.{metric}");
        if parts[..i].iter().any(|other| other.metric == *metric) {
            found.add(
                &path,
                format!("the score `{name}` counts `{metric}` twice"),
                "add up their weights",
            );
        }
        if is_score(metric, spec) {
            found.add(
                &path,
                format!("the score `{name}` counts another score, `{metric}`"),
                "name the parts of that score instead",
            );
        }
        if !(part.weight.is_finite() && part.weight > 0.0) {
            found.add(
                &path,
                format!("`{metric}` counts {} times in the score `{name}`", part.weight),
                "expected a number above zero, such as `50`",
            );
        }
        if part.good == part.bad {
            found.add(
                &path,
                format!("the score `{name}` calls the same `{metric}` good and bad"),
                "expected two limits that differ, such as `good: 200ms, bad: 2s`",
            );
        }
        for (field, at) in [("good", part.good), ("bad", part.bad)] {
            let known = match at {
                Limit::Absolute(value) => value.is_finite(),
                Limit::TimesStable(times) => times.is_finite() && (0.0..=1000.0).contains(&times),
            };
            if !known {
                found.add(
                    format!("{path}.{field}"),
                    format!("the score `{name}` has no such limit for `{metric}`"),
                    "expected a finite number in its unit, or at most 1000 times stable",
                );
            }
        }
    }
}

/// Tells whether a metric is a health score, 0 to 1.
pub(super) fn is_score(metric: &Metric, spec: &PolicySpec) -> bool {
    matches!(spec.metrics.get(&metric.to_string()), Some(MetricSpec::Score(_)))
}

/// Refuses a number that a metric cannot have.
pub(super) fn absolute(
    (path, owner): (&str, &str),
    metric: &Metric,
    value: f64,
    spec: &PolicySpec,
    found: &mut Found,
) -> bool {
    let unit = if is_score(metric, spec) { Unit::Share } else { metric.unit() };
    let (ok, expected) = match unit {
        Unit::Share => ((0.0..=1.0).contains(&value), "0% to 100%, such as `5%`"),
        Unit::Millis => (value > 0.0, "a duration above zero, such as `500ms`"),
        Unit::PerSecond => (value >= 0.0, "requests per second, zero or more"),
        Unit::Plain => (true, "a finite number"),
    };
    let ok = ok && value.is_finite();
    if !ok {
        found.add(
            path,
            format!("{owner}: {value} is no limit for `{metric}`"),
            format!("expected {expected}"),
        );
    }
    ok
}
