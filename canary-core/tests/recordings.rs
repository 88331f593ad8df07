//! What was recorded is what a policy sees, however it cuts the time; and a file of it is the same recording.
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::time::Duration;

use canary_core::policy::{Check, Policy, Then};
use canary_core::record::Content;
use canary_core::rollout::queries;
use canary_core::simulate::{Recording, Simulation};
use canary_core::value::{
    Buckets, BySide, Counts, Measured, PodCounts, Query, Reading, Side, Signal, Timestamp, Weight,
    Window,
};
use proptest::prelude::*;

const BEGIN: Timestamp = Timestamp::from_millis(1_772_366_400_000);

fn at(ms: u64) -> Timestamp {
    BEGIN + Duration::from_millis(ms)
}

fn minutes(n: u64) -> Duration {
    Duration::from_secs(60 * n)
}

fn counts(total: u64, bad: u64) -> Reading {
    Reading::Counts(Counts::new(total, bad).unwrap())
}

fn policy() -> Policy {
    Policy::builder("checkout")
        .every(Duration::from_secs(15))
        .settle(Duration::from_secs(5))
        .stage("tenth", Weight::percent(10), minutes(10))
        .stage("half", Weight::percent(50), minutes(10))
        .stage("full", Weight::FULL, minutes(5))
        .check(Check::above("too-many-errors", "error_rate", 0.05).lasting(minutes(1)))
        .build()
        .unwrap()
}

/// Records this many minutes in which the canary fails half of its requests from one time to another.
fn incident(length: u64, from: u64, until: u64) -> Recording {
    let span = Window::new(at(0), BEGIN + minutes(length));
    let mut recording = Recording::new(span, queries(&policy()));
    let mut end = at(0);
    while end < span.until {
        let begin = end;
        // Scrapes do not come at the policy's pace.
        end = span.until.min(begin + Duration::from_secs(7));
        let bad = BEGIN + minutes(from) < end && end <= BEGIN + minutes(until);
        let window = Window::new(begin, end);
        let canary = counts(10, if bad { 3 } else { 0 });
        recording.push(&Signal::Requests, Measured::new(window, counts(90, 0), canary)).unwrap();
    }
    recording
}

#[test]
fn an_incident_is_caught_and_a_quiet_time_is_promoted() {
    let caught = Simulation::of(&policy()).recorded(incident(40, 12, 20)).run();
    caught.assert_rolled_back_by("too-many-errors");
    let decided = caught.rollback_decided.unwrap();
    // A fifth of a minute makes 5 % of it, and looks come every 15 s.
    assert!(BEGIN + minutes(12) < decided && decided <= BEGIN + minutes(13), "{decided}");
    assert_eq!(caught.started, BEGIN);
    assert_eq!(caught.last_weight, Weight::percent(50));
    Simulation::of(&policy()).recorded(incident(40, 0, 0)).run().assert_promoted();
}

#[test]
fn a_rollout_stops_where_the_recording_ends() {
    let trace = Simulation::of(&policy()).recorded(incident(11, 0, 0)).run_traced();
    assert_eq!(trace.report().outcome, None);
    assert!(trace.records().iter().all(|record| record.at <= BEGIN + minutes(11)));
    assert_eq!(trace.weights().last().unwrap().1, Weight::percent(50));
}

#[test]
#[should_panic(expected = "what was recorded is the same in each of many runs")]
fn many_rollouts_over_one_recording_are_refused() {
    drop(Simulation::of(&policy()).recorded(incident(40, 0, 0)).run_many(2));
}

#[test]
fn weights_of_the_policy_change_nothing_of_what_was_recorded() {
    let recording = incident(40, 0, 0);
    let report = Simulation::of(&policy()).recorded(recording.clone()).run();
    let seen = report.stages.iter().fold(BySide::<Counts>::default(), |mut sum, stage| {
        sum.stable.add(stage.requests.stable);
        sum.canary.add(stage.requests.canary);
        sum
    });
    assert_eq!(seen.stable.total, seen.canary.total * 9);
    let all = recording.requests(Side::Canary, BEGIN).total;
    assert!(seen.canary.total > 0 && seen.canary.total < all, "{seen:?} of {all}");
}

