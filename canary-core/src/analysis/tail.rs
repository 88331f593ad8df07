//! Evidence that the canary is slower, from histograms.
//!
//! A request is bad if it takes longer than a boundary of the histogram's buckets; the evidence is gathered at
//! several boundaries and averaged. Quantiles are for people: two that lie in one bucket cannot be told apart.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    CombinedLimits, CombinedState, Evidence, EvidenceLimits, EvidenceState, Refused, Streak, Tick,
};
use crate::value::{Buckets, Counts, Window};

/// How many boundaries are looked at.
const MOST: usize = 8;

/// The share of stable's requests that must lie beyond a boundary: with fewer a regression shows late, and with
/// more it is no tail.
const TAIL: std::ops::RangeInclusive<f64> = 0.001..=0.25;

/// Weighs the evidence that the canary's tail is heavier than stable's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TailState {
    boundaries: Vec<Boundary>,
    combined: CombinedState,
    streak: Streak,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Boundary {
    /// In milliseconds.
    bound: f64,
    state: EvidenceState,
}

impl TailState {
    /// Fixes the boundaries by stable's requests: at most eight, evenly among those beyond which 0.1 % to 25 % of
    /// them lie. `None` where there is no such boundary.
    ///
    /// These requests must not be added afterwards: boundaries that were chosen by what they shall judge would
    /// be biased. Best are those before the rollout; without them, what stable serves before the first weight,
    /// or in the first window, which is then left out: `seen` is where that ended.
    #[must_use]
    pub fn fix(stable: &Buckets, seen: Window) -> Option<Self> {
        let eligible = eligible(stable);
        let chosen = eligible.len().min(MOST);
        let nth = |i: usize| eligible[i * (eligible.len() - 1) / (chosen - 1).max(1)];
        let boundary = |bound| Boundary { bound, state: EvidenceState::default() };
        let boundaries: Vec<_> = (0..chosen).map(|i| boundary(nth(i))).collect();
        let (combined, mut streak) = (CombinedState::default(), Streak::default());
        let _empty_is_well = streak.pass(seen);
        (!boundaries.is_empty()).then_some(Self { boundaries, combined, streak })
    }

    /// Adds both sides' requests of one covered window and returns the evidence after it; `live` is the time
    /// since the first window that was added. A boundary that a histogram does not have adds nothing.
    ///
    /// # Errors
    /// [`Refused`] where the window was counted before; then nothing changes.
    pub fn add(
        &mut self,
        limits: &EvidenceLimits,
        covered: Window,
        [stable, canary]: [&Buckets; 2],
        live: Duration,
    ) -> Result<Evidence, Refused> {
        self.streak.pass(covered)?;
        for boundary in &mut self.boundaries {
            let slow = |side| slower_than(side, boundary.bound);
            let tick = Tick { stable: slow(stable), canary: slow(canary) };
            boundary.state.add(limits, tick, live);
        }
        let parts = self.boundaries.iter().map(|boundary| boundary.state.evidence());
        let equal = CombinedLimits::equal(self.boundaries.len(), limits.ln_odds());
        Ok(self.combined.add(&equal, parts))
    }

    /// Returns the evidence so far.
    #[must_use]
    pub const fn evidence(&self) -> Evidence {
        self.combined.evidence()
    }

    /// Returns the boundaries in milliseconds, rising.
    pub fn boundaries(&self) -> impl ExactSizeIterator<Item = f64> {
        self.boundaries.iter().map(|boundary| boundary.bound)
    }
}

/// Returns the bounds beyond which a tail of the requests lies.
#[expect(clippy::cast_precision_loss, reason = "a share needs no 53 bits")]
fn eligible(stable: &Buckets) -> Vec<f64> {
    let all = stable.total() as f64;
    let share = |i: usize| stable.beyond(i) as f64 / all;
    let bounds = stable.bounds().iter().enumerate();
    bounds.filter(|(i, _)| TAIL.contains(&share(*i))).map(|(_, bound)| *bound).collect()
}

/// Counts the requests that took longer than a bound as the bad ones; none at all without such a bound.
fn slower_than(side: &Buckets, bound: f64) -> Counts {
    let at = side.bounds().binary_search_by(|other| other.total_cmp(&bound));
    at.map_or_else(|_| Counts::default(), |at| side.slower_than(at))
}

#[cfg(test)]
mod tests;
