//! Anytime-valid evidence that the canary's error rate is above a multiple of stable's.
//!
//! Null hypothesis: at every tick the canary fails at most `r0` times as often
//! as stable; stable itself may drift in any way. Three processes bet against
//! it; while it holds, each stays below `1/p` with probability `1 - p` over the
//! whole rollout (Ville's inequality):
//!
//! - the **ratio** process (Lindon & Malek, "Anytime-valid inference for
//!   multinomial count data", with a share that varies in time) is sharp, but
//!   clustered errors fool it;
//! - the **tick** process (betting after Waudby-Smith & Ramdas) takes a tick as
//!   its unit, so clusters inside one do no harm, but it needs several ticks;
//! - the **cluster** process is the ratio process with each tick's gain divided by
//!   20 and capped: errors may come in clusters of about 20.
//!
//! The canary is convicted when the ratio process has reached `1/α` *and* one
//! of the others `2/α`, each latched when it crosses.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Starts;
use super::log::{add_exp, mean_exp_plus};
use crate::value::Counts;

const RATIOS: [f64; 8] = [1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0];
const STAKES: [f64; 7] = [1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0];
/// The correlation of errors within a tick that the tick process expects.
const RHO: f64 = 0.02;
const CLUSTER: f64 = 20.0;
const CLUSTER_CAP: f64 = 1.5;

/// Says what is still innocent, and how sure one must be.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct EvidenceLimits {
    /// How many times stable's error rate is still well: 1 or more.
    pub ratio: f64,
    /// The probability of ever convicting an innocent canary.
    pub false_alarm: f64,
    /// When the processes start again.
    pub starts: Starts,
}

impl EvidenceLimits {
    /// Returns the probability of ever convicting an innocent canary.
    #[must_use]
    pub const fn false_alarm(&self) -> f64 {
        self.false_alarm
    }

    /// Puts the limits together.
    #[must_use]
    pub const fn new(ratio: f64, false_alarm: f64, starts: Starts) -> Self {
        Self { ratio, false_alarm, starts }
    }
}

/// Holds both sides' requests in one covered window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a tick has two sides")]
pub struct Tick {
    /// Stable's.
    pub stable: Counts,
    /// The canary's.
    pub canary: Counts,
}

/// Weighs the evidence over a whole rollout; small and `Copy`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvidenceState {
    ratio: [f64; 8],
    tick: [f64; 7],
    cluster: [f64; 8],
    /// The mass that has not started yet.
    waiting: f64,
    started: u64,
    /// Whether each process has reached its limit, latched.
    latched: [bool; 3],
}

impl Default for EvidenceState {
    fn default() -> Self {
        // `f64::MIN` stands for ln 0, since JSON knows no infinity.
        Self {
            ratio: [f64::MIN; 8],
            tick: [f64::MIN; 7],
            cluster: [f64::MIN; 8],
            waiting: 1.0,
            started: 0,
            latched: [false; 3],
        }
    }
}

/// Tells how strong the evidence is, as odds in natural logarithms.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Evidence {
    /// Of the ratio process.
    pub ln_ratio: f64,
    /// Of the tick process.
    pub ln_tick: f64,
    /// Of the cluster process.
    pub ln_cluster: f64,
    /// Whether the canary is convicted.
    pub convicted: bool,
}

impl Evidence {
    /// Returns the odds against the canary that count towards a conviction: what the rule still lacks is
    /// in the weaker of the ratio process and the better of the two others (those at half their odds).
    #[must_use]
    pub fn odds(&self) -> f64 {
        let others = self.ln_tick.max(self.ln_cluster) - std::f64::consts::LN_2;
        libm::exp(self.ln_ratio.min(others).min(700.0))
    }
}

