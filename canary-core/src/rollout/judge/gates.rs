//! Gates that are watched as checks.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ports::Decision;
use crate::record::{Finding, Verdict};
use crate::value::{Failure, GateName, Span, Timestamp, millis};

/// Remembers a gate's last word.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Word {
    pub(super) gate: GateName,
    last: Option<(Result<Decision, Failure>, Timestamp)>,
}

impl Word {
    pub(super) fn none_of(gate: &GateName) -> Self {
        Self { gate: gate.clone(), last: None }
    }

    pub(super) fn say(&mut self, said: Result<Decision, Failure>, at: Timestamp) {
        self.last = Some((said, at));
    }
}

/// Judges a gate by its last word, if that is no older than `fresh`.
pub(super) fn judge(word: Option<&Word>, now: Timestamp, fresh: Duration) -> (Verdict, Finding) {
    let Some(Word { gate, last: Some((said, at)) }) = word else {
        return (Verdict::Pending, Finding::Nothing);
    };
    let age = now.since(*at);
    let finding = |why: Option<String>| Finding::Gate { gate: gate.clone(), why };
    if age > fresh {
        // An old word lets nothing go on, whatever it was.
        let why = format!("it has said nothing for {}", Span(millis(age)));
        return (Verdict::Inconclusive, finding(Some(why)));
    }
    match said {
        Ok(Decision::Open) => (Verdict::Pass, finding(None)),
        Ok(Decision::Wait { why, .. }) => (Verdict::Inconclusive, finding(Some(why.clone()))),
        Ok(Decision::Reject { why }) => (Verdict::Fail, finding(Some(why.clone()))),
        Err(failure) => (Verdict::Error, Finding::Failed(failure.clone())),
    }
}
