//! What is made up is what is measured.
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::time::Duration;

use canary_core::policy::{Calendar, Check, GateKind, GateSpec, Policy};
use canary_core::ports::Call;
use canary_core::report::Report;
use canary_core::rollout::Waiting;
use canary_core::simulate::{Load, Opening, Service, Simulation, World, at};
use canary_core::value::{
    Counts, EffectId, Epoch, Measured, Query, Reading, Side, Signal, Timestamp, Traffic, Weight,
};

const BEGIN: Timestamp = Timestamp::from_millis(1_767_225_600_000);
const HOUR: Duration = Duration::from_secs(3600);

fn simulation() -> Simulation {
    let policy = Policy::builder("any").stage("full", Weight::FULL, HOUR).build().unwrap();
    Simulation::of(&policy).traffic(200.0).seed(11)
}

/// Gives the canary half of the traffic after this time.
fn halved(simulation: &Simulation, after: Duration) -> World {
    let mut world = simulation.world();
    let time = BEGIN + after;
    let rollout = "any-1".parse().unwrap();
    let call = Call::new(rollout, Epoch::new(1), EffectId::new(1), 1, time, time);
    let version = world.observe(time).version;
    world.apply(&call, &Traffic::to_canary(Weight::percent(50)), Some(&version)).unwrap();
    world
}

fn ask(world: &World, signal: Signal, from: Duration, to: Duration) -> Measured {
    let query = Query::new(signal, BEGIN + from);
    world.measure(&[query], BEGIN + to).pop().unwrap().unwrap()
}

fn counts(world: &World, side: Side, from: Duration, to: Duration) -> Counts {
    match ask(world, Signal::Requests, from, to).sides.get(side) {
        Reading::Counts(counts) => *counts,
        other => panic!("{other:?}"),
    }
}

fn rate(world: &World, side: Side, from: Duration, to: Duration) -> f64 {
    counts(world, side, from, to).error_rate().unwrap()
}

fn gauge(world: &World, name: &str, to: Duration) -> Reading {
    ask(world, Signal::Custom(name.into()), Duration::ZERO, to).sides.canary
}

/// Checks a number within five parts in a hundred.
#[track_caller]
fn about(seen: f64, expected: f64) {
    assert!((seen / expected - 1.0).abs() < 0.05, "{seen}, not about {expected}");
}

#[test]
fn both_sides_share_the_traffic_and_fail_as_they_are_said_to() {
    let simulation = simulation()
        .stable(Service::healthy().errors(0.02))
        .canary(Service::healthy().errors(0.05));
    let world = halved(&simulation, Duration::ZERO);
    for (side, errors) in [(Side::Stable, 0.02), (Side::Canary, 0.05)] {
        let seen = counts(&world, side, Duration::ZERO, HOUR);
        about(seen.total as f64, 360_000.0);
        about(seen.error_rate().unwrap(), errors);
    }
    assert_eq!(
        counts(&halved(&simulation, at("30m")), Side::Canary, Duration::ZERO, at("30m")).total,
        0
    );
}

#[test]
fn load_changes_over_time() {
    let bursts = simulation().traffic(Load::bursts(20.0, 400.0, "10m", "1m"));
    let world = halved(&bursts, Duration::ZERO);
    about(counts(&world, Side::Stable, at("10m"), at("11m")).total as f64, 200.0 * 60.0);
    about(counts(&world, Side::Stable, at("11m"), at("20m")).total as f64, 10.0 * 540.0);
    let day = simulation().traffic(Load::daily(200.0, 0.9));
    let world = halved(&day, Duration::ZERO);
    let night = counts(&world, Side::Stable, Duration::ZERO, HOUR).total;
    assert!(counts(&world, Side::Stable, at("12h"), at("13h")).total > 10 * night);
}

#[test]
fn errors_come_later_in_clusters_in_the_cold_and_on_one_pod() {
    let later = simulation().canary(Service::healthy().errors(0.001).errors_from("30m", 0.1));
    let world = halved(&later, Duration::ZERO);
    assert!(rate(&world, Side::Canary, Duration::ZERO, at("30m")) < 0.002);
    about(rate(&world, Side::Canary, at("30m"), HOUR), 0.1);
    // A window over both is as bad as both together.
    about(rate(&world, Side::Canary, Duration::ZERO, HOUR), 0.0505);

    let cold = Service::healthy().errors(0.2);
    let warming = simulation().canary(Service::healthy().errors(0.01).warming_up("5m", cold));
    let world = halved(&warming, at("20m"));
    about(rate(&world, Side::Canary, at("20m"), at("25m")), 0.2);
    about(rate(&world, Side::Canary, at("25m"), HOUR), 0.01);

    let pod = Service::healthy().errors(0.01).one_pod_of(4, Service::healthy().errors(0.5));
    let world = halved(&simulation().canary(pod), Duration::ZERO);
    about(rate(&world, Side::Canary, Duration::ZERO, HOUR), 0.25 * 0.5 + 0.75 * 0.01);

    let spread = |service: Service| {
        let world = halved(&simulation().canary(service.errors(0.02)), Duration::ZERO);
        let minute = |i: u64| Duration::from_secs(60 * i);
        let bad: Vec<f64> = (0..600)
            .map(|i| counts(&world, Side::Canary, minute(i), minute(i + 1)).bad as f64)
            .collect();
        let mean = bad.iter().sum::<f64>() / 600.0;
        about(mean, 120.0);
        bad.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 600.0 / mean
    };
    assert!(spread(Service::healthy()) < 1.3);
    assert!(spread(Service::healthy().clustered(5.0)) > 6.0);
}

