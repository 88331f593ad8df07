//! What gates and people of a simulated rollout say, and when.

use std::time::Duration;

use crate::ports::Decision;
use crate::value::{Failure, FailureKind, IntoDuration, Timestamp, millis};

/// How soon a gate that does not open is asked again.
const AGAIN: Duration = Duration::from_secs(60);

/// Says what a gate of a simulated rollout answers, or what the people say who are asked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Opening {
    /// It opens when it is asked.
    AtOnce,
    /// It opens this long after it is first asked.
    After(Duration),
    /// It does not open: it waits, and people say nothing.
    Never,
    /// It says no.
    Rejects,
    /// It answers with an error; people say nothing.
    Errors(FailureKind),
    /// It answers as the first, and from each of these times since the begin as another: see [`Opening::then`].
    Changes(Box<Opening>, Vec<(Duration, Opening)>),
}

impl Opening {
    /// Opens this long after it is first asked.
    ///
    /// # Panics
    /// If a text is no span of time.
    #[must_use]
    #[track_caller]
    pub fn after(time: impl IntoDuration) -> Self {
        Self::After(time.into_duration())
    }

    /// Answers otherwise from this time since the begin on: `Opening::AtOnce.then("20m", Opening::Rejects)`.
    ///
    /// # Panics
    /// If a text is no span of time.
    #[must_use]
    #[track_caller]
    pub fn then(self, from: impl IntoDuration, next: Self) -> Self {
        let (first, mut changes) = match self {
            Self::Changes(first, changes) => (first, changes),
            other => (Box::new(other), Vec::new()),
        };
        changes.push((from.into_duration(), next));
        changes.sort_by_key(|(from, _)| *from);
        Self::Changes(first, changes)
    }

    /// Answers a gate that is asked now, and was first asked at `asked`.
    pub(super) fn decide(
        &self,
        begin: Timestamp,
        asked: Timestamp,
        now: Timestamp,
    ) -> Result<Decision, Failure> {
        let again = match self {
            Self::Changes(_, changes) => {
                let ahead = changes.iter().map(|(from, _)| begin + *from).find(|from| *from > now);
                ahead.map_or(AGAIN, |from| from.since(now).min(AGAIN))
            }
            _ => AGAIN,
        };
        match self.at(now.since(begin)) {
            Self::AtOnce | Self::Changes(..) => Ok(Decision::Open),
            Self::After(wait) if now.since(asked) >= *wait => Ok(Decision::Open),
            Self::After(wait) => {
                let left = wait.saturating_sub(now.since(asked)).min(again.max(*wait));
                Ok(Decision::wait(left, "the simulation opens it later"))
            }
            Self::Never => Ok(Decision::wait(again, "the simulation never opens it")),
            Self::Rejects => Ok(Decision::reject("the simulation says no")),
            Self::Errors(kind) => Err(Failure::new(*kind, "the simulation makes this gate fail")),
        }
    }

    /// Returns when people who are asked say yes or no, and which; `None` if never.
    pub(super) fn answer(&self, begin: Timestamp, asked: Timestamp) -> Option<(Timestamp, bool)> {
        let Self::Changes(_, changes) = self else { return self.answer_to(asked, asked) };
        let later = changes.iter().map(|(from, _)| begin + *from).filter(|from| *from > asked);
        let times: Vec<Timestamp> = std::iter::once(asked).chain(later).collect();
        times.iter().enumerate().find_map(|(i, from)| {
            let (at, yes) = self.at(from.since(begin)).answer_to(asked, *from)?;
            times.get(i + 1).is_none_or(|next| at < *next).then_some((at, yes))
        })
    }

    fn answer_to(&self, asked: Timestamp, from: Timestamp) -> Option<(Timestamp, bool)> {
        match self {
            Self::AtOnce => Some((from, true)),
            Self::After(wait) => Some((from.max(asked + *wait), true)),
            Self::Rejects => Some((from, false)),
            Self::Never | Self::Errors(_) | Self::Changes(..) => None,
        }
    }

    /// Returns what it answers as at a time since the begin.
    fn at(&self, time: Duration) -> &Self {
        match self {
            Self::Changes(first, changes) => {
                let begun = changes.iter().rev().find(|(from, _)| millis(*from) <= millis(time));
                begun.map_or(&**first, |(_, opening)| opening).at(time)
            }
            plain => plain,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGIN: Timestamp = Timestamp::from_millis(1_000_000);

    fn minutes(minutes: u64) -> Duration {
        Duration::from_secs(60 * minutes)
    }

    /// Returns after how long a gate that waits is to be asked again.
    fn again(opening: &Opening, now: Duration) -> Duration {
        match opening.decide(BEGIN, BEGIN, BEGIN + now).unwrap() {
            Decision::Wait { retry_after_ms, .. } => Duration::from_millis(retry_after_ms),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_gate_that_will_answer_otherwise_is_asked_again_then() {
        let opening = Opening::Never.then("10m", Opening::Never).then("20m", Opening::AtOnce);
        assert_eq!(again(&opening, Duration::ZERO), AGAIN);
        assert_eq!(again(&opening, minutes(10) - Duration::from_secs(20)), Duration::from_secs(20));
        // What begins now is no change ahead.
        assert_eq!(again(&opening, minutes(10)), AGAIN);
        assert!(matches!(opening.decide(BEGIN, BEGIN, BEGIN + minutes(20)), Ok(Decision::Open)));
    }

    #[test]
    fn who_is_asked_answers_as_they_do_by_then() {
        let opening = Opening::after("10m").then("10m", Opening::Rejects);
        assert_eq!(opening.answer(BEGIN, BEGIN), Some((BEGIN + minutes(10), false)));
        let opening = Opening::after("10m").then("11m", Opening::Rejects);
        assert_eq!(opening.answer(BEGIN, BEGIN), Some((BEGIN + minutes(10), true)));
    }
}
