//! How a made-up service behaves.

use std::sync::Arc;
use std::time::Duration;

use super::latency::{Latency, Shares};
use super::steps::Steps;
use crate::value::{IntoDuration, millis};

/// Describes how one version behaves, over time; times count from the begin of the rollout.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Service {
    error_rate: f64,
    /// What the error rate is instead from later times on.
    later_errors: Vec<(u64, f64)>,
    /// How many errors come together on average.
    cluster: f64,
    latency: Latency,
    gauges: Vec<(Arc<str>, f64)>,
    leaks: Vec<Leak>,
    restarts_every_ms: Option<u64>,
    silent: bool,
    /// What it is like for the first so many milliseconds of its traffic.
    cold: Option<Box<(u64, Service)>>,
    /// How many pods are told apart; 0 where none are.
    pods: u32,
    /// What one pod of so many is like.
    pod: Option<Box<(u32, Service)>>,
}

/// Lets a gauge grow.
#[derive(Clone, Debug, PartialEq)]
struct Leak {
    gauge: Arc<str>,
    from: u64,
    per_hour: f64,
}

/// How many pods are told apart at most: of more, each has next to no requests.
const MOST_PODS: u32 = 100;

/// What the usual gauges of a service show that nobody described.
const USUAL: [(&str, f64); 3] = [("cpu", 0.4), ("memory", 0.5), ("restarts", 0.0)];

impl Service {
    /// A service that fails one request in a thousand, answers half of them within 50 ms and 95 of a hundred within
    /// 114 ms, uses 40 % of its CPU and half of its memory, and never restarts.
    pub const fn healthy() -> Self {
        Self {
            error_rate: 0.001,
            later_errors: Vec::new(),
            cluster: 1.0,
            latency: Latency::usual(),
            gauges: Vec::new(),
            leaks: Vec::new(),
            restarts_every_ms: None,
            silent: false,
            cold: None,
            pods: 0,
            pod: None,
        }
    }

    /// Fails this share of the requests, 0 to 1; what lies outside counts as the nearer end.
    pub const fn errors(mut self, rate: f64) -> Self {
        self.error_rate = share(rate);
        self
    }

    /// Fails this share of the requests from this time on.
    ///
    /// # Panics
    /// If a text is no span of time.
    #[track_caller]
    pub fn errors_from(mut self, from: impl IntoDuration, rate: f64) -> Self {
        self.later_errors.push((millis(from.into_duration()), share(rate)));
        self.later_errors.sort_by_key(|(from, _)| *from);
        self
    }

    /// Fails requests in clusters of this mean size: as many errors, but fewer and larger incidents.
    pub const fn clustered(mut self, mean_size: f64) -> Self {
        self.cluster = if mean_size > 1.0 && mean_size.is_finite() { mean_size } else { 1.0 };
        self
    }

    /// Answers half of the requests within this time; the slow ones become slower in proportion.
    pub fn median(mut self, time: Duration) -> Self {
        self.latency.median_ms = time.as_secs_f64() * 1000.0;
        self
    }

    /// Answers 95 of a hundred requests within this time: says how far latency spreads above its median.
    pub fn p95(mut self, time: Duration) -> Self {
        self.latency.p95_ms = Some(time.as_secs_f64() * 1000.0);
        self
    }

    /// Shows this number under a name, such as `cpu` or `memory` (a share), or one of the policy's own metrics.
    pub fn gauge(mut self, name: &str, value: f64) -> Self {
        self.gauges.retain(|(known, _)| **known != *name);
        self.gauges.push((name.into(), value));
        self
    }

    /// Lets a gauge grow by so much an hour from this time on.
    ///
    /// # Panics
    /// If a text is no span of time.
    #[track_caller]
    pub fn leak(mut self, gauge: &str, from: impl IntoDuration, per_hour: f64) -> Self {
        let from = millis(from.into_duration());
        self.leaks.push(Leak { gauge: gauge.into(), from, per_hour });
        self
    }

