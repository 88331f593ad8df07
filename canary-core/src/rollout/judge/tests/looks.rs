//! When a check is looked at, and over what.

use proptest::prelude::*;

use super::*;
use crate::policy::Then;
use crate::record::Finding;

fn errors() -> Check {
    Check::above("errors", "error_rate", 0.05)
}

/// Returns the covered seconds behind a threshold's number.
fn over(judged: &Judged) -> u64 {
    match &found(judged, "errors").finding {
        Finding::Threshold { over_ms, .. } => over_ms / 1000,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_delayed_check_begins_later_and_sees_nothing_of_before() {
    let delayed = errors().delayed(Duration::from_secs(30)).lasting(Duration::from_secs(20));
    let mut bench = Bench::of(vec![delayed]);
    let seen: Vec<Verdict> = (0..3).map(|_| verdict(&bench.failing(90), "errors")).collect();
    assert_eq!(seen, [Verdict::NotApplicable; 3]);
    let judged = bench.failing(0);
    assert_eq!((verdict(&judged, "errors"), over(&judged)), (Verdict::Pass, 10));
    let judged = bench.failing(0);
    assert_eq!((verdict(&judged, "errors"), over(&judged)), (Verdict::Pass, 20));
}

#[test]
fn a_check_begins_at_its_weight() {
    let mut bench = Bench::of(vec![errors().from_weight(Weight::FULL)]);
    assert_eq!(verdict(&bench.failing(90), "errors"), Verdict::NotApplicable);
    bench.enter(1);
    assert_eq!(verdict(&bench.failing(90), "errors"), Verdict::Fail);
}

#[test]
fn what_is_looked_at_less_often_is_judged_over_all_since_and_stands_meanwhile() {
    let check = errors().every(Duration::from_secs(30)).then(Then::Hold);
    let mut bench = Bench::of(vec![check]);
    let mut seen = Vec::new();
    for bad in [0, 30, 0, 0, 0, 0, 0] {
        let judged = bench.failing(bad);
        seen.push((ruling(&judged), over(&judged)));
    }
    let (go_on, hold) = (Ruling::GoOn, Ruling::Hold);
    assert_eq!(
        seen,
        [(go_on, 10), (go_on, 10), (go_on, 10), (hold, 30), (hold, 30), (hold, 30), (go_on, 30)]
    );
}

#[test]
fn a_look_that_could_say_nothing_is_made_up_for_soon() {
    let mut bench = Bench::of(vec![errors().every(Duration::from_secs(30))]);
    let silent = bench.look(|_| Ok((counts(1, 0), Reading::NoData)));
    assert_eq!(verdict(&silent, "errors"), Verdict::NoData);
    assert_eq!(verdict(&bench.failing(0), "errors"), Verdict::Pass);
}

#[test]
fn a_new_weight_is_looked_at_at_once() {
    let mut bench = Bench::of(vec![errors().every(Duration::from_secs(600))]);
    let _ = bench.failing(0);
    bench.enter(1);
    assert!(!bench.passing());
    assert_eq!(verdict(&bench.failing(90), "errors"), Verdict::Fail);
}

#[test]
fn too_few_requests_are_gathered_on() {
    let check = errors().every(Duration::from_secs(20)).with_samples(250);
    let mut bench = Bench::of(vec![check]);
    let seen: Vec<Verdict> = (0..5).map(|_| verdict(&bench.failing(0), "errors")).collect();
    let few = Verdict::Inconclusive;
    assert_eq!(seen, [few, few, Verdict::Pass, Verdict::Pass, few]);
}

#[test]
fn user_metrics_are_asked_for_as_the_policy_says() {
    let mut spec = spec(vec![Check::above("pool", "pool", 0.9)]);
    let asked =
        crate::policy::MetricQuery { source: Some("prom".into()), query: Some("db_pool".into()) };
    spec.metrics.insert("pool".to_owned(), crate::policy::MetricSpec::Query(asked));
    let bench = Bench::with(spec);
    let queries = bench.judge.queries();
    assert_eq!(queries.len(), 2);
    assert_eq!(queries[1].source.as_deref(), Some("prom"));
    assert_eq!(queries[1].text.as_deref(), Some("db_pool"));
}

#[test]
fn only_what_all_signals_covered_counts_for_the_hold() {
    let slow = Check::above("slow", "latency.p95", 400.0);
    let mut bench = Bench::of(vec![errors(), slow]);
    let begin = bench.now;
    // What each look covers of the requests and of the times, in seconds, and what counts.
    for (requests, latency, counted) in [
        ((0, 10), (0, 10), Some((0, 10))),
        ((10, 20), (19, 20), Some((19, 20))),
        ((20, 30), (20, 20), None),
        ((30, 40), (20, 40), Some((20, 40))),
        ((49, 50), (40, 45), None),
        ((50, 60), (45, 60), Some((49, 60))),
    ] {
        bench.now = bench.now + INTERVAL;
        let window = |(after, until)| {
            let at = |second| begin + Duration::from_secs(second);
            Window::new(at(after), at(until))
        };
        let queries = bench.judge.queries();
        let answer = |query: &Query| {
            let (covered, reading) = match query.signal {
                Signal::Latency => (latency, times(100, 0, 0)),
                _ => (requests, counts(100, 0)),
            };
            Ok(Measured::new(window(covered), reading.clone(), reading))
        };
        let answers: Vec<_> = queries.iter().map(answer).collect();
        assert_eq!(bench.take_in(&queries, &answers).observed, counted.map(|w| window(w).length()));
    }
}

proptest! {
    /// A source that covers what was covered before, or what was not asked for, is refused; so what is summed is
    /// never more than what there was.
    #[test]
    fn no_request_is_counted_twice(
        windows in prop::collection::vec((0_u64..400, 0_u64..400), 1..60),
        every in prop::option::of(1_u64..9),
    ) {
        let mut check = errors();
        check.every_ms = every.map(|every| every * 10_000);
        let mut bench = Bench::of(vec![
            check,
            Check::above("lasting", "error_rate", 0.5).lasting(Duration::from_secs(2_900)),
            Check::worse_than_stable("worse", 1.25),
        ]);
        let (begin, mut covered, mut weighed) = (bench.now, 0, 0);
        for (after, until) in windows {
            bench.now = bench.now + INTERVAL;
            let at = |second: u64| begin + Duration::from_secs(second);
            let window = Window::new(at(after.min(until)), at(after.max(until)));
            let queries = bench.judge.queries();
            let fits = window.after >= queries[0].after && window.until <= bench.now;
            // One request a second.
            let length = window.length().as_secs();
            let measured = Measured::new(window, counts(length, 0), counts(length, 0));
            let judged = bench.take_in(&queries, &[Ok(measured)]);
            covered += judged.observed.map_or(0, |observed| observed.as_secs());
            let fresh = fits && !window.is_empty();
            prop_assert_eq!(judged.judgement.requests.is_some(), fresh);
            weighed += if fresh { length } else { 0 };
        }
        let history = bench.judge.histories[0].sum();
        prop_assert_eq!(history.requests(crate::value::Side::Canary).unwrap_or(0), weighed);
        prop_assert_eq!(weighed, covered, "what lies between two windows was not observed");
    }
}
