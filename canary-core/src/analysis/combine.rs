//! One decision from the evidence of several metrics, or of several boundaries of one.
//!
//! A weighted mean of processes that each stay fair is fair itself, however they depend on each other. So each
//! process is averaged as it is now, and the averages are latched; latched values are never averaged.

use serde::{Deserialize, Serialize};

use super::evidence::raise;
use super::log::weighted_sum;
use super::{Evidence, InvalidLimits};

/// How many parts there may be.
const MOST: usize = 32;

/// Says how much each part weighs, and how sure one must be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CombinedLimits {
    /// The first `parts` add up to 1, and no other counts.
    weights: [f64; MOST],
    parts: usize,
    /// The odds that convict, as a logarithm.
    ln_odds: f64,
}

impl CombinedLimits {
    /// Takes the parts' weights, of which only the proportions matter, and the probability of ever convicting an
    /// innocent canary.
    ///
    /// # Errors
    /// [`InvalidLimits`] unless there are 1 to 32 weights, each between 1e-100 and 1e100, and the probability lies
    /// between 0 and 1.
    #[expect(clippy::cast_precision_loss, reason = "a number of parts")]
    pub fn new(weights: &[f64], false_alarm: f64) -> Result<Self, InvalidLimits> {
        let (parts, few) = (weights.len(), (1..=MOST).contains(&weights.len()));
        InvalidLimits::unless(few, "the number of parts", parts as f64, "1 to 32")?;
        for weight in weights {
            let possible = (1e-100..=1e100).contains(weight);
            InvalidLimits::unless(possible, "a weight", *weight, "1e-100 to 1e100")?;
        }
        InvalidLimits::unless_probability("the false-alarm probability", false_alarm)?;
        // By the largest first, so that their sum is finite.
        let largest = weights.iter().copied().fold(0.0, f64::max);
        let sum: f64 = weights.iter().map(|weight| weight / largest).sum();
        let mut all = [0.0; MOST];
        for (mine, weight) in all.iter_mut().zip(weights) {
            *mine = weight / largest / sum;
        }
        Ok(Self { weights: all, parts, ln_odds: -libm::log(false_alarm) })
    }

    /// Weighs this many parts equally, given the odds that convict as a logarithm.
    #[expect(clippy::cast_precision_loss, reason = "at most 32 parts")]
    pub(super) fn equal(parts: usize, ln_odds: f64) -> Self {
        let parts = parts.clamp(1, MOST);
        Self { weights: [1.0 / parts as f64; MOST], parts, ln_odds }
    }

    fn weights(&self) -> &[f64] {
        &self.weights[..self.parts]
    }
}

/// Combines the evidence of several parts; small and `Copy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CombinedState {
    /// What each process comes to, as a logarithm: ratio, tick and cluster.
    ln: [f64; 3],
    /// The highest so far of the ratio process, and of the mean of the two others where it came near the limit.
    highest: [f64; 2],
    /// Whether both have reached the limit, each at some time.
    convicted: bool,
    /// For each of these a bit for each part that reached the limit by itself, latched.
    alone: [u32; 2],
}

impl CombinedState {
    /// Takes in what the parts' evidence is now, in the order of their weights, and returns what it comes to. A
    /// part that is missing weighs as one without evidence.
    pub fn add(
        &mut self,
        limits: &CombinedLimits,
        parts: impl IntoIterator<Item = Evidence>,
    ) -> Evidence {
        let mut ln = [[0.0; MOST]; 3];
        for (i, part) in parts.into_iter().take(limits.parts).enumerate() {
            for (p, value) in [part.ln_ratio, part.ln_tick, part.ln_cluster].into_iter().enumerate()
            {
                ln[p][i] = value;
            }
        }
        self.ln = ln.map(|values| weighted_sum(&values, limits.weights()));
        let halves = Evidence::halves(self.ln, limits.ln_odds);
        self.convicted |= raise(&mut self.highest, halves, limits.ln_odds);
        for (i, weight) in limits.weights().iter().enumerate() {
            let needed = limits.ln_odds - libm::log(*weight);
            let halves = Evidence::halves(ln.map(|values| values[i]), needed);
            for (alone, half) in self.alone.iter_mut().zip(halves) {
                *alone |= u32::from(half >= needed) << i;
            }
        }
        self.evidence()
    }

    /// Returns the evidence so far.
    #[must_use]
    pub const fn evidence(&self) -> Evidence {
        Evidence::of(self.ln, self.highest, self.convicted)
    }

    /// Returns the positions of the parts that convict the canary by themselves. There may be
    /// none where several convict it together.
    pub fn culprits(&self) -> impl Iterator<Item = usize> + use<> {
        let [ratio, others] = self.alone;
        let culprits = ratio & others;
        (0..MOST).filter(move |i| culprits >> i & 1 == 1)
    }
}

#[cfg(test)]
mod tests;
