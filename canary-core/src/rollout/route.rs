//! What is asked of the router, and what its answers mean.

use super::flight::{Pending, Slot, Status, Urgency};
use super::{Action, Phase, Rollout, judge};
use crate::policy::{Drift, How};
use crate::ports::{Applied, Observed};
use crate::record::{Content, Outcome, Reason};
use crate::value::{Failure, FailureKind, Side, Timestamp, Traffic, Weight};

/// How often the next traffic is asked for before the canary is taken back.
const RAISE_TRIES: u32 = 8;
/// The same where another try makes little sense.
const HOPELESS_TRIES: u32 = 3;
/// How often our marks are tried to be taken off the route.
const RELEASE_TRIES: u32 = 4;

impl Action {
    /// Sends nothing to the canary.
    pub(super) fn empty() -> Self {
        Self::Route { traffic: Traffic::all_stable(), at: None }
    }
}

impl Rollout {
    /// Asks the router for what the phase wants, where nothing is under way.
    pub(super) fn route_if_wanted(&mut self, now: Timestamp) {
        if self.flight.get(Slot::Route).is_some() {
            return;
        }
        let pending = match &self.state.phase {
            Phase::Starting { .. } => Some(self.hold(Action::empty())),
            Phase::RollingBack { .. } => self.way_back().map(|empty| self.lower(empty)),
            Phase::Releasing { .. } => Some(self.run(Action::Release, now)),
            _ => self.wanted_traffic().and_then(|wanted| self.towards(wanted, now)),
        };
        match pending {
            Some(pending) => self.flight.put(Slot::Route, pending),
            None if self.must_look(now) => {
                let look = self.run(Action::Observe, now);
                self.flight.put(Slot::Route, look);
            }
            None => self.close_if_routed(now),
        }
    }

    /// Returns the traffic that the phase wants, where its traffic can be other than it wants.
    fn wanted_traffic(&self) -> Option<Traffic> {
        match &self.state.phase {
            Phase::Starting { .. }
            | Phase::Holding { .. }
            | Phase::RollingBack { .. }
            | Phase::Releasing { .. }
            | Phase::Ended { .. } => None,
            Phase::Retiring { .. } => Some(self.state.confirmed.clone()),
            // Left as it was found until somebody resumes the rollout.
            _ if self.state.drifted => Some(self.state.traffic.clone()),
            _ if self.state.restores => Some(self.state.confirmed.clone()),
            Phase::Entering { hold, changes: true, .. } => Some(self.policy.traffic(hold.stage)),
            Phase::Promoting { replaced: true } => Some(self.lasting_traffic()),
            // As the router took it on last: everything stays where it is.
            Phase::Entering { .. }
            | Phase::Opening { .. }
            | Phase::Promoting { .. }
            | Phase::Closing { .. } => Some(self.state.confirmed.clone()),
        }
    }

    /// Asks for traffic where it is not so, or where the route is not ours yet.
    fn towards(&mut self, wanted: Traffic, now: Timestamp) -> Option<Pending> {
        let entering = matches!(self.state.phase, Phase::Entering { .. });
        let stands = self.state.drifted || (!entering && self.state.traffic == wanted);
        if self.flight.claimed && stands {
            return None;
        }
        let ours = self.state.traffic.meet(&self.state.confirmed);
        if !self.state.drifted && ours != self.state.traffic {
            // More than we ever asked for is taken away at once.
            return Some(self.lower(Action::Route { traffic: ours, at: None }));
        }
        let less = self.state.traffic.meet(&wanted);
        if less != self.state.traffic {
            // What the plan itself takes away is no way back: a crash must not make it look like one.
            return Some(self.hold(Action::Route { traffic: less, at: None }));
        }
        if !entering && wanted.is_within(&self.state.traffic) {
            return Some(self.lower(Action::Route { traffic: wanted, at: None }));
        }
        self.state.raised = true;
        Some(match self.state.version.clone() {
            Some(at) => self.hold(Action::Route { traffic: wanted, at: Some(at) }),
            None => self.run(Action::Observe, now),
        })
    }

    /// Stops a raise that is under way, and has the route looked at anew: the request may have left already. What came
    /// of it is left as it is found, and a raise that arrives after the look is based on a version that is known.
    pub(super) fn stop_raising(&mut self) {
        let raises = |pending: &Pending| match &pending.action {
            Action::Route { traffic, at: Some(_) } => {
                pending.is_running() && !traffic.is_within(&self.state.traffic)
            }
            _ => false,
        };
        if self.flight.get(Slot::Route).is_some_and(raises) {
            self.cancel(Slot::Route);
            self.state.version = None;
        }
    }

    /// Follows an action that takes traffic away: it waits for nothing but the first save, before which the target
    /// may be somebody else's.
    fn lower(&mut self, action: Action) -> Pending {
        let id = self.state.ledger.effect_id();
        Pending { id, attempt: 1, unconfirmed: 0, action, status: Status::Held { rev: 1 } }
    }

