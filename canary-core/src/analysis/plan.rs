//! How long a stage must be for a regression to show, and which regression shows in a stage.

use std::f64::consts::LN_2;
use std::time::Duration;

use super::EvidenceLimits;
use super::bet::Bet;
use super::evidence::{CLUSTER, CLUSTER_CAP, RATIOS, STAKES};

/// How many times the median it takes to see a regression in four rollouts of five (seen in simulations, where
/// requests are few; with many it is less).
const FOUR_OF_FIVE: f64 = 1.45;

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
    /// The requests of both sides together that half of the rollouts need, for the ratio process.
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
    /// An estimate: the time in which a process that gains each look's mean reaches the odds that convict, of the
    /// ratio process or of the faster of the two others, whichever takes longer.
    #[must_use]
    pub fn needed(&self, limits: &EvidenceLimits, times: f64) -> Option<Needed> {
        let information = self.information(limits, times);
        let looks = self.least_looks(limits)?;
        let requests = (wanted(limits) + eighth()) / information;
        let agreeing = (wanted(limits) + LN_2 + eighth()) / self.gain_of_a_look(limits, times);
        let every = self.every.as_secs_f64();
        let hold = |mostly: f64| {
            let seconds = mostly * (requests / self.per_second).max(agreeing * every);
            let seconds = seconds.max(f64::from(looks) * every);
            Duration::try_from_secs_f64(seconds).ok().filter(|_| information > 0.0)
        };
        let (hold, hold_mostly) = (hold(1.0)?, hold(FOUR_OF_FIVE)?);
        Some(Needed {
            requests,
            requests_mostly: FOUR_OF_FIVE * requests,
            looks,
            hold,
            hold_mostly,
        })
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

    /// Returns what one look adds to the better of the tick and the cluster process on average, in natural
    /// logarithms: the tick process is taken one standard deviation of the canary's share of the errors above
    /// and below its mean.
    fn gain_of_a_look(&self, limits: &EvidenceLimits, times: f64) -> f64 {
        let (w, rest) = (self.share, 1.0 - self.share);
        let theta = w * times / (rest + w * times);
        let requests = self.per_second * self.every.as_secs_f64();
        let errors = requests * self.base * (rest + w * times);
        // Where most looks see no error, the others see one.
        let bad = errors.max(1.0);
        let deviation = libm::sqrt(theta * (1.0 - theta) / bad);
        let bet = |share: f64| Bet::of(limits.ratio(), (w, rest), (bad * share, bad));
        let (low, high) = (bet((theta - deviation).max(0.0)), bet((theta + deviation).min(1.0)));
        let tick = |multiple| {
            let one = (1.0 - theta) * bet(0.0).tick(multiple) + theta * bet(1.0).tick(multiple);
            if errors <= 1.0 { one } else { 0.5 * (low.tick(multiple) + high.tick(multiple)) }
        };
        let tick = STAKES.into_iter().map(tick).fold(f64::NEG_INFINITY, f64::max);
        let cluster = requests * self.information(limits, times) / CLUSTER;
        (errors.min(1.0) * tick).max(cluster.min(CLUSTER_CAP))
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
        let looks = ((wanted(limits) + LN_2) / most).ceil();
        (w > 0.0 && w < 1.0).then_some(looks as u32)
    }
}

/// Returns the wealth that the ratio process must gain, in natural logarithms.
fn wanted(limits: &EvidenceLimits) -> f64 {
    limits.ln_odds() + if limits.starts().is_one() { 0.0 } else { LN_2 }
}

/// Returns what it costs that only one component in eight is the right one.
fn eighth() -> f64 {
    3.0 * LN_2
}

#[cfg(test)]
mod tests;