#[test]
fn an_outage_hits_both_sides() {
    let world = halved(&simulation().outage("10m", "12m", 0.6), Duration::ZERO);
    for side in Side::BOTH {
        about(rate(&world, side, at("10m"), at("12m")), 0.6);
        assert!(rate(&world, side, at("12m"), HOUR) < 0.002);
    }
}

#[test]
fn latency_has_its_median_and_its_tail() {
    let quantile = |service: Service, q: f64, from: Duration, to: Duration| {
        let world = halved(&simulation().canary(service), Duration::ZERO);
        match ask(&world, Signal::Latency, from, to).sides.canary {
            Reading::Buckets(buckets) => buckets.quantile(q).unwrap(),
            other => panic!("{other:?}"),
        }
    };
    let ms = Duration::from_millis;
    let slow = Service::healthy().median(ms(200)).p95(ms(1_500));
    about(quantile(slow.clone(), 0.5, Duration::ZERO, HOUR), 200.0);
    about(quantile(slow.clone(), 0.95, Duration::ZERO, HOUR), 1_500.0);
    let pods = Service::healthy().one_pod_of(2, slow.clone());
    assert!(quantile(pods, 0.95, Duration::ZERO, HOUR) > 700.0);
    let very_slow = Service::healthy().median(ms(2_000)).p95(ms(2_200));
    let quarter = Service::healthy().one_pod_of(4, very_slow);
    assert!(quantile(quarter.clone(), 0.7, Duration::ZERO, HOUR) < 300.0);
    assert!(quantile(quarter, 0.8, Duration::ZERO, HOUR) > 1_500.0);
    let warming = Service::healthy().median(ms(50)).warming_up("10m", slow);
    assert!(quantile(warming.clone(), 0.5, Duration::ZERO, at("10m")) > 150.0);
    about(quantile(warming, 0.5, at("10m"), HOUR), 50.0);
}

#[test]
fn gauges_stand_leak_and_count_restarts() {
    let service =
        Service::healthy().gauge("pool", 0.3).leak("memory", "30m", 0.4).restarts_every("7m");
    let world = halved(&simulation().canary(service), Duration::ZERO);
    assert_eq!(gauge(&world, "pool", HOUR), Reading::Value(0.3));
    assert_eq!(gauge(&world, "cpu", HOUR), Reading::Value(0.4));
    assert_eq!(gauge(&world, "memory", at("30m")), Reading::Value(0.5));
    assert_eq!(gauge(&world, "memory", at("90m")), Reading::Value(0.9));
    assert_eq!(gauge(&world, "restarts", at("15m")), Reading::Value(2.0));
    let later = ask(&world, Signal::Custom("restarts".into()), at("15m"), at("36m"));
    assert_eq!(later.sides.canary, Reading::Value(3.0));
    let unknown = Query::new(Signal::Custom("unheard".into()), BEGIN);
    assert!(world.measure(&[unknown], BEGIN + HOUR)[0].is_err());
}

fn pods(measured: &Measured, side: Side) -> Vec<(&str, Counts)> {
    measured.pods.get(side).iter().map(|pod| (&*pod.name, pod.counts)).collect()
}