    /// Tells whether the route is ours, was looked at in this phase, and sends nothing to the version that is to be
    /// replaced or removed.
    pub(super) fn is_routed(&self) -> bool {
        let idle = match (&self.state.phase, self.policy.spec().promotion.how) {
            (Phase::Promoting { .. }, How::InPlace)
            | (Phase::Retiring { outcome: Outcome::Promoted, .. }, How::Swap) => Side::Stable,
            (Phase::Promoting { .. }, How::Swap) => return self.flight.looked,
            _ => Side::Canary,
        };
        self.flight.looked
            && match idle {
                Side::Stable => self.state.traffic.canary == Weight::FULL,
                Side::Canary => !self.state.traffic.reaches_canary(),
            }
    }

    /// Tells whether the route has to be looked at before a version is replaced or removed.
    fn must_look(&self, now: Timestamp) -> bool {
        let due = match &self.state.phase {
            Phase::Promoting { replaced } => !*replaced && self.is_running(),
            Phase::Retiring { due, .. } => *due <= now,
            _ => false,
        };
        due && self.state.workload && !self.flight.looked
    }

    pub(super) fn applied(&mut self, result: Result<Applied, Failure>, now: Timestamp) {
        let Some(Pending { action: Action::Route { traffic, .. }, .. }) =
            self.flight.get(Slot::Route)
        else {
            return;
        };
        let asked = traffic.clone();
        match result {
            // The plan's weights are such that the router can hold them: another one is somebody else's.
            Ok(Applied { accepted, .. }) if accepted != asked => {
                let message = format!("the route stands at {accepted} where {asked} was asked");
                self.route_failed(Failure::new(FailureKind::Conflict, message), now);
            }
            Ok(applied) => {
                self.flight.take(Slot::Route);
                self.state.version = Some(applied.version);
                self.routed(asked, applied.effective, now);
            }
            Err(failure) => self.route_failed(failure, now),
        }
    }

    pub(super) fn route_failed(&mut self, failure: Failure, now: Timestamp) {
        // A holder between may have died before its first save, or by a clock that is ahead of ours: the store
        // decides whose the rollout is, so we go on behind it.
        if let Some(later) = failure.later {
            self.flight.epoch = self.flight.epoch.max(later.next());
        }
        let paused = !self.is_running();
        let Some(pending) = self.flight.get_mut(Slot::Route) else { return };
        if paused && matches!(pending.action, Action::Observe) {
            // Nothing waits for a look while the rollout is paused.
            pending.unconfirmed = pending.unconfirmed.saturating_add(1);
        }
        let tries = pending.tries();
        let kept = matches!(self.state.phase, Phase::Retiring { .. });
        let most = if failure.kind.is_retryable() { RAISE_TRIES } else { HOPELESS_TRIES };
        if let Phase::RollingBack { reason, .. } = &self.state.phase {
            let outcome = Outcome::RolledBack { reason: reason.clone() };
            // A route that is not there, say: nobody ever reached the canary by it.
            if self.state.raised || failure.kind.is_retryable() || tries < most {
                return self.retry(Slot::Route, Urgency::Now, &failure, now);
            }
            self.note_failure(Slot::Route, &failure, now);
            self.flight.take(Slot::Route);
            return self.retire(outcome, now);
        }
        let counts = failure.kind != FailureKind::Unconfirmed;
        // What is decided is not given up for a router, unless no try can ever help: a route that is gone.
        if counts && tries >= most && (!kept || !failure.kind.is_retryable()) {
            self.note_failure(Slot::Route, &failure, now);
            self.flight.take(Slot::Route);
            return if kept {
                self.leave_behind(now)
            } else {
                self.roll_back(Reason::RouterFailed { failure }, now)
            };
        }
        self.retry(Slot::Route, Urgency::Patient, &failure, now);
        // Somebody wrote in between: look again before the next try.
        if failure.kind == FailureKind::Conflict
            && self.wanted_traffic().is_some()
            && let Some(pending) = self.flight.get_mut(Slot::Route)
        {
            pending.action = Action::Observe;
        }
    }

    /// Takes in how the route was found before its traffic is asked for.
    pub(super) fn observed_route(&mut self, result: Result<Observed, Failure>, now: Timestamp) {
        match result {
            Ok(observed) => self.found(observed, now),
            Err(failure) => self.route_failed(failure, now),
        }
    }

    /// Takes in that the route was looked at without being asked.
    ///
    /// A router that answers is there again: the way back, which may wait for its next try, does not wait longer.
    pub(super) fn route_seen(&mut self, seen: Observed, began: Timestamp, now: Timestamp) {
        if matches!(self.state.phase, Phase::RollingBack { .. }) {
            self.hurry(now);
        }
        let stands =
            self.wanted_traffic().is_some() || matches!(self.state.phase, Phase::Holding { .. });
        let old = began < self.flight.routed_at || !self.flight.claimed;
        let under_way = self.flight.get(Slot::Route).is_some_and(Pending::is_running);
        if !stands || old || under_way {
            return;
        }
        if seen.traffic == self.state.traffic {
            self.state.version = Some(seen.version);
        } else if !self.state.drifted || self.is_running() {
            self.found(seen, now);
        }
    }

