//! States and moves, as stateright walks them.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use canary_core::policy::Policy;
use canary_core::ports::Call;
use canary_core::record::Outcome;
use canary_core::rollout::{
    Action, Command, CommandKind, Effect, Event, Phase, Reply, Rollout, Snapshot,
};
use canary_core::value::{
    Counts, Failure, FailureKind, Measured, Reading, Timestamp, Traffic, Window,
};
use stateright::{Model, Property};

use crate::key::key;
use crate::world::{Budget, Holder, Route, Stored};

const T0: Timestamp = Timestamp::from_millis(1_000_000);

/// The model: a policy and how much trouble there may be.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Rollouts {
    policy: Arc<Policy>,
    budget: Budget,
}

impl Rollouts {
    /// Takes a policy and a budget.
    #[must_use]
    pub fn new(policy: Policy, budget: Budget) -> Self {
        Self { policy: Arc::new(policy), budget }
    }
}

/// One state of everything; equal where the canonical form is.
#[derive(Clone, Debug)]
pub struct State {
    now: Timestamp,
    holders: Vec<Holder>,
    route: Route,
    store: Option<Stored>,
    /// How many holders there have been.
    held: u8,
    /// Whether the last look that it knows of was good.
    stored_good: bool,
    /// Raises that were sent by holders that died or froze: they may still arrive.
    late: Vec<(Call, Action)>,
    left: Budget,
    /// How many records observers were told in a row.
    told: u64,
    /// The rule that was broken on the way here.
    broken: Option<&'static str>,
    key: String,
}

impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Hash for State {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

/// What may happen next.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a path is read by people")]
pub enum Move {
    /// A holder's save arrives at the store, or not, or so that nobody tells.
    Save(usize, Saved),
    /// A holder's oldest call is answered: well, or with a failure.
    Answer(usize, bool),
    /// A holder's measurement shows a bad canary, or nothing.
    Look(usize, bool),
    /// Time goes on to a holder's deadline.
    Time(usize),
    /// A holder dies, and another takes the rollout up.
    Crash(usize),
    /// A holder freezes, and another takes the rollout up.
    Freeze(usize),
    /// A frozen holder wakes up.
    Wake(usize),
    /// Somebody aborts.
    Abort(usize),
    /// A raise of a holder that died or froze arrives.
    Land,
}

/// What becomes of a save.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a path is read by people")]
pub enum Saved {
    /// It is stored.
    Well,
    /// It is not.
    Not,
    /// It is, and its answer is lost.
    Untold,
}

impl State {
    fn sealed(mut self) -> Self {
        self.key.clear();
        self.key = key(
            &(
                &self.holders,
                &self.route,
                &self.store,
                &self.late,
                &self.left,
                self.stored_good,
                self.told,
                self.broken,
            ),
            self.now,
        );
        self
    }

    fn step(&mut self, i: usize, event: Event) {
        let holder = &mut self.holders[i];
        let stood = holder.rollout.weight();
        let effects = holder.rollout.step(event, self.now);
        if holder.rollout.weight() != stood {
            holder.good = false;
        }
        self.carry_out(i, effects);
    }

    fn carry_out(&mut self, i: usize, effects: Vec<Effect>) {
        for effect in effects {
            let holder = &mut self.holders[i];
            match effect {
                Effect::Persist { rev } => holder.saving = Some((rev, holder.rollout.snapshot())),
                Effect::Run { call, action } => {
                    if let Some(rule) = allowed(holder, &call, &action) {
                        self.broken = Some(rule);
                    }
                    holder.open.push((call, action));
                }
                Effect::Cancel(id) => holder.open.retain(|(call, _)| call.id != id),
                Effect::Notify(record) => {
                    if record.number > self.told + 1 {
                        self.broken = Some("rule 3: a record was lost");
                    }
                    self.told = self.told.max(record.number);
                }
                Effect::Answer { .. } => {}
            }
        }
    }

    fn save(&mut self, i: usize, saved: Saved) {
        let Some((rev, snapshot)) = self.holders[i].saving.take() else { return };
        let well = saved == Saved::Well;
        if saved != Saved::Not {
            if !self.holds(i) {
                // Somebody else holds the rollout: the driver ends, once it is told.
                self.holders[i].fenced = well;
                return;
            }
            let holder = &mut self.holders[i];
            let revision = self.store.as_ref().map_or(0, |stored| stored.revision) + 1;
            if well {
                (holder.revision, holder.durable) = (revision, effects_of(&snapshot));
            }
            self.store = Some(Stored { revision, by: holder.name, snapshot });
            self.stored_good = holder.good;
        }
        let failed = Failure::new(FailureKind::Unavailable, "no luck");
        self.step(i, Event::Persisted { rev, result: if well { Ok(()) } else { Err(failed) } });
    }

    /// Tells whether the store is as a holder left or found it: what it saved itself is its own, told or not.
    fn holds(&self, i: usize) -> bool {
        let (revision, name) = (self.holders[i].revision, self.holders[i].name);
        let theirs = |stored: &&Stored| stored.revision != revision && stored.by != name;
        self.store.as_ref().filter(theirs).is_none()
    }

    fn answer(&mut self, i: usize, well: bool) {
        let (call, action) = self.holders[i].open.remove(0);
        let reply = if well {
            match self.done(i, &call, &action) {
                Some(reply) => reply,
                None => return,
            }
        } else {
            action.failed(Failure::new(FailureKind::Timeout, "no luck"))
        };
        self.step(i, Event::Reply { id: call.id, attempt: call.attempt, reply });
    }

    /// Carries a call out; none where the holder was found to be replaced.
    fn done(&mut self, i: usize, call: &Call, action: &Action) -> Option<Reply> {
        Some(match action {
            Action::Route { traffic, at } => {
                if at.is_some() && !self.holds(i) {
                    self.holders[i].fenced = true;
                    return None;
                }
                Reply::Applied(self.apply(call, traffic, at.as_ref()))
            }
            Action::Observe => Reply::Observed(Ok(self.route.observed())),
            Action::Release => Reply::Released(Ok(())),
            Action::Measure { .. } => {
                self.holders[i].good = true;
                seen(action, Some(0))
            }
            _ => return None,
        })
    }

    fn apply(
        &mut self,
        call: &Call,
        traffic: &Traffic,
        at: Option<&canary_core::value::Version>,
    ) -> Result<canary_core::ports::Applied, Failure> {
        let (before, latest) = (self.route.traffic.clone(), self.route.latest);
        let result = self.route.apply(call, traffic, at);
        let raised = !self.route.traffic.is_within(&before);
        if raised && call.order() < latest {
            self.broken = Some("rule 7: an old call took effect");
        }
        let holds = self.store.as_ref().map(|stored| stored.snapshot.epoch());
        if raised && holds > Some(call.epoch) && latest.0 > call.epoch {
            self.broken = Some("rule 9: a holder that was replaced raised");
        }
        result
    }

    fn look(&mut self, i: usize, bad: bool) {
        let (call, action) = self.holders[i].open.remove(0);
        self.holders[i].good = false;
        let reply = seen(&action, bad.then_some(60));
        self.step(i, Event::Reply { id: call.id, attempt: call.attempt, reply });
    }

    /// Somebody takes the rollout up from the store; without anything stored there is nothing to take up.
    fn take_up(&mut self, policy: &Arc<Policy>) {
        let Some(Stored { revision, snapshot, .. }) = self.store.clone() else { return };
        let durable = effects_of(&snapshot);
        let Ok(rollout) = Rollout::restore(snapshot, Arc::clone(policy)) else {
            self.broken = Some("rule 3: what was saved cannot be taken up");
            return;
        };
        self.held += 1;
        let holder = Holder::of(self.held, rollout);
        self.holders.push(Holder { revision, durable, good: self.stored_good, ..holder });
        let i = self.holders.len() - 1;
        let stood = self.holders[i].rollout.phase().stage();
        self.step(i, Event::Restored);
        let stands = self.holders[i].rollout.phase().stage();
        if stood.is_some() && stands > stood {
            self.broken = Some("rule 4: a restart advanced");
        }
    }

    /// Tells whether a live holder has brought the rollout to its end.
    fn is_over(&self) -> bool {
        self.holders.iter().any(|holder| holder.lives() && holder.rollout.is_settled())
    }
}

impl Holder {
    fn of(name: u8, rollout: Rollout) -> Self {
        Self {
            name,
            rollout,
            saving: None,
            open: Vec::new(),
            revision: 0,
            durable: 0,
            good: false,
            aborted: false,
            frozen: false,
            fenced: false,
        }
    }

    fn lives(&self) -> bool {
        !self.frozen && !self.fenced
    }
}

/// Returns the rule that a call breaks, if it breaks one.
fn allowed(holder: &Holder, call: &Call, action: &Action) -> Option<&'static str> {
    let Action::Route { traffic, at: Some(_) } = action else { return None };
    if traffic.is_within(holder.rollout.traffic()) {
        return None;
    }
    let mixed = holder.rollout.traffic().split().is_mixed();
    if holder.aborted || !matches!(holder.rollout.phase(), Phase::Entering { .. }) {
        Some("rule 2: a raise after an abort")
    } else if mixed && !holder.good {
        Some("rule 2: a raise without a passing verdict")
    } else if call.id.get() > holder.durable {
        Some("rule 3: a raise before it is durable")
    } else {
        None
    }
}

