//! What is asked of the router, and what its answers mean.

use super::flight::{Pending, Slot, Urgency};
use super::{Action, Phase, Rollout};
use crate::policy::Drift;
use crate::ports::{Applied, Observed};
use crate::record::{Content, Reason};
use crate::value::{Failure, FailureKind, Timestamp, Traffic};

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

    pub(super) const fn raises(&self) -> bool {
        matches!(self, Self::Route { at: Some(_), .. })
    }
}

impl Rollout {
    /// Asks the router for what the phase wants, where nothing is under way.
    pub(super) fn route_if_wanted(&mut self, now: Timestamp) {
        if self.flight.get(Slot::Route).is_some() {
            return;
        }
        let pending = match &self.state.phase {
            Phase::Starting { .. } => self.hold(Action::empty()),
            Phase::RollingBack { .. } => match self.way_back() {
                // Until the first save the target may be somebody else's.
                Some(empty) if !self.state.ledger.is_saved(1) => self.hold(empty),
                Some(empty) => self.run(empty, now),
                None => return,
            },
            Phase::Releasing { .. } => self.run(Action::Release, now),
            Phase::Entering { hold, .. } => {
                let wanted = self.policy.traffic(hold.stage);
                match self.state.version.clone() {
                    _ if self.lowers(&self.state.confirmed) => {
                        let traffic = self.state.confirmed.clone();
                        self.run(Action::Route { traffic, at: None }, now)
                    }
                    _ if self.lowers(&wanted) => {
                        self.run(Action::Route { traffic: wanted, at: None }, now)
                    }
                    Some(at) => self.hold(Action::Route { traffic: wanted, at: Some(at) }),
                    None => self.run(Action::Observe, now),
                }
            }
            Phase::Opening { .. } => match self.restored_traffic(&Traffic::all_stable(), now) {
                Some(pending) => pending,
                None => return,
            },
            Phase::Promoting { replaced: true } | Phase::Closing { .. } => {
                match self.restored_traffic(&self.lasting_traffic(), now) {
                    Some(pending) => pending,
                    None => return self.close_if_routed(now),
                }
            }
            // Everything stays where it is while stable is replaced; a new holder makes the route its own.
            Phase::Promoting { replaced: false } => {
                match self.restored_traffic(&self.state.traffic.clone(), now) {
                    Some(pending) => pending,
                    None => return,
                }
            }
            Phase::Holding { .. } | Phase::Retiring { .. } | Phase::Ended { .. } => return,
        };
        self.flight.put(Slot::Route, pending);
    }

    /// Tells whether this traffic gives the canary less than it is known to have.
    fn lowers(&self, traffic: &Traffic) -> bool {
        *traffic != self.state.traffic && traffic.is_within(&self.state.traffic)
    }

    /// Asks for traffic where it is not so or the route is not ours yet.
    fn restored_traffic(&mut self, wanted: &Traffic, now: Timestamp) -> Option<Pending> {
        if self.flight.claimed && self.state.traffic == *wanted {
            return None;
        }
        let traffic = wanted.clone();
        let at = self.state.version.clone().filter(|_| !wanted.is_within(&self.state.traffic));
        Some(match at {
            Some(_) => self.hold(Action::Route { traffic, at }),
            None => self.run(Action::Route { traffic, at }, now),
        })
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
        let Some(pending) = self.flight.get(Slot::Route) else { return };
        let (attempt, raises) = (pending.attempt, pending.action.raises());
        if matches!(self.state.phase, Phase::RollingBack { .. }) {
            return self.retry(Slot::Route, Urgency::Now, &failure, now);
        }
        let most = if failure.kind.is_retryable() { RAISE_TRIES } else { HOPELESS_TRIES };
        if attempt >= most {
            self.note_failure(Slot::Route, &failure, now);
            self.flight.take(Slot::Route);
            return self.roll_back(Reason::RouterFailed { failure }, now);
        }
        self.retry(Slot::Route, Urgency::Patient, &failure, now);
        // Somebody wrote in between: look again before the next try.
        if raises
            && failure.kind == FailureKind::Conflict
            && let Some(pending) = self.flight.get_mut(Slot::Route)
        {
            pending.action = Action::Observe;
        }
    }