    /// Takes in how the route is while nothing is asked of it, and asks for what it shall be.
    fn found(&mut self, Observed { traffic: found, version }: Observed, now: Timestamp) {
        let looked = self.flight.take(Slot::Route);
        self.flight.looked = self.flight.claimed;
        let expected = self.state.traffic.clone();
        self.state.version = Some(version);
        if self.wanted_traffic().as_ref() == Some(&found) || self.state.confirmed == found {
            // Our own request, of which no answer came: only asked for again to make it ours for sure.
            if found != expected
                && let Phase::Entering { changes, .. } = &mut self.state.phase
            {
                *changes = true;
            }
            if !self.state.drifted {
                self.state.confirmed = found.clone();
            }
            self.state.traffic = found;
        } else if found != expected {
            self.drift(found, now);
        }
        self.route_if_wanted(now);
        // The tries so far count on, so that a route that others keep writing is given up some time.
        if let Some(pending) = self.flight.get_mut(Slot::Route)
            && let Some(looked) = looked.filter(|_| !pending.is_running())
        {
            (pending.attempt, pending.unconfirmed) = (looked.attempt, looked.unconfirmed);
        }
    }

    /// Does what the policy says where somebody else has changed the route.
    ///
    /// What a new holder finds taken away stays away: the holder before it may have died before it could save that
    /// it took the canary back. So does what is taken away while the old version is kept for just that.
    fn drift(&mut self, found: Traffic, now: Timestamp) {
        let expected = std::mem::replace(&mut self.state.traffic, found.clone());
        let kept = matches!(self.state.phase, Phase::Retiring { .. });
        let ends = matches!(self.state.phase, Phase::Promoting { .. } | Phase::Closing { .. });
        let taken = found.canary < expected.canary || found.is_within(&expected);
        let taken_back = taken && if kept { !self.old_is_going() } else { !self.flight.claimed };
        let then = match self.policy.spec().drift {
            _ if kept || taken_back => Drift::PutBack,
            // A version that is to be replaced or removed must not have what somebody else sends to it.
            Drift::Accept if ends => Drift::PutBack,
            then => then,
        };
        // To accept that the canary has nothing is to take it back: it can never be judged.
        let left =
            !found.split().reaches_canary() && judge::measured_at(&self.policy, expected.split());
        let content = Content::Drifted { expected: expected.clone(), found: found.clone(), then };
        self.record(now, content);
        match then {
            _ if taken_back => self.roll_back(Reason::TakenBack { expected, found }, now),
            Drift::Accept if left => self.roll_back(Reason::TakenBack { expected, found }, now),
            Drift::PutBack => self.put_back(now),
            Drift::Pause => {
                self.state.drifted = true;
                self.state.restores = false;
                self.state.paused.get_or_insert(now);
            }
            Drift::Accept => {
                self.state.confirmed = self.state.traffic.clone();
                self.state.judge.skip_to(now + self.policy.settle());
            }
        }
    }

    /// Takes the canary back where somebody took all of its traffic away, and no verdict lets it have some again:
    /// without any there can never be another.
    pub(super) fn give_up_if_unseen(&mut self, now: Timestamp) {
        let reached = |traffic: &Traffic| traffic.split().reaches_canary();
        let unseen = !reached(&self.state.traffic) && reached(&self.state.confirmed);
        // A call that is under way may have put it back.
        let asking = self.flight.get(Slot::Route).is_some_and(Pending::is_running);
        if unseen
            && !asking
            && !self.state.restores
            && self.is_running()
            && !self.may_leave(now)
            && matches!(
                self.state.phase,
                Phase::Entering { forced: false, .. }
                    | Phase::Promoting { .. }
                    | Phase::Closing { .. }
            )
        {
            let (expected, found) = (self.state.confirmed.clone(), self.state.traffic.clone());
            self.roll_back(Reason::TakenBack { expected, found }, now);
        }
    }

    /// Asks for the traffic of the stage again; before the first stage and after the last it is asked for anyway.
    pub(super) fn put_back(&mut self, now: Timestamp) {
        if std::mem::take(&mut self.state.drifted) {
            // What is left as it was found is not what was meant.
            self.cancel(Slot::Route);
        }
        match self.state.phase {
            Phase::Holding { hold } => {
                self.ready_anew();
                self.go(Phase::Entering { hold, changes: true, forced: false }, now);
            }
            Phase::Entering { hold, forced, .. } => {
                self.ready_anew();
                self.go(Phase::Entering { hold, changes: true, forced }, now);
            }
            _ => {}
        }
    }

    pub(super) fn release_answered(&mut self, result: Result<(), Failure>, now: Timestamp) {
        match result {
            Ok(()) => drop(self.flight.take(Slot::Route)),
            Err(failure) => {
                let tries = self.flight.get(Slot::Route).map_or(RELEASE_TRIES, Pending::tries);
                if tries < RELEASE_TRIES && failure.kind.is_retryable() {
                    return self.retry(Slot::Route, Urgency::Patient, &failure, now);
                }
                self.note_failure(Slot::Route, &failure, now);
                self.flight.take(Slot::Route);
            }
        }
        self.released(now);
    }
}
