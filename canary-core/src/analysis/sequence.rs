//! A confidence sequence for how many times stable's error rate the canary's is.
//!
//! With a constant ratio `r`, given each tick's requests and its `K` errors, the canary's share `w` of the
//! requests makes each error the canary's with probability `w r / (1 − w + w r)`; so
//!
//! ```text
//! ln L(r) = Σ [k_c ln r − K ln(1 − w + w r)]
//! ```
//!
//! and by Ville's inequality `{ r : L(r) > α · mean L(ρ) }`, with sixteen fixed ρ, holds the true ratio at all
//! times at once with probability `1 − α`.

use serde::{Deserialize, Serialize};

use super::evidence::RATIOS;
use super::log::mean_exp_plus;
use super::window::Streak;
use super::{Refused, Tick};

/// How many different shares are kept apart.
const CELLS: usize = 32;

/// Gathers what a confidence sequence for the ratio of the error rates needs; small and `Copy`.
///
/// The first 32 different shares of the traffic are kept as they are. After that the two nearest become one, at
/// their mean: the logarithm is concave, so that `ln L` becomes too low, nowhere by more than a slack that is
/// known. The bounds are put as much further out: they hold, and are wider by that (some hundredths of a nat in
/// an hour of ticks).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "Saved", try_from = "Saved")]
pub struct RatioSequence {
    /// By share, rising; those from `used` on are empty, and the last one always is: there is room for one more.
    cells: [Cell; CELLS + 1],
    used: usize,
    bad_canary: f64,
    bad_stable: f64,
    /// By how much `ln L` may be too low.
    slack: f64,
    streak: Streak,
}

impl Default for RatioSequence {
    fn default() -> Self {
        Self {
            cells: [Cell::default(); CELLS + 1],
            used: 0,
            bad_canary: 0.0,
            bad_stable: 0.0,
            slack: 0.0,
            streak: Streak::default(),
        }
    }
}

/// Says between which ratios the canary's error rate is of stable's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RatioBounds {
    /// At least so many times stable's; 0 where nothing is known.
    pub lower: f64,
    /// At most so many times stable's; `None` where nothing is known.
    pub upper: Option<f64>,
    /// The most likely ratio: 0 where only stable failed, `None` where stable did not fail.
    pub estimate: Option<f64>,
}

/// Sums the errors of the ticks with one share of the traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Cell {
    /// The canary's share, and stable's.
    w: f64,
    rest: f64,
    bad: f64,
}

impl RatioSequence {
    /// Adds one tick. One in which a side has no requests, or nothing failed, says nothing.
    ///
    /// # Errors
    /// [`Refused::Overlap`] where a part of the window was counted before; then nothing changes.
    #[expect(
        clippy::cast_precision_loss,
        reason = "counts up to 2^53 are exact, beyond that the tolerance is relative"
    )]
    pub fn add(&mut self, tick: Tick) -> Result<(), Refused> {
        self.streak.admit(tick.covered())?;
        let sides = tick.sides();
        let (canary, stable) = (sides.canary.total as f64, sides.stable.total as f64);
        let (bad_canary, bad_stable) = (sides.canary.bad as f64, sides.stable.bad as f64);
        let (n, bad) = (canary + stable, bad_canary + bad_stable);
        if canary == 0.0 || stable == 0.0 || bad == 0.0 {
            return Ok(());
        }
        self.bad_canary += bad_canary;
        self.bad_stable += bad_stable;
        self.put(Cell { w: canary / n, rest: stable / n, bad });
        Ok(())
    }

    /// Returns the bounds that hold at all times at once with probability `1 − alpha`, where the ratio is
    /// constant; `alpha` is between 0 and 1.
    ///
    /// They are this moment's, not the narrowest so far: those would exclude the estimate once the ratio has
    /// changed. So they may become wider, and always hold the estimate.
    #[must_use]
    pub fn bounds(&self, alpha: f64) -> RatioBounds {
        let level = libm::log(alpha) + self.ln_mean() - self.slack;
        let lower = if self.bad_canary > 0.0 { self.end(level, -64.0) } else { f64::NEG_INFINITY };
        let upper = if self.bad_stable > 0.0 { self.end(level, 64.0) } else { f64::INFINITY };
        let estimate = match (self.bad_canary > 0.0, self.bad_stable > 0.0) {
            (_, false) => None,
            (false, true) => Some(0.0),
            (true, true) => Some(libm::exp(self.peak(lower, upper))),
        };
        let upper = Some(libm::exp(upper)).filter(|upper| upper.is_finite());
        RatioBounds { lower: libm::exp(lower), upper, estimate }
    }

    /// Returns the logarithm of the mean of `L` over the alternatives.
    fn ln_mean(&self) -> f64 {
        let mut values = [0.0; 2 * RATIOS.len()];
        for (pair, ratio) in values.chunks_exact_mut(2).zip(RATIOS) {
            let x = libm::log(ratio);
            pair[0] = self.ln_likelihood(x).0;
            pair[1] = self.ln_likelihood(-x).0;
        }
        mean_exp_plus(&values, f64::NEG_INFINITY)
    }

    /// Returns where `ln L` reaches a level, as the logarithm of the ratio, seen from far out at `x`.
    ///
    /// `ln L` is concave, so Newton's method comes from outside and never passes the end.
    fn end(&self, level: f64, mut x: f64) -> f64 {
        let inwards = -x.signum();
        for _ in 0..100 {
            let (value, slope) = self.ln_likelihood(x);
            let step = (level - value) / slope;
            if value >= level || x + step == x || !step.is_finite() {
                break;
            }
            x += step.abs() * inwards;
        }
        x
    }

    /// Returns where `ln L` is highest, as the logarithm of the ratio.
    ///
    /// Newton's method on the slope, kept between what is known to be left and right of the peak.
    fn peak(&self, mut low: f64, mut high: f64) -> f64 {
        let mut x = 0.5 * (low + high);
        for _ in 0..100 {
            let (slope, bend) = self.slope(x);
            if slope > 0.0 {
                low = x
            } else {
                high = x
            }
            let straight = x - slope / bend;
            let between = low < straight && straight < high;
            let next = if between { straight } else { 0.5 * (low + high) };
            let step = (next - x).abs();
            x = next;
            if step <= f64::EPSILON * x.abs().max(1.0) {
                break;
            }
        }
        x
    }

    /// Returns the slope of `ln L` at the logarithm of a ratio, and the slope's own.
    fn slope(&self, x: f64) -> (f64, f64) {
        let times = libm::exp(x);
        let parts = self.cells[..self.used].iter().map(|cell| {
            let canary = cell.w * times;
            (cell.bad, canary / (cell.rest + canary), cell.rest / (cell.rest + canary))
        });
        parts.fold((self.bad_canary, 0.0), |(slope, bend), (bad, canary, stable)| {
            (slope - bad * canary, bend - bad * canary * stable)
        })
    }

    /// Returns `ln L` and its slope at the logarithm of a ratio.
    fn ln_likelihood(&self, x: f64) -> (f64, f64) {
        let (more, times) = (libm::expm1(x), libm::exp(x));
        let (mut value, mut slope) = (self.bad_canary * x, self.bad_canary);
        for cell in &self.cells[..self.used] {
            let canary = cell.w * times;
            let (grown, all) = (cell.w * more, cell.rest + canary);
            // Where all errors would be stable's, `1 + grown` would lose what is left of it.
            value -= cell.bad * if grown > -0.5 { libm::log1p(grown) } else { libm::log(all) };
            slope -= cell.bad * canary / all;
        }
        (value, slope)
    }

    /// Puts a cell where it belongs, and makes the two nearest one where there are too many.
    fn put(&mut self, new: Cell) {
        let at = self.cells[..self.used].partition_point(|cell| cell.w < new.w);
        if let Some(same) = self.cells[..self.used].get_mut(at).filter(|cell| cell.w == new.w) {
            same.bad += new.bad;
            return;
        }
        self.cells.copy_within(at..self.used, at + 1);
        self.cells[at] = new;
        if self.used < CELLS {
            self.used += 1;
        } else {
            self.slack += join_nearest(&mut self.cells);
        }
    }
}

