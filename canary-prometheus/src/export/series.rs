//! What is told of one target, whose rollouts follow each other.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use canary_core::record::{Content, Record};
use canary_core::value::RolloutId;

use super::calls::{self, CallTimes};
use super::rollout::Rollout;

/// Holds the series of one target.
#[derive(Debug, Default)]
pub(super) struct Series {
    /// The newest rollout that was heard of.
    pub(super) rollout: Option<Rollout>,
    /// When it was heard that it had ended.
    over: Option<Instant>,
    /// Calls that failed, by action and kind.
    pub(super) failed_calls: BTreeMap<(&'static str, &'static str), u64>,
    /// Those of them that were retries, by action.
    pub(super) failed_retries: BTreeMap<&'static str, u64>,
    /// How often the route was found changed by somebody else.
    pub(super) drifts: u64,
    /// How long calls took.
    pub(super) calls: CallTimes,
}

impl Series {
    /// Takes note of a record of a rollout, each once.
    pub(super) fn notice(&mut self, id: &RolloutId, record: &Record, now: Instant) {
        let same = self.rollout.as_ref().filter(|known| known.id == *id);
        if same.is_some_and(|known| record.number <= known.last) || self.is_of_an_older(id, record)
        {
            return;
        }
        if same.is_none() {
            self.rollout = Some(Rollout::new(id.clone(), record.at));
            self.over = None;
        }
        match &record.content {
            Content::CallFailed { action, attempt, failure } => {
                let action = calls::kind_of(action);
                *self.failed_calls.entry((action, failure.kind.as_str())).or_default() += 1;
                if *attempt > 1 {
                    *self.failed_retries.entry(action).or_default() += 1;
                }
            }
            Content::Drifted { .. } => self.drifts += 1,
            Content::Ended { .. } => self.over = Some(now),
            _ => {}
        }
        if let Some(rollout) = &mut self.rollout {
            rollout.notice(record);
        }
    }

    /// Tells whether the rollout ended this long ago.
    pub(super) fn is_over(&self, now: Instant, keep: Duration) -> bool {
        self.over.is_some_and(|over| now.saturating_duration_since(over) >= keep)
    }

    /// Tells whether a record is a late one, of a rollout before the one that is known.
    fn is_of_an_older(&self, id: &RolloutId, record: &Record) -> bool {
        let begins = matches!(record.content, Content::Started { .. } | Content::Restored { .. });
        self.rollout
            .as_ref()
            .is_some_and(|known| known.id != *id && known.ended.is_none() && !begins)
    }
}
