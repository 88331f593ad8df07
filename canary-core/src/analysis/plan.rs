//! How long a stage must be for a regression to show, and which regression shows in a stage.

use std::time::Duration;

use super::EvidenceLimits;
use super::evidence::{CLUSTER_CAP, RATIOS};

/// How many times the median number of requests it takes to see a regression in four rollouts of five.
const FOUR_OF_FIVE: f64 = 1.3;

/// Says what a stage's checks see.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct StageTraffic {
    /// The canary's share of the requests, between 0 and 1.
    pub share: f64,
    /// The share of stable's requests that fail, between 0 and 1.
    pub base: f64,
    /// The requests of both sides together, per second.
    pub per_second: f64,
    /// How often is looked.
    pub every: Duration,
}

/// Says what it takes to see a regression.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Needed {
    /// The requests of both sides together that half of the rollouts need.
    pub requests: f64,
    /// The requests that are enough for four rollouts of five.
    pub requests_mostly: f64,
    /// The looks that are needed however bad the canary is.
    pub looks: u32,
    /// How long the stage must be for half of the rollouts.
    pub hold: Duration,
    /// How long it must be for four of five.
    pub hold_mostly: Duration,
}

impl StageTraffic {
    /// Puts a stage's traffic together.
    #[must_use]
    pub const fn new(share: f64, base: f64, per_second: f64, every: Duration) -> Self {
        Self { share, base, per_second, every }
    }

    /// Returns what it takes to convict a canary that fails `times` as often as stable, from the stage's begin.
    /// `None` where nothing ever would: it is no regression, a side has no traffic, or the time has no bounds.
    ///
    /// The medians are those of a random walk that gains its [`information`](Self::information) with every
    /// request; half of the wealth is kept for later starts.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "eight")]
    pub fn needed(&self, limits: &EvidenceLimits, times: f64) -> Option<Needed> {
        let gain = self.information(limits, times);
        let looks = self.least_looks(limits)?;
        let requests = (wanted(limits) + libm::log(RATIOS.len() as f64)) / gain;
        let requests_mostly = FOUR_OF_FIVE * requests;
        let hold = |requests: f64| {
            let seconds =
                (requests / self.per_second).max(f64::from(looks) * self.every.as_secs_f64());
            Duration::try_from_secs_f64(seconds).ok().filter(|_| gain > 0.0)
        };
        let (hold, hold_mostly) = (hold(requests)?, hold(requests_mostly)?);
        Some(Needed { requests, requests_mostly, looks, hold, hold_mostly })
    }

    /// Returns the smallest regression that is seen within this time in four rollouts of five, as a multiple of
    /// stable's error rate; `None` where not even a canary that fails every request is.
    #[must_use]
    pub fn detects(&self, limits: &EvidenceLimits, within: Duration) -> Option<f64> {
        let seen =
            |times| self.needed(limits, times).is_some_and(|needed| needed.hold_mostly <= within);
        let (mut unseen, mut detected) = (limits.ratio(), 1.0 / self.base);
        if !seen(detected) {
            return None;
        }
        while detected - unseen > 1e-9 * detected {
            let middle = 0.5 * (unseen + detected);
            if seen(middle) { detected = middle } else { unseen = middle }
        }
        Some(detected)
    }

    /// Returns what one request of both sides together adds to the best component of the ratio process on
    /// average, in natural logarithms, where the canary fails `times` as often as stable.
    #[must_use]
    pub fn information(&self, limits: &EvidenceLimits, times: f64) -> f64 {
        let (w, r0) = (self.share, limits.ratio());
        let bad = 1.0 - w + w * times;
        let null = w * r0 / (1.0 - w + w * r0);
        let gain = |alternative: f64| {
            w * times * libm::log(alternative) - bad * libm::log1p(null * (alternative - 1.0))
        };
        self.base * RATIOS.into_iter().map(gain).fold(f64::NEG_INFINITY, f64::max)
    }

    /// Returns how many looks it takes at least: in one look the tick process gains no more than the canary's
    /// share of the errors allows, the cluster process no more than its cap.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a small whole number: each look gains 1.5 at least, if anything"
    )]
    fn least_looks(&self, limits: &EvidenceLimits) -> Option<u32> {
        let (w, r0) = (self.share, limits.ratio());
        let most = libm::log((1.0 - w + w * r0) / (w * r0)).max(CLUSTER_CAP);
        let looks = ((wanted(limits) + std::f64::consts::LN_2) / most).ceil();
        (w > 0.0 && w < 1.0).then_some(looks as u32)
    }
}

/// Returns the wealth that the ratio process must gain, in natural logarithms.
fn wanted(limits: &EvidenceLimits) -> f64 {
    limits.ln_odds() + if limits.starts().is_one() { 0.0 } else { std::f64::consts::LN_2 }
}

#[cfg(test)]
mod tests;
