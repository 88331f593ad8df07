//! Calls that are under way, and when they are tried again.
//!
//! None of this is saved: a new holder derives anew what is to be done.

use std::time::Duration;

use super::Action;
use crate::value::{EffectId, Epoch, Failure, RolloutId, Timestamp, Weight, fnv};

/// Follows one action until it is answered.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pending {
    pub(super) id: EffectId,
    /// The number of the current or next try, from 1.
    pub(super) attempt: u32,
    /// How many of the tries before were none: the store could not say whose the rollout is.
    pub(super) unconfirmed: u32,
    pub(super) action: Action,
    pub(super) status: Status,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Status {
    /// May be run once this state is saved.
    Held { rev: u64 },
    /// May be run once this state is saved, or could not be by then: nothing on the way back waits for a store for long.
    Tried { rev: u64, until: Timestamp },
    /// Answered by this time, or given up.
    Running { deadline: Timestamp },
    /// Tried again at this time.
    Waiting { until: Timestamp },
}

impl Pending {
    pub(super) const fn is_running(&self) -> bool {
        matches!(self.status, Status::Running { .. })
    }

    /// Tells whether its answer has not come in time.
    pub(super) fn has_expired(&self, now: Timestamp) -> bool {
        matches!(self.status, Status::Running { deadline } if deadline <= now)
    }

    /// Returns how often the other side was tried, or is now.
    pub(super) const fn tries(&self) -> u32 {
        self.attempt.saturating_sub(self.unconfirmed)
    }

    /// Tries again at this time; the try that is under way is over.
    pub(super) const fn wait_until(&mut self, until: Timestamp) {
        self.attempt = self.attempt.saturating_add(1);
        self.status = Status::Waiting { until };
    }
}

/// Names a place for a call: at most one is under way in each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// To the router.
    Route,
    /// To the metric source.
    Measure,
    /// To the gate that the rollout stands at.
    Gate,
    /// To what runs the versions.
    Work,
    /// To a gate that is watched as a check, by its position among those.
    Watched(usize),
}

/// Holds what is under way, and what a new holder learns anew.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Flight {
    route: Option<Pending>,
    measure: Option<Pending>,
    gate: Option<Pending>,
    work: Option<Pending>,
    watched: Vec<Option<Pending>>,
    /// How often in a row each watched gate has failed.
    failed: Vec<u32>,
    /// Whether this holder has written to the route: before that, an older one may.
    pub(super) claimed: bool,
    /// What this holder's calls are numbered with at least, where the route knows a later holder than the store does.
    pub(super) epoch: Epoch,
    /// When the router last accepted anything: what was observed before says nothing.
    pub(super) routed_at: Timestamp,
    pub(super) ready: Ready,
    /// Whether the route was looked at in this phase.
    pub(super) looked: bool,
    /// Whether the phase has changed in this step: what it wants has to be looked at again.
    pub(super) went: bool,
    /// How often in a row what runs the versions has failed.
    pub(super) work_failures: u32,
    /// What replacing, restoring or removing a version was last said to wait for in this phase.
    pub(super) work_waits: String,
    /// Whether nobody was asked yet to replace or remove a version, though the phase is one in which that is done.
    pub(super) unsent: bool,
}

/// Tells how ready the canary is known to be.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Ready {
    /// The weight for which it has been ready for long enough.
    pub(super) weight: Option<Weight>,
    /// When that was said.
    pub(super) at: Timestamp,
    /// Since when it has been ready for what is wanted, without a break.
    pub(super) since: Option<Timestamp>,
    /// What it was last said to wait for.
    pub(super) why: String,
    /// The weight for which it was last said to be ready.
    pub(super) told: Option<Weight>,
}

impl Ready {
    /// Forgets how ready it is: that has to be asked again before each raise.
    pub(super) fn again(&mut self) {
        *self = Self { told: self.told, ..Self::default() };
    }
}

impl Flight {
    pub(super) fn watching(gates: usize) -> Self {
        Self { watched: vec![None; gates], failed: vec![0; gates], ..Self::default() }
    }

    /// Names all places.
    pub(super) fn slots(&self) -> impl Iterator<Item = Slot> + use<> {
        let watched = (0..self.watched.len()).map(Slot::Watched);
        [Slot::Route, Slot::Measure, Slot::Gate, Slot::Work].into_iter().chain(watched)
    }

    /// Tells whether any gate is watched.
    pub(super) const fn watches(&self) -> bool {
        !self.watched.is_empty()
    }

    /// Takes in whether a watched gate has failed, and returns how often it has in a row.
    pub(super) fn watched_failed(&mut self, gate: usize, failed: bool) -> u32 {
        let Some(failures) = self.failed.get_mut(gate) else { return u32::from(failed) };
        *failures = if failed { failures.saturating_add(1) } else { 0 };
        *failures
    }

