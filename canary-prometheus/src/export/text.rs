//! The series as a page of text.

use std::collections::BTreeMap;
use std::fmt;

use canary_core::value::Target;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::calls::CallName;
use super::rollout::{CheckState, Phase, Rollout};
use super::series::Series;
use crate::names;

/// Names a series beside its target.
type Labels = Vec<(&'static str, String)>;

/// Writes the series of all targets.
pub(super) fn write(targets: &BTreeMap<Target, Series>) -> String {
    let mut page = Page::default();
    for (target, series) in targets {
        page.add(target, series);
    }
    let mut registry = Registry::default();
    registry.register_collector(Box::new(page));
    let mut text = String::new();
    // A string takes whatever is written into it.
    let _ = encode(&mut text, &registry);
    text
}

/// Gathers the samples by metric, since those of one metric stand together.
#[derive(Debug, Default)]
struct Page {
    gauges: BTreeMap<&'static str, Vec<(Labels, f64)>>,
    counters: BTreeMap<&'static str, Vec<(Labels, u64)>>,
    calls: Vec<(Labels, prometheus_client::metrics::histogram::Histogram)>,
}

impl Page {
    fn add(&mut self, target: &Target, series: &Series) {
        let of = |more: &[(&'static str, &str)]| -> Labels {
            let own = std::iter::once(("target", target.as_str()));
            own.chain(more.iter().copied()).map(|(name, value)| (name, value.to_owned())).collect()
        };
        if let Some(rollout) = &series.rollout {
            self.add_rollout(rollout, &of);
        }
        for ((action, kind), count) in &series.failed_calls {
            let labels = of(&[("action", action), ("kind", kind)]);
            self.count(names::FAILED_CALLS, labels, *count);
        }
        for (action, count) in &series.failed_retries {
            self.count(names::FAILED_RETRIES, of(&[("action", action)]), *count);
        }
        self.count(names::DRIFTS, of(&[]), series.drifts);
        for (CallName { port, call, result }, histogram) in series.calls.iter() {
            let labels = of(&[("port", port), ("call", call), ("result", result)]);
            self.calls.push((labels, histogram.clone()));
        }
    }

    fn add_rollout(&mut self, rollout: &Rollout, of: &impl Fn(&[(&'static str, &str)]) -> Labels) {
        let info = of(&[
            ("rollout", rollout.id.as_str()),
            ("policy", &rollout.policy),
            ("version", &rollout.version),
        ]);
        self.gauge(names::INFO, info, 1.0);
        for phase in Phase::ALL {
            let labels = of(&[("phase", phase.as_str())]);
            self.gauge(names::PHASE, labels, truth(phase == rollout.phase));
        }
        self.gauge(names::STUCK, of(&[]), truth(rollout.stuck));
        self.gauge(names::STALLED, of(&[]), truth(rollout.stalled));
        self.gauge(names::PROGRESSED, of(&[]), seconds(rollout.progressed.as_millis()));
        if let Some(started) = rollout.started {
            self.gauge(names::STARTED, of(&[]), seconds(started.as_millis()));
        }
        if let Some(ended) = rollout.ended {
            let labels = of(&[("outcome", rollout.phase.as_str())]);
            self.gauge(names::ENDED, labels, seconds(ended.as_millis()));
            return;
        }
        let known = &rollout.under_way;
        self.gauge(names::WAITING, of(&[]), truth(known.is_waiting()));
        if let Some(stage) = &rollout.stage {
            #[expect(clippy::cast_precision_loss, reason = "no plan has so many stages")]
            self.gauge(names::STAGE, of(&[]), stage.position as f64);
            self.gauge(
                names::STAGE_ENTERED,
                of(&[("stage", &stage.name)]),
                seconds(stage.at.as_millis()),
            );
            self.gauge(names::HELD, of(&[]), seconds(known.held_ms));
        }
        for (name, value) in [(names::WEIGHT, known.weight), (names::SHARE, known.share)] {
            if let Some(value) = value {
                self.gauge(name, of(&[]), value);
            }
        }
        self.add_checks(&known.checks, of);
    }

    fn add_checks(
        &mut self,
        checks: &[CheckState],
        of: &impl Fn(&[(&'static str, &str)]) -> Labels,
    ) {
        let mut scores = BTreeMap::new();
        for check in checks {
            let labels =
                of(&[("check", &check.name), ("verdict", check.verdict), ("then", check.then)]);
            self.gauge(names::VERDICT, labels, 1.0);
            if let Some((odds, needed)) = check.odds {
                self.gauge(names::ODDS, of(&[("check", &check.name)]), odds);
                self.gauge(names::NEEDED, of(&[("check", &check.name)]), needed);
            }
            scores.extend(&check.scores);
        }
        for (score, value) in scores {
            self.gauge(names::HEALTH, of(&[("score", score)]), *value);
        }
    }

    fn gauge(&mut self, name: &'static str, labels: Labels, value: f64) {
        self.gauges.entry(name).or_default().push((labels, value));
    }

    fn count(&mut self, name: &'static str, labels: Labels, count: u64) {
        self.counters.entry(name).or_default().push((labels, count));
    }
}

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for (name, samples) in &self.gauges {
            let mut metric =
                encoder.encode_descriptor(name, help(name), None, MetricType::Gauge)?;
            for (labels, value) in samples {
                metric.encode_family(labels)?.encode_gauge(value)?;
            }
        }
        for (name, samples) in &self.counters {
            let mut metric =
                encoder.encode_descriptor(name, help(name), None, MetricType::Counter)?;
            for (labels, count) in samples {
                metric
                    .encode_family(labels)?
                    .encode_counter::<prometheus_client::encoding::NoLabelSet, _, u64>(
                        count, None,
                    )?;
            }
        }
        if !self.calls.is_empty() {
            let name = names::CALLS;
            let mut metric =
                encoder.encode_descriptor(name, help(name), None, MetricType::Histogram)?;
            for (labels, histogram) in &self.calls {
                histogram.encode(metric.encode_family(labels)?)?;
            }
        }
        Ok(())
    }
}

/// Says what a metric is, for whoever reads the page.
fn help(name: &str) -> &'static str {
    match name {
        names::INFO => "The rollout's id, its policy and version, as labels; always 1",
        names::PHASE => "1 for the phase that the rollout is in, 0 for the others",
        names::STAGE => "The position of the stage, from 0",
        names::STAGE_ENTERED => "When the stage was entered",
        names::HELD => "How much of the stage's hold has been observed",
        names::WEIGHT => "The weight that the router accepted",
        names::SHARE => "The canary's measured share of the requests at the last look",
        names::VERDICT => "1, with the verdict as a label",
        names::ODDS => "The odds that a check of evidence has come to",
        names::NEEDED => "The odds that decide",
        names::HEALTH => "The canary's health score",
        names::FAILED_CALLS => "Calls to ports that failed",
        names::FAILED_RETRIES => "Those of them that were retries already",
        names::DRIFTS => "How often the route was found changed by somebody else",
        names::STUCK => "Whether taking the canary back takes longer than it may",
        names::STALLED => "Whether the rollout has stood still for longer than its policy bears",
        names::WAITING => "Whether it waits for a gate or a person",
        names::STARTED => "When it began",
        names::PROGRESSED => "When it last came further",
        names::ENDED => "When it ended, with the outcome as a label",
        names::CALLS => "How long calls to ports take",
        _ => "",
    }
}

fn truth(is: bool) -> f64 {
    f64::from(u8::from(is))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "whole milliseconds of any real time fit into 53 bits"
)]
fn seconds(millis: u64) -> f64 {
    millis as f64 / 1000.0
}
