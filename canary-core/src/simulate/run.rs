//! Runs the machine in virtual time.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::{Service, World};
use crate::policy::{GateKind, Policy};
use crate::ports::Decision;
use crate::record::Record;
use crate::report::Report;
use crate::rollout::{
    Action, Asking, Command, CommandKind, Effect, Event, Reply, Rollout, Snapshot,
};
use crate::value::{
    Actor, BySide, CommandId, Epoch, Failure, FailureKind, GateName, RolloutId, Timestamp,
};

/// When simulated rollouts begin: 2026-01-01T00:00:00Z.
const BEGIN: Timestamp = Timestamp::from_millis(1_767_225_600_000);

/// Says when a gate of a simulated rollout opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Opening {
    /// When it is asked.
    AtOnce,
    /// This long after it is asked.
    After(Duration),
    /// Not at all.
    Never,
}

/// Simulates one rollout of a policy.
#[derive(Clone, Debug)]
#[must_use]
pub struct Simulation {
    policy: Arc<Policy>,
    requests_per_second: f64,
    services: BySide<Service>,
    seed: u64,
    gates: BTreeMap<String, Opening>,
    commands: Vec<(Duration, CommandKind)>,
    crash_after: Option<usize>,
    limit: Duration,
}

impl Simulation {
    /// Begins with 100 requests per second, two healthy services, seed 0, and gates that open when they are asked.
    pub fn of(policy: &Policy) -> Self {
        let holds = policy
            .stages()
            .iter()
            .map(|stage| stage.hold())
            .fold(Duration::ZERO, Duration::saturating_add);
        Self {
            policy: Arc::new(policy.clone()),
            requests_per_second: 100.0,
            services: BySide { stable: Service::healthy(), canary: Service::healthy() },
            seed: 0,
            gates: BTreeMap::new(),
            commands: Vec::new(),
            crash_after: None,
            limit: holds.saturating_mul(4).saturating_add(Duration::from_secs(3600)),
        }
    }

    /// Sets the traffic of both sides together, in requests per second.
    pub const fn traffic(mut self, requests_per_second: f64) -> Self {
        self.requests_per_second = requests_per_second;
        self
    }

    /// Says how the old version behaves.
    pub fn stable(mut self, service: Service) -> Self {
        self.services.stable = service;
        self
    }

    /// Says how the new version behaves.
    pub fn canary(mut self, service: Service) -> Self {
        self.services.canary = service;
        self
    }

    /// Chooses the randomness: the same seed gives the same rollout.
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Says when a gate opens.
    pub fn gate(mut self, name: &str, opening: Opening) -> Self {
        self.gates.insert(name.to_owned(), opening);
        self
    }

    /// Gives a command this long after the begin.
    pub fn command(mut self, after: Duration, command: CommandKind) -> Self {
        self.commands.push((after, command));
        self.commands.sort_by_key(|(after, _)| *after);
        self
    }

    /// Lets the process die right after its nth effect, from 1, and a new one take over at once.
    pub const fn crash_after(mut self, effect: usize) -> Self {
        self.crash_after = Some(effect);
        self
    }

    /// Stops after this much virtual time; four times all holds and an hour unless said.
    pub const fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs the rollout and returns its report.
    ///
    /// # Panics
    /// If [`gate`](Self::gate) named one that no stage asks: the test would not test what it says.
    #[must_use]
    #[track_caller]
    pub fn run(&self) -> Report {
        self.run_observed(|_| {})
    }

    /// Runs the rollout, shows each record that observers are told, and returns its report.
    ///
    /// # Panics
    /// As for [`run`](Self::run).
    #[track_caller]
    pub fn run_observed(&self, observe: impl FnMut(&Record)) -> Report {
        for gate in self.gates.keys() {
            let known = self.policy.gates().any(|name| name.as_str() == gate);
            assert!(known, "no stage of the policy `{}` asks a gate `{gate}`", self.policy.name());
        }
        Run::new(self, observe).finish()
    }

    /// Makes the world that the rollout runs in.
    #[must_use]
    pub fn world(&self) -> World {
        World::new(self.requests_per_second, self.services.clone(), self.seed)
    }
}

/// Follows one simulated rollout.
struct Run<'a, F> {
    plan: &'a Simulation,
    world: World,
    rollout: Rollout,
    now: Timestamp,
    queue: VecDeque<Event>,
    /// Commands still to come, in the order of time.
    commands: VecDeque<(Timestamp, CommandKind)>,
    /// How many commands were given; each has an id of its own.
    given: usize,
    /// The gate that an approval was last arranged for: once in each stage and place, and again for each new
    /// holder, since what the one before was told may be lost.
    arranged: Option<(Option<usize>, usize, Epoch)>,
    /// The approval that is still to come.
    approval: Option<(Timestamp, GateName)>,
    saved: Option<Snapshot>,
    effects: usize,
    observe: F,
}

impl<'a, F: FnMut(&Record)> Run<'a, F> {
    fn new(plan: &'a Simulation, observe: F) -> Self {
        let (rollout, effects) = start(plan);
        let commands =
            plan.commands.iter().map(|(after, kind)| (BEGIN + *after, kind.clone())).collect();
        let mut run = Self {
            plan,
            world: plan.world(),
            rollout,
            now: BEGIN,
            queue: VecDeque::new(),
            commands,
            given: 0,
            arranged: None,
            approval: None,
            saved: None,
            effects: 0,
            observe,
        };
        run.carry_out(effects);
        run
    }

