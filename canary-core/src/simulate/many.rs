//! What becomes of many rollouts of one policy.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use super::run::Run;
use super::{Share, Simulation};
use crate::record::{Outcome, Reason};
use crate::report::Report;
use crate::value::BySide;

/// How many rollouts are run before it is told how far it is.
const BATCH: u64 = 128;

impl Simulation {
    /// Runs so many rollouts, the first with the seed that was set and each further one with the next.
    ///
    /// With the feature `parallel` they run on all cores; what comes out is the same on any number of them.
    ///
    /// # Panics
    /// As for [`run`](Self::run), and where both sides are shown as they were [`recorded`](Self::recorded): nothing is drawn
    /// then, so that many rollouts would be one, told many times.
    #[must_use]
    #[track_caller]
    pub fn run_many(&self, runs: u64) -> Many {
        self.run_many_watched(runs, |_| {})
    }

    /// Does the same, and shows from time to time what came of those that were run so far.
    ///
    /// # Panics
    /// As for [`run_many`](Self::run_many).
    #[must_use]
    #[track_caller]
    pub fn run_many_watched(&self, runs: u64, mut watch: impl FnMut(&Many)) -> Many {
        self.refuse_unknown_names();
        let drawn = self.recording.is_none();
        assert!(
            drawn,
            "what was recorded is the same in each of many runs: run it once, with `run`"
        );
        let mut many = Many::with_onset(self.onset());
        while many.runs() < runs {
            let batch = many.runs()..runs.min(many.runs() + BATCH);
            self.samples(batch).into_iter().for_each(|sample| many.count(sample));
            watch(&many);
        }
        many
    }

    /// Returns when the canary, which begins as good as stable, becomes worse: it begins to fail more of its requests, or
    /// one of its gauges begins to grow. `None` where it never does, where it is worse from the begin, and where numbers
    /// are scripted.
    #[must_use]
    pub fn onset(&self) -> Option<Duration> {
        let BySide { stable, canary } = &self.services;
        let drawn = self.scripts.stable.is_empty() && self.scripts.canary.is_empty();
        let from = canary.worse_from(stable).filter(|_| drawn);
        from.map(Duration::from_millis)
    }

    #[cfg(feature = "parallel")]
    fn samples(&self, batch: Range<u64>) -> Vec<Sample> {
        use rayon::iter::{IntoParallelIterator as _, ParallelIterator as _};
        batch.into_par_iter().map(|i| self.sample(i)).collect()
    }

    #[cfg(not(feature = "parallel"))]
    fn samples(&self, batch: Range<u64>) -> Vec<Sample> {
        batch.map(|i| self.sample(i)).collect()
    }

    fn sample(&self, i: u64) -> Sample {
        let simulation = self.clone().seed(self.seed.wrapping_add(i));
        Sample::of(simulation.seed, &Run::new(&simulation, |_| {}).finish().0)
    }
}

/// Sums up many simulated rollouts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Many {
    /// When the canary became worse, if later than at the begin.
    onset: Option<Duration>,
    by_check: BTreeMap<String, usize>,
    errors_served: Vec<u64>,
    /// How long it took, of those that were promoted.
    promoted_after: Vec<Duration>,
    /// How long it took to decide so, of those that were taken back.
    rolled_back_after: Vec<Duration>,
    first_rolled_back: Option<u64>,
}

/// Tells what is counted of one rollout.
struct Sample {
    seed: u64,
    outcome: Option<Outcome>,
    errors_served: u64,
    /// From the begin until the outcome was decided, or as long as it was followed.
    after: Duration,
}

impl Sample {
    fn of(seed: u64, report: &Report) -> Self {
        let decided = report.rollback_decided.or(report.ended).unwrap_or(report.started);
        Self {
            seed,
            outcome: report.outcome.clone(),
            errors_served: report.canary_errors_served(),
            after: decided.since(report.started),
        }
    }
}

impl Many {
    /// Begins to sum up rollouts in which the canary becomes worse so long after the begin: see
    /// [`Simulation::onset`]. `Many::default()` is for those in which it is the same from begin to end.
    #[must_use]
    pub fn with_onset(onset: Option<Duration>) -> Self {
        Self { onset, ..Self::default() }
    }

    /// Adds one more rollout.
    pub fn add(&mut self, seed: u64, report: &Report) {
        self.count(Sample::of(seed, report));
    }

