//! Assertions for policy tests; each prints the timeline when it fails.

use super::Report;
use crate::record::{Content, Outcome, Reason, Ruling, Verdict};
use crate::value::{IntoDuration, Weight};

impl Report {
    /// Asserts that the canary was promoted.
    ///
    /// # Panics
    /// With the timeline, if it was not.
    #[track_caller]
    pub fn assert_promoted(&self) {
        assert!(
            matches!(self.outcome, Some(Outcome::Promoted)),
            "expected: promoted\n{}",
            self.to_markdown()
        );
    }

    /// Asserts that the canary was taken back, for whatever reason.
    ///
    /// # Panics
    /// With the timeline, if it was not.
    #[track_caller]
    pub fn assert_rolled_back(&self) {
        assert!(
            matches!(self.outcome, Some(Outcome::RolledBack { .. })),
            "expected: rolled back\n{}",
            self.to_markdown()
        );
    }

    /// Asserts that the canary was taken back because this check failed.
    ///
    /// # Panics
    /// With the timeline, if it was not.
    #[track_caller]
    pub fn assert_rolled_back_by(&self, check: &str) {
        let by = self.outcome.as_ref().and_then(Outcome::reason).and_then(Reason::check);
        assert!(by == Some(check), "expected: rolled back by `{check}`\n{}", self.to_markdown());
    }

    /// Asserts that the canary was taken back this soon after it was decided: the router had accepted 0 %.
    ///
    /// # Panics
    /// With the timeline, if it was not; if a text is no span of time.
    #[track_caller]
    pub fn assert_rolled_back_within(&self, time: impl IntoDuration) {
        let time = time.into_duration();
        let took = self.rollback_decided.zip(self.zero_accepted).map(|(d, zero)| zero.since(d));
        assert!(
            took.is_some_and(|took| took <= time),
            "expected: 0% within {time:?} of the decision, not {took:?}\n{}",
            self.to_markdown()
        );
    }

    /// Asserts that the canary was neither promoted nor taken back.
    ///
    /// # Panics
    /// With the timeline, if it was.
    #[track_caller]
    pub fn assert_unfinished(&self) {
        assert!(self.outcome.is_none(), "expected: not finished\n{}", self.to_markdown());
    }

    /// Asserts that the router never accepted more than this weight.
    ///
    /// # Panics
    /// With the timeline, if it did.
    #[track_caller]
    pub fn assert_never_above(&self, weight: Weight) {
        assert!(
            self.highest_weight <= weight,
            "expected: never above {weight}\n{}",
            self.to_markdown()
        );
    }

    /// Asserts that weight and clock stood at least once because of this check, whatever came later.
    ///
    /// # Panics
    /// With the timeline, if they did not.
    #[track_caller]
    pub fn assert_held_by(&self, check: &str) {
        let held = self.timeline.iter().any(|record| match &record.content {
            Content::Judged(judgement) if judgement.ruling == Ruling::Hold => {
                judgement.checks.iter().any(|result| {
                    *result.check == *check
                        && !matches!(result.verdict, Verdict::Pass | Verdict::NotApplicable)
                })
            }
            _ => false,
        });
        assert!(held, "expected: held by `{check}`\n{}", self.to_markdown());
    }

    /// Returns the weight that the router had accepted last, this long after the begin.
    ///
    /// Read off the timeline: where its middle is left out, so is what changed there.
    ///
    /// # Panics
    /// If a text is no span of time.
    #[must_use]
    #[track_caller]
    pub fn weight_at(&self, time: impl IntoDuration) -> Weight {
        let at = self.started + time.into_duration();
        let mut before = self.timeline.iter().rev().filter(|record| record.at <= at);
        let accepted = before.find_map(|record| match record.content {
            Content::TrafficAccepted { weight, .. } => Some(weight),
            _ => None,
        });
        accepted.unwrap_or_default()
    }
}