    fn finish(mut self) -> Report {
        let end = BEGIN + self.plan.limit;
        while !self.rollout.is_settled() {
            let event = match self.queue.pop_front() {
                Some(event) => event,
                None => match self.next_event() {
                    Some(event) if self.now <= end => event,
                    _ => break,
                },
            };
            let effects = self.rollout.step(event, self.now);
            self.carry_out(effects);
            self.arrange_approval();
        }
        self.rollout.report().clone()
    }

    /// Moves time on to whatever comes next.
    fn next_event(&mut self) -> Option<Event> {
        let by = self.rollout.deadline();
        if let Some((at, kind)) = self.next_command(by) {
            self.now = self.now.max(at);
            self.given += 1;
            let id = CommandId::new(format!("simulated-{}", self.given)).ok()?;
            let actor = Actor::new("simulation").ok()?;
            return Some(Event::Command(Command::new(id, actor, kind)));
        }
        self.now = self.now.max(by?);
        Some(Event::Tick)
    }

    /// Takes the earliest command that is due by then.
    fn next_command(&mut self, by: Option<Timestamp>) -> Option<(Timestamp, CommandKind)> {
        let due = |at: Timestamp| by.is_none_or(|by| at <= by);
        let planned = self.commands.front().map(|(at, _)| *at);
        if let Some((at, gate)) =
            self.approval.take_if(|(at, _)| due(*at) && planned.is_none_or(|planned| *at < planned))
        {
            return Some((at, CommandKind::Approve { gate }));
        }
        planned.filter(|at| due(*at)).and_then(|_| self.commands.pop_front())
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Persist { rev } => {
                    // Only a crash reads it, and it is the dearest thing in a simulated rollout.
                    if self.plan.crash_after.is_some() {
                        self.saved = Some(self.rollout.snapshot());
                    }
                    self.queue.push_back(Event::Persisted { rev, result: Ok(()) });
                }
                Effect::Run { call, action } => {
                    let reply = match &action {
                        Action::Route { traffic, at } => {
                            Reply::Applied(self.world.apply(&call, traffic, at.as_ref()))
                        }
                        Action::Observe => Reply::Observed(Ok(self.world.observe(self.now))),
                        Action::Measure { queries, until } => {
                            Reply::Measured(self.world.measure(queries, *until))
                        }
                        Action::AskGate { context } => self.ask_gate(&context.gate),
                        Action::Release => Reply::Released(Ok(())),
                        Action::Prepare { .. }
                        | Action::Promote { .. }
                        | Action::Restore { .. }
                        | Action::Retire { .. } => action.failed(Failure::new(
                            FailureKind::Unsupported,
                            "the simulation has no workload",
                        )),
                    };
                    self.queue.push_back(Event::Reply {
                        id: call.id,
                        attempt: call.attempt,
                        reply,
                    });
                }
                Effect::Notify(record) => (self.observe)(&record),
                Effect::Cancel(_) | Effect::Answer { .. } => {}
            }
            self.effects += 1;
            if Some(self.effects) == self.plan.crash_after {
                return self.crash();
            }
        }
    }

    /// Forgets everything but the saved state and the world, and takes over from there.
    fn crash(&mut self) {
        self.queue.clear();
        let restored =
            self.saved.clone().map(|saved| Rollout::restore(saved, Arc::clone(&self.plan.policy)));
        let effects = match restored {
            Some(Ok(rollout)) => {
                self.rollout = rollout;
                self.rollout.step(Event::Restored, self.now)
            }
            _ => {
                let (rollout, effects) = start(self.plan);
                self.rollout = rollout;
                effects
            }
        };
        self.carry_out(effects);
    }

    fn opening(&self, gate: &GateName) -> Opening {
        self.plan.gates.get(gate.as_str()).copied().unwrap_or(Opening::AtOnce)
    }

    fn ask_gate(&self, gate: &GateName) -> Reply {
        let since = self.rollout.phase().asking().and_then(|gates| gates.since);
        let waited = since.map_or(Duration::ZERO, |since| self.now.since(since));
        let decision = match self.opening(gate) {
            Opening::AtOnce => Decision::Open,
            Opening::After(wait) if waited >= wait => Decision::Open,
            Opening::After(wait) => {
                Decision::wait(wait.saturating_sub(waited), "the simulation opens it later")
            }
            Opening::Never => {
                Decision::wait(Duration::from_secs(60), "the simulation never opens it")
            }
        };
        Reply::Decided(Ok(decision))
    }

    /// Lets somebody approve the gate that waits for it, when the plan says so.
    fn arrange_approval(&mut self) {
        let asking = self.rollout.phase().asking().copied();
        let Some((gate, Asking { opened, since: Some(asked), .. })) =
            self.rollout.asked().map(|ask| ask.gate.clone()).zip(asking)
        else {
            return;
        };
        let place = Some((self.rollout.phase().stage(), opened, self.rollout.epoch()));
        if self.arranged == place || self.rollout.policy().gate(&gate).kind != GateKind::Approval {
            return;
        }
        self.arranged = place;
        self.approval = match self.opening(&gate) {
            Opening::AtOnce => Some((asked, gate)),
            Opening::After(wait) => Some((asked + wait, gate)),
            Opening::Never => None,
        };
    }
}

fn start(plan: &Simulation) -> (Rollout, Vec<Effect>) {
    let id = RolloutId::new(format!("simulated-{}", plan.seed));
    // The text is plain, so the fallback is never taken.
    let id = id.unwrap_or_else(|_| unreachable!("a number is a plain name"));
    Rollout::start(id, Arc::clone(&plan.policy), BEGIN)
}
