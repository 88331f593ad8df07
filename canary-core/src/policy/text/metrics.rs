//! The metrics of the user's.

use std::collections::BTreeMap;

use super::cursor::Fields;
use super::node::{Node, Value};
use super::scalar;
use crate::policy::{Metric, MetricQuery, MetricSpec, Problem, ScorePart};

pub(super) fn read(node: &Node, p: &mut Vec<Problem>) -> BTreeMap<String, MetricSpec> {
    let mut metrics = BTreeMap::new();
    let Value::Map(entries) = &node.value else {
        let message = format!("`metrics` is {}, not a map", node.describe());
        p.push(Problem::new("metrics", message, "write `metrics: { pool: { query: … } }`"));
        return metrics;
    };
    for (key, value) in entries {
        let path = format!("metrics.{}", key.key());
        metrics.insert(key.key(), metric(value, path, p));
    }
    metrics
}

fn metric(node: &Node, path: String, p: &mut Vec<Problem>) -> MetricSpec {
    let mut fields = Fields::open(node, path, "a metric", p);
    let metric = if let Some(parts) = fields.node("score") {
        MetricSpec::Score(score(parts, &fields.path("score"), p))
    } else {
        MetricSpec::Query(MetricQuery {
            source: fields.read("source", scalar::text, p).map(Into::into),
            query: fields.read("query", scalar::text, p).map(Into::into),
        })
    };
    fields.close(p);
    metric
}

/// Reads `{ error_rate: 50, latency.p95: { weight: 30, good: 200ms, bad: 2s } }`.
fn score(node: &Node, path: &str, p: &mut Vec<Problem>) -> Vec<ScorePart> {
    let Value::Map(entries) = &node.value else {
        let message = format!("`score` is {}, not a map", node.describe());
        p.push(Problem::new(path, message, "write `score: { error_rate: 50, latency.p95: 50 }`"));
        return Vec::new();
    };
    let mut parts = Vec::new();
    for (key, value) in entries {
        let path = format!("{path}.{}", key.key());
        match scalar::metric(key) {
            Ok(metric) => parts.extend(part(metric, value, path, p)),
            Err(expected) => p.push(
                Problem::new(
                    path,
                    format!("{} is no metric", key.describe()),
                    format!("expected {expected}"),
                )
                .standing(key.at),
            ),
        }
    }
    parts
}

fn part(metric: Metric, node: &Node, path: String, p: &mut Vec<Problem>) -> Option<ScorePart> {
    if let Ok(weight) = scalar::number(node) {
        return Some(ScorePart::usual(metric, weight));
    }
    let mut fields = Fields::open(node, path, "a part of a score", p);
    let unit = metric.unit();
    let weight = fields.require("weight", "50", scalar::number, p);
    let mut part = ScorePart::usual(metric, weight.unwrap_or(1.0));
    if let Some(good) = fields.read("good", |node| scalar::limit(node, unit), p) {
        part.good = good;
    }
    if let Some(bad) = fields.read("bad", |node| scalar::limit(node, unit), p) {
        part.bad = bad;
    }
    fields.close(p);
    weight.map(|_| part)
}
