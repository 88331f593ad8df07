//! What a rollout went through, line by line, to be replayed.
//!
//! A journal is a JSON line that says how the rollout began, then one for each
//! event with its time. Replaying it gives equal records, since the machine is
//! a pure function of just that.
//!
//! Journals may follow each other in one file. Each begins with an empty line,
//! so that a line that was cut off by a crash stays a line of its own.

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
/// [`JournalError`]; a line that was cut off by a crash is passed over: the very end of the journal, or the line
/// before one that says how a rollout began or was taken over.
pub fn replay(mut journal: impl BufRead) -> Result<Vec<Record>, JournalError> {
    let mut rollout = None;
    let mut records = Vec::new();
    let mut broken = None;
    let mut text = Vec::new();
    for number in 1.. {
        text.clear();
        if journal.read_until(b'\n', &mut text)? == 0 {
            break;
        }
        if text.trim_ascii().is_empty() {
            continue;
        }
        let read = serde_json::from_slice(&text);
        if let Some(error) = broken.take()
            && !matches!(read, Ok(Line::Started { .. } | Line::Resumed { .. }))
        {
            return Err(error);
        }
        match read {
            Ok(line) => records.extend(told(step(&mut rollout, line, number)?)),
            Err(_) if !text.ends_with(b"\n") => break,
            Err(source) => broken = Some(JournalError::Line { line: number, source }),
        }
    }
    broken.map_or(Ok(records), Err)
}

/// Does what a line says.
fn step(
    rollout: &mut Option<Rollout>,
    line: Line,
    number: usize,
) -> Result<Vec<Effect>, JournalError> {
    match line {
        Line::Started { rollout: id, policy, at } => {
            let (started, effects) = Rollout::start(id, Policy::from_spec(policy)?, at);
            *rollout = Some(started);
            Ok(effects)
        }
        Line::Resumed { policy, snapshot } => {
            *rollout = Some(Rollout::restore(*snapshot, Policy::from_spec(policy)?)?);
            Ok(Vec::new())
        }
        Line::Event { at, event } => match rollout {
            Some(rollout) => Ok(rollout.step(event, at)),
            None => Err(JournalError::NoBegin { line: number }),
        },
    }
}

fn told(effects: Vec<Effect>) -> impl Iterator<Item = Record> {
    effects.into_iter().filter_map(|effect| match effect {
        Effect::Notify(record) => Some(record),
        _ => None,
    })
}
