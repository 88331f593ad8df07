//! Each rule by itself, where it speaks of more than one step.

use std::time::Duration;

use canary_core::policy::{Drift, How, Then};
use canary_core::record::{Content, Outcome, Reason};
use canary_core::rollout::{Action, Answer, CommandKind, Effect, Event, Phase};
use canary_core::value::{FailureKind, Side, StageRef, Traffic, Weight};
use proptest::prelude::*;
use proptest::strategy::ValueTree;

use crate::book::at_the_end;
use crate::moves::{Move, commands, moves};
use crate::plans::{Plan, cases, plans};
use crate::world::{Manner, World};

/// Returns a world to which a few things have happened.
fn after(plan: &Plan, moves: &[Move]) -> World {
    let mut world = World::start(plan);
    for next in moves {
        next.make(&mut world);
    }
    world
}

fn some_moves() -> impl Strategy<Value = Vec<Move>> {
    proptest::collection::vec(moves(), 0..30)
}

proptest! {
    #![proptest_config(cases(96))]

    /// Rule 1: whatever happened before, an abort ends with nothing at the canary and the old version stable, unless
    /// that was going already.
    #[test]
    fn an_abort_always_reaches_its_end(plan in plans(), flow in 0_u8..90, moves in some_moves()) {
        let mut world = after(&plan, &[Move::Flow(flow)]);
        for next in &moves[..moves.len() / 4] {
            next.make(&mut world);
        }
        let before = world.rollout.phase().clone();
        let id = world.abort();
        world.finish();
        at_the_end(&world);
        let promoted = world.rollout.outcome().is_some_and(Outcome::is_promoted);
        match world.answers.get(&id) {
            Some(Answer::Done) => prop_assert!(!promoted),
            Some(Answer::Already) => prop_assert!(!promoted, "{before:?}"),
            Some(Answer::Impossible { .. }) => {
                let over = matches!(
                    before,
                    Phase::Retiring { .. } | Phase::Releasing { .. } | Phase::Ended { .. }
                );
                prop_assert!(over, "an abort was refused in {}", before.name());
            }
            // A crash has swallowed it before it was durable.
            other => prop_assert!(other.is_none(), "{other:?}"),
        }
    }

    /// Rule 1: an abort is carried out while the last gates are asked, too.
    #[test]
    fn an_abort_while_closing_takes_the_canary_back(plan in plans(), more in 0_u8..4) {
        let mut world = World::start(&plan);
        world.fair = true;
        for _ in 0..600 {
            if matches!(world.rollout.phase(), Phase::Closing { .. }) || !world.go_on() {
                break;
            }
        }
        Move::Flow(more).make(&mut world);
        if matches!(world.rollout.phase(), Phase::Closing { .. }) {
            world.abort();
            let aborted = matches!(world.rollout.phase(), Phase::RollingBack { reason: Reason::Aborted { .. }, .. });
            prop_assert!(aborted, "{:?}", world.rollout.phase());
            world.finish();
            at_the_end(&world);
        }
    }

    /// Rule 1, after the point of no return: no traffic goes to a stable that is being replaced, until it is restored.
    #[test]
    fn an_abort_while_stable_is_replaced_restores_it_first(plan in plans()) {
        let mut world = World::start(&plan);
        world.fair = true;
        let promotes = |world: &World| world.open.iter().any(|(_, action)| matches!(action, Action::Promote { .. }));
        for _ in 0..600 {
            if promotes(&world) || !world.go_on() {
                break;
            }
        }
        if promotes(&world) && plan.in_place() {
            world.abort();
            while matches!(world.rollout.phase(), Phase::RollingBack { .. }) {
                let restored = world.rollout.report().timeline.iter().any(|r| matches!(r.content, Content::StableRestored));
                let moves = world.open.iter().any(|(_, action)| matches!(action, Action::Route { .. }));
                prop_assert!(restored || !moves, "{:?}", world.open);
                prop_assert!(world.go_on());
            }
        }
    }

    /// Rule 10: a version is not removed while somebody else sends traffic to it.
    #[test]
    fn what_somebody_sends_traffic_to_is_not_removed(plan in plans()) {
        let mut world = World::start(&plan);
        world.fair = true;
        let removes = |world: &World| world.open.iter().any(|(_, action)| matches!(action, Action::Retire { side: Side::Canary }));
        let mut drifted = false;
        for _ in 0..600 {
            // It is decided that it goes, and not saved yet.
            let going = matches!(world.rollout.phase(), Phase::Retiring { going: true, .. });
            if !drifted && going && plan.in_place() && !removes(&world) {
                drifted = true;
                world.drift(Weight::percent(50));
                world.see();
            }
            let reached = world.rollout.traffic().reaches_canary();
            prop_assert!(!(drifted && reached && removes(&world)), "{:?}", world.open);
            if !world.go_on() {
                break;
            }
        }
    }

    /// Rule 5: what is decided comes to its end though the route is gone for good, and a canary that had traffic is
    /// called stuck.
    #[test]
    fn a_route_that_is_gone_keeps_nothing_that_is_decided(
        plan in plans(),
        flow in 0_u8..120,
        aborts in any::<bool>(),
        kind in proptest::sample::select(vec![
            FailureKind::NotFound,
            FailureKind::Denied,
            FailureKind::Invalid,
            FailureKind::Unsupported,
        ]),
    ) {
        let mut world = after(&plan, &[Move::Flow(flow)]);
        world.fair = true;
        if aborts {
            world.abort();
            Move::Flow(12).make(&mut world);
        }
        world.gone = Some(kind);
        let stuck = |world: &World| world.rollout.status(world.now).stuck;
        for _ in 0..3_000 {
            if world.rollout.is_settled() || stuck(&world) {
                break;
            }
            prop_assert!(world.go_on());
        }
        let status = world.rollout.status(world.now);
        prop_assert!(world.rollout.is_settled() || stuck(&world), "{status}: {:?}", world.rollout.phase());
    }

    /// Rule 5: what stands for good says so: a version that never takes the other's place or never goes, and a source that
    /// never has anything newer, where the policy bears no silence.
    #[test]
    fn nothing_stands_in_silence(plan in plans(), flow in 0_u8..60, wedged in any::<bool>()) {
        let mut world = after(&plan, &[Move::Flow(flow)]);
        (world.fair, world.wedged, world.behind) = (true, wedged, !wedged);
        let stalled = |world: &World| {
            world.rollout.report().timeline.iter().any(|r| matches!(r.content, Content::Stalled { .. }))
        };
        for _ in 0..800 {
            if world.rollout.is_settled() {
                break;
            }
            prop_assert!(world.go_on());
        }
        let bears = world.behind && plan.spec.no_data.then == Then::Hold;
        let told = world.rollout.is_settled() || stalled(&world) || bears;
        prop_assert!(told, "{}: {:?}", world.rollout.status(world.now), world.rollout.phase());
    }

    /// Rule 1: a store that is down does not keep the canary where it is.
    #[test]
    fn an_abort_needs_no_store(plan in plans(), flow in 1_u8..60) {
        let mut world = after(&plan, &[Move::Flow(flow)]);
        let saved = world.stored.is_some();
        world.abort();
        let restoring = world.book.no_return && plan.workload;
        for _ in 0..10 {
            // Nothing is saved any more; the router answers.
            if !world.open.is_empty() {
                world.answer(0, &Manner::Well);
            }
        }
        let rolling = matches!(world.rollout.phase(), Phase::RollingBack { .. } | Phase::Retiring { .. } | Phase::Releasing { .. });
        if saved && rolling && !restoring {
            prop_assert_eq!(&world.route.traffic, &Traffic::all_stable());
        }
    }

    /// Rules 1 and 3: an abort that the router has carried out stays so, though the process dies before it is saved.
    #[test]
    fn a_crash_forgets_no_abort_that_was_carried_out(plan in plans(), flow in 10_u8..90) {
        let mut world = after(&plan, &[Move::Flow(flow)]);
        world.fair = true;
        while world.saving.is_some() {
            world.saved(Ok(()), true);
        }
        let stood = world.route.traffic.canary;
        let id = world.abort();
        for _ in 0..5 {
            if !world.open.is_empty() && world.rollout.phase().name() == "rolling_back" {
                world.answer(0, &Manner::Well);
            }
        }
        let carried_out = world.answers.get(&id) == Some(&Answer::Done)
            && stood > Weight::ZERO
            && world.route.traffic == Traffic::all_stable();
        if carried_out {
            world.crash(Duration::from_secs(1), false);
            world.finish();
            at_the_end(&world);
            let outcome = world.rollout.outcome().unwrap();
            prop_assert!(!outcome.is_promoted(), "{stood} was taken back, and forgotten");
        }
    }

    /// Rule 3: a process that dies after any effect changes no outcome, and loses or doubles no record.
    #[test]
    fn a_crash_after_any_effect_changes_nothing(plan in plans(), after in 0_usize..120, landed in any::<bool>()) {
        let mut calm = World::start(&plan);
        to_the_end(&mut calm);
        let mut struck = World::start(&plan);
        struck.dies_after = Some(after);
        struck.dies_landed = landed;
        to_the_end(&mut struck);
        at_the_end(&struck);
        prop_assert_eq!(kind(&calm), kind(&struck));
        prop_assert_eq!(&calm.route.traffic, &struck.route.traffic);
    }

    /// Rule 4: time in which nobody looked brings no rollout nearer to its end, however long it is.
    #[test]
    fn downtime_brings_nothing_nearer(plan in plans(), flow in 1_u8..60, down in 1_u64..1_000_000) {
        let mut world = after(&plan, &[Move::Flow(flow)]);
        if world.stored.is_some() && world.rollout.outcome().is_none() {
            world.crash(Duration::ZERO, true);
            let mut late = after(&plan, &[Move::Flow(flow)]);
            late.crash(Duration::from_secs(down), true);
            // What is kept for a while goes by the clock.
            let kept = matches!(late.rollout.phase(), Phase::Retiring { .. });
            prop_assert!(kept || late.rollout.phase().name() == world.rollout.phase().name());
            prop_assert_eq!(late.rollout.phase().stage(), world.rollout.phase().stage());
        }
    }

    /// Rule 6: a repeat does nothing and is answered alike, a late command does nothing, and all are answered.
    #[test]
    fn commands_are_answered_once_and_repeats_do_nothing(
        plan in plans(), moves in some_moves(), kind in commands(), late in any::<bool>(), known in any::<bool>(),
    ) {
        let mut world = after(&plan, &moves);
        let aborts = matches!(kind, CommandKind::Abort { .. });
        world.step(Event::Tick);
        let before = world.rollout.phase().clone();
        let begins = matches!(before, Phase::Starting { .. } | Phase::Opening { .. });
        let elsewhere = match known {
            true if begins => StageRef::PROMOTION,
            true => StageRef::START,
            false => StageRef::new("no such stage"),
        };
        let stage = late.then_some(elsewhere);
        let id = world.command(kind.clone(), stage.clone());
        if late && !aborts {
            prop_assert_eq!(world.rollout.phase(), &before);
        }
        let once = world.rollout.clone();
        let effects = world.give(&id, kind, stage);
        prop_assert_eq!(&world.rollout, &once, "a repeat changed something");
        let only_answers = effects.iter().all(|effect| matches!(effect, Effect::Answer { .. }));
        prop_assert!(only_answers, "{effects:?}");
        world.finish();
        prop_assert!(world.answers.contains_key(&id));
        let said = world.answers[&id].clone();
        if late && !aborts && before.name() != "ended" {
            let refused = match &said {
                Answer::Late { .. } => known,
                Answer::Impossible { why } => !known && why.contains("there is no stage"),
                _ => false,
            };
            prop_assert!(refused, "{said:?}");
        }
    }

    /// Rule 7: an answer to an unknown or old call changes nothing at all.
    #[test]
    fn old_answers_change_nothing(plan in plans(), moves in some_moves()) {
        let mut world = after(&plan, &moves);
        world.step(Event::Tick);
        for event in world.old.clone() {
            let before = world.rollout.clone();
            let effects = world.step(event);
            prop_assert!(effects.is_empty(), "{effects:?}");
            prop_assert_eq!(&world.rollout, &before);
        }
    }

    /// Rule 8: traffic that somebody else changed is recorded, then put back, paused or accepted.
    #[test]
    fn drift_is_recorded_and_dealt_with(plan in plans(), flow in 1_u8..80, percent in 0_u8..=100) {
        let mut world = after(&plan, &[Move::Flow(flow)]);
        let quiet = matches!(
            world.rollout.phase(),
            Phase::Opening { .. } | Phase::Holding { .. } | Phase::Promoting { .. } | Phase::Closing { .. }
        ) && !world.open.iter().any(|(_, action)| action.to_string().contains("route"));
        let found = Traffic::to_canary(Weight::percent(percent));
        if !quiet || found == *world.rollout.traffic() {
            return Ok(());
        }
        let (stood, stage) = (world.rollout.traffic().clone(), world.rollout.phase().stage());
        let lasting = if plan.in_place() { Traffic::all_stable() } else { Traffic::to_canary(Weight::FULL) };
        let wanted_anyway = found == lasting && matches!(world.rollout.phase(), Phase::Promoting { replaced: true });
        world.drift(found.canary);
        world.see();
        let drifted = |world: &World| {
            let is = |r: &&canary_core::record::Record| matches!(r.content, Content::Drifted { .. });
            world.rollout.report().timeline.iter().filter(is).count()
        };
        let pauses = !wanted_anyway && plan.spec.drift == Drift::Pause;
        prop_assert!(wanted_anyway || drifted(&world) == 1, "{:?}", world.rollout.phase());
        prop_assert_eq!(world.rollout.status(world.now).paused, pauses);
        // It is looked at again: that is no news, and a pause and what was accepted stay.
        for _ in 0..20 {
            if world.saving.is_some() {
                world.saved(Ok(()), true);
            } else if !world.open.is_empty() {
                world.answer(0, &Manner::Well);
            }
        }
        if stage.is_some() && world.rollout.phase().stage() == stage {
            match plan.spec.drift {
                Drift::PutBack if !plan.workload && stood.is_within(&found) => {
                    prop_assert!(world.route.traffic.is_within(&stood), "{} is not {stood}", world.route.traffic);
                }
                Drift::Pause if pauses => prop_assert_eq!(&world.route.traffic, &found),
                _ => {}
            }
        }
        world.finish();
        at_the_end(&world);
    }

    /// Rule 8: a pause for drift is left as it is by a restart, too.
    #[test]
    fn a_restart_leaves_a_pause_for_drift_alone(plan in plans(), flow in 10_u8..80, more in any::<bool>()) {
        let mut plan = plan;
        plan.spec.drift = Drift::Pause;
        let mut world = after(&plan, &[Move::Flow(flow)]);
        let stood = world.rollout.weight();
        let found = if more { Weight::FULL } else { Weight::percent(5) };
        if !matches!(world.rollout.phase(), Phase::Holding { .. }) || stood == found {
            return Ok(());
        }
        world.drift(found);
        world.see();
        while world.saving.is_some() {
            world.saved(Ok(()), true);
        }
        world.crash(Duration::from_secs(60), true);
        for _ in 0..20 {
            if world.saving.is_some() {
                world.saved(Ok(()), true);
            } else if !world.open.is_empty() {
                world.answer(0, &Manner::Well);
            }
        }
        // A bad canary is taken back, paused or not.
        let back = matches!(world.rollout.phase().name(), "rolling_back" | "retiring" | "releasing" | "ended");
        prop_assert!(back || world.route.traffic.canary == found, "{}", world.route.traffic);
    }

    /// Rule 9: a holder that was replaced and wakes up raises nothing, whatever it still wants.
    #[test]
    fn a_frozen_holder_that_wakes_up_is_fenced(plan in plans(), flow in 1_u8..60, more in 1_u8..60) {
        let mut new = after(&plan, &[Move::Flow(flow)]);
        if new.stored.is_none() || new.rollout.outcome().is_some() {
            return Ok(());
        }
        let frozen = new.rollout.clone();
        new.crash(Duration::from_secs(1), false);
        Move::Flow(more).make(&mut new);
        let claimed = new.stored.as_ref().is_some_and(|stored| stored.epoch() == new.rollout.epoch());
        prop_assert!(new.rollout.epoch() > frozen.epoch());
        // Its requests arrive now, one after the other.
        let before = new.route.traffic.clone();
        while !new.late.is_empty() {
            new.land_late(0);
            if claimed && new.route.latest().0 == new.rollout.epoch() {
                prop_assert_eq!(&new.route.traffic, &before);
            }
        }
        new.finish();
        at_the_end(&new);
    }

    /// Rule 10: the same events at the same times give the same, byte for byte.
    #[test]
    fn the_same_events_give_the_same(plan in plans(), moves in some_moves()) {
        let run = || {
            let mut world = after(&plan, &moves);
            world.finish();
            let told: Vec<String> =
                world.told.values().map(|record| serde_json::to_string(record).unwrap()).collect();
            let state = serde_json::to_string(&world.rollout.snapshot()).unwrap();
            (told, world.rollout.report().to_json(), state)
        };
        prop_assert_eq!(run(), run());
    }
}

