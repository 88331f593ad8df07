//! What looks add to the evidence on average.

use std::f64::consts::LN_2;

use super::{StageTraffic, eighth, wanted};
use crate::analysis::EvidenceLimits;
use crate::analysis::bet::Bet;
use crate::analysis::evidence::{CLUSTER, CLUSTER_CAP, RATIOS, STAKES};

/// How many errors in a look are so few that each number of them counts by itself.
const FEW: f64 = 4.0;

/// Sums up what looks add to each component of each process, in natural logarithms.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Gains {
    pub(super) ratio: [f64; 8],
    tick: [f64; 7],
    cluster: [f64; 8],
}

impl Gains {
    /// Returns what one look adds on average where the canary fails `times` as often as stable.
    pub(super) fn of_a_look(traffic: &StageTraffic, limits: &EvidenceLimits, times: f64) -> Self {
        let requests = traffic.per_look();
        let ratio = information(traffic, limits, times).map(|gain| requests * gain);
        Self {
            ratio,
            tick: of_the_tick(traffic, limits, times),
            cluster: ratio.map(|gain| (gain / CLUSTER).min(CLUSTER_CAP)),
        }
    }

    /// Adds what so many looks add.
    pub(super) fn add(&mut self, of_a_look: &Self, looks: f64) {
        let sums = self.ratio.iter_mut().chain(&mut self.tick).chain(&mut self.cluster);
        let more = of_a_look.ratio.iter().chain(&of_a_look.tick).chain(&of_a_look.cluster);
        for (sum, gain) in sums.zip(more) {
            *sum += looks * gain;
        }
    }

    /// Returns how much this is of what convicts.
    pub(super) fn reached(&self, limits: &EvidenceLimits) -> f64 {
        let odds = wanted(limits) + eighth();
        (best(&self.ratio) / odds).min(of_the_mean(best(&self.tick), best(&self.cluster), odds))
    }
}

pub(super) fn best(components: &[f64]) -> f64 {
    components.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

/// Returns how much of the odds the mean of two processes comes to. Where one of them has nothing, the other needs
/// twice the odds; where they go alike, no more than the odds.
fn of_the_mean(tick: f64, cluster: f64, odds: f64) -> f64 {
    let (better, other) = if tick >= cluster { (tick, cluster) } else { (cluster, tick) };
    if better <= 0.0 {
        return better;
    }
    let alone = odds + LN_2;
    // How far the better one is ahead when it alone would be enough.
    let ahead = (1.0 - other / better) * alone;
    better / (alone - libm::log1p(libm::exp(-ahead)))
}

/// Returns what one request of both sides together adds to each component of the ratio process.
fn information(traffic: &StageTraffic, limits: &EvidenceLimits, times: f64) -> [f64; 8] {
    let (w, r0) = (traffic.share, limits.ratio());
    let bad = 1.0 - w + w * times;
    let null = w * r0 / (1.0 - w + w * r0);
    RATIOS.map(|alternative| {
        let gain =
            w * times * libm::log(alternative) - bad * libm::log1p(null * (alternative - 1.0));
        traffic.base * gain
    })
}

/// Returns what one look adds to each component of the tick process.
fn of_the_tick(traffic: &StageTraffic, limits: &EvidenceLimits, times: f64) -> [f64; 7] {
    let (w, rest) = (traffic.share, 1.0 - traffic.share);
    let theta = w * times / (rest + w * times);
    let errors = traffic.per_look() * traffic.base * (rest + w * times);
    let mut sum = [0.0; 7];
    let mut add = |probability: f64, bad_here: f64, bad: f64| {
        let bet = Bet::of(limits.ratio(), (w, rest), (bad_here, bad));
        for (sum, multiple) in sum.iter_mut().zip(STAKES) {
            *sum += probability * bet.tick(multiple);
        }
    };
    if errors <= FEW {
        few(errors, theta, add);
    } else {
        let [low, high] = spread(theta, errors);
        let often = (theta - low) / (high - low);
        add(1.0 - often, errors * low, errors);
        add(often, errors * high, errors);
    }
    sum
}

/// Returns two shares between 0 and 1 that stand for the canary's share of so many errors: weighed to its mean `theta`, they
/// have its variance; one standard deviation from it, unless one of them is at the end.
fn spread(theta: f64, errors: f64) -> [f64; 2] {
    let variance = theta * (1.0 - theta) / errors;
    let deviation = libm::sqrt(variance);
    if theta + deviation > 1.0 {
        [theta - variance / (1.0 - theta), 1.0]
    } else if theta < deviation {
        [0.0, theta + variance / theta]
    } else {
        [theta - deviation, theta + deviation]
    }
}

/// Tells with which probability a look sees how many errors of the canary, and of how many: a Poisson number, of which
/// each is the canary's with probability `theta`. Looks without errors are left out.
fn few(mean: f64, theta: f64, mut tell: impl FnMut(f64, f64, f64)) {
    let (here, there) = (libm::log(theta), libm::log1p(-theta));
    let most = (mean + 6.0 * libm::sqrt(mean) + 6.0).ceil();
    let (mut bad, mut ln_poisson) = (1.0, libm::log(mean) - mean);
    while bad <= most {
        let (mut bad_here, mut ln_ways) = (0.0, 0.0);
        while bad_here <= bad {
            let split = ln_ways + bad_here * here + (bad - bad_here) * there;
            tell(libm::exp(ln_poisson + split), bad_here, bad);
            ln_ways += libm::log((bad - bad_here) / (bad_here + 1.0));
            bad_here += 1.0;
        }
        bad += 1.0;
        ln_poisson += libm::log(mean / bad);
    }
}

#[cfg(test)]
mod tests;