    /// Takes in how the route was found before a stage's traffic is asked for.
    pub(super) fn observed_route(&mut self, result: Result<Observed, Failure>, now: Timestamp) {
        let observed = match result {
            Ok(observed) => observed,
            Err(failure) => return self.route_failed(failure, now),
        };
        let Some(looked) = self.flight.take(Slot::Route) else { return };
        let Phase::Entering { hold, .. } = &self.state.phase else { return };
        let wanted = self.policy.traffic(hold.stage);
        let expected = self.state.traffic.clone();
        let found = observed.traffic;
        self.state.version = Some(observed.version);
        if found == wanted {
            // Our own request, of which no answer came: only asked for again to make it ours for sure.
            if found != expected
                && let Phase::Entering { changes, .. } = &mut self.state.phase
            {
                *changes = true;
            }
            self.state.traffic = found;
        } else if found != expected && !self.drift(found, now) {
            return;
        }
        // The tries so far count on, so that a route that others keep writing is given up some time.
        self.route_if_wanted(now);
        if let Some(pending) = self.flight.get_mut(Slot::Route)
            && pending.action.raises()
        {
            pending.attempt = looked.attempt;
        }
    }

    /// Takes in that the route was looked at without being asked.
    pub(super) fn route_seen(&mut self, seen: Observed, began: Timestamp, now: Timestamp) {
        let stands = matches!(
            self.state.phase,
            Phase::Opening { .. }
                | Phase::Holding { .. }
                | Phase::Promoting { .. }
                | Phase::Closing { .. }
        );
        let old = began < self.flight.routed_at || !self.flight.claimed;
        if !stands || old || self.flight.get(Slot::Route).is_some() {
            return;
        }
        if seen.traffic == self.state.traffic {
            self.state.version = Some(seen.version);
        } else if !self.state.drifted || self.is_running() {
            self.state.version = Some(seen.version);
            self.drift(seen.traffic, now);
        }
    }

    /// Does what the policy says where somebody else has changed the route; tells whether it is put back.
    ///
    /// What a new holder finds taken away stays away: the holder before it may have died before it could save that
    /// it took the canary back.
    fn drift(&mut self, found: Traffic, now: Timestamp) -> bool {
        let expected = std::mem::replace(&mut self.state.traffic, found.clone());
        if !self.flight.claimed && found.canary < expected.canary {
            let then = Drift::PutBack;
            let content =
                Content::Drifted { expected: expected.clone(), found: found.clone(), then };
            self.record(now, content);
            self.roll_back(Reason::TakenBack { expected, found }, now);
            return false;
        }
        let then = self.policy.spec().drift;
        self.record(now, Content::Drifted { expected, found, then });
        match then {
            Drift::PutBack => self.put_back(now),
            Drift::Pause => {
                self.state.drifted = true;
                self.state.paused.get_or_insert(now);
            }
            Drift::Accept => {
                self.state.confirmed = self.state.traffic.clone();
                self.state.judge.skip_to(now + self.policy.settle());
            }
        }
        then == Drift::PutBack
    }

    /// Asks for the traffic of the stage again; elsewhere the phase wants its own anyway.
    pub(super) fn put_back(&mut self, now: Timestamp) {
        self.state.drifted = false;
        match self.state.phase {
            Phase::Holding { hold } => {
                self.go(Phase::Entering { hold, changes: true, forced: false }, now);
            }
            Phase::Entering { hold, forced, .. } => {
                self.go(Phase::Entering { hold, changes: true, forced }, now);
            }
            _ => {}
        }
    }

    pub(super) fn release_answered(&mut self, result: Result<(), Failure>, now: Timestamp) {
        match result {
            Ok(()) => drop(self.flight.take(Slot::Route)),
            Err(failure) => {
                let attempt = self.flight.get(Slot::Route).map_or(RELEASE_TRIES, |p| p.attempt);
                if attempt < RELEASE_TRIES && failure.kind.is_retryable() {
                    return self.retry(Slot::Route, Urgency::Patient, &failure, now);
                }
                self.note_failure(Slot::Route, &failure, now);
                self.flight.take(Slot::Route);
            }
        }
        self.released(now);
    }
}
