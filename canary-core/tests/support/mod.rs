//! Steps the machine by hand and writes its effects in a few words each.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::time::Duration;

use canary_core::policy::{Check, GateSpec, Patience, Policy, Then};
use canary_core::ports::{Applied, Call, Decision, Observed, Progress, Readiness};
use canary_core::record::{Content, Record};
use canary_core::rollout::{
    Action, Begin, Command, CommandKind, Effect, Event, Phase, Reply, Rollout,
};
use canary_core::value::{
    Counts, Failure, FailureKind, Measured, Query, Reading, StageRef, Timestamp, Traffic, Version,
    Weight, Window,
};

pub(crate) const T0: Timestamp = Timestamp::from_millis(1_000_000);

/// Two mixed stages and a full one, a look every 10 s, one absolute check, an approval before the last stage.
pub(crate) fn policy() -> Policy {
    Policy::builder("shop")
        .every(Duration::from_secs(10))
        .stage("tenth", Weight::percent(10), Duration::from_secs(20))
        .stage("half", Weight::percent(50), Duration::from_secs(10))
        .gate("oncall", GateSpec::approval().timeout(Duration::from_secs(600)))
        .stage("full", Weight::FULL, Duration::from_secs(10))
        .check(Check::above("errors", "error_rate", 0.05))
        .no_data(Patience::new(Duration::from_secs(30), Then::RollBack))
        .build()
        .expect("a valid policy")
}

/// Carries a rollout through by hand: every call is answered when the test says so.
pub(crate) struct Bench {
    pub(crate) rollout: Rollout,
    pub(crate) now: Timestamp,
    /// Calls that were run and neither answered nor cancelled.
    pub(crate) open: Vec<(Call, Action)>,
    pub(crate) records: Vec<Record>,
    version: u64,
    commands: u64,
    /// The state that was last asked to be saved.
    saving: u64,
}

impl Bench {
    pub(crate) fn start(policy: Policy) -> (Self, Vec<String>) {
        let (rollout, effects) = Rollout::start("shop-1".parse().unwrap(), policy, T0);
        let mut bench = Self {
            rollout,
            now: T0,
            open: Vec::new(),
            records: Vec::new(),
            version: 0,
            commands: 0,
            saving: 0,
        };
        let shown = bench.take(effects);
        (bench, shown)
    }

    /// Begins a rollout that has a workload.
    pub(crate) fn with_workload(policy: Policy) -> Self {
        let (mut bench, _) = Self::start(policy.clone());
        let begin = Begin::new("shop-1".parse().unwrap(), policy).with_workload(true);
        let (rollout, effects) = Rollout::begin(begin, T0);
        bench.rollout = rollout;
        bench.take(effects);
        bench
    }

    /// Brings a rollout to where it holds at a weight, with everything saved.
    pub(crate) fn holding_at(weight: Weight, policy: Policy) -> Self {
        let (mut bench, _) = Self::start(policy);
        bench.go_on_until(|bench| bench.rollout.weight() == weight && holding(bench));
        bench.saved_latest();
        bench
    }

    fn take(&mut self, effects: Vec<Effect>) -> Vec<String> {
        let shown = effects.iter().map(show).collect();
        for effect in effects {
            match effect {
                Effect::Run { call, action } => {
                    self.open.retain(|(open, _)| open.id != call.id);
                    self.open.push((call, action));
                }
                Effect::Cancel(id) => self.open.retain(|(call, _)| call.id != id),
                Effect::Notify(record) => self.records.push(record),
                Effect::Persist { rev } => self.saving = rev,
                Effect::Answer { .. } => {}
            }
        }
        shown
    }

    pub(crate) fn step(&mut self, event: Event) -> Vec<String> {
        let effects = self.rollout.step(event, self.now);
        self.take(effects)
    }

    /// Moves time on to the deadline, which must lie this far ahead.
    pub(crate) fn tick(&mut self, ahead: Duration) -> Vec<String> {
        let deadline = self.rollout.deadline().expect("something is due");
        assert_eq!(deadline.since(self.now), ahead, "the deadline lies elsewhere");
        self.now = deadline;
        self.step(Event::Tick)
    }

