//! A small world that carries effects out as its ports promise to: a route, two versions, a store.

use std::collections::BTreeMap;
use std::time::Duration;

use canary_core::policy::GateKind;
use canary_core::ports::{Applied, Call, Decision, Observed, Progress, Readiness};
use canary_core::record::Record;
use canary_core::rollout::{
    Action, Answer, Begin, Command, CommandKind, Effect, Event, Reply, Rollout, Snapshot, Waiting,
};
use canary_core::value::{
    CommandId, Counts, EffectId, Epoch, Failure, FailureKind, GateName, Measured, Query, Reading,
    Side, StageRef, Timestamp, Traffic, Version, Weight, Window,
};

use crate::book::Book;
use crate::plans::Plan;

pub(crate) const T0: Timestamp = Timestamp::from_millis(1_000_000);

/// A route with the order of calls and the version that a raise is based on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Route {
    pub(crate) traffic: Traffic,
    writes: u64,
    latest: (Epoch, EffectId, u32),
    /// Whether somebody else wrote last.
    pub(crate) foreign: bool,
}

impl Route {
    fn version(&self) -> Version {
        Version::new(self.writes.to_string())
    }

    fn apply(
        &mut self,
        call: &Call,
        traffic: &Traffic,
        at: Option<&Version>,
    ) -> Result<Applied, Failure> {
        let raises = !traffic.is_within(&self.traffic);
        let stale = at.is_some_and(|at| *at != self.version());
        if call.order() < self.latest {
            return Err(Failure::late(self.latest.0, "a later call was accepted"));
        }
        if stale || (at.is_none() && raises) {
            return Err(failure(FailureKind::Conflict));
        }
        self.latest = call.order();
        self.foreign = false;
        self.write(traffic.clone());
        Ok(Applied::accepted(self.traffic.clone(), self.version()))
    }

    fn write(&mut self, traffic: Traffic) {
        self.traffic = traffic;
        self.writes += 1;
    }

    /// Returns the order of the call that was accepted last.
    pub(crate) fn latest(&self) -> (Epoch, EffectId, u32) {
        self.latest
    }

    pub(crate) fn observed(&self) -> Observed {
        Observed::new(self.traffic.clone(), self.version())
    }
}

/// The two versions: what stable runs, and who is up.
#[derive(Clone, Debug)]
pub(crate) struct Versions {
    pub(crate) stable_is_new: bool,
    pub(crate) canary_up: bool,
    pub(crate) stable_up: bool,
}

/// How a call is answered.
#[derive(Clone, Debug)]
pub(crate) enum Manner {
    /// As one hopes for.
    Well,
    /// It fails and nothing happens.
    Fails(FailureKind),
    /// It happens, but its answer is lost.
    Lost,
    /// It is answered, but not as one hopes for; with this sort of trouble.
    Ill(u8),
}

/// Everything outside the machine, and the machine.
pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) rollout: Rollout,
    pub(crate) now: Timestamp,
    pub(crate) route: Route,
    pub(crate) versions: Versions,
    pub(crate) stored: Option<Snapshot>,
    /// The save that is under way.
    pub(crate) saving: Option<(u64, Snapshot)>,
    pub(crate) open: Vec<(Call, Action)>,
    /// Calls that nobody waits for any more; their requests may still arrive.
    pub(crate) late: Vec<(Call, Action)>,
    /// Answers that were given before.
    pub(crate) old: Vec<Event>,
    pub(crate) told: BTreeMap<u64, Record>,
    /// Up to which number records were told before this world began.
    told_before: u64,
    pub(crate) answers: BTreeMap<CommandId, Answer>,
    pub(crate) book: Book,
    /// Everything that the machine was told.
    pub(crate) journal: Vec<(Event, Timestamp)>,
    /// Whether nothing bad happens any more.
    pub(crate) fair: bool,
    /// How every call to the router fails, where the route is gone for good.
    pub(crate) gone: Option<FailureKind>,
    /// Whether no version can be replaced or removed any more.
    pub(crate) wedged: bool,
    /// Whether the source never has anything newer any more.
    pub(crate) behind: bool,
    /// The process dies after this many further effects.
    pub(crate) dies_after: Option<usize>,
    /// Whether the save that was under way then had landed.
    pub(crate) dies_landed: bool,
    commands: u64,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World").field("phase", self.rollout.phase()).finish_non_exhaustive()
    }
}

pub(crate) fn failure(kind: FailureKind) -> Failure {
    Failure::new(kind, "no luck")
}

