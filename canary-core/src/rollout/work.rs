//! Running the versions: the canary made ready, stable replaced or restored, the old one retired.

use std::time::Duration;

use super::flight::{Pending, Ready, Slot, Status, Urgency};
use super::{Action, Phase, Rollout};
use crate::policy::How;
use crate::ports::{Capacity, Progress, Readiness};
use crate::record::{Content, Outcome, Reason};
use crate::value::{Failure, FailureKind, Side, Timestamp, millis};

/// How often what runs the versions may say that something can never be done.
const HOPELESS_TRIES: u32 = 3;
/// How often it may fail otherwise, in a row.
const TRIES: u32 = 8;
/// How long a store may take to save that stable is restored before that is done anyway.
const SAVED_WITHIN: Duration = Duration::from_secs(2);

impl Rollout {
    /// Returns how large the canary must be for what comes next.
    fn wanted_capacity(&self) -> Option<Capacity> {
        let stage = match &self.state.phase {
            _ if !self.state.workload => return None,
            Phase::Opening { gates } if gates.opened >= self.start_gates() => self.state.first,
            // What gives the canary less must not make it smaller before it has less.
            Phase::Entering { hold, .. }
                if !self.policy.traffic(hold.stage).is_within(&self.state.traffic) =>
            {
                hold.stage
            }
            _ => return None,
        };
        let stage = self.stage(stage);
        Some(Capacity::new(stage.weight, stage.scale))
    }

    /// Tells whether the canary is ready for what comes next.
    pub(super) fn is_ready(&self) -> bool {
        self.wanted_capacity().is_none_or(|wanted| {
            self.flight.ready.weight.is_some_and(|ready| ready >= wanted.weight)
        })
    }

    /// Asks what runs the versions for what the phase wants, where nothing is under way.
    pub(super) fn work_if_wanted(&mut self, now: Timestamp) {
        self.give_up_waiting(now);
        self.ask_again_if_stale(now);
        if self.flight.get(Slot::Work).is_some() || !self.state.workload {
            return;
        }
        let how = self.policy.spec().promotion.how;
        let pending = match &self.state.phase {
            Phase::Opening { .. } | Phase::Entering { .. } if !self.is_ready() => {
                let Some(capacity) = self.wanted_capacity() else { return };
                self.state.preparing.get_or_insert(now);
                self.hold(Action::Prepare { capacity })
            }
            // The route is ours first, so that an older holder can move nothing any more.
            Phase::Promoting { replaced: false } if self.is_routed() && self.is_running() => {
                self.hold(Action::Promote { how })
            }
            Phase::RollingBack { emptied, .. } => match self.state.replaced {
                Some(how) if *emptied || how == How::InPlace => self.give_back(how, now),
                _ => return,
            },
            // Nothing is removed before the route is known to send nothing to it.
            Phase::Retiring { outcome, due, .. } if *due <= now && self.is_routed() => {
                let side = retired(outcome, how);
                if let Phase::Retiring { going, .. } = &mut self.state.phase {
                    self.flight.unsent = !std::mem::replace(going, true);
                }
                self.hold(Action::Retire { side })
            }
            _ => return,
        };
        self.flight.put(Slot::Work, pending);
    }

    /// Restores stable once it was tried to save that, for a moment: the next holder must not take the promotion up
    /// again, and users must not wait for a store that hangs.
    fn give_back(&mut self, how: How, now: Timestamp) -> Pending {
        let restore = Action::Restore { how };
        if self.state.ledger.is_failing() {
            return self.run(restore, now);
        }
        let held = self.hold(restore);
        match held.status {
            Status::Held { rev } => {
                Pending { status: Status::Tried { rev, until: now + SAVED_WITHIN }, ..held }
            }
            _ => held,
        }
    }

    /// Forgets how ready the canary was: it is asked again before each raise, and has all of its time.
    pub(super) fn ready_anew(&mut self) {
        self.cancel(Slot::Work);
        self.flight.ready.again();
        self.state.preparing = None;
    }

    /// Forgets how ready the canary was where that was said long before it may get more: something held the raise up.
    fn ask_again_if_stale(&mut self, now: Timestamp) {
        let Ready { weight, at, .. } = &self.flight.ready;
        let stale = weight.is_some() && now.since(*at) > self.policy.every().saturating_mul(2);
        let asks = self.flight.get(Slot::Route).is_some_and(Pending::is_running);
        let entering = matches!(self.state.phase, Phase::Entering { .. });
        if stale && entering && !asks && self.wanted_capacity().is_some() && self.may_leave(now) {
            self.ready_anew();
        }
    }

    /// Returns when the canary must be ready.
    pub(super) fn ready_by(&self) -> Option<Timestamp> {
        let within = Duration::from_millis(self.policy.spec().workload.ready_within_ms);
        let waits = self.is_running() && !self.is_ready();
        self.state.preparing.filter(|_| waits).map(|since| since + within)
    }

    fn give_up_waiting(&mut self, now: Timestamp) {
        if self.ready_by().is_none_or(|at| now < at) {
            return;
        }
        let why = std::mem::take(&mut self.flight.ready.why);
        let after_ms = self.policy.spec().workload.ready_within_ms;
        self.roll_back(Reason::NotReady { why, after_ms }, now);
    }

