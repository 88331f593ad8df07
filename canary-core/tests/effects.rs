//! The exact effects of the machine, one story a test.
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

mod support;

use std::time::Duration;

use canary_core::ports::Decision;
use canary_core::rollout::CommandKind;
use canary_core::value::{FailureKind, Weight};
use support::{Bench, entering, holding, policy};

const TEN: Duration = Duration::from_secs(10);

fn abort() -> CommandKind {
    CommandKind::Abort { reason: "smoke".to_owned() }
}

#[test]
fn the_happy_path() {
    let (mut bench, first) = Bench::start(policy());
    assert_eq!(first, ["persist 1"]);
    // The route is touched only once the rollout is known to be ours.
    assert_eq!(bench.saved(1), ["notify started", "run 1.1 route 0% to the canary"]);
    assert_eq!(bench.route_ok(), ["persist 2"]);
    assert_eq!(
        bench.saved(2),
        ["notify accepted 0%", "notify entered tenth", "run 2.1 route 10% to the canary at v1"]
    );
    assert_eq!(bench.route_ok(), ["persist 3"]);
    assert_eq!(bench.saved(3), ["notify accepted 10%"]);

    assert_eq!(bench.tick(TEN), ["run 3.1 measure"]);
    assert_eq!(bench.measured(1), ["persist 4"]);
    assert_eq!(bench.saved(4), ["notify judged GoOn 10000"]);
    assert_eq!(bench.tick(TEN), ["run 4.1 measure"]);
    assert_eq!(bench.measured(0), ["persist 5"]);
    assert_eq!(
        bench.saved(5),
        [
            "notify judged GoOn 20000",
            "notify entered half",
            "run 5.1 route 50% to the canary at v2"
        ]
    );
    assert_eq!(bench.route_ok(), ["persist 6"]);
    assert_eq!(bench.saved(6), ["notify accepted 50%"]);

    assert_eq!(bench.tick(TEN), ["run 6.1 measure"]);
    assert_eq!(bench.measured(0), ["persist 7"]);
    assert_eq!(bench.saved(7), ["notify judged GoOn 10000", "notify asked oncall"]);
    let approve = CommandKind::Approve { gate: "oncall".parse().unwrap() };
    assert_eq!(bench.command(approve), ["persist 8"]);
    assert_eq!(
        bench.saved(8),
        [
            "notify opened oncall by ana",
            "notify commanded approve oncall: done",
            "notify entered full",
            "answer done",
            "run 7.1 route 100% to the canary at v3",
        ]
    );
    assert_eq!(bench.route_ok(), ["persist 9"]);
    assert_eq!(bench.saved(9), ["notify accepted 100%"]);

    assert_eq!(bench.tick(TEN), ["run 8.1 measure"]);
    assert_eq!(bench.measured(0), ["run 9.1 take the marks off the route", "persist 10"]);
    assert_eq!(bench.saved(10), ["notify judged GoOn 10000"]);
    assert_eq!(bench.release_ok(), ["persist 11"]);
    assert!(!bench.rollout.is_settled());
    // Saved once more, so that nobody needs to be told again.
    assert_eq!(bench.saved(11), ["notify promoted", "persist 12"]);
    assert!(!bench.rollout.is_settled());
    assert_eq!(bench.saved(12), Vec::<String>::new());
    assert!(bench.rollout.is_settled());
    assert_eq!(bench.rollout.deadline(), None);
    let numbers: Vec<u64> = bench.records.iter().map(|record| record.number).collect();
    assert_eq!(numbers, (1..=bench.records.len() as u64).collect::<Vec<_>>());
}

#[test]
fn a_bad_canary_is_taken_back_in_each_stage() {
    for (stage, weight) in [(0, Weight::percent(10)), (1, Weight::percent(50)), (2, Weight::FULL)] {
        let (mut bench, _) = Bench::start(policy());
        bench.go_on_until(|bench| {
            bench.rollout.weight() == weight
                && bench.open.iter().any(|(_, action)| action.to_string() == "measure")
        });
        let effects = bench.measured(20);
        // The way back waits for no save.
        assert_eq!(effects.len(), 2, "stage {stage}: {effects:?}");
        assert!(effects[0].ends_with(".1 route 0% to the canary"), "stage {stage}: {effects:?}");
        assert!(effects[1].starts_with("persist"), "stage {stage}: {effects:?}");
        let effects = bench.route_ok();
        assert!(effects[0].ends_with("take the marks off the route"), "stage {stage}: {effects:?}");
        bench.release_ok();
        bench.saved_latest();
        let check = bench.rollout.outcome().and_then(|o| o.reason()).and_then(|r| r.check());
        assert_eq!(check, Some("errors"), "stage {stage}");
        assert_eq!(bench.rollout.weight(), Weight::ZERO);
    }
}