    /// Returns the state that was last asked to be saved.
    pub(crate) fn saving(&self) -> u64 {
        self.saving
    }

    pub(crate) fn saved(&mut self, rev: u64) -> Vec<String> {
        self.step(Event::Persisted { rev, result: Ok(()) })
    }

    pub(crate) fn command(&mut self, kind: CommandKind) -> Vec<String> {
        self.commands += 1;
        let id = format!("c{}", self.commands).parse().unwrap();
        self.step(Event::Command(Command::new(id, "ana".parse().unwrap(), kind)))
    }

    /// Answers the only open call of a sort.
    fn reply(&mut self, sort: &str, answer: impl FnOnce(&Action) -> Reply) -> Vec<String> {
        let at = self.open.iter().position(|(_, action)| action.to_string().contains(sort));
        let (call, action) =
            self.open.remove(at.unwrap_or_else(|| panic!("nothing to {sort}: {:?}", self.open)));
        let reply = answer(&action);
        self.step(Event::Reply { id: call.id, attempt: call.attempt, reply })
    }

    pub(crate) fn route_ok(&mut self) -> Vec<String> {
        self.version += 1;
        let version = Version::new(format!("v{}", self.version));
        self.reply("route", |action| match action {
            Action::Route { traffic, .. } => {
                Reply::Applied(Ok(Applied::accepted(traffic.clone(), version)))
            }
            other => panic!("{other}"),
        })
    }

    pub(crate) fn route_fails(&mut self, kind: FailureKind) -> Vec<String> {
        self.reply("route", |_| Reply::Applied(Err(Failure::new(kind, "no luck"))))
    }

    pub(crate) fn observed(&mut self, weight: Weight) -> Vec<String> {
        self.observed_as(Traffic::to_canary(weight))
    }

    pub(crate) fn observed_as(&mut self, traffic: Traffic) -> Vec<String> {
        self.version += 1;
        let version = Version::new(format!("v{}", self.version));
        self.reply("observe", |_| Reply::Observed(Ok(Observed::new(traffic, version))))
    }

    /// Answers with 1000 requests of stable and 100 of the canary, so many of which failed.
    pub(crate) fn measured(&mut self, bad: u64) -> Vec<String> {
        let canary = Reading::Counts(Counts::new(100, bad).unwrap());
        self.measured_as(canary)
    }

    pub(crate) fn silence(&mut self) -> Vec<String> {
        self.measured_as(Reading::NoData)
    }

    fn measured_as(&mut self, canary: Reading) -> Vec<String> {
        self.reply("measure", |action| match action {
            Action::Measure { queries, until } => Reply::Measured(
                queries
                    .iter()
                    .map(|Query { after, .. }| {
                        let stable = Reading::Counts(Counts::new(1000, 1).unwrap());
                        Ok(Measured::new(Window::new(*after, *until), stable, canary.clone()))
                    })
                    .collect(),
            ),
            other => panic!("{other}"),
        })
    }

    pub(crate) fn decided(&mut self, decision: Decision) -> Vec<String> {
        self.reply("gate", |_| Reply::Decided(Ok(decision)))
    }

    pub(crate) fn gate_fails(&mut self, kind: FailureKind) -> Vec<String> {
        self.reply("gate", |_| Reply::Decided(Err(Failure::new(kind, "no luck"))))
    }

    pub(crate) fn ready(&mut self, readiness: Readiness) -> Vec<String> {
        self.reply("make the canary ready", |_| Reply::Prepared(Ok(readiness)))
    }

    pub(crate) fn progressed(&mut self, progress: Progress) -> Vec<String> {
        self.worked(Ok(progress))
    }

    pub(crate) fn work_fails(&mut self, kind: FailureKind) -> Vec<String> {
        self.worked(Err(Failure::new(kind, "no luck")))
    }