impl World {
    pub(crate) fn start(plan: &Plan) -> Self {
        let begin =
            Begin::new("shop-1".parse().unwrap(), plan.policy()).with_workload(plan.workload);
        let (rollout, effects) = Rollout::begin(begin, T0);
        let mut world = Self {
            plan: plan.clone(),
            rollout,
            now: T0,
            route: Route::default(),
            versions: Versions { stable_is_new: false, canary_up: false, stable_up: true },
            stored: None,
            saving: None,
            open: Vec::new(),
            late: Vec::new(),
            old: Vec::new(),
            told: BTreeMap::new(),
            told_before: 0,
            answers: BTreeMap::new(),
            book: Book::default(),
            journal: Vec::new(),
            fair: false,
            gone: None,
            wedged: false,
            behind: false,
            dies_after: None,
            dies_landed: false,
            commands: 0,
        };
        world.carry_out(effects);
        world
    }

    /// Takes a rollout up that another process wrote long ago.
    pub(crate) fn taken_up(plan: &Plan, stored: Snapshot) -> Self {
        let mut world = Self::start(plan);
        world.now = stored.seen();
        world.route.traffic = Traffic::to_canary(stored.report().last_weight);
        world.book = Book::default();
        world.told.clear();
        world.open.clear();
        world.saving = None;
        world.told = (1..)
            .zip(stored.report().timeline.iter().cloned())
            .map(|(_, r)| (r.number, r))
            .collect();
        let ledger = &serde_json::to_value(&stored).unwrap()["state"]["ledger"];
        let waiting = ledger["outbox"].as_array().unwrap().len() as u64;
        world.told_before = ledger["next_record"].as_u64().unwrap() - waiting;
        world.stored = Some(stored);
        world.crash(Duration::ZERO, false);
        world
    }

