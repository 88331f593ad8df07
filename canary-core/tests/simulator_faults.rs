//! What goes wrong beside the canary goes wrong in the way that it is called.
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::time::Duration;

use canary_core::policy::{Check, GateSpec, Patience, Policy, PolicyBuilder, Then, WorkloadSpec};
use canary_core::record::{Content, Record, Verdict};
use canary_core::report::Report;
use canary_core::rollout::CommandKind;
use canary_core::simulate::{
    Crash, Fault, Nonsense, Opening, Port, Service, SimulatedWorkload, Simulation, Trace,
    after_effect, at,
};
use canary_core::value::{FailureKind, Side, Weight};
use proptest::prelude::*;

fn plan() -> PolicyBuilder {
    Policy::builder("shop")
        .every(at("15s"))
        .stage("tenth", Weight::percent(10), at("10m"))
        .stage("half", Weight::percent(50), at("10m"))
        .stage("full", Weight::FULL, at("5m"))
        .check(Check::worse_than_stable("errors", 1.25))
        .check(Check::above("many", "error_rate", 0.05))
        .no_data(Patience::new(at("1h"), Then::Hold))
}

fn simulation() -> Simulation {
    Simulation::of(&plan().build().unwrap()).traffic(200.0).seed(3)
}

fn has(records: &[Record], found: impl Fn(&Content) -> bool) -> bool {
    records.iter().any(|record| found(&record.content))
}

/// Tells whether a call failed with this kind.
fn failed_with(trace: &Trace, kind: FailureKind) -> bool {
    has(
        trace.records(),
        |content| matches!(content, Content::CallFailed { failure, .. } if failure.kind == kind),
    )
}

/// Tells whether any check ever found this.
fn found(trace: &Trace, verdict: Verdict) -> bool {
    has(trace.records(), |content| match content {
        Content::Judged(judgement) => judgement.checks.iter().any(|c| c.verdict == verdict),
        _ => false,
    })
}

fn length(report: &Report) -> Duration {
    report.ended.unwrap().since(report.started)
}

#[test]
fn a_dead_metric_source_never_lets_the_canary_grow() {
    let trace = simulation().fault("8m", Port::Metrics.down_for("10m")).run_traced();
    let report = trace.report();
    assert_eq!(report.weight_at("17m"), report.weight_at("8m"));
    report.assert_promoted();
    assert!(found(&trace, Verdict::Error));
    assert!(length(report) >= at("30m"), "{:?}", length(report));
}

#[test]
fn a_source_that_hangs_is_given_up_at_the_deadline() {
    let trace = simulation().fault("8m", Port::Metrics.hangs_for("5m")).run_traced();
    let timed_out = has(trace.records(), |content| match content {
        Content::Judged(judgement) => format!("{:?}", judgement.checks).contains("Timeout"),
        _ => false,
    });
    assert!(
        timed_out || failed_with(&trace, FailureKind::Timeout),
        "{}",
        trace.report().to_markdown()
    );
    trace.report().assert_promoted();
}

#[test]
fn answers_that_come_late_count_when_they_come() {
    let late = simulation().fault("5m", Port::Metrics.late_for("5m", "4s")).run();
    late.assert_promoted();
    // Each look of that time comes four seconds later than it was asked for.
    let trace = simulation().fault("0s", Port::Metrics.late_for("2h", "4s")).run_traced();
    let judged = |record: &Record| match &record.content {
        Content::Judged(judgement) => Some(record.at.since(judgement.window.until)),
        _ => None,
    };
    let lags: Vec<Duration> = trace.records().iter().filter_map(judged).collect();
    assert!(lags.len() > 50 && lags.iter().all(|lag| *lag == at("4s")), "{lags:?}");
}

#[test]
fn nonsense_is_not_taken_for_success() {
    for nonsense in [Nonsense::NotFinite, Nonsense::ImpossibleCounts, Nonsense::Overlap] {
        let trace =
            simulation().fault("2m", Port::Metrics.answers_for("30m", nonsense)).run_traced();
        assert_eq!(trace.weight_at("31m"), Weight::percent(10), "{nonsense:?}");
        trace.report().assert_promoted();
    }
    let trace = simulation()
        .fault("9m", Port::Router.answers_for("4m", Nonsense::OtherWeight))
        .run_traced();
    assert!(failed_with(&trace, FailureKind::Conflict), "{}", trace.report().to_markdown());
}

