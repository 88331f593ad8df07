//! Evidence that the canary is slower, from histograms.
//!
//! A request is bad if it takes longer than a boundary of the histogram's buckets; the evidence is gathered at
//! several boundaries and averaged. Quantiles are for people: two that lie in one bucket cannot be told apart.

use serde::{Deserialize, Serialize};

use super::evidence::Processes;
use super::window::Streak;
use super::{CombinedLimits, CombinedState, Evidence, EvidenceLimits, Refused};
use crate::value::{Buckets, BySide, Counts, Window};

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
    /// Whether both sides had any of the boundaries in the last window.
    seen: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Boundary {
    /// In milliseconds.
    bound: f64,
    processes: Processes,
    /// All requests that were weighed here; those that took longer are the bad ones.
    requests: BySide<Counts>,
}

/// Says how many requests took longer than one bound.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Slow {
    /// The bound in milliseconds.
    pub bound_ms: f64,
    /// Both sides' requests; those that took longer are the bad ones.
    pub requests: BySide<Counts>,
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
        let boundary = |bound| Boundary {
            bound,
            processes: Processes::default(),
            requests: BySide::default(),
        };
        let boundaries: Vec<_> = (0..chosen).map(|i| boundary(nth(i))).collect();
        let (combined, streak) = (CombinedState::default(), Streak::after(seen.until));
        (!boundaries.is_empty()).then_some(Self { boundaries, combined, streak, seen: true })
    }

    /// Adds both sides' requests of one covered window and returns the evidence after it. A boundary that not both
    /// histograms have adds nothing.
    ///
    /// # Errors
    /// [`Refused`] where the window covers no time, or a part of it was counted before; then nothing changes.
    pub fn add(
        &mut self,
        limits: &EvidenceLimits,
        covered: Window,
        sides: BySide<&Buckets>,
    ) -> Result<Evidence, Refused> {
        let live = self.streak.admit(covered)?;
        self.seen = false;
        for boundary in &mut self.boundaries {
            let slow = |side| slower_than(side, boundary.bound);
            let (Some(stable), Some(canary)) = (slow(sides.stable), slow(sides.canary)) else {
                continue;
            };
            self.seen = true;
            boundary.requests.stable.add(stable);
            boundary.requests.canary.add(canary);
            boundary.processes.add(limits, BySide { stable, canary }, live);
        }
        let parts = self.boundaries.iter().map(|boundary| boundary.processes.evidence());
        let equal = CombinedLimits::equal(self.boundaries.len(), limits.ln_odds());
        Ok(self.combined.add(&equal, parts))
    }

    /// Tells whether both sides' histograms had any of the boundaries in the last window.
    #[must_use]
    pub const fn is_seen(&self) -> bool {
        self.seen
    }

    /// Returns what was seen at the boundary that speaks most against the canary; `None` where nothing was weighed.
    #[must_use]
    pub fn slow(&self) -> Option<Slow> {
        let weighed = self.boundaries.iter().filter(|boundary| boundary.requests.canary.total > 0);
        let odds = |boundary: &Boundary| boundary.processes.evidence().ln_odds();
        let worst = weighed.max_by(|a, b| odds(a).total_cmp(&odds(b)))?;
        Some(Slow { bound_ms: worst.bound, requests: worst.requests })
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
    let mut beyond = stable.total();
    let is_tail = |(_, count): &(&f64, &u64)| {
        beyond = beyond.saturating_sub(**count);
        TAIL.contains(&(beyond as f64 / all))
    };
    stable.bounds().iter().zip(stable.counts()).filter(is_tail).map(|(bound, _)| *bound).collect()
}

/// Counts the requests that took longer than a bound as the bad ones; `None` without such a bound.
fn slower_than(side: &Buckets, bound: f64) -> Option<Counts> {
    let at = side.bounds().binary_search_by(|other| other.total_cmp(&bound)).ok()?;
    Some(side.slower_than(at))
}

#[cfg(test)]
mod tests;
