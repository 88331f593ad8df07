//! Assertions for policy tests; each prints the timeline when it fails.

use super::Report;
use crate::record::{Outcome, Reason};

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
}
