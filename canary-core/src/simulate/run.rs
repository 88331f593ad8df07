//! Runs the machine in virtual time.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::time::Duration;

use super::fault::{CrashTime, Kind};
use super::process::{Process, Store};
use super::{Simulation, World};
use crate::policy::Moment;
use crate::ports::Call;
use crate::record::Record;
use crate::report::Report;
use crate::rollout::{Action, Command, CommandKind, Effect, Event, Status};
use crate::value::{Actor, CommandId, Failure, GateName, StageRef, Timestamp};

/// Follows one simulated rollout.
pub(super) struct Run<'a, F> {
    pub(super) plan: &'a Simulation,
    pub(super) world: World,
    pub(super) now: Timestamp,
    /// The processes that are alive, the holder of the rollout last.
    pub(super) processes: Vec<Process>,
    /// How many processes there have been.
    started: usize,
    pub(super) store: Store,
    /// What is still to come, the earliest first.
    ahead: BinaryHeap<Ahead>,
    /// How many things were ever put there: those of one time happen in this order.
    placed: u64,
    /// Commands that were given, and whether they were answered.
    given: Vec<(Command, bool)>,
    /// The number of the last record that people have heard of.
    pub(super) heard: u64,
    /// Since when each gate is asked at its moment.
    pub(super) asked: Vec<(GateName, Moment, String, Timestamp)>,
    effects: usize,
    /// An empty list of effects: its memory is used again at each step.
    spare: Vec<Effect>,
    /// How far the clock of the next process is ahead, in milliseconds.
    clock_ahead_ms: i64,
    observe: F,
}

/// Happens at a time that lies ahead.
struct Ahead {
    at: Timestamp,
    place: u64,
    what: What,
}

pub(super) enum What {
    /// Somebody gives a command.
    Order(CommandKind, Option<StageRef>),
    /// A call reaches the other side late.
    Arrives(usize, Call, Action),
    /// A state reaches the store late.
    Saves(usize, u64),
    /// A process gives up waiting for the store.
    NotSaved(usize, u64, Failure),
    /// The route is looked at, as the driver does every now and then.
    Looks,
    /// The fault at this position begins.
    Fault(usize),
    /// The process dies.
    Dies(Duration),
    /// Another process takes over.
    Starts,
}

impl<'a, F: FnMut(&Record)> Run<'a, F> {
    pub(super) fn new(plan: &'a Simulation, observe: F) -> Self {
        let mut run = Self {
            plan,
            world: plan.world(),
            now: plan.begin,
            processes: Vec::with_capacity(1),
            started: 0,
            store: Store::default(),
            ahead: BinaryHeap::new(),
            placed: 0,
            given: Vec::new(),
            heard: 0,
            asked: Vec::new(),
            effects: 0,
            spare: Vec::new(),
            clock_ahead_ms: 0,
            observe,
        };
        for (after, stage, kind) in &plan.commands {
            run.place(plan.begin + *after, What::Order(kind.clone(), stage.clone()));
        }
        for (position, (after, _)) in plan.faults.iter().enumerate() {
            run.place(plan.begin + *after, What::Fault(position));
        }
        for crash in &plan.crashes {
            if let CrashTime::At(after) = crash.when {
                run.place(plan.begin + after, What::Dies(crash.down));
            }
        }
        run.start_process();
        run
    }

    /// Puts something ahead.
    pub(super) fn place(&mut self, at: Timestamp, what: What) {
        self.placed += 1;
        self.ahead.push(Ahead { at, place: self.placed, what });
    }

    pub(super) fn finish(mut self) -> (Report, World) {
        self.follow();
        self.into_parts()
    }

    /// Does the same, and tells where the rollout stood for its last holder, if there is one.
    pub(super) fn finish_standing(mut self) -> (Report, World, Option<Status>) {
        self.follow();
        let end = self.now.min(self.plan.begin + self.plan.limit);
        let status = self.processes.last().map(|holder| holder.rollout.status(end));
        let (report, world) = self.into_parts();
        (report, world, status)
    }

    fn follow(&mut self) {
        let end = self.plan.begin + self.plan.limit;
        while !self.is_over() {
            let ready = |process: &Process| process.is_awake(self.now) && !process.inbox.is_empty();
            if let Some(position) = self.processes.iter().position(ready) {
                if let Some(event) = self.processes[position].inbox.pop_front() {
                    self.step(position, event);
                }
            } else if !self.pass_time(end) {
                break;
            }
        }
    }

    fn into_parts(mut self) -> (Report, World) {
        let report = match self.processes.pop() {
            Some(holder) => holder.rollout.into_report(),
            None => self.store.saved.as_ref().map_or_else(Report::default, |s| s.report().clone()),
        };
        (report, self.world)
    }

    /// Tells whether the rollout has ended for its holder, and nobody stands still who might wake up and disturb it.
    fn is_over(&self) -> bool {
        self.processes.last().is_some_and(|holder| holder.rollout.is_settled())
            && self.processes.len() == 1
    }