#[test]
fn pods_are_told_apart_and_what_their_side_shows_stays_as_it_was() {
    let plain = simulation().canary(Service::healthy().errors(0.01));
    let told = simulation()
        .stable(Service::healthy().pods(2))
        .canary(Service::healthy().errors(0.01).pods(3));
    let world = halved(&told, Duration::ZERO);
    for i in 0..50 {
        let (from, to) = (Duration::from_secs(15 * i), Duration::from_secs(15 * (i + 1)));
        let none = ask(&halved(&plain, Duration::ZERO), Signal::Requests, from, to);
        let some = ask(&world, Signal::Requests, from, to);
        assert_eq!(none.sides, some.sides);
        assert!(Side::BOTH.iter().all(|side| pods(&none, *side).is_empty()));
        assert_eq!(some, ask(&world, Signal::Requests, from, to), "the same whoever asks");
    }
    let hour = ask(&world, Signal::Requests, Duration::ZERO, HOUR);
    let names = |side| pods(&hour, side).iter().map(|pod| pod.0.to_owned()).collect::<Vec<_>>();
    assert_eq!(names(Side::Stable), ["stable-1", "stable-2"]);
    assert_eq!(names(Side::Canary), ["canary-1", "canary-2", "canary-3"]);
    for (_, counts) in pods(&hour, Side::Canary) {
        about(counts.total as f64, 120_000.0);
        assert!((counts.error_rate().unwrap() / 0.01 - 1.0).abs() < 0.15, "{counts:?}");
    }
    let latency = ask(&world, Signal::Latency, Duration::ZERO, HOUR);
    assert!(pods(&latency, Side::Canary).is_empty(), "only requests tell pods apart");
}

#[test]
fn the_first_pod_is_the_one_that_is_unlike_the_others() {
    let bad = Service::healthy().errors(0.3);
    let pod = Service::healthy().errors(0.02).one_pod_of(4, bad.clone());
    let world = halved(&simulation().canary(pod.clone()), Duration::ZERO);
    let hour = ask(&world, Signal::Requests, Duration::ZERO, HOUR);
    let served = pods(&hour, Side::Canary);
    about(served[0].1.error_rate().unwrap(), 0.3);
    for (_, counts) in &served[1..] {
        assert!((counts.error_rate().unwrap() / 0.02 - 1.0).abs() < 0.12, "{counts:?}");
    }
    // In an outage all pods are alike.
    let world = halved(&simulation().canary(pod).outage("0s", "60m", 0.5), Duration::ZERO);
    let hour = ask(&world, Signal::Requests, Duration::ZERO, HOUR);
    for (_, counts) in pods(&hour, Side::Canary) {
        about(counts.error_rate().unwrap(), 0.5);
    }
    let untold = [bad.clone().pods(101), bad.clone().pods(3).silent(), Service::healthy()];
    for service in untold {
        let world = halved(&simulation().canary(service), Duration::ZERO);
        assert!(
            pods(&ask(&world, Signal::Requests, Duration::ZERO, HOUR), Side::Canary).is_empty()
        );
    }
    let scripted =
        simulation().canary(bad.pods(3)).script("requests", Side::Canary, [(at("0s"), 9.0)]);
    let world = halved(&scripted, Duration::ZERO);
    assert!(pods(&ask(&world, Signal::Requests, Duration::ZERO, HOUR), Side::Canary).is_empty());
}

#[test]
fn what_is_silent_has_no_data() {
    let world = halved(&simulation().canary(Service::healthy().silent()), Duration::ZERO);
    let measured = ask(&world, Signal::Requests, Duration::ZERO, HOUR);
    assert_eq!(measured.sides.canary, Reading::NoData);
    assert_ne!(measured.sides.stable, Reading::NoData);
}

#[test]
fn what_is_covered_ends_at_samples_that_have_arrived() {
    let world = halved(&simulation().scrape("15s", "20s"), Duration::ZERO);
    let covered = |from: &str, to: &str| {
        let window = ask(&world, Signal::Requests, at(from), at(to)).covered;
        (window.after.since(BEGIN), window.until.since(BEGIN))
    };
    assert_eq!(covered("0s", "60s"), (at("0s"), at("30s")));
    assert_eq!(covered("32s", "90s"), (at("45s"), at("60s")));
    let pending = ask(&world, Signal::Requests, at("45s"), at("60s"));
    assert_eq!(pending, Measured::pending(BEGIN + at("45s")));
}

#[test]
fn a_script_is_exact_and_adds_up() {
    let scripted = simulation()
        .script("requests", Side::Canary, [(at("0s"), 10.0)])
        .script("error_rate", Side::Canary, [(at("0s"), 0.0), (at("1m"), 0.25)])
        .script("pool", Side::Canary, [(at("0s"), 0.2), (at("1m"), f64::NAN)]);
    let world = halved(&scripted, Duration::ZERO);
    assert_eq!(counts(&world, Side::Canary, at("0s"), at("1m")), Counts::new(600, 0).unwrap());
    assert_eq!(counts(&world, Side::Canary, at("0s"), at("2m")), Counts::new(1_200, 150).unwrap());
    let mut sum = Counts::default();
    for i in 0..400 {
        let (from, to) = (Duration::from_millis(300 * i), Duration::from_millis(300 * (i + 1)));
        sum.add(counts(&world, Side::Canary, from, to));
    }
    assert_eq!(sum, Counts::new(1_200, 150).unwrap());
    assert_eq!(gauge(&world, "pool", at("59s")), Reading::Value(0.2));
    assert_eq!(gauge(&world, "pool", at("60s")), Reading::NotFinite);
}

