//! What every step is held to, whatever has happened.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use canary_core::policy::Drift;
use canary_core::record::{Content, Judgement, Outcome, Ruling, Verdict};
use canary_core::rollout::{
    Action, Command, CommandKind, Effect, Event, Phase, Reply, Rollout, Snapshot, Waiting,
};
use canary_core::value::{Side, Split, Timestamp, Traffic, Weight};

use crate::world::World;

/// Remembers what the rules speak of, from outside the machine.
#[derive(Debug, Default)]
pub(crate) struct Book {
    /// The highest effect number that a durable state holds, as far as the machine was told.
    durable_effect: u64,
    /// What the last look came to at the weight that stands.
    verdict: Option<Seen>,
    /// The same as it is written down by the save under way, and as it is stored.
    saving: Option<Seen>,
    stored: Option<Seen>,
    /// The same, with the look of this step.
    left: Option<Seen>,
    /// What the workload last said that the canary is ready for, as the machine was told.
    declared: Option<Weight>,
    /// How the router took the traffic on last, as the machine was told.
    accepted: Split,
    /// What a person has said to put back.
    said: Option<Traffic>,
    /// How much live time that was not paused each stage has had.
    live: BTreeMap<usize, Duration>,
    /// Whether a promotion in place may have begun.
    pub(crate) no_return: bool,
    /// The ways from phase to phase that were taken.
    pub(crate) ways: BTreeSet<(&'static str, &'static str)>,
}

/// What a look came to, and up to when it saw.
#[derive(Clone, Copy, Debug)]
struct Seen {
    ruling: Ruling,
    until: Timestamp,
    /// Whether nothing but the watched gate stood in the way.
    but_for_gate: bool,
}

impl Seen {
    fn of(judgement: &Judgement, before: Option<Self>) -> Option<Self> {
        let until = judgement.window.until.max(before.map_or(Timestamp::EPOCH, |seen| seen.until));
        let (gates, metrics): (Vec<_>, Vec<_>) =
            judgement.checks.iter().partition(|check| &*check.check == "switch");
        if judgement.ruling == Ruling::Wait {
            // Nothing newer was measured. What was stands, but a gate that has opened since is open.
            let opened = gates.iter().all(|gate| gate.verdict == Verdict::Pass);
            return before.map(|seen| match opened && seen.but_for_gate {
                true => Self { ruling: Ruling::GoOn, ..seen },
                false => seen,
            });
        }
        let but_for_gate = metrics
            .iter()
            .all(|check| matches!(check.verdict, Verdict::Pass | Verdict::NotApplicable));
        Some(Self { ruling: judgement.ruling, until, but_for_gate })
    }
}

impl Book {
    pub(crate) fn durable(&mut self, stored: Option<&Snapshot>) {
        self.durable_effect = stored.map_or(0, effects_of);
    }

    /// A save begins.
    pub(crate) fn saves(&mut self) {
        self.saving = self.verdict;
    }

    /// A save has landed, whoever knows of it.
    pub(crate) fn saved(&mut self) {
        self.stored = self.saving;
    }

    pub(crate) fn restored(&mut self, stored: &Snapshot) {
        self.verdict = self.stored;
        self.durable_effect = effects_of(stored);
        self.declared = None;
        // What another process wrote down was lived in another world.
        if let Some(hold) = stored.phase().hold() {
            let lived = self.live.entry(hold.stage).or_default();
            *lived = (*lived).max(Duration::from_millis(hold.held_ms));
        }
    }

    /// An open call is answered.
    pub(crate) fn answered(&mut self, action: &Action, reply: &Reply) {
        if let Reply::Prepared(result) = reply {
            self.declared = result.as_ref().ok().and_then(|readiness| readiness.ready_for);
        }
        if let (Reply::Applied(Ok(applied)), Action::Route { traffic, .. }) = (reply, action)
            && applied.accepted == *traffic
        {
            self.accepted = traffic.split();
            self.said = None;
        }
    }

    /// Time passes in a process that lives.
    pub(crate) fn lived(&mut self, rollout: &Rollout, time: Duration) {
        // What was lived in a stage and not yet seen may be seen by the next holder, wherever the rollout was by then.
        if let Some(stage) = rollout.phase().stage()
            && !rollout.status(rollout.report().started).paused
        {
            *self.live.entry(stage).or_default() += time;
        }
    }