    /// Restarts this often: the gauge `restarts` shows how often in each look.
    ///
    /// # Panics
    /// If a text is no span of time.
    #[track_caller]
    pub fn restarts_every(mut self, time: impl IntoDuration) -> Self {
        self.restarts_every_ms = Some(millis(time.into_duration()).max(1));
        self
    }

    /// Fails and answers as `cold` does for the first so much time of its traffic.
    ///
    /// # Panics
    /// If a text is no span of time.
    #[track_caller]
    pub fn warming_up(mut self, time: impl IntoDuration, cold: Self) -> Self {
        self.cold = Some(Box::new((millis(time.into_duration()), cold)));
        self
    }

    /// Runs in so many pods that are alike, each with the same share of the requests. The metric source tells them
    /// apart, as `canary-1`, `canary-2` and so on (or `stable-1` …), if there are no more than 100.
    pub const fn pods(mut self, pods: u32) -> Self {
        self.pods = pods;
        self
    }

    /// Runs in so many [`pods`](Self::pods), of which the first fails and answers as `other` does.
    pub fn one_pod_of(mut self, pods: u32, other: Self) -> Self {
        let pods = if pods == 0 { 1 } else { pods };
        self.pod = Some(Box::new((pods, other)));
        self.pods(pods)
    }

    /// Takes requests, but tells the metric source nothing.
    pub const fn silent(mut self) -> Self {
        self.silent = true;
        self
    }

    pub(super) const fn is_silent(&self) -> bool {
        self.silent
    }

    pub(super) const fn cluster(&self) -> f64 {
        self.cluster
    }

    /// Returns the error rate at a time; its traffic began at `since`.
    pub(super) fn error_rate_at(&self, at: u64, since: u64) -> f64 {
        if let Some(cold) = self.cold_at(at, since) {
            return cold.error_rate_at(at, since);
        }
        let rate = self.usual_error_rate_at(at);
        match self.pod.as_deref() {
            Some((pods, other)) => {
                let part = 1.0 / f64::from(*pods);
                rate * (1.0 - part) + other.error_rate_at(at, since) * part
            }
            None => rate,
        }
    }

    /// Returns the error rates of the first pod and of each other one at a time.
    pub(super) fn pods_error_rates_at(&self, at: u64, since: u64) -> [f64; 2] {
        match (self.cold_at(at, since), self.pod.as_deref()) {
            (Some(cold), _) => cold.pods_error_rates_at(at, since),
            (None, None) => [self.usual_error_rate_at(at); 2],
            (None, Some((_, other))) => {
                [other.error_rate_at(at, since), self.usual_error_rate_at(at)]
            }
        }
    }

    /// Returns the error rate at a time of a pod that is like most, once it is warm.
    fn usual_error_rate_at(&self, at: u64) -> f64 {
        let later = self.later_errors.iter().rev().find(|(from, _)| *from <= at);
        later.map_or(self.error_rate, |(_, rate)| *rate)
    }

    /// Returns the number of pods that the metric source tells apart; 0 where it tells none apart.
    pub(super) const fn told_apart(&self) -> u32 {
        if self.pods <= MOST_PODS { self.pods } else { 0 }
    }

    /// Returns the next time after this one at which error rate or latency change.
    pub(super) fn next_change(&self, at: u64, since: u64) -> Option<u64> {
        let errors = self.later_errors.iter().map(|(from, _)| *from).find(|from| *from > at);
        let warm = self.cold.as_deref().map(|(time, _)| since.saturating_add(*time));
        let parts = [self.cold.as_deref().map(|(_, s)| s), self.pod.as_deref().map(|(_, s)| s)];
        let within = parts.into_iter().flatten().filter_map(|part| part.next_change(at, since));
        [errors, warm.filter(|warm| *warm > at)].into_iter().flatten().chain(within).min()
    }

