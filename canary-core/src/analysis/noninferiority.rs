//! Anytime-valid evidence that the canary is not worse than stable, by more than is allowed.
//!
//! It is the evidence against the canary with the sides swapped. Null hypothesis: at every tick the canary fails
//! at least `r1` times as often as stable; that is, stable fails at most `1/r1` times as often as the canary. The
//! ratio process alone is fooled by errors that come in clusters, so the tick process must agree.

use serde::{Deserialize, Serialize};

use super::bet::Bet;
use super::log::mean_exp_plus;
use super::window::Streak;
use super::{InvalidLimits, Refused, Tick, limits};
use crate::value::BySide;

/// How many times better than the null the alternatives are.
const RATIOS: [f64; 7] = [1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0];

/// Says how much worse the canary must not be, and how sure one must be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NonInferiorityLimits {
    /// The null, seen from stable: `1/r1`.
    ratio: f64,
    /// The odds that are enough, as a logarithm.
    ln_odds: f64,
    /// The logarithms of [`RATIOS`].
    ln_ratios: [f64; 7],
}

impl NonInferiorityLimits {
    /// Puts the limits together: a canary that fails `ratio` times as often as stable (0.01 to 100) shall not pass,
    /// but with probability `false_pass` (between 0 and 1).
    ///
    /// # Errors
    /// [`InvalidLimits`] for any other ratio or probability.
    pub fn new(ratio: f64, false_pass: f64) -> Result<Self, InvalidLimits> {
        let possible = limits::RATIOS.contains(&ratio);
        InvalidLimits::unless(possible, "the ratio", ratio, "0.01 to 100")?;
        InvalidLimits::unless_probability("the false-pass probability", false_pass)?;
        let (ln_odds, ln_ratios) = (-libm::log(false_pass), RATIOS.map(libm::log));
        Ok(Self { ratio: 1.0 / ratio, ln_odds, ln_ratios })
    }
}

/// Weighs the evidence for the canary; small and `Copy`. It never starts again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NonInferiorityState {
    ratio: [f64; 7],
    tick: [f64; 7],
    /// What each process comes to, as a logarithm.
    ln: [f64; 2],
    /// Whether each process has reached its limit now: a good hour is no evidence for what the canary is since.
    reached: [bool; 2],
    streak: Streak,
}

/// Tells how strong the evidence for the canary is, as odds in natural logarithms.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct NonInferiority {
    /// Of the ratio process.
    pub ln_ratio: f64,
    /// Of the tick process.
    pub ln_tick: f64,
    /// Whether both are enough now.
    pub shown: bool,
}

impl NonInferiorityState {
    /// Adds one tick's counts and returns the evidence after it. A tick in which one side has no requests, or
    /// nothing failed, adds nothing.
    ///
    /// # Errors
    /// [`Refused::Overlap`] where a part of the window was counted before; then nothing changes.
    pub fn add(
        &mut self,
        limits: &NonInferiorityLimits,
        tick: Tick,
    ) -> Result<NonInferiority, Refused> {
        self.streak.admit(tick.covered())?;
        let BySide { stable, canary } = tick.sides();
        if let Some(bet) = Bet::new(limits.ratio, stable, canary) {
            for (i, multiple) in RATIOS.into_iter().enumerate() {
                let gains = (bet.ratio(multiple, limits.ln_ratios[i]), bet.tick(multiple));
                self.ratio[i] = (self.ratio[i] + gains.0).max(f64::MIN);
                self.tick[i] = (self.tick[i] + gains.1).max(f64::MIN);
            }
            self.ln = [&self.ratio, &self.tick].map(|m| mean_exp_plus(m, f64::NEG_INFINITY));
            self.reached = self.ln.map(|ln| ln >= limits.ln_odds);
        }
        Ok(self.evidence())
    }

    /// Returns the evidence so far.
    #[must_use]
    pub const fn evidence(&self) -> NonInferiority {
        let [ln_ratio, ln_tick] = self.ln;
        let [ratio, tick] = self.reached;
        NonInferiority { ln_ratio, ln_tick, shown: ratio && tick }
    }
}

#[cfg(test)]
mod tests;