/// Goes on as one hopes for, but the canary may be bad and a gate closed.
fn to_the_end(world: &mut World) {
    for _ in 0..300 {
        if world.rollout.is_settled() {
            return;
        }
        world.go_on();
        let waits =
            world.rollout.deadline().is_none_or(|at| at > world.now + Duration::from_secs(86_400));
        assert!(
            !waits
                || world.saving.is_some()
                || !world.open.is_empty()
                || world.rollout.outcome().is_some()
        );
    }
    // A check that holds, holds for good.
    world.finish();
}

/// Returns how a rollout ended, but for the numbers.
fn kind(world: &World) -> String {
    match world.rollout.outcome() {
        Some(Outcome::RolledBack { reason: Reason::Check(result) }) => {
            format!("check {}", result.check)
        }
        Some(Outcome::RolledBack { reason }) => serde_json::to_value(reason)
            .unwrap()
            .as_object()
            .map_or_else(String::new, |o| o.keys().next().cloned().unwrap_or_default()),
        other => format!("{other:?}"),
    }
}

#[test]
fn a_swap_and_a_promotion_in_place_both_occur() {
    // The properties above would say nothing of what no plan holds.
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut swaps, mut in_place, mut back) = (0, 0, 0);
    for _ in 0..100 {
        let plan = plans().new_tree(&mut runner).unwrap().current();
        let mut world = World::start(&plan);
        to_the_end(&mut world);
        let promoted = world.rollout.outcome().is_some_and(Outcome::is_promoted);
        in_place += u32::from(promoted && plan.in_place());
        swaps += u32::from(promoted && plan.workload && plan.spec.promotion.how == How::Swap);
        back += u32::from(!promoted);
    }
    assert!(swaps > 5 && in_place > 5 && back > 5, "{swaps} {in_place} {back}");
}
