//! Calls to the ports: when they run, what their answers mean, when they are tried again.

use std::time::Duration;

use super::flight::{Flight, Pending, Status, Urgency, backoff};
use super::judge::Look;
use super::{Action, Effect, Phase, Reply, Rollout};
use crate::ports::{Applied, Call, Observed};
use crate::record::{Content, Reason};
use crate::value::{EffectId, Failure, FailureKind, Measured, Timestamp, Traffic};

/// How often the next weight is asked for before the canary is taken back.
const RAISE_TRIES: u32 = 8;
/// The same where another try makes little sense.
const HOPELESS_TRIES: u32 = 3;
/// How often our marks are tried to be taken off the route.
const RELEASE_TRIES: u32 = 4;

impl Pending {
    pub(super) const fn is_running(&self) -> bool {
        matches!(self.status, Status::Running { .. })
    }

    /// Tries again at this time; the try that is under way is over.
    pub(super) const fn wait_until(&mut self, until: Timestamp) {
        self.attempt += 1;
        self.status = Status::Waiting { until };
    }
}

impl Rollout {
    /// Runs an action at once and follows it.
    pub(super) fn run(&mut self, action: Action, now: Timestamp) -> Pending {
        let id = self.state.ledger.effect_id();
        let mut pending =
            Pending { id, attempt: 1, action, status: Status::Waiting { until: now } };
        self.send(&mut pending, now);
        pending
    }

    /// Follows an action that is run once this state is saved.
    pub(super) fn hold(&mut self, action: Action) -> Pending {
        let id = self.state.ledger.effect_id();
        let rev = self.state.ledger.next_rev();
        Pending { id, attempt: 1, action, status: Status::Held { rev } }
    }

    fn send(&mut self, pending: &mut Pending, now: Timestamp) {
        let deadline = now + self.patience(&pending.action);
        pending.status = Status::Running { deadline };
        let call = Call::new(
            self.state.id.clone(),
            self.state.epoch,
            pending.id,
            pending.attempt,
            now,
            deadline,
        );
        self.effects.push(Effect::Run { call, action: pending.action.clone() });
    }

    /// Returns how long an answer is waited for.
    fn patience(&self, action: &Action) -> Duration {
        match action {
            Action::Measure { .. } => {
                self.policy.every().clamp(Duration::from_secs(1), Duration::from_secs(30))
            }
            Action::Route { at: None, .. } => Duration::from_secs(5),
            Action::Route { .. } | Action::Observe | Action::Release | Action::AskGate { .. } => {
                Duration::from_secs(10)
            }
            Action::Prepare { .. }
            | Action::Promote { .. }
            | Action::Restore { .. }
            | Action::Retire { .. } => Duration::from_secs(30),
        }
    }

    /// Runs what was held back and is saved now, and what is due to be tried again.
    pub(super) fn run_due_calls(&mut self, now: Timestamp) {
        let may_route = match &self.flight.route {
            Some(Pending { action: Action::Route { at: Some(_), .. }, .. }) => self.may_raise(now),
            _ => true,
        };
        let mut flight = std::mem::take(&mut self.flight);
        for (i, slot) in flight.slots().into_iter().enumerate() {
            let Some(pending) = slot else { continue };
            let due = match pending.status {
                Status::Held { rev } => self.state.ledger.is_saved(rev),
                Status::Waiting { until } => until <= now,
                Status::Running { .. } => false,
            };
            if due && (i != 0 || may_route) {
                self.send(pending, now);
            } else if due {
                // Nothing but an event can allow it, so it is due at no time of its own.
                pending.status = Status::Held { rev: 0 };
            }
        }
        self.flight = flight;
    }

    /// Gives up on answers that did not come.
    pub(super) fn expire_calls(&mut self, now: Timestamp) {
        for i in 0..3 {
            let Some(pending) = self.flight.slots()[i].as_ref() else {
                continue;
            };
            let Status::Running { deadline } = pending.status else {
                continue;
            };
            if deadline <= now {
                let (id, attempt) = (pending.id, pending.attempt);
                let failure = Failure::new(FailureKind::Timeout, "no answer came in time");
                let reply = pending.action.failed(failure);
                self.effects.push(Effect::Cancel(id));
                self.replied(id, attempt, reply, now);
            }
        }
    }

