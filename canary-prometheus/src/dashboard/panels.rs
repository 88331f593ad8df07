//! The panels: the rollout, the golden signals, the pods.

use canary_core::policy::{Comparison, Policy, Quantile};
use canary_core::value::Side;
use serde_json::{Value, json};

use super::source;
use crate::names;
use crate::rules::{Limited, Recorded, Service};

/// How many columns a dashboard has.
const COLUMNS: u64 = 24;

/// How high a panel is.
const HEIGHT: u64 = 8;

/// Describes a panel.
struct Panel {
    title: &'static str,
    kind: &'static str,
    /// As Grafana names units: all values are in base units.
    unit: &'static str,
    width: u64,
    /// Legend and query.
    queries: Vec<(String, String)>,
    /// From where on it is drawn red, or, with a `Below`, up to where.
    limit: Option<(Comparison, f64)>,
}

impl Panel {
    fn new(title: &'static str, unit: &'static str, queries: Vec<(String, String)>) -> Self {
        Self { title, kind: "timeseries", unit, width: 8, queries, limit: None }
    }

    const fn kind(mut self, kind: &'static str) -> Self {
        self.kind = kind;
        self
    }

    const fn wide(mut self) -> Self {
        self.width = 12;
        self
    }

    const fn limited(mut self, limit: (Comparison, f64)) -> Self {
        self.limit = Some(limit);
        self
    }

    fn json(&self, id: usize, x: u64, y: u64) -> Value {
        let targets = self.queries.iter().enumerate().map(|(i, (legend, expr))| {
            json!({
                "refId": format!("Q{i}"),
                "datasource": source(),
                "expr": expr,
                "legendFormat": legend,
            })
        });
        let steps = match self.limit {
            Some((Comparison::Above, at)) => {
                json!([{ "color": "green", "value": null }, { "color": "red", "value": at }])
            }
            Some((Comparison::Below, at)) => {
                json!([{ "color": "red", "value": null }, { "color": "green", "value": at }])
            }
            None => json!([{ "color": "green", "value": null }]),
        };
        let drawn = if self.limit.is_some() { "dashed" } else { "off" };
        json!({
            "id": id,
            "title": self.title,
            "type": self.kind,
            "datasource": source(),
            "gridPos": { "x": x, "y": y, "w": self.width, "h": HEIGHT },
            "fieldConfig": {
                "defaults": {
                    "unit": self.unit,
                    "thresholds": { "mode": "absolute", "steps": steps },
                    "custom": { "thresholdsStyle": { "mode": drawn } },
                },
                "overrides": [],
            },
            "targets": targets.collect::<Vec<_>>(),
        })
    }
}

/// Lays the panels out in rows, from left to right.
pub(super) fn all(policy: &Policy, shown: &Service) -> Value {
    let mut laid = Vec::new();
    let mut y = 0;
    for (title, panels) in [
        ("Rollout", rollout(shown)),
        ("Golden signals", golden_signals(policy, shown)),
        ("Pods and ports", pods_and_ports(shown)),
    ] {
        laid.push(json!({
            "id": laid.len() + 1,
            "title": title,
            "type": "row",
            "collapsed": false,
            "gridPos": { "x": 0, "y": y, "w": COLUMNS, "h": 1 },
            "panels": [],
        }));
        y += 1;
        let mut x = 0;
        for panel in panels {
            if x + panel.width > COLUMNS {
                (x, y) = (0, y + HEIGHT);
            }
            laid.push(panel.json(laid.len() + 1, x, y));
            x += panel.width;
        }
        y += HEIGHT;
    }
    Value::Array(laid)
}

fn query(legend: &str, expr: String) -> (String, String) {
    (legend.to_owned(), expr)
}

