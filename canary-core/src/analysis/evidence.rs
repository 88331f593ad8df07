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
//! The canary is convicted when the ratio process has reached `1/α` *and* the mean of
//! the two others has, each latched when it crosses. The mean of two such processes is
//! one itself, and reaches `1/α` no later than either of them reaches `2/α`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::bet::Bet;
use super::log::{add_exp, log_mass, mean_exp_plus};
use super::window::Streak;
use super::{InvalidLimits, Refused, Starts, Tick, limits};
use crate::value::{BySide, Counts};

/// How many times worse than the null the alternatives of the ratio and the cluster process are.
pub(super) const RATIOS: [f64; 8] = [1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0];
/// The same of the tick process.
pub(super) const STAKES: [f64; 7] = [1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0];
/// How many errors a cluster may have, and what the cluster process gains in one tick at most.
pub(super) const CLUSTER: f64 = 20.0;
pub(super) const CLUSTER_CAP: f64 = 1.5;

/// Says what is still innocent, and how sure one must be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EvidenceLimits {
    ratio: f64,
    false_alarm: f64,
    starts: Starts,
    /// The odds that convict, as a logarithm.
    ln_odds: f64,
    /// The logarithms of [`RATIOS`].
    ln_ratios: [f64; 8],
}

impl EvidenceLimits {
    /// Puts the limits together: how many times stable's error rate is still well (1 to 100), the probability
    /// of ever convicting an innocent canary (between 0 and 1), and when the processes start again.
    ///
    /// # Errors
    /// [`InvalidLimits`] for any other ratio or probability.
    pub fn new(ratio: f64, false_alarm: f64, starts: Starts) -> Result<Self, InvalidLimits> {
        let possible = (1.0..=*limits::RATIOS.end()).contains(&ratio);
        InvalidLimits::unless(possible, "the ratio", ratio, "1 to 100")?;
        InvalidLimits::unless_probability("the false-alarm probability", false_alarm)?;
        let (ln_odds, ln_ratios) = (-libm::log(false_alarm), RATIOS.map(libm::log));
        Ok(Self { ratio, false_alarm, starts, ln_odds, ln_ratios })
    }

    /// Returns the same limits for processes that start again at other times.
    pub(super) const fn starting(self, starts: Starts) -> Self {
        Self { starts, ..self }
    }

    /// Returns how many times stable's error rate is still well.
    pub(super) const fn ratio(&self) -> f64 {
        self.ratio
    }

    /// Returns the logarithms of [`RATIOS`].
    pub(super) const fn ln_ratios(&self) -> &[f64; 8] {
        &self.ln_ratios
    }

    /// Returns the odds that convict, as a logarithm.
    pub(super) const fn ln_odds(&self) -> f64 {
        self.ln_odds
    }

    /// Returns when the processes start again.
    pub(super) const fn starts(&self) -> Starts {
        self.starts
    }

    /// Returns the probability of ever convicting an innocent canary.
    #[must_use]
    pub const fn false_alarm(&self) -> f64 {
        self.false_alarm
    }
}

/// Weighs the evidence over a whole rollout; small and `Copy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EvidenceState {
    processes: Processes,
    streak: Streak,
}

/// The three processes by themselves: who feeds them sees to it that no request counts twice.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Processes {
    ratio: [f64; 8],
    tick: [f64; 7],
    cluster: [f64; 8],
    /// What each process comes to, as a logarithm.
    ln: [f64; 3],
    /// The mass that has not started yet.
    waiting: f64,
    started: u64,
    /// The highest so far of the ratio process, and of the mean of the two others where it came near the limit.
    highest: [f64; 2],
    /// Whether both have reached the limit, each at some time.
    convicted: bool,
}