fn effects_of(snapshot: &Snapshot) -> u64 {
    serde_json::to_value(snapshot)
        .ok()
        .and_then(|json| json["state"]["ledger"]["next_effect"].as_u64())
        .unwrap_or(0)
}

/// Answers a measurement with so many failures of the canary, or with nothing newer.
fn seen(action: &Action, bad: Option<u64>) -> Reply {
    let Action::Measure { queries, until } = action else { return Reply::Measured(Vec::new()) };
    let counts = |bad| Counts::new(100, bad).map_or(Reading::NoData, Reading::Counts);
    let answers = queries.iter().map(|query| {
        Ok(match bad {
            Some(bad) => Measured::new(Window::new(query.after, *until), counts(0), counts(bad)),
            None => Measured::pending(query.after),
        })
    });
    Reply::Measured(answers.collect())
}

impl Model for Rollouts {
    type State = State;
    type Action = Move;

    fn init_states(&self) -> Vec<State> {
        let Ok(id) = "shop-1".parse() else { return Vec::new() };
        let (rollout, effects) = Rollout::start(id, Arc::clone(&self.policy), T0);
        let mut state = State {
            now: T0,
            holders: vec![Holder::of(0, rollout)],
            route: Route::default(),
            store: None,
            held: 0,
            stored_good: false,
            late: Vec::new(),
            left: self.budget,
            told: 0,
            broken: None,
            key: String::new(),
        };
        state.carry_out(0, effects);
        vec![state.sealed()]
    }

    fn actions(&self, state: &State, moves: &mut Vec<Move>) {
        if state.is_over() && state.late.is_empty() {
            return;
        }
        let left = &state.left;
        if !state.late.is_empty() {
            moves.push(Move::Land);
        }
        for (i, holder) in state.holders.iter().enumerate() {
            if holder.fenced || holder.rollout.is_settled() {
                continue;
            }
            if holder.frozen {
                moves.push(Move::Wake(i));
                continue;
            }
            if holder.saving.is_some() {
                moves.push(Move::Save(i, Saved::Well));
                if left.faults > 0 {
                    moves.extend([Saved::Not, Saved::Untold].map(|saved| Move::Save(i, saved)));
                }
            }
            if let Some((_, action)) = holder.open.first() {
                moves.push(Move::Answer(i, true));
                if left.faults > 0 {
                    moves.push(Move::Answer(i, false));
                }
                if matches!(action, Action::Measure { .. }) {
                    moves.extend((left.bad > 0).then_some(Move::Look(i, true)));
                    moves.extend((left.nothing > 0).then_some(Move::Look(i, false)));
                }
            }
            let idle = holder.saving.is_none() && holder.open.is_empty();
            if holder.rollout.deadline().is_some() && (idle || left.faults > 0) {
                moves.push(Move::Time(i));
            }
            if state.store.is_some() {
                moves.extend((left.crashes > 0).then_some(Move::Crash(i)));
                moves.extend((left.freezes > 0).then_some(Move::Freeze(i)));
            }
            moves.extend((left.aborts > 0).then_some(Move::Abort(i)));
        }
    }

