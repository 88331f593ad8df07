//! What a metric source sees of the made-up world.

use std::sync::Arc;

use super::World;
use super::draw::{Chance, Draw};
use super::latency::Histogram;
use super::world::BEGIN;
use crate::value::{
    Buckets, BySide, Counts, Failure, FailureKind, Measured, Query, Reading, Side, Signal,
    Timestamp, Window, millis,
};

/// Names the streams of a window: one for requests and errors of both sides, one for their latency, one for which
/// pods served them.
const REQUESTS: u64 = 0;
const LATENCY: u64 = 1;
pub(super) const PODS: u64 = 2;

/// Holds what one side is expected to show in a window, in requests.
#[derive(Clone, Copy, Debug, Default)]
struct Expected {
    total: f64,
    bad: f64,
}

impl World {
    /// Answers queries, as a metric source does.
    #[must_use]
    pub fn measure(&self, queries: &[Query], until: Timestamp) -> Vec<Result<Measured, Failure>> {
        if let Some(recording) = &self.recording {
            return queries.iter().map(|query| recording.answer(query, until)).collect();
        }
        let mut counted = None;
        queries.iter().map(|query| self.answer(query, until, &mut counted)).collect()
    }

    /// Answers one query; what was counted for a window is kept for the next one.
    fn answer(
        &self,
        query: &Query,
        until: Timestamp,
        counted: &mut Option<(Window, BySide<Counts>)>,
    ) -> Result<Measured, Failure> {
        let window = self.covered(query.after, until);
        if window.is_empty() {
            return Ok(Measured::pending(query.after));
        }
        let counts = match *counted {
            Some((known, counts)) if known == window => counts,
            _ => {
                let counts = self.count(window);
                *counted = Some((window, counts));
                counts
            }
        };
        let [stable, canary] = match &query.signal {
            Signal::Requests => Side::BOTH.map(|side| Reading::Counts(*counts.get(side))),
            Signal::Latency => self.latencies(window, &counts),
            Signal::Custom(name) => {
                let gauges = Side::BOTH.map(|side| self.gauge(side, name, window));
                if gauges.iter().all(Option::is_none) {
                    let message = format!("the made-up world knows no `{name}`");
                    return Err(Failure::new(FailureKind::Unsupported, message));
                }
                gauges.map(|gauge| gauge.unwrap_or(Reading::NoData))
            }
        };
        let seen = |side, reading| {
            if self.services.get(side).is_silent() { Reading::NoData } else { reading }
        };
        let measured =
            Measured::new(window, seen(Side::Stable, stable), seen(Side::Canary, canary));
        match query.signal {
            Signal::Requests => Ok(self.with_pods(measured, &counts)),
            _ => Ok(measured),
        }
    }

    /// Returns what can be covered of a window: whole spans between scrapes that have arrived.
    fn covered(&self, after: Timestamp, until: Timestamp) -> Window {
        let Some((interval, lag)) = self.scrape else { return Window::new(after, until) };
        let first = millis(after.since(self.begin)).div_ceil(interval) * interval;
        let last = millis(until.since(self.begin)).saturating_sub(lag) / interval * interval;
        let at = |ms| self.begin + std::time::Duration::from_millis(ms);
        Window::new(at(first), at(last))
    }

    /// Counts both sides' requests in a window: a window that is asked for again shows the same.
    fn count(&self, window: Window) -> BySide<Counts> {
        let mut draw = self.stream(window, REQUESTS);
        BySide::from_fn(|side| {
            let scripted = ["requests", "error_rate"].map(|name| self.script(side, name).is_some());
            if scripted.contains(&true) {
                return self.count_scripted(side, window);
            }
            let expected = self.expected(side, window);
            let total = draw.poisson(expected.total);
            let rate = if expected.total > 0.0 { expected.bad / expected.total } else { 0.0 };
            let cluster = self.services.get(side).cluster();
            let bad = if cluster > 1.0 {
                draw.clustered(total, rate, cluster)
            } else {
                let (usual, chance) = self.errors.get(side);
                // Beyond twelve digits nobody sees a difference.
                let is_usual = (rate - usual).abs() < 1e-12;
                draw.binomial(total, &if is_usual { *chance } else { Chance::of(rate) })
            };
            let mut counts = Counts::default();
            (counts.total, counts.bad) = (total, bad);
            counts
        })
    }