    pub(crate) fn check(world: &mut World, before: &Rollout, event: &Event, effects: &[Effect]) {
        world.book.take_in(before, &world.rollout);
        world.book.listen(before, event);
        let book = &world.book;
        book.way_back(world, before, event, effects);
        for effect in effects {
            if let Effect::Run { call, action } = effect {
                book.durable_first(call.id.get(), action, before);
                book.raise(world, action);
                stays_up(world, action);
            }
        }
        book.hold(world, before, event);
        stands(world, effects);
        book.leave(world, before, event);
        ends(world, before, effects);
    }

    fn take_in(&mut self, before: &Rollout, after: &Rollout) {
        // What somebody else did to the weight takes no verdict away: what is put back was judged.
        let arrives = matches!(before.phase(), Phase::Entering { changes: true, .. })
            && !matches!(after.phase(), Phase::Entering { .. });
        if arrives && before.traffic().split() != after.traffic().split() {
            self.verdict = None;
        }
        let last = &after.report().last;
        if let Some(judgement) = last.as_ref().filter(|_| *last != before.report().last)
            && judgement.weight == after.weight()
        {
            self.verdict = Seen::of(judgement, self.verdict);
        }
        self.left = self.verdict;
        if moved(before.phase(), after.phase()) {
            self.ways.insert((before.phase().name(), after.phase().name()));
        }
        if matches!(after.phase(), Phase::Promoting { .. }) {
            self.no_return = true;
        }
    }

    /// A person resumes what somebody else's change has paused.
    fn listen(&mut self, before: &Rollout, event: &Event) {
        let Event::Command(Command { kind: CommandKind::Resume, .. }) = event else { return };
        let paused = before.status(before.report().started).paused;
        let drifted =
            before.report().timeline.iter().rev().find_map(|record| match &record.content {
                Content::Drifted { expected, then: Drift::Pause, .. } => Some(expected.clone()),
                _ => None,
            });
        self.said = drifted.filter(|_| paused).or(self.said.take());
    }

    /// Rule 1: the way back waits for nothing but the router.
    fn way_back(&self, world: &World, before: &Rollout, event: &Event, effects: &[Effect]) {
        let Phase::RollingBack { emptied, .. } = world.rollout.phase() else { return };
        let empties = |action: &Action| matches!(action, Action::Route { traffic, at: None } if *traffic == Traffic::all_stable());
        let restores = |action: &Action| matches!(action, Action::Restore { .. });
        let ran = |what: &dyn Fn(&Action) -> bool| {
            effects.iter().any(|e| matches!(e, Effect::Run { action, .. } if what(action)))
        };
        let first = !matches!(before.phase(), Phase::RollingBack { .. });
        // The target may be somebody else's before the first save.
        let ours = self.durable_effect > 0;
        if first && ours {
            // Stable is touched once it was tried to save that: the next holder must not promote it again.
            let at_once =
                ran(&empties) || (self.no_return && (ran(&restores) || saves(world, effects)));
            assert!(
                at_once,
                "rule 1: {event:?} takes the canary back, but not at once: {effects:?}"
            );
        }
        if !emptied && ours {
            let tried = world.open.iter().any(|(_, a)| empties(a) || restores(a))
                || ran(&empties)
                || ran(&restores)
                || (self.no_return && saves(world, effects))
                || world
                    .rollout
                    .deadline()
                    .is_some_and(|at| at.since(world.now) < Duration::from_secs(13));
            assert!(
                tried,
                "rule 1: the way back is not tried any more: {:?}",
                world.rollout.phase()
            );
        }
    }

