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
use crate::rollout::{Begin, Effect, Event, Rollout, Snapshot, SnapshotError};
use crate::value::{Epoch, RolloutId, Timestamp};

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
        #[serde(rename = "at_ms")]
        at: Timestamp,
        /// What else it began with.
        #[serde(default)]
        with: With,
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
        #[serde(rename = "at_ms")]
        at: Timestamp,
        /// What.
        event: Event,
    },
    /// The journal ends here though the rollout went on: it could not be written fast enough.
    Lost {
        /// How many lines were not written, at least.
        lines: u64,
    },
}

/// Holds what a rollout began with, beside its policy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct With {
    /// The holder of the target before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Epoch>,
    /// Whether there is a workload.
    pub workload: bool,
    /// The version that is rolled out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Whether it begins with the last stage.
    pub fast_return: bool,
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
    /// It lacks what happened from here on, since it could not be written fast enough; what stands before can be
    /// replayed.
    #[error("line {line} of the journal says that {lines} lines or more were lost there")]
    Lost {
        /// The line's number, from 1.
        line: usize,
        /// How many lines were not written, at least.
        lines: u64,
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
/// [`JournalError`]; lines that were cut off by a crash are passed over: the very end of the journal, and any number of
/// lines before one that says how a rollout began or was taken over, where all but the first of them began so too.
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
        // What follows a line that was cut off is another journal.
        if !begins(&text)
            && let Some(error) = broken.take()
        {
            return Err(error);
        }
        match serde_json::from_slice(&text) {
            Ok(line) => {
                broken = None;
                records.extend(told(step(&mut rollout, line, number)?));
            }
            Err(_) if !text.ends_with(b"\n") => return Ok(records),
            Err(source) => {
                broken.get_or_insert(JournalError::Line { line: number, source });
            }
        }
    }
    broken.map_or(Ok(records), Err)
}

/// Tells whether a line is the first of a journal, or what a crash left of one.
fn begins(line: &[u8]) -> bool {
    let line = line.trim_ascii_end();
    let begin = |of: &[u8]| line.starts_with(of) || of.starts_with(line);
    begin(b"{\"started\":") || begin(b"{\"resumed\":")
}

/// Does what a line says.
fn step(
    rollout: &mut Option<Rollout>,
    line: Line,
    number: usize,
) -> Result<Vec<Effect>, JournalError> {
    match line {
        Line::Started { rollout: id, policy, at, with } => {
            let begin = Begin::new(id, Policy::from_spec(policy)?)
                .after(with.after)
                .with_workload(with.workload)
                .version(with.version)
                .fast_return(with.fast_return);
            let (started, effects) = Rollout::begin(begin, at);
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
        Line::Lost { lines } => Err(JournalError::Lost { line: number, lines }),
    }
}

fn told(effects: Vec<Effect>) -> impl Iterator<Item = Record> {
    effects.into_iter().filter_map(|effect| match effect {
        Effect::Notify(record) => Some(record),
        _ => None,
    })
}