    /// Moves time on to whatever comes next; false where nothing does before the end.
    fn pass_time(&mut self, end: Timestamp) -> bool {
        let woken = |process: &Process| {
            let wakes = !process.is_awake(self.now) && !process.inbox.is_empty();
            let wakes = wakes.then_some(process.frozen_until);
            [wakes, process.deadline()].into_iter().flatten().min()
        };
        let due = self
            .processes
            .iter()
            .enumerate()
            .filter_map(|(position, process)| Some((woken(process)?, position)))
            .min();
        let next = self.ahead.peek().map(|ahead| ahead.at);
        match (next, due) {
            (Some(at), due) if due.is_none_or(|(due, _)| at <= due) => {
                self.now = self.now.max(at);
                if self.now <= end
                    && let Some(Ahead { what, .. }) = self.ahead.pop()
                {
                    self.happen(what);
                }
            }
            (_, Some((due, position))) => {
                self.now = self.now.max(due);
                if self.now <= end && self.processes[position].inbox.is_empty() {
                    self.step(position, Event::Tick);
                }
            }
            _ => return false,
        }
        self.now <= end
    }

    fn happen(&mut self, what: What) {
        match what {
            What::Order(kind, stage) => self.order(kind, stage),
            What::Arrives(process, call, action) => {
                let reply = self.do_call(process, &call, &action);
                self.reply(process, &call, reply);
            }
            What::Saves(process, rev) => self.save(process, rev),
            What::NotSaved(process, rev, failure) => self.persisted(process, rev, Err(failure)),
            What::Looks => self.look_at_route(),
            What::Fault(position) => self.begin_fault(position),
            What::Dies(down) => {
                self.processes.pop();
                self.place(self.now + down, What::Starts);
            }
            What::Starts => self.start_process(),
        }
    }

    fn begin_fault(&mut self, position: usize) {
        let Some((_, fault)) = self.plan.faults.get(position) else { return };
        match &fault.0 {
            // Looked up by each call.
            Kind::Calls { .. } => {}
            Kind::Routed(traffic) => {
                self.world.route_by_hand(traffic, self.now);
                self.place(self.now + self.plan.policy.route_looks(), What::Looks);
            }
            Kind::Frozen { for_ms, replaced } => {
                let until = self.now + Duration::from_millis(*for_ms);
                if let Some(holder) = self.processes.last_mut() {
                    holder.frozen_until = until;
                }
                if *replaced {
                    self.start_process();
                }
            }
            Kind::Clock { ahead_ms } => {
                self.clock_ahead_ms = self.clock_ahead_ms.saturating_add(*ahead_ms);
            }
        }
    }

    /// Lets a new process take the rollout over; what people were never answered they say again.
    fn start_process(&mut self) {
        let (process, mut effects) =
            Process::start(self.plan, self.started, &mut self.store, self.now, self.clock_ahead_ms);
        self.started += 1;
        self.processes.push(process);
        let unanswered = self.given.iter().filter(|(_, answered)| !answered);
        let unanswered: Vec<_> = unanswered.map(|(c, _)| Event::Command(c.clone())).collect();
        let number = self.started - 1;
        self.carry_out(number, &mut effects);
        if let Some(process) = self.process(number) {
            process.inbox.extend(unanswered);
        }
    }

    pub(super) fn process(&mut self, number: usize) -> Option<&mut Process> {
        self.processes.iter_mut().find(|process| process.number == number)
    }

    /// Lets a process stop, since another one has the rollout.
    pub(super) fn stop(&mut self, number: usize) {
        self.processes.retain(|process| process.number != number);
    }

    fn step(&mut self, position: usize, event: Event) {
        let mut effects = std::mem::take(&mut self.spare);
        let process = &mut self.processes[position];
        process.step(event, self.now, &mut effects);
        let number = process.number;
        self.carry_out(number, &mut effects);
        self.spare = effects;
    }

    /// Does what a process wants done, and leaves nothing of it in the list.
    fn carry_out(&mut self, number: usize, effects: &mut Vec<Effect>) {
        for effect in effects.drain(..) {
            match effect {
                Effect::Persist { rev } => self.persist(number, rev),
                Effect::Run { call, action } => self.call(number, call, action),
                Effect::Notify(record) => self.tell(&record),
                Effect::Cancel(_) => {}
                Effect::Answer { command, .. } => {
                    let given = self.given.iter_mut().find(|(given, _)| given.id == command);
                    if let Some((_, answered)) = given {
                        *answered = true;
                    }
                }
            }
            self.effects += 1;
            if let Some(crash) = self.plan.crash_at_effect(self.effects) {
                self.stop(number);
                if crash.down.is_zero() {
                    return self.start_process();
                }
                return self.place(self.now + crash.down, What::Starts);
            }
        }
    }

    fn tell(&mut self, record: &Record) {
        (self.observe)(record);
        if self.heard < record.number {
            self.heard = record.number;
            self.react(record);
        }
    }

    /// Gives a command to whoever holds the rollout.
    pub(super) fn order(&mut self, kind: CommandKind, stage: Option<StageRef>) {
        let id = CommandId::new(format!("simulated-{}", self.given.len() + 1));
        let (Ok(id), Ok(actor)) = (id, Actor::new("simulation")) else { return };
        let mut command = Command::new(id, actor, kind);
        command.stage = stage;
        self.given.push((command.clone(), false));
        if let Some(holder) = self.processes.last_mut() {
            holder.inbox.push_back(Event::Command(command));
        }
    }
}

impl PartialEq for Ahead {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Ahead {}

impl PartialOrd for Ahead {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The greatest is the earliest, for a heap gives out the greatest first.
impl Ord for Ahead {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.place).cmp(&(self.at, self.place))
    }
}