    /// Rule 2: nothing raises without a fresh passing verdict, a ready canary, and people's leave.
    fn raise(&self, world: &World, action: &Action) {
        let rollout = &world.rollout;
        let Action::Route { traffic, at: Some(_) } = action else { return };
        if traffic.is_within(rollout.traffic()) {
            return;
        }
        // What was judged is the weight that was taken on last, whatever others made of it since.
        let (now, split) = (world.now, self.accepted);
        assert!(!rollout.status(now).paused, "rule 2: a raise while paused");
        let forward = matches!(
            rollout.phase(),
            Phase::Entering { .. }
                | Phase::Promoting { .. }
                | Phase::Closing { .. }
                | Phase::Retiring { .. }
        );
        assert!(forward, "rule 2: a raise while {}", rollout.phase().name());
        let forced = matches!(
            rollout.phase(),
            Phase::Entering { forced: true, .. } | Phase::Retiring { going: true, .. }
        );
        let splits = [split, rollout.traffic().split()];
        let judged = splits.iter().all(|split| world.plan.is_measured_at(*split));
        let said = self.said.as_ref().is_some_and(|said| traffic.is_within(said));
        if judged && !forced && !said {
            let seen = self.verdict.unwrap_or_else(|| {
                panic!("rule 2: {traffic} without any verdict: {}", story(rollout))
            });
            assert_eq!(seen.ruling, Ruling::GoOn, "rule 2: a raise in spite of the verdict");
            let age = now.since(seen.until);
            assert!(age <= Duration::from_secs(2 * 10 + 60), "rule 2: the verdict is {age:?} old");
        }
        if world.plan.workload && matches!(rollout.phase(), Phase::Entering { .. }) {
            let ready = self.declared.is_some_and(|declared| traffic.canary <= declared);
            assert!(ready, "rule 2: {traffic} for a canary that is ready for {:?}", self.declared);
        }
    }

    /// Rule 2: nor is a stage left without one, the last one neither.
    fn leave(&self, world: &World, before: &Rollout, event: &Event) {
        let Phase::Holding { hold } = before.phase() else { return };
        let after = world.rollout.phase();
        let on = matches!(after, Phase::Promoting { .. } | Phase::Closing { .. })
            || after.stage().is_some_and(|stage| stage > hold.stage);
        let said = matches!(event, Event::Command(_));
        // Where the policy accepts another weight, that one may leave nothing to measure.
        let splits = [before.traffic().split(), world.rollout.traffic().split()];
        if on && !said && splits.iter().all(|split| world.plan.is_measured_at(*split)) {
            let ruling = self.left.map(|seen| seen.ruling);
            assert_eq!(ruling, Some(Ruling::GoOn), "rule 2: a stage is left: {}", story(before));
        }
    }

    /// Rule 3: what raises or changes a version waits for a durable state that knows of it.
    fn durable_first(&self, id: u64, action: &Action, before: &Rollout) {
        let raises = match action {
            Action::Route { traffic, at: Some(_) } => !traffic.is_within(before.traffic()),
            Action::Prepare { .. } | Action::Promote { .. } | Action::Retire { .. } => true,
            _ => false,
        };
        if raises {
            let durable = self.durable_effect;
            assert!(id <= durable, "rule 3: {action} runs as {id}, but only {durable} are durable");
        }
    }

    /// Rule 4: a hold is no longer than the time that was lived in it, and a restart never advances.
    fn hold(&self, world: &World, before: &Rollout, event: &Event) {
        let Some(hold) = world.rollout.phase().hold() else { return };
        let lived = self.live.get(&hold.stage).copied().unwrap_or_default();
        let held = Duration::from_millis(hold.held_ms);
        assert!(
            hold.waived || held <= lived,
            "rule 4: held {held:?} in {lived:?}, {}",
            story(&world.rollout)
        );
        if *event == Event::Restored
            && let Some(saved) = before.phase().hold()
        {
            assert_eq!(
                (hold.stage, hold.held_ms),
                (saved.stage, saved.held_ms),
                "rule 4: a restart"
            );
        }
    }
}

/// Returns the number of effects that a state knows of.
fn effects_of(snapshot: &Snapshot) -> u64 {
    let json = serde_json::to_value(snapshot).unwrap();
    json["state"]["ledger"]["next_effect"].as_u64().unwrap()
}

/// Rule 2: while paused, no raise is under way either, begun before or not.
fn stands(world: &World, effects: &[Effect]) {
    if !world.rollout.status(world.now).paused {
        return;
    }
    let gone =
        |id| effects.iter().any(|e| matches!(e, Effect::Cancel(cancelled) if *cancelled == id));
    for (call, action) in &world.open {
        let Action::Route { traffic, at: Some(_) } = action else { continue };
        let raises = !traffic.is_within(world.rollout.traffic());
        assert!(!raises || gone(call.id), "rule 2: {action} is under way while paused");
    }
}

