//! What is remembered of each check, and what its verdicts lead to.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::history::lasts;
use crate::policy::{Check, CheckKind, Patience, Policy, Then, Tolerance, Unclear};
use crate::record::{Finding, Ruling, Verdict};
use crate::value::{Timestamp, millis};

/// Remembers one check's past.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Memory {
    /// When it could first be looked at.
    first: Option<Timestamp>,
    /// When it last came to something at this weight, for a check that is looked at less often.
    looked: Option<Timestamp>,
    /// What that was; it stands until the next look. Boxed, since it is large and most checks are looked at each time.
    found: Option<Box<(Verdict, Finding)>>,
    /// Whether what was gathered for it has been judged, so that it is gathered anew.
    pub(super) gathers_anew: bool,
    failures: u32,
    failures_in_a_row: u32,
    passes_in_a_row: u32,
    /// Since when it has had no data.
    silent_since: Option<Timestamp>,
    /// Since when its source has answered with errors.
    failing_since: Option<Timestamp>,
    /// Since when its source has answered that there is nothing newer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pending_since: Option<Timestamp>,
    /// What it last led to at this weight; it stands while there is nothing newer.
    standing: Option<Ruling>,
    /// Whether a person lets it only warn for the rest of the stage.
    pub(super) excused: bool,
}

/// Says by which rules a check is judged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) then: Then,
    pub(super) binding: bool,
    pub(super) tolerance: Tolerance,
    pub(super) no_data: Patience,
    pub(super) errors: Patience,
    /// How far behind the source may be before having nothing newer is silence.
    pub(super) lag: Duration,
    /// What too little to judge leads to.
    pub(super) unclear: Ruling,
}

/// Says what a verdict leads to.
pub(super) struct Consequence {
    pub(super) ruling: Ruling,
    /// What failing does now.
    pub(super) then: Then,
    pub(super) borne: bool,
    pub(super) passes_left: u32,
    /// The lack that was borne for too long, if it takes the canary back.
    pub(super) lack: Option<Lack>,
}

/// Says for how long nothing could be said.
#[derive(Clone, Copy)]
pub(super) enum Lack {
    Silence { for_ms: u64 },
    Errors { for_ms: u64 },
}

impl Rules {
    pub(super) fn of(policy: &Policy, check: &Check) -> Self {
        Self {
            then: check.then,
            binding: check.is_binding(),
            tolerance: check.tolerance,
            no_data: check.no_data.unwrap_or(policy.no_data()),
            errors: check.errors.unwrap_or(policy.errors()),
            lag: policy.lag(),
            unclear: match check.kind {
                CheckKind::AsGoodAsStable { unclear: Unclear::GoOn, .. } => Ruling::GoOn,
                CheckKind::AsGoodAsStable { unclear: Unclear::Ask, .. } => Ruling::Ask,
                _ => Ruling::Hold,
            },
        }
    }

    pub(super) fn of_hard_limit(policy: &Policy) -> Self {
        Self {
            then: Then::RollBack,
            binding: true,
            tolerance: Tolerance::default(),
            no_data: policy.no_data(),
            errors: policy.errors(),
            lag: policy.lag(),
            unclear: Ruling::Hold,
        }
    }
}

impl Memory {
    /// Begins to look, where it could not be looked at before; false until the check's delay has passed.
    pub(super) fn begin(&mut self, delay: Duration, now: Timestamp) -> bool {
        now.since(*self.first.get_or_insert(now)) >= delay
    }

    /// Tells whether it has begun.
    pub(super) fn has_begun(&self, delay: Duration, now: Timestamp) -> bool {
        delay.is_zero() || self.first.is_some_and(|first| now.since(first) >= delay)
    }

    /// Returns what stands until the next look is due, for a check that is looked at less often.
    pub(super) fn stands(&self, check: &Check, now: Timestamp) -> Option<&(Verdict, Finding)> {
        let (every, looked) = (check.every_ms?, self.looked?);
        if lasts(millis(now.since(looked)), every) { None } else { self.found.as_deref() }
    }