#[test]
fn each_recorded_request_is_judged_once() {
    // Without a settling time nothing is left out, whatever the pace of the looks; a stage that begins in the middle of a
    // window counts all of it.
    for every in [4, 7, 15, 61] {
        let plan = Policy::builder("all")
            .every(Duration::from_secs(every))
            .settle(Duration::ZERO)
            .stage("tenth", Weight::percent(10), minutes(9))
            .stage("half", Weight::percent(50), minutes(60))
            .stage("full", Weight::FULL, minutes(1))
            .check(Check::above("errors", "error_rate", 0.9).then(Then::Warn))
            .build()
            .unwrap();
        let recording = incident(30, 10, 20);
        let mut seen = Counts::default();
        let mut until = BEGIN;
        Simulation::of(&plan).recorded(recording.clone()).run_observed(|record| {
            if let Content::Judged(judgement) = &record.content
                && let Some(requests) = judgement.requests
            {
                seen.add(requests.canary);
                until = record.at;
            }
        });
        let (all, later) =
            (recording.requests(Side::Canary, BEGIN), recording.requests(Side::Canary, until));
        assert_eq!(seen.total, all.total - later.total, "every {every} s");
        assert_eq!(seen.bad, all.bad - later.bad, "every {every} s");
        assert!(until.since(BEGIN) > minutes(28), "every {every} s");
    }
}

#[test]
fn what_a_policy_asks_and_nobody_recorded_is_named() {
    let asking = Policy::builder("asking")
        .stage("full", Weight::FULL, minutes(1))
        .check(Check::above("pool", "pool", 0.9))
        .check(Check::above("slow", "latency.p95", 100.0))
        .build()
        .unwrap();
    let recording = incident(1, 0, 0);
    assert_eq!(recording.lacks(&policy()), []);
    assert_eq!(recording.lacks(&asking), [Signal::Custom("pool".into()), Signal::Latency]);
    let mut other = queries(&asking);
    other.iter_mut().for_each(|query| query.text = Some("max(pool)".into()));
    let other = Recording::new(recording.span(), other);
    assert_eq!(other.lacks(&policy()), [Signal::Requests]);
}

#[test]
fn a_window_out_of_place_is_refused() {
    let mut recording = incident(1, 0, 0);
    let mut refuse = |signal: Signal, (after, until), reading: Reading| {
        let measured = Measured::new(Window::new(at(after), at(until)), reading.clone(), reading);
        recording.push(&signal, measured).unwrap_err().to_string()
    };
    let expected = "expected one that begins at 2026-03-01T12:01:00.000Z and ends later, by 2026-03-01T12:01:00.000Z";
    assert!(refuse(Signal::Requests, (60_000, 70_000), counts(1, 0)).ends_with(expected));
    assert_eq!(
        refuse(Signal::Latency, (0, 1), counts(1, 0)),
        "there is a window of `latency`; expected `requests`"
    );
    let mut empty =
        Recording::new(Window::new(at(0), at(9)), [Query::new(Signal::Requests, at(0))]);
    for wrong in [(1, 9), (0, 0), (0, 10)] {
        let window = Window::new(at(wrong.0), at(wrong.1));
        let measured = Measured::new(window, counts(1, 0), counts(1, 0));
        assert!(empty.push(&Signal::Requests, measured).is_err(), "{wrong:?}");
    }
    assert!(empty.is_empty());
}

fn written(recording: &Recording) -> String {
    let mut text = Vec::new();
    recording.write(&mut text).unwrap();
    String::from_utf8(text).unwrap()
}

