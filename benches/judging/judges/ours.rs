//! Our rule: the evidence and the hard limit, as a rollout judges them.

use std::time::Duration;

use canary_core::analysis::{EvidenceLimits, EvidenceState, Starts, Streak, hard_limit};
use canary_core::value::Window;

use super::super::{Requests, TICK, TICKS};
use super::Judge;

/// Weighs evidence with the defaults: 1.25 times stable's error rate is still well, and one innocent rollout in a
/// hundred may be taken back.
#[derive(Debug)]
pub(crate) struct Ours {
    limits: EvidenceLimits,
    state: EvidenceState,
    streak: Streak,
    live: Duration,
}

impl Ours {
    pub(crate) fn new() -> Self {
        // All of the stages are below 100 %.
        let mixed = TICK.saturating_mul(u32::try_from(TICKS).unwrap_or(u32::MAX));
        let limits = EvidenceLimits::new(1.25, 0.01, Starts::over(mixed));
        let (state, streak) = (EvidenceState::default(), Streak::default());
        Self { limits, state, streak, live: Duration::ZERO }
    }
}

impl Judge for Ours {
    fn look(&mut self, seen: Requests) -> bool {
        let after = self.streak.until();
        let covered = Window::new(after, after + TICK);
        let Ok(tick) = self.streak.admit(covered, seen.stable, seen.canary) else { return false };
        let evidence = self.state.add(&self.limits, tick, self.live);
        self.live += TICK;
        evidence.convicted || hard_limit(seen.stable, seen.canary) == Some(true)
    }
}