impl EvidenceState {
    /// Adds one tick's counts and returns the evidence after it.
    ///
    /// The counts must come from a window that no earlier tick shares; `live` is the time since
    /// the first tick that was added. A tick in which one side has no requests adds nothing.
    pub fn add(&mut self, limits: &EvidenceLimits, tick: Tick, live: Duration) -> Evidence {
        let (mass, started) = limits.starts.due(self.started, live);
        self.started = started;
        self.waiting = (self.waiting - mass).max(0.0);
        let new = if mass > 0.0 { libm::log(mass) } else { f64::NEG_INFINITY };
        let bet = Bet::new(limits.ratio, tick);
        for (m, multiple) in self.ratio.iter_mut().zip(RATIOS) {
            *m = finite(add_exp(*m, new) + bet.ratio(multiple));
        }
        for (m, multiple) in self.cluster.iter_mut().zip(RATIOS) {
            *m = finite(add_exp(*m, new) + (bet.ratio(multiple) / CLUSTER).min(CLUSTER_CAP));
        }
        for (m, multiple) in self.tick.iter_mut().zip(STAKES) {
            *m = finite(add_exp(*m, new) + bet.tick(multiple));
        }
        let evidence = self.evidence();
        let limit = -libm::log(limits.false_alarm);
        let twice = limit + std::f64::consts::LN_2;
        for (latch, reached) in self.latched.iter_mut().zip([
            evidence.ln_ratio >= limit,
            evidence.ln_tick >= twice,
            evidence.ln_cluster >= twice,
        ]) {
            *latch |= reached;
        }
        self.evidence()
    }

    /// Returns the evidence so far.
    #[must_use]
    pub fn evidence(&self) -> Evidence {
        let [ratio, tick, cluster] = self.latched;
        Evidence {
            ln_ratio: mean_exp_plus(&self.ratio, self.waiting),
            ln_tick: mean_exp_plus(&self.tick, self.waiting),
            ln_cluster: mean_exp_plus(&self.cluster, self.waiting),
            convicted: ratio && (tick || cluster),
        }
    }
}

/// Keeps a log-wealth representable in JSON.
fn finite(ln: f64) -> f64 {
    ln.max(f64::MIN)
}

/// Holds one tick's counts as the processes need them.
struct Bet {
    r0: f64,
    /// The canary's measured share of the requests, and stable's; both 0 where the tick says nothing.
    w: f64,
    rest: f64,
    bad_canary: f64,
    bad: f64,
}

impl Bet {
    #[expect(
        clippy::cast_precision_loss,
        reason = "counts up to 2^53 are exact, beyond that the tolerance is relative"
    )]
    fn new(r0: f64, tick: Tick) -> Self {
        let (canary, stable) = (tick.canary.total as f64, tick.stable.total as f64);
        let bad_canary = tick.canary.bad as f64;
        let bad = bad_canary + tick.stable.bad as f64;
        let both = canary > 0.0 && stable > 0.0;
        let bad = if both { bad } else { 0.0 };
        let n = (canary + stable).max(1.0);
        Self { r0, w: canary / n, rest: stable / n, bad_canary, bad }
    }

    /// Returns the ratio process' gain for the alternative `multiple` times the null.
    fn ratio(&self, multiple: f64) -> f64 {
        if self.bad == 0.0 {
            return 0.0;
        }
        let shift = self.w * self.r0 * (multiple - 1.0) / (self.rest + self.w * self.r0);
        self.bad_canary * libm::log(multiple) - self.bad * libm::log1p(shift)
    }

    /// Returns the tick process' gain for the alternative `multiple` times the null.
    fn tick(&self, multiple: f64) -> f64 {
        if self.bad == 0.0 {
            return 0.0;
        }
        let share = |r: f64| self.w * r / (self.rest + self.w * r);
        let (null, alternative) = (share(self.r0), share(self.r0 * multiple));
        let variance =
            alternative * (1.0 - alternative) * (1.0 / self.bad + RHO * (1.0 - 1.0 / self.bad));
        let low = (alternative - null) / (1.0 - null);
        let stake = if self.bad <= 1.0 {
            low
        } else {
            low.max((alternative - null) * null / variance).min(0.99)
        };
        libm::log1p(stake * ((self.bad_canary / self.bad) / null - 1.0))
    }
}

#[cfg(test)]
mod tests;