    /// Forgets a call and stops waiting for it.
    pub(super) fn cancel(&mut self, slot: impl Fn(&mut Flight) -> &mut Option<Pending>) {
        if let Some(pending) = slot(&mut self.flight).take()
            && pending.is_running()
        {
            self.effects.push(Effect::Cancel(pending.id));
        }
    }

    /// Takes in an answer; one to an unknown or old call changes nothing.
    pub(super) fn replied(&mut self, id: EffectId, attempt: u32, reply: Reply, now: Timestamp) {
        let awaited = |slot: &Option<Pending>| {
            slot.as_ref().is_some_and(|p| p.id == id && p.attempt == attempt && p.is_running())
        };
        let Flight { route, measure, gate } = &self.flight;
        match reply {
            Reply::Applied(result) if awaited(route) => self.applied(result, now),
            Reply::Observed(result) if awaited(route) => self.observed_route(result, now),
            Reply::Released(result) if awaited(route) => self.release_answered(result, now),
            Reply::Measured(answers) if awaited(measure) => self.measured(&answers, now),
            Reply::Decided(Ok(decision)) if awaited(gate) => self.gate_decided(decision, now),
            Reply::Decided(Err(failure)) if awaited(gate) => {
                self.retry(|flight| &mut flight.gate, Urgency::Patient, failure, now);
            }
            _ => {}
        }
    }

    fn applied(&mut self, result: Result<Applied, Failure>, now: Timestamp) {
        let Some(Pending { action: Action::Route { traffic, .. }, .. }) = &self.flight.route else {
            return;
        };
        let asked = traffic.canary;
        match result {
            // The plan's weights are such that the router can hold them: another one is somebody else's.
            Ok(Applied { accepted, .. }) if accepted.canary != asked => {
                let message =
                    format!("the route stands at {} where {asked} was asked", accepted.canary);
                self.route_failed(Failure::new(FailureKind::Conflict, message), now);
            }
            Ok(applied) => {
                self.flight.route = None;
                self.state.version = Some(applied.version);
                self.routed(asked, applied.effective, now);
            }
            Err(failure) => self.route_failed(failure, now),
        }
    }

    fn route_failed(&mut self, failure: Failure, now: Timestamp) {
        let Some(pending) = &self.flight.route else {
            return;
        };
        let attempt = pending.attempt;
        if matches!(self.state.phase, Phase::RollingBack { .. }) {
            return self.retry(|flight| &mut flight.route, Urgency::Now, failure, now);
        }
        let most = if failure.kind.is_retryable() { RAISE_TRIES } else { HOPELESS_TRIES };
        let conflict = failure.kind == FailureKind::Conflict;
        if attempt >= most {
            self.note_failure(|flight| &mut flight.route, &failure, now);
            self.flight.route = None;
            return self.roll_back(Reason::RouterFailed { failure }, now);
        }
        self.retry(|flight| &mut flight.route, Urgency::Patient, failure, now);
        // Somebody wrote in between: look again before the next try.
        if let Some(Pending { action, .. }) = &mut self.flight.route
            && conflict
            && matches!(action, Action::Route { at: Some(_), .. })
        {
            *action = Action::Observe;
        }
    }

    fn observed_route(&mut self, result: Result<Observed, Failure>, now: Timestamp) {
        let observed = match result {
            Ok(observed) => observed,
            Err(failure) => return self.route_failed(failure, now),
        };
        let Some(looked) = self.flight.route.take() else { return };
        let Phase::Entering { stage, changes, .. } = &mut self.state.phase else { return };
        let (found, expected) = (observed.traffic.canary, self.state.routed);
        let wanted = self.policy.stages()[*stage].weight;
        *changes |= found != expected;
        self.state.version = Some(observed.version.clone());
        if found == wanted {
            // Our own request, of which no answer came: only asked for again to make it ours for sure.
            self.state.routed = wanted;
        } else if found != expected {
            let (expected, found) = (Traffic::to_canary(expected), Traffic::to_canary(found));
            self.record(
                now,
                Content::Drifted { expected, found, then: crate::policy::Drift::PutBack },
            );
        }
        if found < expected && found != wanted {
            let (expected, found) = (Traffic::to_canary(expected), Traffic::to_canary(found));
            return self.roll_back(Reason::TakenBack { expected, found }, now);
        }
        let action = if found > expected && found != wanted {
            Action::Route { traffic: Traffic::to_canary(expected), at: None }
        } else {
            Action::Route { traffic: Traffic::to_canary(wanted), at: Some(observed.version) }
        };
        // The tries so far count on, so that a route that others keep writing is given up some time.
        let pending = match &action {
            Action::Route { at: None, .. } => self.run(action, now),
            _ => Pending { attempt: looked.attempt, ..self.hold(action) },
        };
        self.flight.route = Some(pending);
    }