#[test]
#[should_panic(expected = "Metrics cannot answer OtherWeight")]
fn a_port_answers_its_own_nonsense_only() {
    let _ = Port::Metrics.answers_for("1m", Nonsense::OtherWeight);
}

#[test]
fn a_router_that_fails_or_conflicts_or_loses_its_answers_is_tried_again() {
    for (fault, kind) in [
        (Port::Router.down_for("3s"), FailureKind::Unavailable),
        (Port::Router.fails_for("3s", FailureKind::Conflict), FailureKind::Conflict),
        (Port::Router.loses_answers_for("3s"), FailureKind::Timeout),
        (Port::Router.hangs_for("3s"), FailureKind::Timeout),
        (Port::Router.late_for("3s", "30s"), FailureKind::Timeout),
    ] {
        let trace = simulation().fault("10m", fault.clone()).run_traced();
        assert!(failed_with(&trace, kind), "{fault:?}: {}", trace.report().to_markdown());
        trace.report().assert_promoted();
        assert_eq!(trace.violations(), [""; 0]);
    }
}

#[test]
fn a_lost_answer_does_not_undo_what_was_done() {
    let lost = simulation().fault("10m", Port::Router.loses_answers_for("3s")).run_traced();
    let hung = simulation().fault("10m", Port::Router.hangs_for("3s")).run_traced();
    assert_eq!(lost.weight_at("10m4s"), Weight::percent(50));
    assert_eq!(hung.weight_at("10m4s"), Weight::percent(10));
}

#[test]
fn a_raise_that_lands_after_the_abort_is_refused() {
    let abort = CommandKind::Abort { reason: "enough".to_owned() };
    let trace = simulation()
        .fault("10m", Port::Router.late_for("1s", "5s"))
        .command("10m2s", abort)
        .run_traced();
    trace.report().assert_rolled_back();
    assert_eq!(trace.weight_at("2h"), Weight::ZERO);
    assert!(trace.weights().iter().all(|(_, weight)| *weight <= Weight::percent(10)), "{trace:?}");
}

#[test]
fn a_store_that_is_down_delays_every_raise_and_no_way_back() {
    let down = simulation().fault("9m", Port::Store.down_for("20m"));
    let trace = down.run_traced();
    assert_eq!(trace.weight_at("28m"), Weight::percent(10));
    trace.report().assert_promoted();
    let hangs = simulation().fault("9m", Port::Store.hangs_for("20m")).run_traced();
    assert_eq!(hangs.weight_at("28m"), Weight::percent(10));
    let abort = CommandKind::Abort { reason: "enough".to_owned() };
    let trace = down.command("12m", abort).run_traced();
    assert_eq!(trace.weight_at("12m"), Weight::ZERO);
    let slow = simulation().fault("0s", Port::Store.late_for("2h", "3s")).run();
    slow.assert_promoted();
}

#[test]
fn a_store_that_hangs_is_waited_for() {
    let trace = simulation().fault("10m", Port::Store.hangs_for("1s")).run_traced();
    assert_eq!(trace.weight_at("10m9s"), Weight::percent(10));
    assert_eq!(trace.weight_at("11m"), Weight::percent(50));
}

#[test]
fn a_weight_that_somebody_sets_is_seen_and_the_route_really_had_it() {
    let trace = simulation().fault("5m", Fault::routed_by_hand(Weight::percent(80))).run_traced();
    assert_eq!(trace.weight_at("5m"), Weight::percent(80));
    assert!(
        has(trace.records(), |content| matches!(content, Content::Drifted { .. })),
        "{}",
        trace.report().to_markdown()
    );
    // The route is looked at as often as the driver does it, long before the next weight is asked for.
    assert_eq!(trace.weight_at("6m"), Weight::percent(10));
}