/// What has traffic is never changed or removed.
fn stays_up(world: &World, action: &Action) {
    let traffic = world.rollout.traffic();
    match action {
        // Who accepts whatever others do to the route has it so.
        _ if world.plan.spec.drift == Drift::Accept => {}
        Action::Promote { .. } if world.plan.in_place() => {
            assert_eq!(traffic.canary, Weight::FULL, "stable is replaced under traffic");
        }
        Action::Retire { side: Side::Stable } => {
            assert_eq!(traffic.canary, Weight::FULL, "stable is removed under traffic");
        }
        Action::Retire { side: Side::Canary } => {
            assert!(!traffic.reaches_canary(), "the canary is removed under traffic");
        }
        _ => {}
    }
}

/// Rule 5: an end is an end, and everything else has a deadline or waits for somebody.
fn ends(world: &World, before: &Rollout, effects: &[Effect]) {
    let rollout = &world.rollout;
    if before.outcome().is_some() {
        assert_eq!(before.phase(), rollout.phase(), "rule 5: what was over goes on");
        let only = effects.iter().all(|e| !matches!(e, Effect::Run { .. }));
        assert!(only, "rule 5: what is over runs {effects:?}");
        return;
    }
    let persists = effects.iter().any(|e| matches!(e, Effect::Persist { .. }));
    let waits = rollout.deadline().is_some()
        || persists
        || world.saving.is_some()
        || matches!(
            rollout.status(world.now).waiting,
            Waiting::Gate(_) | Waiting::Resume | Waiting::Question(_)
        );
    assert!(
        waits || rollout.outcome().is_some(),
        "rule 5: it waits for nothing: {:?}",
        rollout.phase()
    );
}

/// Tells whether a save is under way.
fn saves(world: &World, effects: &[Effect]) -> bool {
    world.saving.is_some() || effects.iter().any(|e| matches!(e, Effect::Persist { .. }))
}

/// Holds the world at the end to what the outcome says.
pub(crate) fn at_the_end(world: &World) {
    let outcome = world.rollout.outcome().expect("it is over");
    let ended = world.told.values().filter(|r| matches!(r.content, Content::Ended { .. })).count();
    assert_eq!(ended, 1, "rule 3: an end is told once");
    let (last, first) = (world.told.keys().last(), world.told.keys().next());
    assert_eq!((first, last), (Some(&1), Some(&(world.told.len() as u64))), "rule 3: records");
    let traffic = &world.route.traffic;
    let (versions, in_place) = (&world.versions, world.plan.in_place());
    match outcome {
        _ if world.route.foreign => {}
        Outcome::RolledBack { .. } => assert_eq!(*traffic, Traffic::all_stable(), "rule 1"),
        Outcome::Promoted if in_place => {
            assert_eq!(*traffic, Traffic::all_stable(), "the canary is retired");
            assert!(versions.stable_is_new, "promoted in place");
        }
        Outcome::Promoted => assert_eq!(*traffic, Traffic::to_canary(Weight::FULL)),
        _ => {}
    }
    if matches!(outcome, Outcome::RolledBack { .. }) {
        assert!(versions.stable_up && !versions.stable_is_new, "the old version is stable");
    }
    assert!(versions.stable_up || versions.canary_up, "both versions are down");
}

/// Tells what has happened, for whoever has to find out what is wrong.
fn story(rollout: &Rollout) -> String {
    let lines: Vec<String> = rollout.report().timeline.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

/// Tells whether a phase was left, if only for one of the same name.
fn moved(before: &Phase, after: &Phase) -> bool {
    match (before, after) {
        (
            Phase::Entering { hold: a, changes: b, forced: c },
            Phase::Entering { hold: d, changes: e, forced: f },
        ) => (a.stage, b, c) != (d.stage, e, f),
        (Phase::RollingBack { emptied: a, .. }, Phase::RollingBack { emptied: b, .. }) => a != b,
        (Phase::Promoting { .. }, Phase::Promoting { .. }) => before != after,
        _ => before.name() != after.name() || before.stage() != after.stage(),
    }
}
