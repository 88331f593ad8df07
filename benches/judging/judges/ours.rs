//! Our rule: the evidence and the hard limit, as a rollout judges them.

use canary_core::analysis::{EvidenceLimits, EvidenceState, Starts, Tick, hard_limit};
use canary_core::value::{BySide, Timestamp, Window};

use super::super::{Requests, TICK, TICKS};
use super::Judge;

/// Weighs evidence with the defaults: 1.25 times stable's error rate is still well, and one innocent rollout in a
/// hundred may be taken back.
#[derive(Debug)]
pub(crate) struct Ours {
    limits: EvidenceLimits,
    state: EvidenceState,
    seen_to: Timestamp,
}

impl Ours {
    pub(crate) fn new() -> Self {
        // All of the stages are below 100 %.
        let mixed = TICK.saturating_mul(u32::try_from(TICKS).unwrap_or(u32::MAX));
        let limits = EvidenceLimits::new(1.25, 0.01, Starts::over(mixed))
            .expect("the defaults are no impossible limits");
        Self { limits, state: EvidenceState::default(), seen_to: Timestamp::EPOCH }
    }
}

impl Judge for Ours {
    fn look(&mut self, seen: Requests) -> bool {
        let covered = Window::new(self.seen_to, self.seen_to + TICK);
        self.seen_to = covered.until;
        let sides = BySide { stable: seen.stable, canary: seen.canary };
        let added = Tick::new(covered, sides).and_then(|tick| self.state.add(&self.limits, tick));
        let Ok(evidence) = added else { return false };
        evidence.convicted || hard_limit(seen.stable, seen.canary) == Some(true)
    }
}