#[test]
fn requests_that_are_scripted_fail_as_the_service_does() {
    let service = Service::healthy().errors(0.25);
    let scripted =
        simulation().canary(service).script("requests", Side::Canary, [(at("0s"), 10.0)]);
    let world = halved(&scripted, Duration::ZERO);
    assert_eq!(counts(&world, Side::Canary, at("0s"), at("1m")), Counts::new(600, 150).unwrap());
}

#[test]
fn a_canary_is_cold_whenever_its_traffic_begins_again() {
    let service = Service::healthy().errors(0.01).warming_up("5m", Service::healthy().errors(0.2));
    let mut world = halved(&simulation().canary(service), Duration::ZERO);
    for (id, time, percent) in [(2, "20m", 0), (3, "30m", 50)] {
        let time = BEGIN + at(time);
        let rollout = "any-1".parse().unwrap();
        let call = Call::new(rollout, Epoch::new(1), EffectId::new(id), 1, time, time);
        let version = world.observe(time).version;
        world.apply(&call, &Traffic::to_canary(Weight::percent(percent)), Some(&version)).unwrap();
    }
    for (from, to, expected) in
        [("0s", "5m", 0.2), ("5m", "20m", 0.01), ("30m", "35m", 0.2), ("35m", "60m", 0.01)]
    {
        about(rate(&world, Side::Canary, at(from), at(to)), expected);
    }
    assert_eq!(counts(&world, Side::Canary, at("20m"), at("30m")), Counts::default());
}

#[test]
fn a_window_shows_the_same_whoever_asks_how_often() {
    let service = Service::healthy().clustered(3.0).one_pod_of(3, Service::healthy().errors(0.3));
    let world = halved(&simulation().canary(service), Duration::ZERO);
    let queries = [Signal::Requests, Signal::Latency, Signal::Requests]
        .map(|signal| Query::new(signal, BEGIN + at("5m")));
    let together = world.measure(&queries, BEGIN + at("6m"));
    for (query, answer) in queries.iter().zip(&together) {
        assert_eq!(
            world.measure(std::slice::from_ref(query), BEGIN + at("6m")),
            std::slice::from_ref(answer)
        );
    }
    let Reading::Counts(counts) = together[0].as_ref().unwrap().sides.canary else { panic!() };
    let Reading::Buckets(buckets) = &together[1].as_ref().unwrap().sides.canary else { panic!() };
    assert_eq!(counts.total, buckets.total());
}

#[test]
fn the_calendar_is_asked_once_it_is_said_when_a_rollout_begins() {
    let hours = GateKind::Window(Calendar::open("* 9-16 * * MON-THU", "Europe/Berlin"));
    let policy = Policy::builder("shop")
        .stage("half", Weight::percent(50), at("10m"))
        .gate("office-hours", GateSpec::of(hours))
        .stage("full", Weight::FULL, at("1m"))
        .check(Check::worse_than_stable("errors", 1.25))
        .build()
        .unwrap();
    // A Thursday, eleven in the evening in Berlin; the next Monday there are office hours again.
    let evening = Timestamp::from_millis(1_795_125_600_000);
    let monday = Timestamp::from_millis(1_795_420_800_000);
    assert_eq!(evening.to_string(), "2026-11-19T22:00:00.000Z");
    assert_eq!(monday.to_string(), "2026-11-23T08:00:00.000Z");
    let simulation = Simulation::of(&policy).limit(at("20d"));
    let report = simulation.clone().starting(evening).run();
    assert_eq!(report.started, evening);
    let opened = report.timeline.iter().find(|r| r.content.kind() == "gate_opened").unwrap();
    assert_eq!(opened.at, monday);
    report.assert_promoted();
    let at_once = simulation.clone().starting(evening).gate("office-hours", Opening::AtOnce).run();
    let usual = simulation.run();
    let length = |report: &Report| report.ended.unwrap().since(report.started);
    assert_eq!(length(&at_once), length(&usual), "what a test says goes before");
    assert_eq!(at_once.requests(), usual.requests(), "the same seed draws the same");
}

#[test]
fn a_trace_tells_what_an_unfinished_rollout_waits_for() {
    let policy = Policy::builder("shop")
        .stage("half", Weight::percent(50), at("10m"))
        .gate("oncall", GateSpec::approval())
        .stage("full", Weight::FULL, at("1m"))
        .build()
        .unwrap();
    let trace = Simulation::of(&policy).gate("oncall", Opening::Never).run_traced();
    let status = trace.status().unwrap();
    assert_eq!(status.waiting, Waiting::Gate("oncall".parse().unwrap()));
    assert!(Simulation::of(&policy).run_traced().status().unwrap().outcome.is_some());
}