#[test]
fn a_damaged_file_is_refused_with_the_line() {
    let whole = written(&incident(1, 0, 0));
    assert_eq!(Recording::read(whole.as_bytes()).unwrap(), incident(1, 0, 0));
    let lines: Vec<&str> = whole.lines().collect();
    assert_eq!(lines.len(), 10);
    let with = |line: usize, text: &str| {
        let mut lines = lines.clone();
        lines[line - 1] = text;
        lines.join("\n")
    };
    let without = |line: usize| [&lines[..line - 1], &lines[line..]].concat().join("\n");
    let other_version = lines[0].replace("\"recording\":1", "\"recording\":2");
    let bad = lines[3].replace("\"bad\":0", "\"bad\":99");
    let elsewhere = lines[3].replace("\"requests\"", "\"latency\"");
    let cut = &lines[3][..40];
    for (text, says) in [
        (
            String::new(),
            "line 1 of the recording: EOF while parsing a value at line 1 column 0; expected a header such as {",
        ),
        ("{}".to_owned(), "line 1 of the recording: missing field `recording`"),
        (
            with(1, &other_version),
            "line 1 of the recording: the form has the version 2; expected version 1",
        ),
        (with(4, cut), "line 4 of the recording: EOF while parsing"),
        (
            with(4, ""),
            "line 4 of the recording: EOF while parsing a value at line 1 column 0; expected a window such as {",
        ),
        (with(4, &bad), "line 4 of the recording: 99 of 90 requests are bad"),
        (
            with(4, &elsewhere),
            "line 4 of the recording: there is a window of `latency`; expected `requests`",
        ),
        (
            with(4, lines[4]),
            "line 4 of the recording: a window of `requests` covers 2026-03-01T12:00:21.000Z to 2026-03-01T12:00:28.000Z; expected one that begins at 2026-03-01T12:00:14.000Z",
        ),
        (without(4), "line 4 of the recording: a window of `requests` covers "),
        (without(10), "line 10 of the recording: it ends after 8 windows; expected 9 of them"),
        (
            format!("{whole}{}", lines[9]),
            "line 11 of the recording: there is one more line; expected the end after 9 windows",
        ),
    ] {
        let error = Recording::read(text.as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with(says), "{error}\n{says}");
    }
}

fn readings() -> impl Strategy<Value = Reading> {
    let some = (any::<u32>(), 0.0..=1.0)
        .prop_map(|(total, bad)| counts(total.into(), (f64::from(total) * bad) as u64));
    let buckets = prop::collection::vec(any::<u32>(), 3).prop_map(|counts| {
        let counts = counts.into_iter().map(u64::from).collect();
        Reading::Buckets(Buckets::new(vec![0.1, 8.2], counts).unwrap())
    });
    let value = any::<f64>().prop_filter("finite", |value| value.is_finite());
    prop_oneof![
        4 => some,
        2 => buckets,
        2 => value.prop_map(Reading::Value),
        1 => Just(Reading::NoData),
        1 => Just(Reading::NotFinite),
    ]
}

fn recordings() -> impl Strategy<Value = Recording> {
    let windows = || {
        let pods = prop::collection::vec("[a-z]{1,9}", 0..3);
        let window = (1_u64..60_000, readings(), readings(), prop::option::of(".{0,20}"), pods);
        prop::collection::vec(window, 0..20)
    };
    (windows(), windows(), prop::option::of("[ -~]{1,30}")).prop_map(|(first, second, text)| {
        let span = Window::new(at(0), at(2_000_000));
        let pool = Signal::Custom("pool".into());
        let mut asked = Query::new(pool.clone(), at(0));
        asked.text = text.map(Into::into);
        let mut recording = Recording::new(span, [Query::new(Signal::Requests, at(0)), asked]);
        for (signal, windows) in [(Signal::Requests, first), (pool, second)] {
            let mut end = 0;
            for (length, stable, canary, note, pods) in windows {
                let window = Window::new(at(end), at(end + length));
                end += length;
                let pods = pods.into_iter().map(|name| PodCounts::new(name, Counts::default()));
                let mut measured =
                    Measured::new(window, stable, canary).with_pods(Side::Canary, pods.collect());
                measured.notes.extend(note);
                recording.push(&signal, measured).unwrap();
            }
        }
        recording
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(recording in recordings()) {
        let text = written(&recording);
        let read = Recording::read(text.as_bytes()).unwrap();
        prop_assert_eq!(&read, &recording);
        prop_assert_eq!(written(&read), text);
    }

    #[test]
    fn no_line_can_be_lost_unnoticed(recording in recordings(), which in any::<prop::sample::Index>()) {
        let text = written(&recording);
        let mut lines: Vec<&str> = text.lines().collect();
        lines.remove(which.index(lines.len()));
        prop_assert!(Recording::read(lines.join("\n").as_bytes()).is_err());
    }
}