impl Default for Processes {
    fn default() -> Self {
        // `f64::MIN` stands for ln 0, since JSON knows no infinity.
        Self {
            ratio: [f64::MIN; 8],
            tick: [f64::MIN; 7],
            cluster: [f64::MIN; 8],
            ln: [0.0; 3],
            waiting: 1.0,
            started: 0,
            highest: [0.0; 2],
            convicted: false,
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
    /// The highest so far of the ratio process, and of the mean of the two others where it came near the limit.
    pub ln_highest: [f64; 2],
    /// Whether the canary is convicted.
    pub convicted: bool,
}

impl Evidence {
    /// Puts what the three processes come to together with the highest so far of the two halves of the rule.
    pub(super) const fn of(
        [ln_ratio, ln_tick, ln_cluster]: [f64; 3],
        ln_highest: [f64; 2],
        convicted: bool,
    ) -> Self {
        Self { ln_ratio, ln_tick, ln_cluster, ln_highest, convicted }
    }

    /// Returns the two halves of the rule: the ratio process, and the mean of the two others.
    pub(super) fn halves([ratio, tick, cluster]: [f64; 3], ln_odds: f64) -> [f64; 2] {
        // Most are far from these odds, which is seen without working the mean out.
        let near = tick.max(cluster) >= ln_odds;
        [ratio, if near { mean_of_two(tick, cluster) } else { f64::MIN }]
    }

    /// Returns the odds against the canary that count: those of the weaker half of the rule. For a convicted canary
    /// they are those that convicted it, whatever came since.
    #[must_use]
    pub fn odds(&self) -> f64 {
        libm::exp(self.ln_odds().min(700.0))
    }

    /// Returns the same as a natural logarithm.
    pub(super) fn ln_odds(&self) -> f64 {
        let [ratio, others] = match self.convicted {
            true => self.ln_highest,
            false => [self.ln_ratio, mean_of_two(self.ln_tick, self.ln_cluster)],
        };
        ratio.min(others)
    }
}

impl EvidenceState {
    /// Adds one tick's counts and returns the evidence after it. A tick in which one side has no requests adds
    /// nothing.
    ///
    /// # Errors
    /// [`Refused::Overlap`] where a part of the window was counted before; then nothing changes.
    pub fn add(&mut self, limits: &EvidenceLimits, tick: Tick) -> Result<Evidence, Refused> {
        self.add_dispersed(limits, tick, 1.0)
    }

    /// Adds one tick's counts where errors scatter more than independent ones: what the ratio process gains is
    /// divided by `factor` (1 or more), the [`Dispersion`](super::Dispersion) of the ticks before this one.
    ///
    /// # Errors
    /// As for [`add`](Self::add).
    pub fn add_dispersed(
        &mut self,
        limits: &EvidenceLimits,
        tick: Tick,
        factor: f64,
    ) -> Result<Evidence, Refused> {
        let live = self.admit(tick)?;
        Ok(self.processes.add_dispersed(limits, tick.sides(), live, factor))
    }

    /// Lets a tick in whose requests are added next, and returns the covered time before it.
    pub(super) fn admit(&mut self, tick: Tick) -> Result<Duration, Refused> {
        self.streak.admit(tick.covered())
    }

    pub(super) const fn processes(&mut self) -> &mut Processes {
        &mut self.processes
    }

    /// Returns the evidence so far.
    #[must_use]
    pub const fn evidence(&self) -> Evidence {
        self.processes.evidence()
    }
}

impl Processes {
    /// Adds one window's counts; `live` is the covered time before it.
    pub(super) fn add(
        &mut self,
        limits: &EvidenceLimits,
        sides: BySide<Counts>,
        live: Duration,
    ) -> Evidence {
        self.add_dispersed(limits, sides, live, 1.0)
    }

    fn add_dispersed(
        &mut self,
        limits: &EvidenceLimits,
        sides: BySide<Counts>,
        live: Duration,
        factor: f64,
    ) -> Evidence {
        self.start_due(limits, live);
        let part = 1.0 / factor.max(1.0);
        // Most ticks see no error, and say nothing.
        if let Some(bet) = Bet::new(limits.ratio, sides.canary, sides.stable) {
            for (i, multiple) in RATIOS.into_iter().enumerate() {
                let gain = bet.ratio(multiple, limits.ln_ratios[i]);
                self.ratio[i] = finite(self.ratio[i] + gain * part);
                self.cluster[i] = finite(self.cluster[i] + (gain / CLUSTER).min(CLUSTER_CAP));
            }
            for (m, multiple) in self.tick.iter_mut().zip(STAKES) {
                *m = finite(*m + bet.tick(multiple));
            }
            let waiting = log_mass(self.waiting);
            self.ln = [
                mean_exp_plus(&self.ratio, waiting),
                mean_exp_plus(&self.tick, waiting),
                mean_exp_plus(&self.cluster, waiting),
            ];
            let halves = Evidence::halves(self.ln, limits.ln_odds);
            self.convicted |= raise(&mut self.highest, halves, limits.ln_odds);
        }
        self.evidence()
    }

    /// Lets the mass that is due start. What has waited was worth as much as it is at its start, so that this
    /// changes no sum.
    fn start_due(&mut self, limits: &EvidenceLimits, live: Duration) {
        let (mass, started) = limits.starts.due(self.started, live);
        self.started = started;
        if mass > 0.0 {
            self.waiting = (self.waiting - mass).max(0.0);
            let new = libm::log(mass);
            for m in self.ratio.iter_mut().chain(&mut self.tick).chain(&mut self.cluster) {
                *m = add_exp(*m, new);
            }
        }
    }

    pub(super) const fn evidence(&self) -> Evidence {
        Evidence::of(self.ln, self.highest, self.convicted)
    }
}

/// Keeps the highest of each half, and tells whether both have reached these odds.
pub(super) fn raise(highest: &mut [f64; 2], halves: [f64; 2], ln_odds: f64) -> bool {
    highest.iter_mut().zip(halves).for_each(|(highest, now)| *highest = highest.max(now));
    highest.iter().all(|highest| *highest >= ln_odds)
}

/// Returns the mean of two processes, as logarithms.
pub(super) fn mean_of_two(a: f64, b: f64) -> f64 {
    add_exp(a, b) - std::f64::consts::LN_2
}

/// Keeps a log-wealth representable in JSON.
fn finite(ln: f64) -> f64 {
    ln.max(f64::MIN)
}

#[cfg(test)]
mod tests;
