//! Carries out what a simulated rollout wants of the world, faults included.

use std::time::Duration;

use super::fault::{Kind, Mishap, Nonsense, Port};
use super::run::{Run, What};
use crate::policy::{GateKind, Moment, PROGRESS, Then};
#[cfg(feature = "calendar")]
use crate::ports::Decision;
use crate::ports::{Applied, Call, GateContext};
use crate::record::{Content, Record};
use crate::rollout::{Action, CommandKind, Event, Reply};
use crate::value::{
    Failure, FailureKind, GateName, Measured, Reading, Timestamp, Traffic, Version, Weight, Window,
};

impl<F: FnMut(&Record)> Run<'_, F> {
    /// Returns what goes wrong with calls of a port now.
    fn mishap(&self, port: Port) -> Option<Mishap> {
        self.plan.faults.iter().find_map(|(at, fault)| match &fault.0 {
            Kind::Calls { port: hit, for_ms, mishap } if *hit == port => {
                let from = self.plan.begin + *at;
                let lasts = from <= self.now && self.now < from + Duration::from_millis(*for_ms);
                lasts.then_some(*mishap)
            }
            _ => None,
        })
    }

    pub(super) fn call(&mut self, process: usize, call: Call, action: Action) {
        match self.mishap(Port::of(&action)) {
            None => {
                let reply = self.do_call(process, &call, &action);
                self.reply(process, &call, reply);
            }
            Some(Mishap::Fails(kind)) => {
                let reply = action.failed(Failure::new(kind, "the simulation lets it fail"));
                self.reply(process, &call, reply);
            }
            Some(Mishap::Hangs) => {}
            Some(Mishap::Unanswered) => {
                self.do_call(process, &call, &action);
            }
            Some(Mishap::Late(by)) => {
                self.place(self.now + by, What::Arrives(process, call, action));
            }
            Some(Mishap::Nonsense(nonsense)) => {
                let mut reply = self.do_call(process, &call, &action);
                spoil(&mut reply, nonsense);
                self.reply(process, &call, reply);
            }
        }
    }

    /// Shows the holder the route, until what others did to it is no news any more.
    pub(super) fn look_at_route(&mut self) {
        let observed = self.world.observe(self.now);
        let fails = self.mishap(Port::of(&Action::Observe)).is_some();
        // Whoever takes the rollout up looks at the route by itself.
        let Some(holder) = self.processes.last_mut() else { return };
        if fails || holder.see(observed, self.now) {
            self.place(self.now + self.plan.policy.route_looks(), What::Looks);
        }
    }

    pub(super) fn reply(&mut self, process: usize, call: &Call, reply: Reply) {
        if reply.is_fenced() {
            return self.stop(process);
        }
        let event = Event::Reply { id: call.id, attempt: call.attempt, reply };
        if let Some(process) = self.process(process) {
            process.inbox.push_back(event);
        }
    }

    /// Does what a call asks for, now.
    pub(super) fn do_call(&mut self, process: usize, call: &Call, action: &Action) -> Reply {
        match action {
            Action::Route { traffic, at } => {
                Reply::Applied(self.route(process, call, traffic, at.as_ref()))
            }
            Action::Observe => Reply::Observed(Ok(self.world.observe(self.now))),
            Action::Measure { queries, until } => {
                // A process whose clock is ahead asks for what has not happened yet.
                Reply::Measured(self.world.measure(queries, (*until).min(self.now)))
            }
            Action::AskGate { context } => {
                let asked = self.first_asked(context);
                #[cfg(feature = "calendar")]
                if let Some(hours) = self.plan.hours(&context.gate) {
                    let unknown = |error: crate::policy::CalendarError| {
                        Failure::new(FailureKind::Invalid, error.to_string())
                    };
                    let decided = Decision::by_calendar(hours, call.made);
                    return Reply::Decided(decided.map_err(unknown));
                }
                let opening = self.plan.opening(&context.gate);
                Reply::Decided(opening.decide(self.plan.begin, asked, self.now))
            }
            Action::Release => Reply::Released(Ok(())),
            Action::Prepare { .. }
            | Action::Promote { .. }
            | Action::Restore { .. }
            | Action::Retire { .. } => self.run_versions(process, action),
        }
    }

    /// Routes as a driver does: only who still has the store may raise.
    fn route(
        &mut self,
        process: usize,
        call: &Call,
        traffic: &Traffic,
        at: Option<&Version>,
    ) -> Result<Applied, Failure> {
        let raises = !traffic.is_within(&self.world.observe(self.now).traffic);
        if at.is_some() {
            self.still_holds(process)?;
        }
        let applied = self.world.apply_at(call, traffic, at, self.now)?;
        let holder = self.processes.last().map(|holder| holder.number);
        if raises && holder.is_some_and(|holder| holder != process) {
            let weight = traffic.canary;
            let what = format!("a process that was replaced raised the canary to {weight}");
            self.world.note_violation(what, self.now);
        }
        Ok(applied)
    }

    /// Asks the store whether the rollout is still this process's.
    fn still_holds(&mut self, process: usize) -> Result<(), Failure> {
        if let Some(Mishap::Fails(kind)) = self.mishap(Port::Store) {
            let message = format!("the store was asked whose the rollout is: {kind}");
            return Err(Failure::new(FailureKind::Unconfirmed, message));
        }
        let last = self.store.revision;
        if self.process(process).is_some_and(|process| process.revision != last) {
            return Err(Failure::new(FailureKind::Fenced, "another holder has the rollout"));
        }
        Ok(())
    }

    /// Runs the versions as a driver does: only bringing the old one back waits for no store.
    fn run_versions(&mut self, process: usize, action: &Action) -> Reply {
        let now = self.now;
        if !matches!(action, Action::Restore { .. })
            && let Err(failure) = self.still_holds(process)
        {
            return action.failed(failure);
        }
        let Some(running) = self.world.running() else {
            let failure = Failure::new(FailureKind::Unsupported, "the simulation has no workload");
            return action.failed(failure);
        };
        let reply = match action {
            Action::Prepare { capacity } => Reply::Prepared(running.prepare(*capacity, now)),
            Action::Promote { how } => Reply::Progressed(Ok(running.replace(*how, false, now))),
            Action::Restore { how } => Reply::Progressed(Ok(running.replace(*how, true, now))),
            Action::Retire { side } => Reply::Progressed(Ok(running.retire(*side))),
            other => other.failed(Failure::new(FailureKind::Unsupported, "no workload does this")),
        };
        self.world.look_for_objections(now);
        reply
    }

    pub(super) fn persist(&mut self, process: usize, rev: u64) {
        if self.plan.needs_store()
            && let Some(at) = self.process(process)
        {
            at.saving = Some(Box::new(at.rollout.snapshot()));
        }
        match self.mishap(Port::Store) {
            None => self.save(process, rev),
            Some(Mishap::Fails(kind)) => {
                let failure = Failure::new(kind, "the simulation lets it fail");
                self.persisted(process, rev, Err(failure));
            }
            Some(Mishap::Late(by)) => self.place(self.now + by, What::Saves(process, rev)),
            Some(Mishap::Hangs | Mishap::Unanswered | Mishap::Nonsense(_)) => {
                // A driver gives up on a store after a while; whether it was saved is not known then.
                let failure = Failure::new(FailureKind::Timeout, "the store did not answer");
                self.place(self.now + STORE_PATIENCE, What::NotSaved(process, rev, failure));
            }
        }
    }

    /// Saves a state for a process that still has the store; one that does not stops.
    pub(super) fn save(&mut self, process: usize, rev: u64) {
        let last = self.store.revision;
        let Some(holder) = self.process(process) else { return };
        if holder.revision != last {
            return self.stop(process);
        }
        holder.revision = last + 1;
        let state = holder.saving.take();
        self.store.revision = last + 1;
        if state.is_some() {
            self.store.saved = state;
        }
        self.persisted(process, rev, Ok(()));
    }

    pub(super) fn persisted(&mut self, process: usize, rev: u64, result: Result<(), Failure>) {
        if let Some(process) = self.process(process) {
            process.inbox.push_back(Event::Persisted { rev, result });
        }
    }

    /// Returns since when a gate is asked at its moment.
    fn first_asked(&mut self, context: &GateContext) -> Timestamp {
        // One that is watched is asked all along.
        let stage = if context.moment == Moment::Watch { "" } else { &*context.stage };
        let known = |(gate, moment, at, _): &&(GateName, Moment, String, Timestamp)| {
            (gate, *moment, &**at) == (&context.gate, context.moment, stage)
        };
        if let Some((.., asked)) = self.asked.iter().find(known) {
            return *asked;
        }
        let now = self.now;
        self.asked.push((context.gate.clone(), context.moment, stage.to_owned(), now));
        now
    }

    /// Lets people who hear of a question answer it, as the plan says.
    pub(super) fn react(&mut self, record: &Record) {
        let (gate, opening) = match &record.content {
            Content::GateAsked { gate, .. }
                if self.plan.policy.gate(gate).kind == GateKind::Approval =>
            {
                (gate.clone(), Some(self.plan.opening(gate)))
            }
            Content::Asked { check } => {
                let Ok(name) = GateName::new(&*check.check) else { return };
                (name, self.plan.answers.get(&*check.check))
            }
            Content::Stalled { then: Then::Ask, .. } => {
                let Ok(name) = GateName::new(PROGRESS) else { return };
                (name, self.plan.answers.get(PROGRESS))
            }
            _ => return,
        };
        let Some((at, yes)) =
            opening.and_then(|opening| opening.answer(self.plan.begin, record.at))
        else {
            return;
        };
        let kind = if yes {
            CommandKind::Approve { gate }
        } else {
            CommandKind::Reject { gate, reason: "the simulation says no".to_owned() }
        };
        self.place(at, What::Order(kind, None));
    }
}