#[test]
fn a_weight_that_somebody_sets_is_seen_once_the_route_can_be_read_again() {
    let trace = simulation()
        .fault("5m", Fault::routed_by_hand(Weight::percent(80)))
        .fault("5m", Port::Router.hangs_for("90s"))
        .run_traced();
    assert_eq!(trace.weight_at("6m"), Weight::percent(80));
    assert_eq!(trace.weight_at("8m"), Weight::percent(10));
}

#[test]
fn a_crash_with_downtime_counts_for_no_hold() {
    let trace = simulation().crash(Crash::at("5m").down_for("7m")).run_traced();
    trace.report().assert_promoted();
    assert!(length(trace.report()) >= at("32m"), "{:?}", length(trace.report()));
    let down = has(
        trace.records(),
        |content| matches!(content, Content::Restored { down_ms, .. } if *down_ms >= 400_000),
    );
    assert!(down, "{}", trace.report().to_markdown());
    // It may crash again, and while it is down nobody is there to be told.
    let twice = simulation()
        .crash(after_effect(30).down_for("1m"))
        .crash(Crash::at("12m").down_for("5m"))
        .command("13m", CommandKind::Abort { reason: "enough".to_owned() })
        .run_traced();
    twice.report().assert_rolled_back();
    assert_eq!(twice.weight_at("16m"), twice.weight_at("12m"));
    assert_eq!(twice.weight_at("17m"), Weight::ZERO);
}

#[test]
fn a_clock_that_jumps_changes_no_hold() {
    let undisturbed = length(&simulation().run());
    let jumped = |jump| simulation().fault("4m", jump).crash(Crash::at("5m")).run_traced();
    for jump in [Fault::clock_forward("20s"), Fault::clock_back("30m")] {
        let trace = jumped(jump.clone());
        trace.report().assert_promoted();
        let full = trace.weights().iter().find(|(_, weight)| *weight == Weight::FULL).unwrap().0;
        let after = full.since(trace.report().started);
        assert!((at("20m")..=undisturbed + at("1h")).contains(&after), "{jump:?}: {after:?}");
        // Who runs already counts from its own start.
        assert_eq!(length(&simulation().fault("4m", jump).run()), undisturbed);
    }
    // To a clock that is a day ahead everything that is measured is a day old.
    let ahead = jumped(Fault::clock_forward("1d"));
    ahead.report().assert_never_above(Weight::percent(10));
}

#[test]
fn a_frozen_process_that_wakes_up_goes_on() {
    let trace = simulation().fault("5m", Fault::frozen_for("8m")).run_traced();
    trace.report().assert_promoted();
    assert_eq!(trace.weight_at("12m"), Weight::percent(10));
}

#[test]
fn a_frozen_process_hears_what_was_said_as_soon_as_it_wakes_up() {
    let abort = CommandKind::Abort { reason: "enough".to_owned() };
    let trace =
        simulation().fault("5m1s", Fault::frozen_for("4s")).command("5m3s", abort).run_traced();
    assert_eq!(trace.weight_at("5m4s"), Weight::percent(10));
    assert_eq!(trace.weight_at("5m6s"), Weight::ZERO);
}

#[test]
fn nothing_happens_once_a_rollout_has_ended_or_its_time_is_over() {
    let by_hand = Fault::routed_by_hand(Weight::percent(20));
    let ended = simulation().fault("2h", by_hand).run_traced();
    ended.report().assert_promoted();
    assert_eq!(ended.weight_at("3h"), Weight::FULL);
    let cut = simulation().limit(at("9m59s")).run_traced();
    assert_eq!(cut.weight_at("3h"), Weight::percent(10));
    let end = cut.report().started + at("9m59s");
    assert!(cut.records().iter().all(|record| record.at <= end), "{:?}", cut.records().last());
}

#[test]
fn a_process_that_was_replaced_may_lower_the_weight() {
    let abort = CommandKind::Abort { reason: "enough".to_owned() };
    let trace = simulation()
        .fault("5m", Port::Router.late_for("10s", "5s"))
        .command("5m", abort)
        .fault("5m1s", Fault::replaced_while_frozen_for("1m"))
        .run_traced();
    assert_eq!(trace.weight_at("5m4s"), Weight::percent(10));
    assert_eq!(trace.weight_at("5m5s"), Weight::ZERO, "the call of the one that was replaced");
    assert_eq!(trace.violations(), [""; 0]);
}