    /// Takes in how ready the canary is.
    pub(super) fn prepared(&mut self, result: Result<Readiness, Failure>, now: Timestamp) {
        let readiness = match result {
            Ok(readiness) => readiness,
            Err(failure) => return self.work_failed(failure, now),
        };
        self.flight.work_failures = 0;
        let Some(wanted) = self.wanted_capacity() else {
            self.flight.take(Slot::Work);
            return;
        };
        let Readiness { ready_for, why } = readiness;
        let Some(ready_for) = ready_for.filter(|ready| *ready >= wanted.weight) else {
            self.flight.ready.since = None;
            if self.flight.ready.why != why {
                self.flight.ready.why.clone_from(&why);
                self.record(now, Content::CanaryNotReady { why });
            }
            return self.again(Slot::Work, Urgency::Poll, None, now);
        };
        let since = *self.flight.ready.since.get_or_insert(now);
        let must = Duration::from_millis(self.policy.spec().workload.ready_for_ms);
        if now.since(since) < must {
            return self.again(Slot::Work, Urgency::Poll, None, now);
        }
        self.flight.take(Slot::Work);
        let told = self.flight.ready.told == Some(wanted.weight);
        let told_for = Some(wanted.weight);
        self.flight.ready =
            Ready { weight: Some(ready_for), at: now, told: told_for, ..Ready::default() };
        self.state.preparing = None;
        self.moved(now);
        if !told {
            self.record(now, Content::CanaryReady { weight: wanted.weight });
        }
    }

    /// Takes in how far stable's replacement, its restoration or a retirement is.
    pub(super) fn progressed(&mut self, result: Result<Progress, Failure>, now: Timestamp) {
        let progress = match result {
            Ok(progress) => progress,
            Err(failure) => return self.work_failed(failure, now),
        };
        self.flight.work_failures = 0;
        self.flight.work_waits = match progress {
            Progress::Done if !self.puts_back() => return self.work_done(now),
            Progress::Done => String::new(),
            Progress::Wait { why } => why,
        };
        self.again(Slot::Work, Urgency::Poll, None, now);
    }

    fn work_done(&mut self, now: Timestamp) {
        let Some(pending) = self.flight.take(Slot::Work) else { return };
        match (pending.action, self.state.phase.clone()) {
            (Action::Promote { how }, Phase::Promoting { .. }) => {
                self.record(now, Content::StableReplaced { how });
                self.go(Phase::Promoting { replaced: true }, now);
            }
            (Action::Restore { .. }, Phase::RollingBack { .. }) => {
                self.state.replaced = None;
                self.record(now, Content::StableRestored);
                self.end_rollback(now);
            }
            (Action::Retire { side }, Phase::Retiring { outcome, .. }) => {
                self.record(now, Content::Retired { side });
                self.go(Phase::Releasing { outcome }, now);
            }
            _ => {}
        }
    }

    fn work_failed(&mut self, failure: Failure, now: Timestamp) {
        if failure.kind == FailureKind::Unconfirmed {
            return self.retry(Slot::Work, Urgency::Patient, &failure, now);
        }
        self.flight.work_failures += 1;
        let most = if failure.kind == FailureKind::Invalid { HOPELESS_TRIES } else { TRIES };
        let phase = self.state.phase.clone();
        let goes_on = matches!(phase, Phase::RollingBack { .. }) || self.puts_back();
        if goes_on || self.flight.work_failures < most {
            return self.retry(Slot::Work, Urgency::Patient, &failure, now);
        }
        self.note_failure(Slot::Work, &failure, now);
        self.flight.take(Slot::Work);
        self.flight.work_failures = 0;
        match phase {
            Phase::Retiring { .. } => self.leave_behind(now),
            _ => self.roll_back(Reason::WorkloadFailed { failure }, now),
        }
    }

    /// Tells whether the route is still put back before our marks come off it: somebody else has changed it while a
    /// version was going.
    fn puts_back(&self) -> bool {
        matches!(self.state.phase, Phase::Retiring { .. }) && self.flight.get(Slot::Route).is_some()
    }

    /// Tells whether the old version is going, so that there is no way back any more.
    pub(super) fn old_is_going(&self) -> bool {
        let going = matches!(
            self.state.phase,
            Phase::Retiring { outcome: Outcome::Promoted, going: true, .. }
        );
        going && !self.flight.unsent
    }

    /// Returns for how long the canary has been waited for, in milliseconds, and what for.
    pub(super) fn waits_for_canary(&self, now: Timestamp) -> Option<(u64, &str)> {
        let since = self.state.preparing.filter(|_| !self.is_ready())?;
        Some((millis(now.since(since)), &self.flight.ready.why))
    }
}

/// Returns the side that has no traffic any more.
fn retired(outcome: &Outcome, how: How) -> Side {
    match (outcome, how) {
        (Outcome::Promoted, How::Swap) => Side::Stable,
        (Outcome::Promoted, How::InPlace) | (Outcome::RolledBack { .. }, _) => Side::Canary,
    }
}