    fn count(&mut self, sample: Sample) {
        self.errors_served.push(sample.errors_served);
        match sample.outcome {
            Some(Outcome::Promoted) => self.promoted_after.push(sample.after),
            Some(Outcome::RolledBack { reason }) => {
                self.rolled_back_after.push(sample.after);
                self.first_rolled_back.get_or_insert(sample.seed);
                if let Reason::Check(result) = reason {
                    *self.by_check.entry(result.check.to_string()).or_default() += 1;
                }
            }
            None => {}
        }
    }

    /// Returns how many there were.
    #[must_use]
    pub const fn runs(&self) -> u64 {
        self.errors_served.len() as u64
    }

    const fn share(&self, hits: usize) -> Share {
        Share { hits: hits as u64, of: self.runs() }
    }

    /// Returns how many were promoted.
    #[must_use]
    pub const fn promoted(&self) -> Share {
        self.share(self.promoted_after.len())
    }

    /// Returns how many were taken back.
    #[must_use]
    pub const fn rolled_back(&self) -> Share {
        self.share(self.rolled_back_after.len())
    }

    /// Returns how long after the begin the canary became worse, if it did so later than at the begin.
    #[must_use]
    pub const fn onset(&self) -> Option<Duration> {
        self.onset
    }

    /// Returns how many were taken back before the canary became worse: while it was innocent.
    #[must_use]
    pub fn early(&self) -> Share {
        self.share(self.rolled_back_after.len() - self.since_onset().count())
    }

    /// Returns how many were taken back since it is worse; where it is the same from begin to end, all that were.
    #[must_use]
    pub fn detected(&self) -> Share {
        self.share(self.since_onset().count())
    }

    /// Returns how long it took at most, from when the canary became worse until it was decided to take it back, in this
    /// share of those that were since then, 0 to 1. `None` if none was.
    #[must_use]
    pub fn detected_after(&self, share: f64) -> Option<Duration> {
        quantile(&self.since_onset().collect::<Vec<_>>(), share)
    }

    /// Returns how long each took that was taken back since the canary is worse.
    fn since_onset(&self) -> impl Iterator<Item = Duration> {
        let onset = self.onset.unwrap_or_default();
        self.rolled_back_after.iter().filter_map(move |after| after.checked_sub(onset))
    }

    /// Returns how many were taken back because this check failed.
    #[must_use]
    pub fn rolled_back_by(&self, check: &str) -> Share {
        self.share(self.by_check.get(check).copied().unwrap_or(0))
    }

    /// Returns how many did not end.
    #[must_use]
    pub const fn unfinished(&self) -> Share {
        let ended = self.promoted_after.len() + self.rolled_back_after.len();
        self.share(self.errors_served.len() - ended)
    }

    /// Returns how many requests failed on the canary in at most this share of the rollouts, 0 to 1: 0.5 for the median,
    /// 1 for the worst.
    #[must_use]
    pub fn canary_errors_served(&self, share: f64) -> u64 {
        quantile(&self.errors_served, share).unwrap_or(0)
    }

    /// Returns how many requests failed on the canary in a rollout, on average; 0 of none.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts of requests stay far below 2^53")]
    pub fn mean_canary_errors_served(&self) -> f64 {
        let sum: u64 = self.errors_served.iter().sum();
        sum as f64 / self.errors_served.len().max(1) as f64
    }

    /// Returns how long it took at most, from the begin of the rollout until it was decided, in this share of those that
    /// were taken back, 0 to 1: 0.5 for the median. `None` if none was.
    #[must_use]
    pub fn rolled_back_after(&self, share: f64) -> Option<Duration> {
        quantile(&self.rolled_back_after, share)
    }

    /// Returns how long this share of those that were promoted took at most, 0 to 1; `None` if none was.
    #[must_use]
    pub fn promoted_after(&self, share: f64) -> Option<Duration> {
        quantile(&self.promoted_after, share)
    }

    /// Returns the checks that took any back, in the order of their names, and how many.
    pub fn checks(&self) -> impl Iterator<Item = (&str, Share)> {
        self.by_check.iter().map(|(check, hits)| (&**check, self.share(*hits)))
    }

    /// Returns the seed of the first that was taken back: [`Simulation::run`](super::Simulation::run) with it shows why.
    #[must_use]
    pub const fn first_rolled_back(&self) -> Option<u64> {
        self.first_rolled_back
    }
}

/// Returns the smallest number that at least this share of them is not above; `None` of none.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a position among the runs"
)]
fn quantile<T: Copy + Ord>(numbers: &[T], share: f64) -> Option<T> {
    let mut sorted = numbers.to_vec();
    sorted.sort_unstable();
    let rank = (share.clamp(0.0, 1.0) * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}
