//! What looks add to the evidence on average.

use std::f64::consts::LN_2;

use super::{StageTraffic, eighth, wanted};
use crate::analysis::EvidenceLimits;
use crate::analysis::bet::Bet;
use crate::analysis::evidence::{CLUSTER, CLUSTER_CAP, RATIOS, STAKES};

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

    /// Returns how much this is of what convicts half of the rollouts; 1 is enough.
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

/// Returns what one look adds to each component of the tick process, with the canary's share of the errors one
/// standard deviation above and below its mean.
fn of_the_tick(traffic: &StageTraffic, limits: &EvidenceLimits, times: f64) -> [f64; 7] {
    let (w, rest) = (traffic.share, 1.0 - traffic.share);
    let theta = w * times / (rest + w * times);
    let errors = traffic.per_look() * traffic.base * (rest + w * times);
    // Where most looks see no error, the others see one.
    let bad = errors.max(1.0);
    let deviation = libm::sqrt(theta * (1.0 - theta) / bad);
    let bet = |share: f64| Bet::of(limits.ratio(), (w, rest), (bad * share, bad));
    let (low, high) = (bet((theta - deviation).max(0.0)), bet((theta + deviation).min(1.0)));
    let (none, all) = (bet(0.0), bet(1.0));
    STAKES.map(|multiple| {
        if errors <= 1.0 {
            errors * ((1.0 - theta) * none.tick(multiple) + theta * all.tick(multiple))
        } else {
            0.5 * (low.tick(multiple) + high.tick(multiple))
        }
    })
}