    /// Remembers a look, if it came to anything; otherwise it is made up for soon.
    pub(super) fn look(&mut self, check: &Check, found: (Verdict, &Finding), now: Timestamp) {
        let said = !matches!(
            found.0,
            Verdict::Pending | Verdict::NoData | Verdict::Error | Verdict::NotApplicable
        );
        if check.every_ms.is_some() && said {
            self.looked = Some(now);
            self.found = Some(Box::new((found.0, found.1.clone())));
            // Too few requests are gathered on until they are enough.
            self.gathers_anew = found.0 != Verdict::Inconclusive;
        }
    }

    /// The weight has changed: nothing stands any more.
    pub(super) fn forget_standing(&mut self) {
        self.looked = None;
        self.standing = None;
        self.silent_since = None;
        self.failing_since = None;
        self.pending_since = None;
    }

    /// Nothing could be looked at for this time: it counts neither as silence nor towards the delay.
    pub(super) fn stood_for(&mut self, time: Duration, now: Timestamp) {
        let lacks = [&mut self.silent_since, &mut self.failing_since, &mut self.pending_since];
        for since in [&mut self.first].into_iter().chain(lacks).flatten() {
            *since = (*since + time).min(now);
        }
    }

    /// A stage begins.
    pub(super) fn enter_stage(&mut self) {
        self.passes_in_a_row = 0;
        self.excused = false;
    }

    /// Returns what a verdict that stands meanwhile leads to.
    pub(super) fn meanwhile(&self, rules: &Rules, verdict: Verdict) -> Consequence {
        let (then, borne) = self.weighs(rules, verdict == Verdict::Fail);
        let passes_left = if verdict == Verdict::Pass { self.passes_left(rules) } else { 0 };
        let binding = rules.binding && !self.excused;
        let ruling = self.standing.filter(|_| binding).unwrap_or(Ruling::GoOn);
        Consequence { ruling, then, borne, passes_left, lack: None }
    }

    /// Counts a verdict and says what it leads to.
    pub(super) fn take(&mut self, rules: &Rules, verdict: Verdict, now: Timestamp) -> Consequence {
        self.count(verdict);
        self.watch(verdict, now);
        let (then, borne) = self.weighs(rules, verdict == Verdict::Fail);
        let passes_left = if verdict == Verdict::Pass { self.passes_left(rules) } else { 0 };
        let newer = match verdict {
            Verdict::Pass if passes_left > 0 => Some(Ruling::Wait),
            Verdict::Pass | Verdict::NotApplicable => Some(Ruling::GoOn),
            Verdict::Fail => Some(ruling_of(then)),
            Verdict::Pending => None,
            Verdict::Inconclusive => Some(rules.unclear),
            Verdict::NoData | Verdict::Error => Some(Ruling::Hold),
        };
        self.standing = newer.or(self.standing);
        if !rules.binding || self.excused {
            return Consequence { ruling: Ruling::GoOn, then, borne, passes_left, lack: None };
        }
        let ruling = self.standing.unwrap_or(Ruling::Wait);
        if !self.lacks() {
            return Consequence { ruling, then, borne, passes_left, lack: None };
        }
        let (worst, lack) = self.impatience(rules, now);
        let ruling = ruling.max(worst);
        Consequence { ruling, then, borne, passes_left, lack }
    }