    /// Tells the machine what happened, holds it to the rules, and carries out what it wants.
    pub(crate) fn step(&mut self, event: Event) -> Vec<Effect> {
        let before = self.rollout.clone();
        self.journal.push((event.clone(), self.now));
        let effects = self.rollout.step(event.clone(), self.now);
        Book::check(self, &before, &event, &effects);
        self.carry_out(effects.clone());
        effects
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            if self.dies_after == Some(0) {
                self.dies_after = None;
                let landed = self.dies_landed;
                return self.crash(Duration::ZERO, landed);
            }
            self.dies_after = self.dies_after.map(|n| n - 1);
            match effect {
                Effect::Persist { rev } => {
                    assert!(self.saving.is_none(), "rule 3: two saves at once");
                    self.saving = Some((rev, self.rollout.snapshot()));
                    self.book.saves();
                }
                Effect::Run { call, action } => self.open.push((call, action)),
                Effect::Cancel(id) => {
                    let (gone, open) = self.open.drain(..).partition(|(call, _)| call.id == id);
                    self.open = open;
                    self.late.extend::<Vec<_>>(gone);
                }
                Effect::Notify(record) => {
                    let n = record.number;
                    let known = self.told.entry(n).or_insert_with(|| record.clone());
                    assert_eq!(*known, record, "rule 3: one number, two records");
                    assert!(
                        n <= self.told_before + 1 || self.told.contains_key(&(n - 1)),
                        "rule 3: record {} was lost",
                        n - 1
                    );
                }
                Effect::Answer { command, answer } => {
                    let known = self.answers.entry(command).or_insert_with(|| answer.clone());
                    assert_eq!(*known, answer, "rule 6: one command, two answers");
                }
            }
        }
    }

    // --- time, the store, crashes

    /// Lets time pass up to the machine's deadline; tells whether it has one.
    pub(crate) fn tick(&mut self) -> bool {
        let Some(deadline) = self.rollout.deadline() else { return false };
        self.pass(deadline.since(self.now));
        self.step(Event::Tick);
        true
    }

    /// Lets time pass, at most up to the machine's deadline.
    pub(crate) fn pass(&mut self, time: Duration) {
        let most = self.rollout.deadline().map_or(time, |at| at.since(self.now));
        let time = time.min(most);
        self.book.lived(&self.rollout, time);
        self.now = self.now + time;
    }

    pub(crate) fn saved(&mut self, result: Result<(), FailureKind>, landed: bool) {
        let Some((rev, snapshot)) = self.saving.take() else { return };
        if result.is_ok() || landed {
            self.stored = Some(snapshot);
            self.book.saved();
        }
        if result.is_ok() {
            self.book.durable(self.stored.as_ref());
        }
        self.step(Event::Persisted { rev, result: result.map_err(failure) });
    }

    /// The process dies, and another takes the rollout up from what is stored.
    pub(crate) fn crash(&mut self, down: Duration, landed: bool) {
        self.taken_over(self.now + down, landed);
    }

    /// The same, by a process whose clock is far behind.
    pub(crate) fn crash_behind(&mut self, landed: bool) {
        self.taken_over(T0, landed);
    }

    fn taken_over(&mut self, now: Timestamp, landed: bool) {
        if let Some((_, snapshot)) = self.saving.take().filter(|_| landed) {
            self.stored = Some(snapshot);
            self.book.saved();
        }
        let Some(stored) = self.stored.clone() else {
            // Nothing was ever saved, so nothing was done: somebody starts it again.
            let late = std::mem::take(&mut self.open);
            assert!(late.iter().all(|(_, a)| reads(a)), "rule 3: {late:?}");
            let (plan, now) = (self.plan.clone(), self.now);
            *self = Self {
                now,
                fair: self.fair,
                gone: self.gone,
                commands: self.commands,
                ..Self::start(&plan)
            };
            return;
        };
        let text = serde_json::to_string(&stored).unwrap();
        let stored: Snapshot = serde_json::from_str(&text).unwrap();
        self.late.append(&mut self.open);
        // What was answered to a process that is dead reaches nobody.
        self.old.clear();
        self.now = now.max(stored.seen());
        self.rollout = Rollout::restore(stored.clone(), self.plan.policy()).unwrap();
        self.book.restored(&stored);
        self.step(Event::Restored);
    }

    // --- calls

    /// Answers an open call.
    pub(crate) fn answer(&mut self, index: usize, manner: &Manner) {
        if self.open.is_empty() {
            return;
        }
        let (call, action) = self.open.remove(index % self.open.len());
        let routes = matches!(action, Action::Route { .. } | Action::Observe | Action::Release);
        let gone = self.gone.filter(|_| routes).map(Manner::Fails);
        let reply = match gone.as_ref().unwrap_or(manner) {
            Manner::Well => self.do_it(&call, &action),
            Manner::Fails(kind) => action.failed(failure(*kind)),
            Manner::Lost => {
                self.do_it(&call, &action);
                action.failed(failure(FailureKind::Timeout))
            }
            Manner::Ill(trouble) => self.trouble(&call, &action, *trouble),
        };
        self.book.answered(&action, &reply);
        let event = Event::Reply { id: call.id, attempt: call.attempt, reply };
        self.old.push(event.clone());
        self.step(event);
    }

    /// A request of which nobody expects anything any more arrives.
    pub(crate) fn land_late(&mut self, index: usize) {
        if !self.late.is_empty() {
            let (call, action) = self.late.swap_remove(index % self.late.len());
            // What only reads changes nothing, and the versions are not fenced: doing it twice does no harm.
            if matches!(action, Action::Route { .. }) {
                self.do_it(&call, &action);
                // A holder by a clock ahead that died before it could save anything: nobody can know of it.
                self.route.foreign |= call.epoch > self.rollout.epoch();
            }
        }
    }

    /// Carries an action out as its port promises to.
    fn do_it(&mut self, call: &Call, action: &Action) -> Reply {
        match action {
            Action::Route { traffic, at } => {
                Reply::Applied(self.route.apply(call, traffic, at.as_ref()))
            }
            Action::Observe => Reply::Observed(Ok(self.route.observed())),
            Action::Release => Reply::Released(Ok(())),
            Action::Measure { queries, .. } if self.behind => {
                Reply::Measured(queries.iter().map(|q| Ok(Measured::pending(q.after))).collect())
            }
            Action::Measure { queries, until } => {
                let weight = self.rollout.weight();
                let bad = !self.fair && self.plan.bad_from.is_some_and(|from| weight >= from);
                Reply::Measured(queries.iter().map(|q| Ok(sees(q, *until, bad))).collect())
            }
            Action::Promote { .. } | Action::Retire { .. } if self.wedged => {
                Reply::Progressed(Ok(Progress::Wait { why: "no image".to_owned() }))
            }
            Action::AskGate { context } => Reply::Decided(Ok(
                if !self.fair && self.plan.closed.as_ref() == Some(&context.gate) {
                    Decision::reject("closed")
                } else {
                    Decision::Open
                },
            )),
            Action::Prepare { capacity } => {
                self.versions.canary_up = true;
                Reply::Prepared(Ok(Readiness::ready_for(capacity.weight)))
            }
            Action::Promote { .. } => {
                self.versions.stable_is_new = true;
                Reply::Progressed(Ok(Progress::Done))
            }
            Action::Restore { .. } => {
                self.versions.stable_is_new = false;
                Reply::Progressed(Ok(Progress::Done))
            }
            Action::Retire { side } => {
                match side {
                    Side::Canary => self.versions.canary_up = false,
                    Side::Stable => self.versions.stable_up = false,
                }
                Reply::Progressed(Ok(Progress::Done))
            }
        }
    }

    /// Answers, but not as one hopes for.
    fn trouble(&mut self, call: &Call, action: &Action, trouble: u8) -> Reply {
        match action {
            // The router holds something else than what was asked for.
            Action::Route { at, .. } => {
                let other = Traffic::to_canary(Weight::percent(7));
                Reply::Applied(self.route.apply(call, &other, at.as_ref()))
            }
            Action::Measure { queries, until } => Reply::Measured(match trouble % 5 {
                0 => queries.iter().map(|q| Ok(sees(q, *until, true))).collect(),
                1 => queries.iter().map(|q| Ok(Measured::pending(q.after))).collect(),
                2 => queries
                    .iter()
                    .map(|q| {
                        let window = Window::new(q.after, *until);
                        Ok(Measured::new(window, Reading::NoData, Reading::NoData))
                    })
                    .collect(),
                // Too much, or too little.
                3 => queries
                    .iter()
                    .map(|q| Ok(sees(q, *until + Duration::from_secs(9), false)))
                    .collect(),
                _ => Vec::new(),
            }),
            Action::AskGate { .. } if trouble.is_multiple_of(2) => Reply::Decided(Ok(
                Decision::wait(Duration::from_secs(u64::from(trouble)), "not yet"),
            )),
            Action::AskGate { .. } => Reply::Decided(Ok(Decision::reject("no"))),
            Action::Prepare { .. } => Reply::Prepared(Ok(match trouble % 2 {
                0 => Readiness::waiting("no node"),
                _ => Readiness::ready_for(Weight::ZERO),
            })),
            Action::Promote { .. } | Action::Restore { .. } | Action::Retire { .. } => {
                Reply::Progressed(Ok(Progress::Wait { why: "slow".to_owned() }))
            }
            // An answer of another sort.
            Action::Observe => Reply::Released(Ok(())),
            Action::Release => Reply::Observed(Ok(self.route.observed())),
        }
    }

    // --- people and others

    pub(crate) fn command(&mut self, kind: CommandKind, stage: Option<StageRef>) -> CommandId {
        self.commands += 1;
        let id: CommandId = format!("c{}", self.commands).parse().unwrap();
        self.give(&id, kind, stage);
        id
    }

    pub(crate) fn give(
        &mut self,
        id: &CommandId,
        kind: CommandKind,
        stage: Option<StageRef>,
    ) -> Vec<Effect> {
        let mut command = Command::new(id.clone(), "ana".parse().unwrap(), kind);
        command.stage = stage;
        self.step(Event::Command(command))
    }

    pub(crate) fn abort(&mut self) -> CommandId {
        self.command(CommandKind::Abort { reason: "no".to_owned() }, None)
    }

    /// Somebody else writes the route.
    pub(crate) fn drift(&mut self, weight: Weight) {
        self.route.foreign = true;
        self.route.write(Traffic::to_canary(weight));
    }

    /// The watch shows the route.
    pub(crate) fn see(&mut self) {
        let (observed, began) = (self.route.observed(), self.now);
        self.step(Event::Observed { observed, began });
    }

    // --- to the end

    /// Does the next thing as one hopes for; false when there is nothing to do.
    pub(crate) fn go_on(&mut self) -> bool {
        if self.saving.is_some() {
            self.saved(Ok(()), true);
        } else if !self.open.is_empty() {
            self.answer(0, &Manner::Well);
        } else if let Some(kind) = self.wish() {
            self.command(kind, None);
        } else {
            return self.tick();
        }
        true
    }

    /// Returns what a person has to say for the rollout to go on.
    fn wish(&self) -> Option<CommandKind> {
        match self.rollout.status(self.now).waiting {
            Waiting::Resume => Some(CommandKind::Resume),
            Waiting::Question(check) => {
                Some(CommandKind::Approve { gate: GateName::new(check).unwrap() })
            }
            Waiting::Gate(gate) if self.rollout.policy().gate(&gate).kind == GateKind::Approval => {
                Some(CommandKind::Approve { gate })
            }
            _ => None,
        }
    }

    /// Lets nothing bad happen any more until the rollout is over and told.
    pub(crate) fn finish(&mut self) {
        self.fair = true;
        for _ in 0..5_000 {
            if self.rollout.is_settled() {
                return;
            }
            assert!(
                self.go_on(),
                "rule 5: nothing can ever happen again: {:?}",
                self.rollout.phase()
            );
        }
        panic!(
            "rule 5: no end: {:?}, {:?}",
            self.rollout.phase(),
            self.rollout.status(self.now).waiting
        );
    }
}

/// Returns what a source sees between a query's cursor and now.
fn sees(query: &Query, until: Timestamp, bad: bool) -> Measured {
    let window = Window::new(query.after, until);
    if window.is_empty() {
        return Measured::pending(query.after);
    }
    let counts = |bad| Reading::Counts(Counts::new(100, bad).unwrap());
    Measured::new(window, counts(0), counts(if bad { 60 } else { 0 }))
}

/// Tells whether an action changes nothing.
fn reads(action: &Action) -> bool {
    matches!(action, Action::Observe | Action::AskGate { .. } | Action::Measure { .. })
}
