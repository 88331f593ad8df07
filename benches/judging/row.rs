//! What a judge came to on one stream.

use serde::Serialize;

use super::{Kind, Stream, TICKS_A_MINUTE};

/// Says what one judge did in one rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    /// After how many ticks it took the canary back.
    pub(super) ticks: Option<usize>,
    /// The canary's errors from its onset until then, or until the end.
    pub(super) errors: u64,
}

/// Sums up one judge's rollouts of one stream.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Row {
    /// The stream's name.
    pub stream: &'static str,
    /// Whether the canary was innocent.
    pub kind: Kind,
    /// Requests per second.
    pub rps: f64,
    /// The canary's error rate.
    pub canary_error_rate: f64,
    /// When it turned bad.
    pub onset_minutes: Option<usize>,
    /// The judge's name.
    pub judge: &'static str,
    /// How many rollouts there were.
    pub runs: usize,
    /// How many the judge took back, since the onset where there is one.
    pub rolled_back: usize,
    /// How many it took back before the onset, while the canary was still innocent.
    pub early: usize,
    /// The median time from the onset (or the beginning) until it took those back, in minutes.
    pub median_minutes: Option<f64>,
    /// The mean number of errors that a bad canary served from its onset on, where it was not taken back early.
    pub errors_served: Option<f64>,
    /// Whether what our rule takes for innocent holds at every tick, where the canary is innocent.
    #[serde(skip)]
    pub holds: bool,
    /// Half the width of a 95 % interval for that mean.
    #[serde(skip)]
    pub errors_margin: f64,
}

impl Row {
    pub(super) fn of(stream: &Stream, judge: &'static str, outcomes: &[Outcome]) -> Self {
        let onset = stream.onset_minutes.map_or(0, |minute| minute * TICKS_A_MINUTE);
        let is_early = |outcome: &&Outcome| outcome.ticks.is_some_and(|ticks| ticks <= onset);
        let early = outcomes.iter().filter(is_early).count();
        let rest = || outcomes.iter().filter(|outcome| !is_early(outcome));
        let mut ticks: Vec<usize> = rest().filter_map(|outcome| outcome.ticks).collect();
        ticks.sort_unstable();
        let (mean, errors_margin) = mean_and_margin(rest().map(|outcome| outcome.errors));
        Self {
            stream: stream.name,
            kind: stream.kind,
            rps: stream.rps,
            canary_error_rate: stream.canary_error_rate,
            onset_minutes: stream.onset_minutes,
            judge,
            runs: outcomes.len(),
            rolled_back: ticks.len(),
            early,
            median_minutes: median(&ticks).map(|ticks| minutes(ticks - to_f64(onset))),
            errors_served: mean.filter(|_| stream.kind == Kind::Bad),
            holds: stream.holds(),
            errors_margin,
        }
    }

    /// Returns the share that was taken back, 0 to 1, of those that were still there at the onset.
    #[must_use]
    pub fn share(&self) -> f64 {
        to_f64(self.rolled_back) / to_f64(self.runs - self.early)
    }
}

/// Returns a 95 % interval for the probability behind `hits` of `n` (Wilson).
#[must_use]
pub fn wilson(hits: usize, n: usize) -> (f64, f64) {
    let (z, n, p) = (1.96, to_f64(n), to_f64(hits) / to_f64(n));
    let scale = 1.0 + z * z / n;
    let middle = (p + z * z / (2.0 * n)) / scale;
    let half = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt() / scale;
    ((middle - half).max(0.0), (middle + half).min(1.0))
}

fn median(sorted: &[usize]) -> Option<f64> {
    let (low, high) =
        (sorted.get(sorted.len().checked_sub(1)? / 2)?, sorted.get(sorted.len() / 2)?);
    Some((to_f64(*low) + to_f64(*high)) / 2.0)
}

fn minutes(ticks: f64) -> f64 {
    ticks / to_f64(TICKS_A_MINUTE)
}

#[expect(clippy::cast_precision_loss, reason = "errors of a rollout stay far below 2^53")]
fn mean_and_margin(errors: impl Iterator<Item = u64> + Clone) -> (Option<f64>, f64) {
    let n = to_f64(errors.clone().count());
    if n == 0.0 {
        return (None, 0.0);
    }
    let mean = errors.clone().map(|x| x as f64).sum::<f64>() / n;
    let squares = errors.map(|x| (x as f64 - mean).powi(2)).sum::<f64>();
    (Some(mean), 1.96 * (squares / (n * (n - 1.0).max(1.0))).sqrt())
}

#[expect(clippy::cast_precision_loss, reason = "runs and ticks are few")]
fn to_f64(n: usize) -> f64 {
    n as f64
}
