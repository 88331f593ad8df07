//! The processes that drive a simulated rollout, and what they share: the store.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::Simulation;
use crate::ports::Observed;
use crate::rollout::{Begin, Effect, Event, Rollout, Snapshot};
use crate::value::{RolloutId, Timestamp};

/// Drives the rollout until it dies or learns that another process has taken it over.
pub(super) struct Process {
    /// Counts processes from 0; answers to one that is gone reach nobody.
    pub(super) number: usize,
    pub(super) rollout: Rollout,
    pub(super) inbox: VecDeque<Event>,
    /// The revision of the store that it believes to be the last.
    pub(super) revision: u64,
    /// What is to be saved next; boxed, since it is large and most runs save nothing.
    pub(super) saving: Option<Box<Snapshot>>,
    /// Until when it stands still.
    pub(super) frozen_until: Timestamp,
    /// How far its clock is ahead, in milliseconds.
    ahead_ms: i64,
}

/// Keeps the last saved state.
#[derive(Default)]
pub(super) struct Store {
    pub(super) revision: u64,
    pub(super) saved: Option<Box<Snapshot>>,
}

impl Process {
    /// Begins the rollout, or takes it up where the store holds it; the store is the new process' from then on.
    pub(super) fn start(
        plan: &Simulation,
        number: usize,
        store: &mut Store,
        now: Timestamp,
        ahead_ms: i64,
    ) -> (Self, Vec<Effect>) {
        let local = shifted(now, ahead_ms);
        let restored = store.saved.clone().and_then(|saved| {
            // A snapshot of this very policy always fits it.
            Rollout::restore(*saved, Arc::clone(&plan.policy)).ok()
        });
        let (rollout, effects) = match restored {
            Some(mut rollout) => {
                let effects = rollout.step(Event::Restored, local);
                (rollout, effects)
            }
            None => {
                let begin = Begin::new(id(plan), Arc::clone(&plan.policy));
                Rollout::begin(begin.with_workload(plan.workload.is_some()), local)
            }
        };
        store.revision += 1;
        let process = Self {
            number,
            rollout,
            inbox: VecDeque::new(),
            revision: store.revision,
            saving: None,
            frozen_until: plan.begin,
            ahead_ms,
        };
        (process, effects)
    }

    pub(super) fn step(&mut self, event: Event, now: Timestamp, effects: &mut Vec<Effect>) {
        self.rollout.step_into(event, shifted(now, self.ahead_ms), effects);
    }

    /// Is shown the route; tells whether that is news to it.
    pub(super) fn see(&mut self, observed: Observed, now: Timestamp) -> bool {
        let news = observed.traffic != *self.rollout.traffic();
        let began = shifted(now, self.ahead_ms);
        self.inbox.push_back(Event::Observed { observed, began });
        news
    }

    /// Returns when it wants to be told that time has passed.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        let deadline = self.rollout.deadline()?;
        Some(shifted(deadline, self.ahead_ms.saturating_neg()).max(self.frozen_until))
    }

    pub(super) fn is_awake(&self, now: Timestamp) -> bool {
        self.frozen_until <= now
    }
}

fn shifted(at: Timestamp, by_ms: i64) -> Timestamp {
    let by = Duration::from_millis(by_ms.unsigned_abs());
    if by_ms < 0 { at - by } else { at + by }
}

fn id(plan: &Simulation) -> RolloutId {
    // The text is plain, so the fallback is never taken.
    RolloutId::new(format!("simulated-{}", plan.seed))
        .unwrap_or_else(|_| unreachable!("a number is a plain name"))
}