    fn worked(&mut self, result: Result<Progress, Failure>) -> Vec<String> {
        let at = self.open.iter().position(|(_, action)| {
            matches!(
                action,
                Action::Promote { .. } | Action::Restore { .. } | Action::Retire { .. }
            )
        });
        let (call, _) = self.open.remove(at.expect("something is under way"));
        let reply = Reply::Progressed(result);
        self.step(Event::Reply { id: call.id, attempt: call.attempt, reply })
    }

    /// Looks at the route without being asked.
    pub(crate) fn seen(&mut self, weight: Weight) -> Vec<String> {
        self.seen_since(weight, self.now)
    }

    pub(crate) fn seen_since(&mut self, weight: Weight, began: Timestamp) -> Vec<String> {
        self.seen_as(Traffic::to_canary(weight), began)
    }

    pub(crate) fn seen_as(&mut self, traffic: Traffic, began: Timestamp) -> Vec<String> {
        self.version += 1;
        let version = Version::new(format!("v{}", self.version));
        self.step(Event::Observed { observed: Observed::new(traffic, version), began })
    }

    /// Lets another holder take the rollout up from what is saved.
    pub(crate) fn taken_up_after(&mut self, down: Duration) {
        self.saved_latest();
        let policy = self.rollout.policy().clone();
        self.rollout = Rollout::restore(self.rollout.snapshot(), policy).unwrap();
        self.open.clear();
        self.now = self.now + down;
        self.step(Event::Restored);
        self.saved_latest();
    }

    /// Tells whether such a call is open.
    pub(crate) fn opened(&self, sort: &str) -> bool {
        self.open.iter().any(|(_, action)| action.to_string().contains(sort))
    }

    /// Returns what was told, but for the judgements.
    pub(crate) fn told(&self) -> Vec<String> {
        let judged = |record: &&Record| !matches!(record.content, Content::Judged(_));
        self.records.iter().filter(judged).map(|record| name(&record.content)).collect()
    }

    pub(crate) fn release_ok(&mut self) -> Vec<String> {
        self.reply("marks", |_| Reply::Released(Ok(())))
    }

    pub(crate) fn release_fails(&mut self, kind: FailureKind) -> Vec<String> {
        self.reply("marks", |_| Reply::Released(Err(Failure::new(kind, "no luck"))))
    }

    /// Answers and approves everything, with healthy measurements, until the predicate holds.
    pub(crate) fn go_on_until(&mut self, until: impl Fn(&Self) -> bool) {
        for _ in 0..200 {
            if until(self) {
                return;
            }
            self.saved_latest();
            if until(self) {
                return;
            }
            if !self.open.is_empty() {
                self.answer_first();
                continue;
            }
            match self.rollout.asked().map(|ask| ask.gate.clone()) {
                Some(gate) => drop(self.command(CommandKind::Approve { gate })),
                None => {
                    if let Some(deadline) = self.rollout.deadline() {
                        self.now = deadline;
                        self.step(Event::Tick);
                    }
                }
            }
        }
        panic!("it never came to that: {:?}", self.rollout.phase());
    }

    /// Answers the first open call as one hopes for.
    pub(crate) fn answer_first(&mut self) {
        let (_, action) = self.open[0].clone();
        match action {
            Action::Route { .. } => drop(self.route_ok()),
            Action::Observe => drop(self.observed(self.rollout.weight())),
            Action::Measure { .. } => drop(self.measured(0)),
            Action::AskGate { .. } => drop(self.decided(Decision::Open)),
            Action::Release => drop(self.release_ok()),
            Action::Prepare { capacity } => drop(self.ready(Readiness::ready_for(capacity.weight))),
            Action::Promote { .. } | Action::Restore { .. } | Action::Retire { .. } => {
                self.progressed(Progress::Done);
            }
        }
    }

    pub(crate) fn command_at(&mut self, kind: CommandKind, stage: &str) -> Vec<String> {
        self.commands += 1;
        let id = format!("c{}", self.commands).parse().unwrap();
        let command = Command::new(id, "ana".parse().unwrap(), kind);
        self.step(Event::Command(command.at(StageRef::new(stage))))
    }

