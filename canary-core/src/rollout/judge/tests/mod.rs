//! The judge by itself: a table of looks and what each comes to.

mod abs;
mod as_good;
mod binding;
mod combined;
mod gates;
mod lacks;
mod limits;
mod looks;
mod objective;
mod pass;
mod ranks;
mod restored;
mod score;
mod tolerance;
mod weigh;

use std::time::Duration;

use super::{Judge, Judged, Look};
use crate::policy::{Check, Policy, PolicySpec, Stage};
use crate::record::{CheckResult, Ruling, Verdict};
use crate::value::{
    Buckets, Counts, Failure, FailureKind, Measured, Query, Reading, Signal, Split, Timestamp,
    Weight, Window,
};

pub(super) const INTERVAL: Duration = Duration::from_secs(10);

/// Looks every ten seconds, at whatever stage the test says.
pub(super) struct Bench {
    pub(super) policy: Policy,
    pub(super) judge: Judge,
    pub(super) now: Timestamp,
    pub(super) stage: usize,
    pub(super) left: Duration,
    pub(super) blind: Option<Window>,
}

/// Answers with these readings of stable and the canary.
pub(super) type Answer = Result<(Reading, Reading), FailureKind>;

pub(super) fn counts(total: u64, bad: u64) -> Reading {
    Reading::Counts(Counts::new(total, bad).unwrap())
}

pub(super) fn both(reading: &Reading) -> Answer {
    Ok((reading.clone(), reading.clone()))
}

/// Buckets up to 100 ms, 500 ms, and beyond.
pub(super) fn times(fast: u64, medium: u64, slow: u64) -> Reading {
    Reading::Buckets(Buckets::new(vec![100.0, 500.0], vec![fast, medium, slow]).unwrap())
}

/// Fifty minutes at a half, then as long at all.
pub(super) fn spec(checks: Vec<Check>) -> PolicySpec {
    let mut spec = PolicySpec::new("shop");
    spec.every_ms = 10_000;
    spec.hard_limit = false;
    spec.checks = checks;
    let hold = Duration::from_secs(3_000);
    spec.stages =
        vec![Stage::new("half", Weight::percent(50), hold), Stage::new("full", Weight::FULL, hold)];
    spec
}

impl Bench {
    pub(super) fn of(checks: Vec<Check>) -> Self {
        Self::with(spec(checks))
    }

    pub(super) fn with(spec: PolicySpec) -> Self {
        let policy = Policy::from_spec(spec).unwrap();
        let now = Timestamp::from_millis(1_000_000);
        let judge = Judge::new(&policy, now);
        let left = policy.stages()[0].hold();
        Self { policy, judge, now, stage: 0, left, blind: None }
    }

    pub(super) fn split(&self) -> Split {
        self.policy.stages()[self.stage].split()
    }

    pub(super) fn here(&self) -> Look {
        Look { stage: self.stage, split: self.split(), left: self.left, blind: self.blind }
    }

    /// Enters a stage whose weight stands at once.
    pub(super) fn enter(&mut self, stage: usize) {
        self.stage = stage;
        self.left = self.policy.stages()[stage].hold();
        self.judge.enter_stage(stage);
        self.judge.skip_to(self.now);
    }

    /// Looks after an interval; each query is answered up to now.
    pub(super) fn look(&mut self, answer: impl Fn(&Signal) -> Answer) -> Judged {
        self.look_at(|signal, window| {
            answer(signal).map(|(stable, canary)| Measured::new(window, stable, canary))
        })
    }

    /// Looks after an interval; each query is answered with all that a source can say of its window.
    pub(super) fn look_at(
        &mut self,
        answer: impl Fn(&Signal, Window) -> Result<Measured, FailureKind>,
    ) -> Judged {
        self.now = self.now + INTERVAL;
        let (now, queries) = (self.now, self.judge.queries());
        let answers: Vec<_> = queries
            .iter()
            .map(|Query { signal, after, .. }| {
                answer(signal, Window::new(*after, now))
                    .map_err(|kind| Failure::new(kind, "no luck"))
            })
            .collect();
        self.take_in(&queries, &answers)
    }

    pub(super) fn take_in(
        &mut self,
        queries: &[Query],
        answers: &[Result<Measured, Failure>],
    ) -> Judged {
        let judged =
            self.judge.judge(&self.policy, self.here(), (queries, self.now), answers, self.now);
        if let (Ruling::GoOn, Some(observed)) = (judged.judgement.ruling, judged.observed) {
            self.left = self.left.saturating_sub(observed);
        }
        judged
    }

    /// Looks where the canary failed so many of 100 requests, and stable none of as many.
    pub(super) fn failing(&mut self, bad: u64) -> Judged {
        self.look(|_| Ok((counts(100, 0), counts(100, bad))))
    }

    /// Looks where there is nothing newer.
    pub(super) fn pending(&mut self) -> Judged {
        self.now = self.now + INTERVAL;
        let queries = self.judge.queries();
        let answers: Vec<_> = queries.iter().map(|q| Ok(Measured::pending(q.after))).collect();
        self.take_in(&queries, &answers)
    }

    /// Looks where nothing is measured.
    pub(super) fn unmeasured(&mut self) -> Judged {
        self.now = self.now + INTERVAL;
        self.take_in(&[], &[])
    }

    pub(super) fn passing(&self) -> bool {
        self.judge.is_passing(&self.policy, self.now)
    }
}

/// Returns what a check found.
pub(super) fn found<'a>(judged: &'a Judged, check: &str) -> &'a CheckResult {
    judged.judgement.checks.iter().find(|result| *result.check == *check).unwrap()
}

pub(super) fn verdict(judged: &Judged, check: &str) -> Verdict {
    found(judged, check).verdict
}

pub(super) fn ruling(judged: &Judged) -> Ruling {
    judged.judgement.ruling
}
