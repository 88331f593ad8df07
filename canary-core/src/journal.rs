//! What a rollout went through, line by line, to be replayed.
//!
//! A journal is a JSON line that says how the rollout began, then one for each
//! event with its time. Replaying it gives equal records, since the machine is
//! a pure function of just that.

use std::io::BufRead;

use serde::{Deserialize, Serialize};

use crate::policy::{Policy, PolicyError, PolicySpec};
use crate::record::Record;
use crate::rollout::{Effect, Event, Rollout, Snapshot, SnapshotError};
use crate::value::{RolloutId, Timestamp};

/// Holds one line of a journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Line {
    /// The rollout began.
    Started {
        /// Its id.
        rollout: RolloutId,
        /// Its policy.
        policy: PolicySpec,
        /// When.
        at: Timestamp,
    },
    /// The rollout was taken over from a snapshot.
    Resumed {
        /// Its policy.
        policy: PolicySpec,
        /// Where it stood.
        snapshot: Box<Snapshot>,
    },
    /// Something happened.
    Event {
        /// When.
        at: Timestamp,
        /// What.
        event: Event,
    },
}

/// Tells why a journal cannot be replayed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// It cannot be read.
    #[error("the journal cannot be read")]
    Io(#[from] std::io::Error),
    /// A line makes no sense.
    #[error("line {line} of the journal is no journal line")]
    Line {
        /// The line's number, from 1.
        line: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// It does not say how the rollout began.
    #[error("the journal has no line that says how the rollout began before line {line}")]
    NoBegin {
        /// The line's number, from 1.
        line: usize,
    },
    /// The policy in it is not valid.
    #[error("the policy in the journal is not valid")]
    Policy(#[from] PolicyError),
    /// The snapshot in it cannot be taken up.
    #[error("the snapshot in the journal cannot be taken up")]
    Snapshot(#[from] SnapshotError),
}

/// Replays a journal and returns the records that observers were told, in their order.
///
/// # Errors
/// [`JournalError`]; a last line that was cut off by a crash is passed over.
pub fn replay(journal: impl BufRead) -> Result<Vec<Record>, JournalError> {
    let mut rollout: Option<Rollout> = None;
    let mut records = Vec::new();
    let mut lines = journal.lines().enumerate().peekable();
    while let Some((i, text)) = lines.next() {
        let line = match serde_json::from_str(&text?) {
            Ok(line) => line,
            Err(_) if lines.peek().is_none() => break,
            Err(source) => {
                return Err(JournalError::Line { line: i + 1, source });
            }
        };
        let effects = match line {
            Line::Started { rollout: id, policy, at } => {
                let (started, effects) = Rollout::start(id, Policy::from_spec(policy)?, at);
                rollout = Some(started);
                effects
            }
            Line::Resumed { policy, snapshot } => {
                rollout = Some(Rollout::restore(*snapshot, Policy::from_spec(policy)?)?);
                Vec::new()
            }
            Line::Event { at, event } => match &mut rollout {
                Some(rollout) => rollout.step(event, at),
                None => return Err(JournalError::NoBegin { line: i + 1 }),
            },
        };
        records.extend(effects.into_iter().filter_map(|effect| match effect {
            Effect::Notify(record) => Some(record),
            _ => None,
        }));
    }
    Ok(records)
}