    fn release_answered(&mut self, result: Result<(), Failure>, now: Timestamp) {
        match result {
            Ok(()) => self.flight.route = None,
            Err(failure) => {
                let attempt = self.flight.route.as_ref().map_or(RELEASE_TRIES, |p| p.attempt);
                if attempt < RELEASE_TRIES && failure.kind.is_retryable() {
                    return self.retry(|flight| &mut flight.route, Urgency::Patient, failure, now);
                }
                self.note_failure(|flight| &mut flight.route, &failure, now);
                self.flight.route = None;
            }
        }
        self.released(now);
    }

    fn measured(&mut self, answers: &[Result<Measured, Failure>], now: Timestamp) {
        let Some(Pending { action: Action::Measure { queries, until }, .. }) =
            self.flight.measure.take()
        else {
            return;
        };
        let Some(stage) = self.watched_stage() else {
            return;
        };
        let held = match self.state.phase {
            Phase::Holding { held_ms, .. } | Phase::Entering { held_ms, .. } => held_ms,
            _ => 0,
        };
        let left = self.stage(stage).hold().saturating_sub(Duration::from_millis(held));
        let look = Look { stage, weight: self.state.routed, left };
        let judged = self.state.judge.judge(&self.policy, look, (&queries, until), answers, now);
        self.judged(judged, now);
    }

    /// Returns the stage whose weight the canary has: while the next one is entered, still the one before.
    fn watched_stage(&self) -> Option<usize> {
        match &self.state.phase {
            Phase::Entering { stage, changes: true, .. } => Some(stage.saturating_sub(1)),
            phase => phase.stage(),
        }
    }

    fn retry(
        &mut self,
        slot: impl Fn(&mut Flight) -> &mut Option<Pending>,
        urgency: Urgency,
        failure: Failure,
        now: Timestamp,
    ) {
        self.note_failure(&slot, &failure, now);
        if let Some(pending) = slot(&mut self.flight) {
            let wait = backoff(urgency, &self.state.id, pending.id, pending.attempt, &failure);
            pending.wait_until(now + wait);
        }
    }

    /// Records a failure; of a long row of them only each that doubles its length.
    fn note_failure(
        &mut self,
        slot: impl Fn(&mut Flight) -> &mut Option<Pending>,
        failure: &Failure,
        now: Timestamp,
    ) {
        let Some(pending) = slot(&mut self.flight) else {
            return;
        };
        let (action, attempt) = (pending.action.to_string(), pending.attempt);
        if attempt <= 4 || attempt.is_power_of_two() {
            self.record(now, Content::CallFailed { action, attempt, failure: failure.clone() });
        }
    }
}

impl Action {
    /// Returns the reply that says that this action failed.
    #[must_use]
    pub fn failed(&self, failure: Failure) -> Reply {
        match self {
            Self::Route { .. } => Reply::Applied(Err(failure)),
            Self::Observe => Reply::Observed(Err(failure)),
            Self::Measure { queries, .. } => Reply::Measured(vec![Err(failure); queries.len()]),
            Self::AskGate { .. } => Reply::Decided(Err(failure)),
            Self::Release => Reply::Released(Err(failure)),
            Self::Prepare { .. } => Reply::Prepared(Err(failure)),
            Self::Promote { .. } | Self::Restore { .. } | Self::Retire { .. } => {
                Reply::Progressed(Err(failure))
            }
        }
    }
}
