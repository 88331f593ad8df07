//! Calls that are under way, and when they are tried again.
//!
//! None of this is saved: a new holder derives anew what is to be done.

use std::time::Duration;

use super::Action;
use crate::value::{EffectId, Failure, RolloutId, Timestamp};

/// Follows one action until it is answered.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pending {
    pub(super) id: EffectId,
    /// The number of the current or next try, from 1.
    pub(super) attempt: u32,
    pub(super) action: Action,
    pub(super) status: Status,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Status {
    /// May be run once this state is saved.
    Held { rev: u64 },
    /// Answered by this time, or given up.
    Running { deadline: Timestamp },
    /// Tried again at this time.
    Waiting { until: Timestamp },
}

/// Holds what is under way, at most one call of each sort.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Flight {
    pub(super) route: Option<Pending>,
    pub(super) measure: Option<Pending>,
    pub(super) gate: Option<Pending>,
}

impl Flight {
    pub(super) fn slots(&mut self) -> [&mut Option<Pending>; 3] {
        [&mut self.route, &mut self.measure, &mut self.gate]
    }

    /// Returns the earliest time at which a call is due to be given up or tried again.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        let due = |pending: &Pending| match pending.status {
            Status::Held { .. } => None,
            Status::Running { deadline } => Some(deadline),
            Status::Waiting { until } => Some(until),
        };
        [&self.route, &self.measure, &self.gate].into_iter().flatten().filter_map(due).min()
    }
}

/// Says how urgent a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Urgency {
    /// Taking traffic away: at once, then soon again.
    Now,
    /// Everything else.
    Patient,
}

/// Returns how long to wait before the next try, doubling, with a jitter that is the same at every replay.
pub(super) fn backoff(
    urgency: Urgency,
    rollout: &RolloutId,
    id: EffectId,
    attempt: u32,
    failure: &Failure,
) -> Duration {
    let (first, longest) = match urgency {
        Urgency::Now if attempt <= 1 => return Duration::ZERO,
        Urgency::Now => (50, 2_000),
        Urgency::Patient => (200, 10_000),
    };
    let doubled = (first << attempt.saturating_sub(1).min(16)).min(longest);
    let asked = match urgency {
        Urgency::Now => 0,
        Urgency::Patient => failure.retry_after_ms.unwrap_or(0).min(60_000),
    };
    let jitter = doubled / 4 * (hash(rollout, id, attempt) % 1024) / 1024;
    Duration::from_millis((doubled + jitter).max(asked))
}

/// FNV-1a: spreads the tries of many rollouts without randomness.
fn hash(rollout: &RolloutId, id: EffectId, attempt: u32) -> u64 {
    let numbers = id.get().to_le_bytes().into_iter().chain(attempt.to_le_bytes());
    rollout.as_str().bytes().chain(numbers).fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::FailureKind;

    #[test]
    fn taking_traffic_away_is_tried_again_at_once_and_never_waits_long() {
        let id: RolloutId = "a".parse().unwrap();
        let failure =
            Failure { retry_after_ms: Some(30_000), ..Failure::new(FailureKind::RateLimited, "") };
        let wait = |urgency, attempt| backoff(urgency, &id, EffectId::new(7), attempt, &failure);
        assert_eq!(wait(Urgency::Now, 1), Duration::ZERO);
        assert!((1..100).all(|n| wait(Urgency::Now, n) <= Duration::from_millis(2_500)));
        assert!((1..100).all(|n| wait(Urgency::Patient, n) >= Duration::from_secs(30)));
    }
}