fn rollout(shown: &Service) -> Vec<Panel> {
    let all = |metric| shown.rollout_series(metric, "");
    let phase = format!("max by (phase) ({}) > 0", all(names::PHASE));
    let failing = shown.rollout_series(names::VERDICT, r#"verdict="fail""#);
    let passing = format!(
        "count({}) / count({})",
        shown.rollout_series(names::VERDICT, r#"verdict="pass""#),
        shown.rollout_series(names::VERDICT, r#"verdict=~"pass|fail""#)
    );
    let odds =
        format!("max by (check) ({}) / max by (check) ({})", all(names::ODDS), all(names::NEEDED));
    vec![
        Panel::new(
            "Traffic split",
            "percentunit",
            vec![
                query("weight", shown.rollout(names::WEIGHT)),
                query("measured by the rollout", shown.rollout(names::SHARE)),
                query("measured by the mesh", shown.recorded(Recorded::TrafficShare)),
            ],
        ),
        Panel::new(
            "Health score",
            "percentunit",
            vec![
                query("{{score}}", format!("max by (score) ({})", all(names::HEALTH))),
                query("checks that pass", passing),
            ],
        ),
        Panel::new(
            "Evidence, as a share of what decides",
            "percentunit",
            vec![query("{{check}}", odds)],
        )
        .limited((Comparison::Above, 1.0)),
        Panel::new("Phase", "none", vec![query("{{phase}}", phase)]).kind("state-timeline"),
        Panel::new(
            "Failing checks",
            "none",
            vec![query("{{check}} ({{then}})", format!("max by (check, then) ({failing})"))],
        )
        .kind("state-timeline"),
        Panel::new(
            "Since the last progress",
            "s",
            vec![
                query("standing for", format!("time() - {}", shown.rollout(names::PROGRESSED))),
                query("held", shown.rollout(names::HELD)),
            ],
        ),
        Panel::new(
            "What is rolled out",
            "none",
            vec![query("{{rollout}}: {{policy}} {{version}}", all(names::INFO))],
        )
        .kind("stat"),
        Panel::new(
            "Needs a person",
            "none",
            vec![
                query("stuck", shown.rollout(names::STUCK)),
                query("stalled", shown.rollout(names::STALLED)),
                query("waiting", shown.rollout(names::WAITING)),
            ],
        )
        .kind("stat")
        .limited((Comparison::Above, 1.0)),
        Panel::new("Stage", "none", vec![query("stage", shown.rollout(names::STAGE))]),
    ]
}

fn golden_signals(policy: &Policy, shown: &Service) -> Vec<Panel> {
    let latency = |recorded: Recorded, quantile: Quantile| {
        [
            query(&format!("canary {quantile}"), shown.recorded(recorded)),
            query(&format!("stable {quantile}"), shown.latency(Side::Stable, quantile)),
        ]
    };
    let limit = |what: Limited| (what.comparison(), what.bound(policy).at);
    vec![
        Panel::new(
            "Latency",
            "s",
            [
                latency(Recorded::LatencyP50, Quantile::P50),
                latency(Recorded::LatencyP95, Quantile::P95),
                latency(Recorded::LatencyP99, Quantile::P99),
            ]
            .concat(),
        )
        .wide(),
        Panel::new(
            "Traffic",
            "reqps",
            vec![
                query("canary", shown.recorded(Recorded::RequestRate)),
                query("stable", shown.request_rate(Side::Stable)),
            ],
        )
        .wide(),
        Panel::new(
            "Errors",
            "percentunit",
            vec![
                query("canary", shown.recorded(Recorded::CanaryErrorRate)),
                query("stable", shown.recorded(Recorded::StableErrorRate)),
            ],
        )
        .limited(limit(Limited::Errors)),
        Panel::new(
            "Success rate",
            "percentunit",
            vec![query("canary", shown.recorded(Recorded::SuccessRate))],
        )
        .limited(limit(Limited::Success)),
        Panel::new(
            "Saturation: the canary's busiest container",
            "percentunit",
            vec![
                query("CPU", shown.recorded(Recorded::Cpu)),
                query("memory", shown.recorded(Recorded::Memory)),
            ],
        )
        .limited(limit(Limited::Cpu)),
    ]
}

fn pods_and_ports(shown: &Service) -> Vec<Panel> {
    let calls = |metric: &str| {
        let series = shown.rollout_series(&format!("{metric}_bucket"), "");
        format!("histogram_quantile(0.99, sum by (le, port, call) (rate({series}[5m])))")
    };
    let failed = |metric: &str| {
        let series = shown.rollout_series(&format!("{metric}_total"), "");
        format!("sum by (action) (increase({series}[5m]))")
    };
    vec![
        Panel::new(
            "Ready pods",
            "none",
            vec![
                query("canary", shown.ready(Side::Canary)),
                query("stable", shown.ready(Side::Stable)),
                query("canary, not ready", shown.not_ready()),
                query("canary, in a crash loop", shown.crash_loops()),
            ],
        ),
        Panel::new(
            "Memory of a pod",
            "bytes",
            vec![
                query("canary", shown.memory_of_a_pod(Side::Canary)),
                query("stable", shown.memory_of_a_pod(Side::Stable)),
            ],
        ),
        Panel::new(
            "Calls to ports, p99",
            "s",
            vec![query("{{port}} {{call}}", calls(names::CALLS))],
        ),
        Panel::new(
            "Failed calls in five minutes",
            "none",
            vec![
                query("{{action}}", failed(names::FAILED_CALLS)),
                query("{{action}}, retried", failed(names::FAILED_RETRIES)),
            ],
        ),
        Panel::new(
            "Changes of the route by others, in five minutes",
            "none",
            vec![query(
                "drifts",
                format!(
                    "increase({}[5m])",
                    shown.rollout_series(&format!("{}_total", names::DRIFTS), "")
                ),
            )],
        ),
    ]
}
