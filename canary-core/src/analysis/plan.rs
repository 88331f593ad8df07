//! How long a stage must be for a regression to show, and which regression shows in a stage.

mod gains;
mod whole;

pub use whole::{PlanTraffic, PlannedStage};

use std::f64::consts::LN_2;
use std::time::Duration;

use super::EvidenceLimits;
use super::evidence::{CLUSTER_CAP, mean_of_two};
use crate::value::millis;
use gains::{Gains, best};

/// Says in how many rollouts a regression is to be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SeenIn {
    /// In half of them.
    Half,
    /// In four of five.
    FourOfFive,
}

impl SeenIn {
    /// Returns how much of the time this takes in which what each look adds on average comes to the odds that convict.
    ///
    /// Seen in simulations: between 10 and 10 000 requests a second, 0.85 shows a regression in 45 to 70 of a hundred
    /// rollouts, 1.25 in 65 to 90, and in nearly all where a look has hundreds of errors.
    const fn of_the_mean_time(self) -> f64 {
        match self {
            Self::Half => 0.85,
            Self::FourOfFive => 1.25,
        }
    }
}

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
    /// The requests of both sides together in which the ratio process comes to the odds that convict, if each adds the
    /// mean.
    pub requests: f64,
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
    /// An estimate: about the time in which what each look adds on average comes to the odds that convict, for the
    /// ratio process or for the mean of the two others, whichever takes longer.
    #[must_use]
    pub fn needed(&self, limits: &EvidenceLimits, times: f64) -> Option<Needed> {
        let looks = self.least_looks(limits)?;
        let gains = Gains::of_a_look(self, limits, times);
        let every = self.every.as_secs_f64();
        let mean = every / gains.reached(limits);
        let hold = |seen: SeenIn| {
            let seconds = (seen.of_the_mean_time() * mean).max(f64::from(looks) * every);
            Duration::try_from_secs_f64(seconds).ok().filter(|_| mean > 0.0)
        };
        let requests = (wanted(limits) + eighth()) * self.per_look() / best(&gains.ratio);
        let (hold, hold_mostly) = (hold(SeenIn::Half)?, hold(SeenIn::FourOfFive)?);
        Some(Needed { requests, looks, hold, hold_mostly })
    }

    /// Returns the smallest regression that is seen within this time, as a multiple of stable's error rate; `None`
    /// where not even a canary that fails every request is.
    #[must_use]
    pub fn detects(&self, limits: &EvidenceLimits, within: Duration, seen: SeenIn) -> Option<f64> {
        smallest(limits.ratio(), self.base, |times| {
            self.needed(limits, times).is_some_and(|needed| needed.hold_for(seen) <= within)
        })
    }

    /// Returns the requests of both sides together in a look.
    fn per_look(&self) -> f64 {
        self.per_second * self.every.as_secs_f64()
    }

    /// Returns how many looks it takes at least.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a small whole number: each look gains 1.5 at least, if anything"
    )]
    fn least_looks(&self, limits: &EvidenceLimits) -> Option<u32> {
        let [tick, cluster] = most_of_a_look(limits, self.share);
        // By the mean of the two it takes one more at most.
        let least = (wanted(limits) / tick.max(cluster)).ceil() as u32;
        let mixed = self.share > 0.0 && self.share < 1.0;
        let enough = |looks: &u32| limits.can_convict([(self.share, f64::from(*looks))]);
        (least..=least + 1).find(enough).filter(|_| mixed)
    }
}

impl Needed {
    /// Returns how long the stage must be.
    #[must_use]
    pub const fn hold_for(&self, seen: SeenIn) -> Duration {
        match seen {
            SeenIn::Half => self.hold,
            SeenIn::FourOfFive => self.hold_mostly,
        }
    }
}

impl EvidenceLimits {
    /// Tells whether so many looks can convict, whatever they show: pairs of the canary's share of the requests, between
    /// 0 and 1, and how many looks there are at it.
    #[must_use]
    pub fn can_convict(&self, looks: impl IntoIterator<Item = (f64, f64)>) -> bool {
        let mut most = [0.0; 2];
        for (share, count) in looks {
            for (sum, gain) in most.iter_mut().zip(most_of_a_look(self, share)) {
                *sum += count * gain;
            }
        }
        mean_of_two(most[0], most[1]) >= wanted(self)
    }
}

/// Rounds a hold up to what people write: whole seconds, minutes from ten minutes on, hours from a day on.
#[must_use]
pub fn rounded_up(hold: Duration) -> Duration {
    let ms = millis(hold);
    let unit = match ms {
        0..600_000 => 1_000,
        600_000..86_400_000 => 60_000,
        _ => 3_600_000,
    };
    Duration::from_millis(ms.div_ceil(unit).saturating_mul(unit))
}

/// Returns the most that one look adds to the tick and to the cluster process: no more than the canary's share of the
/// errors allows, and no more than the cap.
fn most_of_a_look(limits: &EvidenceLimits, w: f64) -> [f64; 2] {
    let r0 = limits.ratio();
    [libm::log((1.0 - w + w * r0) / (w * r0)), CLUSTER_CAP]
}

/// Finds the smallest multiple of stable's error rate that is seen.
fn smallest(ratio: f64, base: f64, seen: impl Fn(f64) -> bool) -> Option<f64> {
    let (mut unseen, mut detected) = (ratio, 1.0 / base);
    if !seen(detected) {
        return None;
    }
    while detected - unseen > 1e-9 * detected {
        let middle = 0.5 * (unseen + detected);
        if seen(middle) { detected = middle } else { unseen = middle }
    }
    Some(detected)
}

/// Returns the wealth that the ratio process, and the mean of the two others, must gain, in natural logarithms.
fn wanted(limits: &EvidenceLimits) -> f64 {
    limits.ln_odds() + if limits.starts().is_one() { 0.0 } else { LN_2 }
}

/// Returns what it costs that only one component in eight is the right one.
fn eighth() -> f64 {
    3.0 * LN_2
}

#[cfg(test)]
mod tests;