    /// Shows all calls that are followed.
    pub(super) fn calls(&self) -> impl Iterator<Item = &Pending> {
        let Self { route, measure, gate, work, watched, .. } = self;
        [route, measure, gate, work].into_iter().chain(watched).flatten()
    }

    pub(super) fn get(&self, slot: Slot) -> Option<&Pending> {
        match slot {
            Slot::Route => self.route.as_ref(),
            Slot::Measure => self.measure.as_ref(),
            Slot::Gate => self.gate.as_ref(),
            Slot::Work => self.work.as_ref(),
            Slot::Watched(i) => self.watched.get(i)?.as_ref(),
        }
    }

    pub(super) fn get_mut(&mut self, slot: Slot) -> Option<&mut Pending> {
        self.place(slot)?.as_mut()
    }

    pub(super) fn take(&mut self, slot: Slot) -> Option<Pending> {
        self.place(slot)?.take()
    }

    pub(super) fn put(&mut self, slot: Slot, pending: Pending) {
        if let Some(place) = self.place(slot) {
            *place = Some(pending);
        }
    }

    fn place(&mut self, slot: Slot) -> Option<&mut Option<Pending>> {
        match slot {
            Slot::Route => Some(&mut self.route),
            Slot::Measure => Some(&mut self.measure),
            Slot::Gate => Some(&mut self.gate),
            Slot::Work => Some(&mut self.work),
            Slot::Watched(i) => self.watched.get_mut(i),
        }
    }

    /// Returns the place whose call waits for this answer.
    pub(super) fn asked(&self, id: EffectId, attempt: u32) -> Option<Slot> {
        let awaits = |p: &Pending| p.id == id && p.attempt == attempt && p.is_running();
        self.slots().find(|slot| self.get(*slot).is_some_and(awaits))
    }

    /// Returns the earliest time at which a call is due to be given up or tried again.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        let due = |pending: &Pending| match pending.status {
            Status::Held { .. } => None,
            Status::Running { deadline } => Some(deadline),
            Status::Waiting { until } | Status::Tried { until, .. } => Some(until),
        };
        self.calls().filter_map(due).min()
    }
}

/// Says how urgent a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Urgency {
    /// Taking traffic away: at once, then soon again.
    Now,
    /// Asking whether something that takes its time is done.
    Poll,
    /// Everything else.
    Patient,
}

/// Returns how long to wait before the next try, doubling, with a jitter that is the same at every replay.
pub(super) fn backoff(
    urgency: Urgency,
    rollout: &RolloutId,
    id: EffectId,
    attempt: u32,
    failure: Option<&Failure>,
) -> Duration {
    let (first, longest) = match urgency {
        Urgency::Now if attempt <= 1 => return Duration::ZERO,
        Urgency::Now => (50, 2_000),
        Urgency::Poll => (500, 5_000),
        Urgency::Patient => (200, 10_000),
    };
    let doubled = (first << attempt.saturating_sub(1).min(16)).min(longest);
    let asked = match urgency {
        Urgency::Now | Urgency::Poll => 0,
        Urgency::Patient => failure.and_then(|f| f.retry_after_ms).unwrap_or(0).min(60_000),
    };
    let jitter = doubled / 4 * (hash(rollout, id, attempt) % 1024) / 1024;
    Duration::from_millis((doubled + jitter).max(asked))
}

/// Spreads the tries of many rollouts without randomness.
fn hash(rollout: &RolloutId, id: EffectId, attempt: u32) -> u64 {
    let numbers = id.get().to_le_bytes().into_iter().chain(attempt.to_le_bytes());
    fnv(rollout.as_str().bytes().chain(numbers))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::FailureKind;

    #[test]
    fn the_tries_of_many_rollouts_are_spread_over_a_quarter_of_the_wait() {
        let waits: std::collections::BTreeSet<Duration> = (0..100)
            .map(|n| {
                let rollout = format!("shop-{n}").parse().unwrap();
                backoff(Urgency::Patient, &rollout, EffectId::new(7), 9, None)
            })
            .collect();
        assert!(waits.len() > 90, "{waits:?}");
        let (first, last) = (waits.first().unwrap(), waits.last().unwrap());
        assert!((10_000..10_250).contains(&first.as_millis()), "{first:?}");
        assert!((12_250..12_500).contains(&last.as_millis()), "{last:?}");
    }

    #[test]
    fn taking_traffic_away_is_tried_again_at_once_and_never_waits_long() {
        let id: RolloutId = "a".parse().unwrap();
        let failure =
            Failure { retry_after_ms: Some(30_000), ..Failure::new(FailureKind::RateLimited, "") };
        let wait =
            |urgency, attempt| backoff(urgency, &id, EffectId::new(7), attempt, Some(&failure));
        assert_eq!(wait(Urgency::Now, 1), Duration::ZERO);
        assert!((1..100).all(|n| wait(Urgency::Now, n) <= Duration::from_millis(2_500)));
        assert!((1..100).all(|n| wait(Urgency::Patient, n) >= Duration::from_secs(30)));
    }
}