/// Makes the two nearest cells one, so that the last one is free. Returns by how much `ln L` may become too low.
fn join_nearest(cells: &mut [Cell; CELLS + 1]) -> f64 {
    let distances = cells.windows(2).map(|pair| pair[0].distance(&pair[1]));
    let nearest = distances.enumerate().min_by(|(_, a), (_, b)| a.total_cmp(b));
    let left = nearest.map_or(0, |(left, _)| left);
    let parts = [cells[left], cells[left + 1]];
    let joined = parts[0].join(&parts[1]);
    cells[left] = joined;
    cells.copy_within(left + 2.., left + 1);
    cells[CELLS] = Cell::default();
    joined.gap(&parts)
}

impl Cell {
    /// Tells roughly how much is lost where two become one.
    fn distance(&self, other: &Self) -> f64 {
        let apart = (self.w - other.w) / ((self.w + other.w) * (self.rest + other.rest));
        self.bad * other.bad / (self.bad + other.bad) * apart * apart
    }

    fn join(&self, other: &Self) -> Self {
        let bad = self.bad + other.bad;
        let mean = |a: f64, b: f64| (a * self.bad + b * other.bad) / bad;
        Self { w: mean(self.w, other.w), rest: mean(self.rest, other.rest), bad }
    }

    /// Returns by how much `ln L` is too low at worst where this stands for `parts`: where all errors would be
    /// the canary's, or all of them stable's.
    fn gap(&self, parts: &[Self; 2]) -> f64 {
        let gap = |share: fn(&Self) -> f64| {
            let lost = |part: &Self| part.bad * libm::log(share(self) / share(part));
            parts.iter().map(lost).sum::<f64>()
        };
        gap(|cell| cell.w).max(gap(|cell| cell.rest)).max(0.0)
    }
}

/// The stored form: only the cells that are used.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Saved {
    cells: Vec<Cell>,
    bad: (f64, f64),
    slack: f64,
    streak: Streak,
}

impl From<RatioSequence> for Saved {
    fn from(sequence: RatioSequence) -> Self {
        let RatioSequence { cells, used, bad_canary, bad_stable, slack, streak } = sequence;
        Self { cells: cells[..used].to_vec(), bad: (bad_canary, bad_stable), slack, streak }
    }
}

impl TryFrom<Saved> for RatioSequence {
    type Error = String;

    fn try_from(saved: Saved) -> Result<Self, String> {
        let used = saved.cells.len();
        if used > CELLS {
            return Err(format!("expected at most {CELLS} cells, not {used}"));
        }
        if saved.cells.iter().any(|cell| !(cell.w > 0.0 && cell.rest > 0.0 && cell.bad > 0.0)) {
            return Err("expected cells with requests and errors".to_owned());
        }
        let mut sequence = Self::default();
        sequence.cells[..used].copy_from_slice(&saved.cells);
        let Saved { bad: (bad_canary, bad_stable), slack, streak, .. } = saved;
        Ok(Self { used, bad_canary, bad_stable, slack, streak, ..sequence })
    }
}

#[cfg(test)]
mod tests;