    /// Counts what a script says, to the request: windows that follow each other add up.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "sums of what is not negative, and a cast saturates"
    )]
    fn count_scripted(&self, side: Side, window: Window) -> Counts {
        let upto = |until: u64| {
            let Some(rates) = self.script(side, "error_rate") else {
                let expected = self.expected_between(side, 0, until);
                let total = self.script(side, "requests").map_or(0.0, |rps| rps.sum(0, until));
                return (total, total * expected.bad / expected.total.max(f64::MIN_POSITIVE));
            };
            let (mut total, mut bad, mut at) = (0.0, 0.0, 0);
            while at < until {
                let next = rates.next_change(at).map_or(until, |next| next.min(until));
                let requests = match self.script(side, "requests") {
                    Some(rps) => rps.sum(at, next),
                    None => self.expected_between(side, at, next).total,
                };
                total += requests;
                bad += requests * rates.at(at).unwrap_or(0.0).clamp(0.0, 1.0);
                at = next;
            }
            (total, bad)
        };
        let whole = |sum: f64| (sum.max(0.0) + 1e-6) as u64;
        let (after, until) = self.between(window);
        let (before, now) = (upto(after), upto(until));
        let mut counts = Counts::default();
        counts.total = whole(now.0).saturating_sub(whole(before.0));
        counts.bad = whole(now.1).saturating_sub(whole(before.1)).min(counts.total);
        counts
    }

    fn latencies(&self, window: Window, counts: &BySide<Counts>) -> [Reading; 2] {
        let mut draw = self.stream(window, LATENCY);
        Side::BOTH.map(|side| {
            let total = counts.get(side).total;
            let counts = match self.latency.get(side) {
                Some(histogram) => histogram.draw(&mut draw, total),
                None => self.histogram(side, window).draw(&mut draw, total),
            };
            // The bounds rise, and the counts add up to the total.
            Buckets::new(Arc::clone(&self.bounds), counts).map_or(Reading::NoData, Reading::Buckets)
        })
    }

    /// Returns how latency is spread over a window in which it may change.
    fn histogram(&self, side: Side, window: Window) -> Histogram {
        let mut shares = Default::default();
        let (after, until) = self.between(window);
        self.visit(side, after, until, |from, since, requests| {
            self.services.get(side).add_latency(&mut shares, requests, from, since);
        });
        Histogram::of(&shares)
    }

    fn gauge(&self, side: Side, name: &str, window: Window) -> Option<Reading> {
        let (after, until) = self.between(window);
        let value = match self.script(side, name) {
            Some(steps) => steps.at(until),
            None => self.services.get(side).gauge_at(name, after, until),
        }?;
        Some(if value.is_finite() { Reading::Value(value) } else { Reading::NotFinite })
    }

    /// Returns the mean number of a side's requests in a window and of bad ones among them.
    fn expected(&self, side: Side, window: Window) -> Expected {
        let (after, until) = self.between(window);
        self.expected_between(side, after, until)
    }

    fn expected_between(&self, side: Side, after: u64, until: u64) -> Expected {
        let mut sum = Expected::default();
        self.visit(side, after, until, |from, since, requests| {
            let usual = || self.services.get(side).error_rate_at(from, since);
            let rate = self.outage_at(from).unwrap_or_else(usual);
            sum.total += requests;
            sum.bad += requests * rate;
        });
        sum
    }

    /// Returns the error rate of both sides at a time in an outage.
    pub(super) fn outage_at(&self, at: u64) -> Option<f64> {
        let outage = self.outages.iter().find(|(begin, end, _)| (*begin..*end).contains(&at));
        outage.map(|(.., rate)| *rate)
    }

    /// Visits the parts of a span of time in which nothing changes but the load: their begin, since when the side has
    /// had traffic, and its mean number of requests.
    pub(super) fn visit(
        &self,
        side: Side,
        after: u64,
        until: u64,
        mut see: impl FnMut(u64, u64, f64),
    ) {
        let service = self.services.get(side);
        if let Some((since, share)) = self.steady(side, after, until) {
            return see(after, since, self.load.requests(after, until) * share);
        }
        let mut from = after;
        while from < until {
            let since = self.traffic_since(side, from);
            let routed = self.routed.iter().rposition(|(begin, _)| *begin <= from).unwrap_or(0);
            let rerouted = self.routed.get(routed + 1).map(|(begin, _)| *begin);
            let outage = self.outages.iter().flat_map(|(a, b, _)| [*a, *b]).filter(|t| *t > from);
            let to = [rerouted, service.next_change(from, since)]
                .into_iter()
                .flatten()
                .chain(outage)
                .fold(until, u64::min);
            let share = self.routed[routed].1.share.get(side);
            see(from, since, self.load.requests(from, to) * share);
            from = to;
        }
    }

    /// Returns since when a side has had traffic and its share, where neither route nor service changes in a span of
    /// time that is not empty: in nearly all of them.
    fn steady(&self, side: Side, after: u64, until: u64) -> Option<(u64, f64)> {
        let (routed_at, routed) = self.routed.last()?;
        let steady = after < until
            && *routed_at <= after
            && self.outages.is_empty()
            && self.services.get(side).never_changes();
        steady.then(|| (self.traffic_since(side, after), *routed.share.get(side)))
    }

    pub(super) fn stream(&self, window: Window, what: u64) -> Draw {
        // The same whenever the rollout begins.
        let (after, until) = self.between(window);
        let key = |ms: u64| BEGIN.as_millis().saturating_add(ms);
        Draw::keyed([self.seed, key(after), key(until), what])
    }

    /// Returns a window in milliseconds since the begin.
    pub(super) fn between(&self, window: Window) -> (u64, u64) {
        (millis(window.after.since(self.begin)), millis(window.until.since(self.begin)))
    }
}
