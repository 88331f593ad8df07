//! An observer that writes tracing events.

use tracing::{debug, error, info, warn};

use crate::ports::Observer;
use crate::record::{Content, Outcome, Record};
use crate::value::RolloutId;

/// Writes each record as a [`tracing`] event.
///
/// The target is `canary::rollout`, and the fields are `rollout`, `record` (its number), `at` (RFC 3339) and `kind`
/// ([`Content::kind`]); the message is the sentence that people read. Looks at the metrics are `DEBUG`, what went wrong
/// outside `WARN` and so is a canary that is taken back, one that cannot be taken back `ERROR`, everything else `INFO`.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Tracing;

impl Tracing {
    /// Makes one.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

/// Writes an event: the level must be known where it is compiled.
macro_rules! event {
    ($level:ident, $rollout:expr, $record:expr) => {
        $level!(
            target: "canary::rollout",
            rollout = %$rollout,
            record = $record.number,
            at = %$record.at,
            kind = $record.content.kind(),
            "{}",
            $record.content
        )
    };
}

impl Observer for Tracing {
    fn notice(&self, rollout: &RolloutId, record: &Record) {
        match &record.content {
            Content::Stuck { .. } => event!(error, rollout, record),
            Content::CallFailed { .. }
            | Content::Drifted { .. }
            | Content::RollbackDecided { .. }
            | Content::Stalled { .. }
            | Content::Ended { outcome: Outcome::RolledBack { .. } } => {
                event!(warn, rollout, record);
            }
            Content::Judged(_) => event!(debug, rollout, record),
            _ => event!(info, rollout, record),
        }
    }
}