    fn next_state(&self, last: &State, next: Move) -> Option<State> {
        let mut state = last.clone();
        match next {
            Move::Save(i, saved) => {
                if saved != Saved::Well {
                    Budget::take(&mut state.left.faults);
                }
                state.save(i, saved);
            }
            Move::Answer(i, well) => {
                if !well {
                    Budget::take(&mut state.left.faults);
                }
                state.answer(i, well);
            }
            Move::Look(i, bad) => {
                let left = if bad { &mut state.left.bad } else { &mut state.left.nothing };
                Budget::take(left);
                state.look(i, bad);
            }
            Move::Time(i) => {
                let holder = &state.holders[i];
                if holder.saving.is_some() || !holder.open.is_empty() {
                    Budget::take(&mut state.left.faults);
                }
                state.now = state.now.max(holder.rollout.deadline()?);
                state.step(i, Event::Tick);
            }
            Move::Crash(i) => {
                Budget::take(&mut state.left.crashes);
                let holder = state.holders.remove(i);
                state.late.extend(holder.open.into_iter().filter(raises));
                state.late.truncate(1);
                state.take_up(&self.policy);
            }
            Move::Freeze(i) => {
                Budget::take(&mut state.left.freezes);
                state.holders[i].frozen = true;
                state.take_up(&self.policy);
            }
            Move::Wake(i) => state.holders[i].frozen = false,
            Move::Abort(i) => {
                Budget::take(&mut state.left.aborts);
                let kind = CommandKind::Abort { reason: "no".to_owned() };
                let command = Command::new("abort".parse().ok()?, "ana".parse().ok()?, kind);
                state.holders[i].aborted = true;
                state.step(i, Event::Command(command));
            }
            Move::Land => {
                let (call, action) = state.late.remove(0);
                if let Action::Route { traffic, at } = &action {
                    let _ = state.apply(&call, traffic, at.as_ref());
                }
            }
        }
        Some(state.sealed())
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no rule is broken on the way", |_, state: &State| {
                state.broken.is_none()
            }),
            Property::always(
                "rule 1: rolled back means nothing at the canary",
                |_, state: &State| {
                    // An end that is not saved is told to nobody: who woke up too late will never save it.
                    let rolled_back = |holder: &Holder| {
                        let outcome = holder.rollout.outcome();
                        matches!(outcome, Some(Outcome::RolledBack { .. }))
                            && holder.lives()
                            && holder.rollout.is_settled()
                    };
                    !(state.late.is_empty() && state.holders.iter().any(rolled_back))
                        || state.route.traffic == Traffic::all_stable()
                },
            ),
            Property::eventually("rule 5: every path comes to an end", |_, state: &State| {
                state.is_over()
            }),
            Property::sometimes("a rollout is promoted", |_, state: &State| {
                state
                    .holders
                    .iter()
                    .any(|holder| holder.rollout.outcome().is_some_and(Outcome::is_promoted))
            }),
            Property::sometimes("a holder is fenced", |_, state: &State| {
                state.holders.iter().any(|holder| holder.fenced)
            }),
        ]
    }
}

fn raises((_, action): &(Call, Action)) -> bool {
    matches!(action, Action::Route { at: Some(_), .. })
}