#[test]
fn a_process_that_was_replaced_raises_nothing_when_it_wakes_up() {
    for minute in ["9m59s", "10m", "19m59s"] {
        let trace =
            simulation().fault(minute, Fault::replaced_while_frozen_for("30s")).run_traced();
        assert_eq!(trace.violations(), [""; 0]);
        trace.report().assert_promoted();
        assert!(has(trace.records(), |content| matches!(content, Content::Restored { .. })));
    }
}

#[test]
fn a_raise_that_was_saved_before_the_process_was_replaced_is_not_carried_out() {
    let slow = simulation().fault("0s", Port::Store.late_for("2h", "3s"));
    let undisturbed = slow.run_traced();
    let half =
        undisturbed.weights().iter().find(|(_, weight)| *weight == Weight::percent(50)).unwrap().0;
    let half = half.since(undisturbed.report().started);
    // It sleeps when the save that the raise waits for is done; when it wakes up the raise is next, but it has been
    // replaced, and nothing at the router tells so yet.
    let ms = Duration::from_millis;
    let trace = slow
        .fault(half - ms(1_000), Fault::frozen_for("3s"))
        .fault(half + ms(500), Fault::replaced_while_frozen_for(ms(1_500)))
        .run_traced();
    assert_eq!(trace.violations(), [""; 0]);
    assert_eq!(trace.weight_at(half + ms(3_000)), Weight::percent(10));
    trace.report().assert_promoted();
}

#[test]
fn gates_answer_as_they_are_told() {
    let policy = plan().gate("ready", GateSpec::default()).build().unwrap();
    let with = |opening| Simulation::of(&policy).gate("ready", opening);
    with(Opening::AtOnce).run().assert_promoted();
    assert_eq!(length(&with(Opening::after("40m")).run()), at("65m"));
    with(Opening::Never).run().assert_unfinished();
    let no = with(Opening::Rejects).run();
    no.assert_rolled_back();
    no.assert_rolled_back_within("1s");
    let errors = Opening::Errors(FailureKind::Unavailable).then("50m", Opening::AtOnce);
    let trace = with(errors).run_traced();
    trace.report().assert_promoted();
    assert!(failed_with(&trace, FailureKind::Unavailable));
    assert!(length(trace.report()) >= at("50m"));
    let down = with(Opening::AtOnce).fault("20m", Port::Gates.down_for("20m")).run();
    assert!(length(&down) >= at("40m"));
}

#[test]
fn people_approve_and_reject_when_they_are_told_to() {
    let approved = plan().gate("oncall", GateSpec::approval()).build().unwrap();
    let with = |opening| Simulation::of(&approved).gate("oncall", opening).run();
    assert_eq!(length(&with(Opening::after("40m"))), at("65m"));
    assert_eq!(length(&with(Opening::Never.then("2h", Opening::AtOnce))), at("2h"));
    let no = with(Opening::Never.then("30m", Opening::Rejects));
    no.assert_rolled_back();
    assert_eq!(length(&no), at("30m"));
    with(Opening::Errors(FailureKind::Unavailable)).assert_unfinished();
}

#[test]
fn a_script_decides_to_the_look() {
    let policy = Policy::builder("shop")
        .stage("tenth", Weight::percent(10), at("10m"))
        .stage("full", Weight::FULL, at("5m"))
        .check(Check::above("many", "error_rate", 0.05))
        .build()
        .unwrap();
    let scripted = |rate: f64| {
        Simulation::of(&policy)
            .script("requests", Side::Canary, [(at("0s"), 20.0)])
            .script("error_rate", Side::Canary, [(at("0s"), 0.0), (at("4m"), rate)])
            .run()
    };
    scripted(0.05).assert_promoted();
    let report = scripted(0.06);
    report.assert_rolled_back_by("many");
    assert_eq!(length(&report), at("4m15s"));
    assert_eq!(report.canary_errors_served(), 18);
}