/// How long a driver waits for its store.
const STORE_PATIENCE: Duration = Duration::from_secs(10);

/// Makes an answer one that makes no sense.
fn spoil(reply: &mut Reply, nonsense: Nonsense) {
    match (reply, nonsense) {
        (Reply::Applied(Ok(applied)), Nonsense::OtherWeight) => {
            let other = applied.accepted.canary.basis_points() / 2 + 1;
            applied.accepted.canary = Weight::from_basis_points(other).unwrap_or_default();
        }
        (Reply::Measured(answers), _) => {
            answers.iter_mut().flatten().for_each(|answer| spoil_measured(answer, nonsense));
        }
        _ => {}
    }
}

fn spoil_measured(answer: &mut Measured, nonsense: Nonsense) {
    for reading in [&mut answer.sides.stable, &mut answer.sides.canary] {
        match (nonsense, &mut *reading) {
            (Nonsense::NotFinite, _) => *reading = Reading::NotFinite,
            (Nonsense::ImpossibleCounts, Reading::Counts(counts)) => {
                counts.bad = counts.total.saturating_add(1);
            }
            _ => {}
        }
    }
    if nonsense == Nonsense::Overlap {
        let Window { after, until } = answer.covered;
        answer.covered = Window::new(after - Duration::from_secs(10), until);
    }
}