#[test]
fn abort_waits_for_nothing_in_each_phase() {
    // How far the rollout has come, and what abort must then do first, before anything is saved.
    type Story = (&'static str, fn(&Bench) -> bool, &'static [&'static str]);
    let stories: [Story; 5] = [
        ("starting, asked", |b| !b.open.is_empty(), &["cancel", "route 0%"]),
        ("entering", |b| entering(b) && !b.open.is_empty(), &["cancel", "route 0%"]),
        ("holding", |b| holding(b) && b.open.is_empty(), &["route 0%"]),
        ("measuring", |b| holding(b) && !b.open.is_empty(), &["cancel", "route 0%"]),
        ("asking", asking, &["route 0%"]),
    ];
    for (story, reached, expected) in stories {
        let (mut bench, _) = Bench::start(policy());
        bench.go_on_until(reached);
        let effects = bench.command(abort());
        let rest = &effects[expected.len()..];
        assert!(rest.iter().all(|effect| effect.starts_with("persist")), "{story}: {effects:?}");
        for (effect, part) in effects.iter().zip(expected) {
            assert!(effect.contains(part), "{story}: {effects:?}");
        }
        bench.route_ok();
        bench.release_ok();
        bench.saved_latest();
        assert!(bench.rollout.is_settled(), "{story}: {:?}", bench.rollout.phase());
        assert_eq!(bench.rollout.weight(), Weight::ZERO, "{story}");
    }
}

fn asking(bench: &Bench) -> bool {
    bench.rollout.asked().is_some()
}

#[test]
fn a_rollout_that_was_never_saved_touches_no_route() {
    let (mut bench, _) = Bench::start(policy());
    assert_eq!(bench.command(abort()), Vec::<String>::new());
    // From the first save on the target is ours, and the way back waits for no other.
    let effects = bench.saved(1);
    assert_eq!(effects, ["notify started", "run 2.1 route 0% to the canary", "persist 2"]);
}

#[test]
fn abort_while_it_is_taken_back_changes_nothing() {
    let (mut bench, _) = Bench::start(policy());
    bench.go_on_until(holding);
    bench.command(abort());
    let mut effects = bench.command(abort());
    // Both are answered when the router has taken 0 % on, whatever the store does.
    effects.extend(bench.route_ok());
    assert!(effects.contains(&"answer done".to_owned()), "{effects:?}");
    assert!(effects.contains(&"answer it is so already".to_owned()), "{effects:?}");
    assert!(effects.iter().all(|effect| !effect.contains("route 0%")), "{effects:?}");
}

#[test]
fn a_router_that_fails_twice_is_asked_again() {
    let (mut bench, _) = Bench::start(policy());
    bench.go_on_until(|bench| {
        bench.rollout.weight() == Weight::ZERO && entering(bench) && !bench.open.is_empty()
    });
    assert_eq!(bench.route_fails(FailureKind::Unavailable), ["persist 3"]);
    assert_eq!(bench.saved(3), ["notify failed route 10% to the canary 1: unavailable"]);
    let wait = bench.rollout.deadline().unwrap().since(bench.now);
    assert!((200..=250).contains(&wait.as_millis()), "{wait:?}");
    // The same effect, tried again: its state is saved already.
    assert_eq!(bench.tick(wait), ["run 2.2 route 10% to the canary at v1"]);
    assert_eq!(bench.route_fails(FailureKind::Timeout), ["persist 4"]);
    let wait = bench.rollout.deadline().unwrap().since(bench.now);
    assert!((400..=500).contains(&wait.as_millis()), "{wait:?}");
    assert_eq!(bench.tick(wait), ["run 2.3 route 10% to the canary at v1"]);
    assert_eq!(bench.route_ok(), Vec::<String>::new());
    assert_eq!(bench.rollout.weight(), Weight::percent(10));
}

#[test]
fn a_conflict_is_looked_at_before_the_next_raise() {
    let (mut bench, _) = Bench::start(policy());
    bench.go_on_until(|bench| {
        bench.rollout.weight() == Weight::ZERO && entering(bench) && !bench.open.is_empty()
    });
    bench.route_fails(FailureKind::Conflict);
    let wait = bench.rollout.deadline().unwrap().since(bench.now);
    assert_eq!(bench.tick(wait), ["run 2.2 observe the route"]);
    bench.saved_latest();
    assert_eq!(bench.observed(Weight::ZERO), ["persist 4"]);
    assert_eq!(bench.saved(4), ["run 3.2 route 10% to the canary at v2"]);
}

#[test]
fn a_router_that_never_takes_the_weight_ends_the_rollout() {
    let (mut bench, _) = Bench::start(policy());
    bench.go_on_until(|bench| {
        bench.rollout.weight() == Weight::ZERO && entering(bench) && !bench.open.is_empty()
    });
    for attempt in 1..=3 {
        let effects = bench.route_fails(FailureKind::Denied);
        bench.saved_latest();
        if attempt < 3 {
            let wait = bench.rollout.deadline().unwrap().since(bench.now);
            bench.tick(wait);
        } else {
            assert!(effects[0].contains("route 0% to the canary"), "{effects:?}");
        }
    }
    bench.go_on_until(|bench| bench.rollout.is_settled());
    let outcome = bench.rollout.outcome().unwrap().to_string();
    assert!(
        outcome.contains("the router would not take more traffic: denied: no luck"),
        "{outcome}"
    );
}

#[test]
fn a_rollback_that_is_refused_goes_on_and_says_that_it_is_stuck() {
    let (mut bench, _) = Bench::start(policy());
    bench.go_on_until(holding);
    bench.command(abort());
    let begun = bench.now;
    let mut tries = 0;
    while bench.now.since(begun) < Duration::from_secs(301) {
        if !bench.open.is_empty() {
            tries += 1;
            bench.route_fails(FailureKind::Denied);
        }
        bench.saved_latest();
        bench.now = bench.rollout.deadline().unwrap();
        bench.step(canary_core::rollout::Event::Tick);
    }
    assert!(tries > 100, "{tries}");
    let stuck = bench.records.iter().filter(|r| r.content.to_string().starts_with("STUCK")).count();
    assert_eq!(stuck, 1);
    // A long row of failures is told in few records.
    assert!(bench.records.len() < 40, "{}", bench.records.len());
    bench.route_ok();
    assert_eq!(bench.rollout.weight(), Weight::ZERO);
}

#[test]
fn a_silent_source_stops_the_clock_and_then_takes_the_canary_back() {
    let (mut bench, _) = Bench::start(policy());
    bench.go_on_until(|bench| bench.rollout.weight() == Weight::percent(10) && holding(bench));
    bench.saved_latest();
    for _ in 0..3 {
        bench.tick(TEN);
        let effects = bench.silence();
        assert_eq!(effects.len(), 1, "{effects:?}");
        bench.saved_latest();
    }
    assert!(bench.records.iter().all(|r| !r.content.to_string().starts_with("go on")));
    bench.tick(TEN);
    let effects = bench.silence();
    assert!(effects[0].contains("route 0% to the canary"), "{effects:?}");
    bench.go_on_until(|bench| bench.rollout.is_settled());
    assert_eq!(
        bench.rollout.outcome().unwrap().to_string(),
        "rolled back: the metric source showed nothing of the canary for 30 s, though it did of stable"
    );
}

#[test]
fn a_source_that_fails_or_hangs_never_lets_the_canary_grow() {
    let (mut bench, _) = Bench::start(policy());
    bench.go_on_until(|bench| bench.rollout.weight() == Weight::percent(10) && holding(bench));
    for _ in 0..50 {
        bench.saved_latest();
        bench.now = bench.rollout.deadline().unwrap();
        bench.step(canary_core::rollout::Event::Tick);
    }
    assert_eq!(bench.rollout.weight(), Weight::percent(10));
    assert!(support::held_ms(&bench) == Some(0), "{:?}", bench.rollout.phase());
}

#[test]
fn a_pause_stops_weight_and_clock_but_not_the_way_back() {
    let (mut bench, _) = Bench::start(policy());
    bench.go_on_until(|bench| bench.rollout.weight() == Weight::percent(10) && holding(bench));
    bench.command(CommandKind::Pause);
    for _ in 0..5 {
        bench.saved_latest();
        bench.tick(TEN);
        bench.measured(0);
    }
    assert!(support::held_ms(&bench) == Some(0), "{:?}", bench.rollout.phase());
    bench.command(CommandKind::Resume);
    bench.saved_latest();
    bench.tick(TEN);
    bench.measured(0);
    assert!(support::held_ms(&bench) == Some(10_000), "{:?}", bench.rollout.phase());
    bench.command(CommandKind::Pause);
    bench.saved_latest();
    bench.tick(TEN);
    let effects = bench.measured(90);
    assert!(effects[0].contains("route 0% to the canary"), "{effects:?}");
}

#[test]
fn a_weight_that_was_decided_waits_for_the_end_of_a_pause() {
    let (mut bench, _) = Bench::start(policy());
    bench.saved(1);
    bench.route_ok();
    // The raise to 10 % is decided, but not saved yet.
    let effects = bench.command(CommandKind::Pause);
    assert_eq!(effects, Vec::<String>::new());
    bench.saved(2);
    let effects = bench.saved(3);
    assert_eq!(effects, ["notify commanded pause: done", "answer done"]);
    bench.command(CommandKind::Resume);
    assert!(
        bench.open.iter().any(|(_, action)| action.to_string().contains("10%")),
        "{:?}",
        bench.open
    );
}

#[test]
fn a_repeated_command_is_answered_and_does_nothing() {
    use canary_core::rollout::{Command, Event};
    let (mut bench, _) = Bench::start(policy());
    bench.go_on_until(holding);
    let pause = Command::new("same".parse().unwrap(), "ana".parse().unwrap(), CommandKind::Pause);
    bench.step(Event::Command(pause.clone()));
    // Not durable yet: both are answered when it is.
    assert_eq!(bench.step(Event::Command(pause.clone())), Vec::<String>::new());
    bench.saved_latest();
    bench.command(CommandKind::Resume);
    assert_eq!(bench.step(Event::Command(pause)), ["answer done"]);
    assert!(!bench.rollout.status(bench.now).paused);
}

#[test]
fn an_answer_to_an_old_call_changes_nothing() {
    use canary_core::ports::Applied;
    use canary_core::rollout::{Event, Reply};
    use canary_core::value::{EffectId, Traffic, Version};
    let (mut bench, _) = Bench::start(policy());
    bench.go_on_until(|bench| {
        bench.rollout.weight() == Weight::ZERO && entering(bench) && !bench.open.is_empty()
    });
    bench.command(abort());
    let before = bench.rollout.clone();
    let late = Applied::accepted(Traffic::to_canary(Weight::percent(10)), Version::new("late"));
    assert!(
        bench
            .step(Event::Reply {
                id: EffectId::new(2),
                attempt: 1,
                reply: Reply::Applied(Ok(late))
            })
            .is_empty()
    );
    assert_eq!(bench.rollout, before);
}

#[test]
fn a_gate_that_says_no_takes_the_canary_back_and_one_that_waits_is_asked_again() {
    use canary_core::policy::{GateSpec, Policy};
    let policy = Policy::builder("shop")
        .stage("half", Weight::percent(50), Duration::from_secs(1))
        .gate("smoke", GateSpec::default())
        .stage("full", Weight::FULL, Duration::from_secs(1))
        .without_hard_limit()
        .build()
        .unwrap();
    let (mut bench, _) = Bench::start(policy);
    bench.go_on_until(|bench| {
        bench.open.iter().any(|(_, action)| action.to_string() == "ask gate smoke")
    });
    bench.decided(Decision::wait(Duration::from_secs(3), "warming up"));
    bench.saved_latest();
    assert!(bench.tick(Duration::from_secs(3)).contains(&"run 3.2 ask gate smoke".to_owned()));
    let effects = bench.decided(Decision::reject("503"));
    assert!(effects[0].contains("route 0% to the canary"), "{effects:?}");
}

#[test]
fn a_command_for_a_stage_that_there_is_not_says_which_there_are() {
    let mut bench = Bench::holding_at(Weight::percent(10), policy());
    bench.command_at(CommandKind::Advance, "tnth");
    bench.saved_latest();
    assert_eq!(
        bench.records.last().unwrap().content.to_string(),
        "ana: advance: not possible: there is no stage tnth; stages are: tenth, half, full"
    );
    bench.command_at(CommandKind::Advance, "half");
    bench.saved_latest();
    assert_eq!(
        bench.records.last().unwrap().content.to_string(),
        "ana: advance: too late or too early: the rollout is in tenth"
    );
}