    /// Tells whether error rate and latency are the same all the time.
    pub(super) fn never_changes(&self) -> bool {
        self.later_errors.is_empty() && self.cold.is_none() && self.pod.is_none()
    }

    /// Returns when this service, which was as good as the other one, becomes worse; `None` where it never does, or is
    /// so from the begin. Any other gauge counts as worse.
    pub(super) fn worse_from(&self, other: &Self) -> Option<u64> {
        let changed =
            |at: &u64| [self, other].into_iter().filter_map(|s| s.next_change(*at, 0)).min();
        let fails_more = |at: &u64| self.error_rate_at(*at, 0) > other.error_rate_at(*at, 0);
        let errors = std::iter::successors(Some(0), changed).find(fails_more);
        let leaks = self.leaks.iter().filter(|leak| !other.leaks.contains(leak));
        let at_once = self.is_other_at_once(other).then_some(0);
        let all = errors.into_iter().chain(leaks.map(|leak| leak.from)).chain(at_once);
        all.min().filter(|from| *from > 0)
    }

    /// Tells whether anything but errors and leaks is worse than the other service's.
    fn is_other_at_once(&self, other: &Self) -> bool {
        let parts = [self.cold.as_deref().map(|(_, s)| s), self.pod.as_deref().map(|(_, s)| s)];
        let mut all = parts.into_iter().flatten().chain([self]);
        let shows = |(name, value): &(Arc<str>, f64)| other.gauge_at(name, 0, 0) == Some(*value);
        self.silent
            || self.restarts_every_ms != other.restarts_every_ms
            || !self.gauges.iter().all(shows)
            || all.any(|part| part.latency.is_slower_than(other.latency))
    }

    fn cold_at(&self, at: u64, since: u64) -> Option<&Self> {
        let (time, cold) = self.cold.as_deref()?;
        (at < since.saturating_add(*time)).then_some(cold)
    }

    /// Tells whether latency is the same all the time.
    pub(super) fn is_evenly_fast(&self) -> bool {
        self.cold.is_none() && self.pod.as_deref().is_none_or(|(_, pod)| pod.is_evenly_fast())
    }

    /// Adds the shares of requests in each bucket of latency at a time, counted `times` so often.
    pub(super) fn add_latency(&self, shares: &mut Shares, times: f64, at: u64, since: u64) {
        if let Some(cold) = self.cold_at(at, since) {
            return cold.add_latency(shares, times, at, since);
        }
        let part = match self.pod.as_deref() {
            Some((pods, other)) => {
                let part = 1.0 / f64::from(*pods);
                other.add_latency(shares, times * part, at, since);
                part
            }
            None => 0.0,
        };
        self.latency.add(shares, times * (1.0 - part));
    }

    /// Returns what a gauge shows at the end of a window; `None` where the service has no such gauge.
    #[expect(clippy::cast_precision_loss, reason = "milliseconds stay far below 2^53")]
    pub(super) fn gauge_at(&self, name: &str, from: u64, at: u64) -> Option<f64> {
        if let ("restarts", Some(every)) = (name, self.restarts_every_ms) {
            return Some((at / every - from / every) as f64);
        }
        let own = self.gauges.iter().find(|(known, _)| **known == *name).map(|(_, value)| *value);
        let usual = || USUAL.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        let mut leaks = self.leaks.iter().filter(|leak| *leak.gauge == *name).peekable();
        let base = match own.or_else(usual) {
            None if leaks.peek().is_some() => 0.0,
            base => base?,
        };
        let grown = |leak: &Leak| at.saturating_sub(leak.from) as f64 / 3_600_000.0 * leak.per_hour;
        Some(base + leaks.map(grown).sum::<f64>())
    }
}

const fn share(rate: f64) -> f64 {
    if rate.is_nan() { 0.0 } else { rate.clamp(0.0, 1.0) }
}

/// Holds what one side shows instead of what its service would: exact numbers, drawn by nobody.
pub(super) type Script = Vec<(Arc<str>, Steps)>;
