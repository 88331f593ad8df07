//! What is measured, and up to where it was counted.

use serde::{Deserialize, Serialize};

use super::tally::Tally;
use crate::value::{Failure, FailureKind, Measured, Query, Timestamp, Window, millis};

/// Follows one signal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Track {
    /// What is asked; its `after` is the cursor.
    pub(super) query: Query,
    /// Since when it has covered everything up to the cursor.
    #[serde(default)]
    since: Timestamp,
    /// The stage's own sum, where anything reads it.
    pub(super) stage: Tally,
}

/// Says what became of a query at one look.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum State {
    Fresh,
    Pending,
    Failed(Failure),
}

impl Track {
    pub(super) fn new(query: &Query, after: Timestamp) -> Self {
        let query = Query { after, ..query.clone() };
        Self { query, since: Timestamp::EPOCH, stage: Tally::default() }
    }

    pub(super) const fn cursor(&self) -> Timestamp {
        self.query.after
    }

    pub(super) const fn since(&self) -> Timestamp {
        self.since
    }

    /// Counts nothing up to `from`.
    pub(super) fn skip_to(&mut self, from: Timestamp) {
        self.query.after = self.query.after.max(from);
    }

    /// Moves the cursor over what was answered, if that is newer than it and fits the question.
    pub(super) fn take_in(
        &mut self,
        asked: Option<&Query>,
        until: Timestamp,
        answer: Option<&Result<Measured, Failure>>,
    ) -> State {
        let measured = match (asked, answer) {
            (None, _) => return State::Pending,
            (_, None) => return invalid("the source left this query unanswered"),
            (_, Some(Err(failure))) => return State::Failed(failure.clone()),
            (_, Some(Ok(measured))) if measured.covered.is_empty() => return State::Pending,
            (_, Some(Ok(measured))) => measured,
        };
        let after = asked.map_or(self.cursor(), |query| query.after.max(self.cursor()));
        if measured.covered.after < after || measured.covered.until > until {
            return overlap(measured.covered, Window::new(after, until));
        }
        for side in [&measured.sides.stable, &measured.sides.canary] {
            if let Err(error) = side.check() {
                return invalid(error.to_string());
            }
        }
        if measured.covered.after > self.cursor() {
            self.since = measured.covered.after;
        }
        self.query.after = measured.covered.until;
        State::Fresh
    }

    /// Adds a reading to the stage's own sum.
    pub(super) fn sum_up(&mut self, measured: &Measured) {
        self.stage.add(&measured.sides, millis(measured.covered.length()));
    }
}

fn invalid(message: impl Into<String>) -> State {
    State::Failed(Failure::new(FailureKind::Invalid, message))
}

fn overlap(seen: Window, asked: Window) -> State {
    invalid(format!(
        "the source covered {} to {} where {} to {} was asked: counting it would count requests twice",
        seen.after, seen.until, asked.after, asked.until
    ))
}
