//! The metrics of the rollouts themselves, for a Prometheus to scrape.

mod calls;
mod rollout;
mod series;
mod text;
mod timed;

pub use timed::Timed;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use canary_core::ports::Observer;
use canary_core::record::Record;
use canary_core::value::{RolloutId, Target};

use series::Series;

/// How long the series of a rollout that has ended are still told.
const KEEP: Duration = Duration::from_secs(3600);

/// Gathers the metrics of any number of rollouts; clones share them.
///
/// Their names begin with `canary_rollout_`, and each has the label `target`. At any time a target has the series of one
/// rollout, the newest, whose id stands in `canary_rollout_info` alone; an hour after its end they are dropped.
///
/// ```
/// use canary_prometheus::export::RolloutMetrics;
///
/// let metrics = RolloutMetrics::new();
/// let observer = metrics.of("shop/checkout".parse()?);
/// // Driver::builder(policy).observer(observer.clone()).router(observer.timed(router)) …
/// let page = metrics.text(); // served with the content type `RolloutMetrics::CONTENT_TYPE`
/// assert!(page.ends_with("# EOF\n"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct RolloutMetrics {
    targets: Arc<Mutex<BTreeMap<Target, Series>>>,
}

impl RolloutMetrics {
    /// What [`text`](Self::text) is, for the header of the answer.
    pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

    /// Begins with nothing to tell.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the observer of a target's rollouts, one after the other.
    ///
    /// The rules find them where the target is `namespace/service`.
    #[must_use]
    pub fn of(&self, target: Target) -> RolloutObserver {
        RolloutObserver { metrics: self.clone(), target }
    }

    /// Writes everything in the text format of OpenMetrics.
    #[must_use]
    pub fn text(&self) -> String {
        self.text_at(now())
    }

    fn text_at(&self, now: Instant) -> String {
        let mut targets = self.targets();
        targets.retain(|_, series| !series.is_over(now, KEEP));
        text::write(&targets)
    }

    fn targets(&self) -> MutexGuard<'_, BTreeMap<Target, Series>> {
        // A panic cannot leave it half changed in a way that matters: at worst one record is not counted.
        self.targets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hears the rollouts of one target.
#[derive(Clone, Debug)]
pub struct RolloutObserver {
    metrics: RolloutMetrics,
    target: Target,
}

impl RolloutObserver {
    /// Measures how long the calls to a port take, as `canary_rollout_port_call_duration_seconds`.
    ///
    /// It can stand wherever the port can: a router, a metric source, a gate, a workload.
    #[must_use]
    pub fn timed<P>(&self, port: P) -> Timed<P> {
        Timed::new(port, self.clone())
    }

    fn notice_at(&self, rollout: &RolloutId, record: &Record, now: Instant) {
        self.with_series(|series| series.notice(rollout, record, now));
    }

    fn with_series(&self, change: impl FnOnce(&mut Series)) {
        let mut targets = self.metrics.targets();
        change(targets.entry(self.target.clone()).or_default());
    }
}

impl Observer for RolloutObserver {
    fn notice(&self, rollout: &RolloutId, record: &Record) {
        self.notice_at(rollout, record, now());
    }
}

#[expect(clippy::disallowed_methods, reason = "how long calls take, and series stay, is real time")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests;