    /// Saves whatever state was asked to be saved last.
    pub(crate) fn saved_latest(&mut self) {
        self.saved_up_to(200);
    }

    pub(crate) fn saved_up_to(&mut self, most: u64) {
        for rev in 1..most {
            self.saved(rev);
        }
    }
}

/// Writes an effect in a few words.
pub(crate) fn show(effect: &Effect) -> String {
    match effect {
        Effect::Persist { rev } => format!("persist {rev}"),
        Effect::Run { call, action } => {
            let at = match action {
                Action::Route { at: Some(version), .. } => format!(" at {version}"),
                _ => String::new(),
            };
            format!("run {}.{} {action}{at}", call.id, call.attempt)
        }
        Effect::Cancel(id) => format!("cancel {id}"),
        Effect::Notify(record) => format!("notify {}", name(&record.content)),
        Effect::Answer { answer, .. } => format!("answer {answer}"),
    }
}

fn name(content: &Content) -> String {
    match content {
        Content::Started { .. } => "started".to_owned(),
        Content::Restored { epoch, .. } => format!("restored as {epoch}"),
        Content::StageEntered { name, .. } => format!("entered {name}"),
        Content::TrafficAccepted { weight, .. } => format!("accepted {weight}"),
        Content::Drifted { expected, found, .. } => format!("drifted {expected} {found}"),
        Content::Judged(judgement) => {
            format!("judged {:?} {}", judgement.ruling, judgement.held_ms)
        }
        Content::GateAsked { gate, .. } => format!("asked {gate}"),
        Content::GateOpened { gate, by } => {
            format!(
                "opened {gate}{}",
                by.as_ref().map_or_else(String::new, |by| format!(" by {by}"))
            )
        }
        Content::Commanded { command, answer, .. } => format!("commanded {command}: {answer}"),
        Content::CallFailed { action, attempt, failure } => {
            format!("failed {action} {attempt}: {}", failure.kind)
        }
        Content::RollbackDecided { reason } => match reason.check() {
            Some(check) => format!("roll back by {check}"),
            None => format!("roll back: {reason}"),
        },
        Content::Stuck { for_ms } => format!("stuck {for_ms}"),
        Content::Ended { outcome } => {
            if outcome.is_promoted() {
                "promoted".to_owned()
            } else {
                "rolled back".to_owned()
            }
        }
        other => format!("{other}"),
    }
}

/// Tells whether a weight is asked for.
pub(crate) fn entering(b: &Bench) -> bool {
    matches!(b.rollout.phase(), Phase::Entering { .. })
}

/// Tells whether a weight stands and no gate is asked.
pub(crate) fn holding(b: &Bench) -> bool {
    matches!(b.rollout.phase(), Phase::Holding { .. }) && b.rollout.asked().is_none()
}

/// Tells whether the router is being asked for a weight.
pub(crate) fn raising(b: &Bench) -> bool {
    entering(b) && !b.open.is_empty()
}

/// Returns how much of the hold has been observed, in milliseconds, while a weight stands.
pub(crate) fn held_ms(b: &Bench) -> Option<u64> {
    matches!(b.rollout.phase(), Phase::Holding { .. })
        .then(|| b.rollout.phase().hold().unwrap().held_ms)
}

/// Returns a number of seconds.
pub(crate) fn s(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Answers the measurement that is asked for, each query by itself.
pub(crate) fn reply_with(
    b: &mut Bench,
    f: impl Fn(&Query, Timestamp) -> Result<Measured, Failure>,
) -> Vec<String> {
    let i = b.open.iter().position(|(_, a)| matches!(a, Action::Measure { .. })).unwrap();
    let (call, action) = b.open.remove(i);
    let Action::Measure { queries, until } = action else { unreachable!() };
    b.step(Event::Reply {
        id: call.id,
        attempt: call.attempt,
        reply: Reply::Measured(queries.iter().map(|q| f(q, until)).collect()),
    })
}

/// Answers that there is nothing newer.
pub(crate) fn reply_pending(b: &mut Bench) {
    reply_with(b, |q, _| Ok(Measured::pending(q.after)));
}