#[test]
fn a_held_rollout_is_known_as_held() {
    let policy = plan()
        .check(Check::above_stable("slow", "latency.p95", 1.5).then(Then::Hold))
        .build()
        .unwrap();
    let slow = Service::healthy().median(Duration::from_millis(150));
    let report = Simulation::of(&policy).canary(slow).run();
    report.assert_held_by("slow");
    report.assert_unfinished();
    report.assert_never_above(Weight::percent(10));
    let held = std::panic::catch_unwind(|| report.assert_held_by("errors"));
    assert!(held.is_err());
}

#[test]
fn the_versions_run_as_they_are_told_to() {
    let with = |workload| simulation().workload(workload).run_traced();
    let ready = with(SimulatedWorkload::ready_after("90s").replaced_after("2m"));
    ready.report().assert_promoted();
    assert_eq!(ready.violations(), [""; 0]);
    assert_eq!(ready.weight_at("89s"), Weight::ZERO);
    for workload in [SimulatedWorkload::never_ready(), SimulatedWorkload::missing()] {
        let trace = with(workload);
        trace.report().assert_rolled_back();
        trace.report().assert_never_above(Weight::ZERO);
        assert_eq!(trace.violations(), [""; 0]);
    }
    let mut patient = plan().build().unwrap().spec().clone();
    patient.workload = WorkloadSpec::default().ready_for(at("30s"));
    let patient = Policy::from_spec(patient).unwrap();
    let looping = Simulation::of(&patient).workload(SimulatedWorkload::crash_looping()).run();
    looping.assert_rolled_back();
    looping.assert_never_above(Weight::ZERO);
}

#[test]
fn traffic_that_nobody_can_serve_is_told() {
    let by_hand = |workload| {
        let half = Fault::routed_by_hand(Weight::percent(50));
        simulation().workload(workload).fault("5m", half).run_traced()
    };
    let told = |trace: &Trace, what: &str| {
        let told = trace.violations();
        assert!(told.iter().any(|told| told.ends_with(what)), "{told:?}");
    };
    told(&by_hand(SimulatedWorkload::never_ready()), "the canary has 50% and is not ready");
    let ready = by_hand(SimulatedWorkload::ready_after("1m"));
    told(&ready, "the canary has 50% and is ready for 10%");
}

fn any_fault() -> impl Strategy<Value = Fault> {
    let port = prop::sample::select(vec![Port::Router, Port::Metrics, Port::Store]);
    let calls = (port, 0_u64..900, 0_u8..5).prop_map(|(port, seconds, what)| {
        let time = Duration::from_secs(seconds);
        match what {
            0 => port.down_for(time),
            1 => port.hangs_for(time),
            2 => port.loses_answers_for(time),
            3 => port.late_for(time, Duration::from_secs(seconds % 40)),
            _ => port.fails_for(time, FailureKind::RateLimited),
        }
    });
    prop_oneof![
        4 => calls,
        2 => (0_u64..600).prop_map(|s| Fault::replaced_while_frozen_for(Duration::from_secs(s))),
        1 => (0_u64..600).prop_map(|s| Fault::frozen_for(Duration::from_secs(s))),
        1 => (0_u64..3600).prop_map(|s| Fault::clock_forward(Duration::from_secs(s))),
        1 => (0_u64..3600).prop_map(|s| Fault::clock_back(Duration::from_secs(s))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_goes_wrong_the_same_seed_gives_the_same_and_only_the_holder_raises(
        faults in prop::collection::vec((0_u64..1_500, any_fault()), 0..5),
        crash in prop::option::of((1_usize..300, 0_u64..300)),
        errors in prop::sample::select(vec![0.001, 0.04]),
        seed in any::<u64>(),
    ) {
        let mut simulation = simulation().canary(Service::healthy().errors(errors)).seed(seed);
        for (from, fault) in faults {
            simulation = simulation.fault(Duration::from_secs(from), fault);
        }
        if let Some((effect, down)) = crash {
            simulation = simulation.crash(after_effect(effect).down_for(Duration::from_secs(down)));
        }
        let (one, two) = (simulation.run_traced(), simulation.run_traced());
        prop_assert_eq!(one.records(), two.records());
        prop_assert_eq!(one.report().to_json(), two.report().to_json());
        prop_assert_eq!(one.violations(), [""; 0]);
    }
}