    const fn count(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Pass => {
                self.passes_in_a_row = self.passes_in_a_row.saturating_add(1);
                self.failures_in_a_row = 0;
            }
            Verdict::Fail => {
                self.passes_in_a_row = 0;
                self.failures = self.failures.saturating_add(1);
                self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
            }
            Verdict::NoData | Verdict::Error | Verdict::Inconclusive => self.passes_in_a_row = 0,
            Verdict::Pending | Verdict::NotApplicable => {}
        }
    }

    /// Follows how long nothing could be said. Only data ends silence: an error, or nothing newer, says nothing. Any
    /// answer ends a row of errors.
    fn watch(&mut self, verdict: Verdict, now: Timestamp) {
        match verdict {
            Verdict::NoData => {
                self.failing_since = None;
                self.pending_since = None;
                self.silent_since.get_or_insert(now);
            }
            Verdict::Error => {
                self.pending_since = None;
                self.failing_since.get_or_insert(now);
            }
            Verdict::Pending => {
                self.failing_since = None;
                self.pending_since.get_or_insert(now);
            }
            Verdict::Pass | Verdict::Fail | Verdict::Inconclusive | Verdict::NotApplicable => {
                self.silent_since = None;
                self.failing_since = None;
                self.pending_since = None;
            }
        }
    }

    /// Tells whether nothing newer could be said at the last look.
    const fn lacks(&self) -> bool {
        self.silent_since.is_some() || self.failing_since.is_some() || self.pending_since.is_some()
    }

    /// Returns what failing does now, and whether a failure is borne: then it does one thing less.
    fn weighs(&self, rules: &Rules, fails: bool) -> (Then, bool) {
        if self.excused {
            return (Then::Warn, false);
        }
        let Tolerance { failures, in_a_row, .. } = rules.tolerance;
        let within = |most: Option<u32>, count| most.is_none_or(|most| count <= most);
        let bounded = failures.is_some() || in_a_row.is_some();
        let borne = fails
            && bounded
            && within(failures, self.failures)
            && within(in_a_row, self.failures_in_a_row);
        match (borne, rules.then) {
            (false, then) => (then, false),
            // The canary does not grow on a failure, but that is all.
            (true, Then::RollBack | Then::Ask) => (Then::Hold, true),
            (true, Then::Hold | Then::Warn) => (Then::Warn, true),
        }
    }

    const fn passes_left(&self, rules: &Rules) -> u32 {
        rules.tolerance.successes.saturating_sub(self.passes_in_a_row)
    }

    /// Returns what comes of a lack that was borne for long enough.
    fn impatience(&self, rules: &Rules, now: Timestamp) -> (Ruling, Option<Lack>) {
        // A source that is behind for longer than it may be says as little as one that knows nothing.
        let behind =
            self.pending_since.map(|since| since + rules.lag).filter(|since| *since <= now);
        let silent_since = self.silent_since.into_iter().chain(behind).min();
        let silence = ran_out(silent_since, rules.no_data, now);
        let errors = ran_out(self.failing_since, rules.errors, now);
        let worst = |lack: &Option<(Ruling, u64)>| lack.map_or(Ruling::GoOn, |(ruling, _)| ruling);
        let taken_back = |lack: Option<(Ruling, u64)>| {
            lack.filter(|(ruling, _)| *ruling == Ruling::RollBack).map(|(_, for_ms)| for_ms)
        };
        let lack = taken_back(silence)
            .map(|for_ms| Lack::Silence { for_ms })
            .or_else(|| taken_back(errors).map(|for_ms| Lack::Errors { for_ms }));
        (worst(&silence).max(worst(&errors)), lack)
    }
}

fn ran_out(since: Option<Timestamp>, patience: Patience, now: Timestamp) -> Option<(Ruling, u64)> {
    let lasted = now.since(since?);
    // Weight and clock stand anyway: a rollout that cannot be seen does not go on.
    let ruling = ruling_of(patience.then).max(Ruling::Hold);
    (lasted >= patience.after()).then(|| (ruling, millis(lasted)))
}

const fn ruling_of(then: Then) -> Ruling {
    match then {
        Then::Warn => Ruling::GoOn,
        Then::Hold => Ruling::Hold,
        Then::Ask => Ruling::Ask,
        Then::RollBack => Ruling::RollBack,
    }
}
