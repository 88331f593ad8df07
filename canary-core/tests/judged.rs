//! Each kind of evidence in whole rollouts: what is guilty is taken back, what is innocent is not.
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::time::Duration;

use canary_core::policy::{Check, CheckKind, Evident, Policy, Unclear, Weighed};
use canary_core::record::{Content, Outcome, Verdict};
use canary_core::report::Report;
use canary_core::rollout::{CommandKind, Waiting};
use canary_core::simulate::{Opening, Service, Simulation, at};
use canary_core::value::Weight;

/// A tenth and a half for ten minutes each, then all.
fn simulation(checks: impl IntoIterator<Item = Check>) -> Simulation {
    let builder = Policy::builder("shop")
        .stage("tenth", Weight::percent(10), at("10m"))
        .stage("half", Weight::percent(50), at("10m"))
        .stage("full", Weight::FULL, at("1m"))
        .without_hard_limit();
    let policy = checks.into_iter().fold(builder, |builder, check| builder.check(check));
    Simulation::of(&policy.build().unwrap()).traffic(200.0)
}

fn worse(of: &[Evident]) -> Check {
    Check::worse_in("worse", 1.25, of.iter().map(|what| Weighed::new(*what, 1.0)))
}

fn slow() -> Service {
    Service::healthy().median(Duration::from_millis(75))
}

fn failing() -> Service {
    Service::healthy().errors(0.02)
}

/// Runs with so many seeds.
fn each(simulation: &Simulation, seeds: u64) -> impl Iterator<Item = Report> {
    (0..seeds).map(|seed| simulation.clone().seed(seed).run())
}

fn promoted(simulation: &Simulation, seeds: u64) -> usize {
    each(simulation, seeds)
        .filter(|report| report.outcome.as_ref().is_some_and(Outcome::is_promoted))
        .count()
}

/// Says why the canary was taken back.
fn reason(report: &Report) -> String {
    report.outcome.as_ref().and_then(Outcome::reason).unwrap().to_string()
}

#[test]
fn a_slow_canary_is_taken_back_and_an_innocent_one_is_not() {
    let simulation = simulation([worse(&[Evident::Latency])]);
    for report in each(&simulation.clone().canary(slow()), 20) {
        report.assert_rolled_back_by("worse");
        assert!(reason(&report).contains("; latency weighed at "), "{}", reason(&report));
    }
    // One in a hundred may be taken back; and that more requests fail is not what is weighed.
    assert!(promoted(&simulation, 60) >= 59);
    assert!(promoted(&simulation.canary(failing()), 20) >= 19);
}

#[test]
fn of_errors_and_latency_together_the_culprit_is_named() {
    let simulation = simulation([worse(&[Evident::Errors, Evident::Latency])]);
    for (canary, culprit) in [(failing(), "errors"), (slow(), "latency")] {
        let reports: Vec<_> = each(&simulation.clone().canary(canary), 10).collect();
        reports.iter().for_each(|report| report.assert_rolled_back_by("worse"));
        let reasons: Vec<_> = reports.iter().map(reason).collect();
        let guilty = |reason: &&String| reason.contains("; guilty by itself: ");
        let named = format!("; guilty by itself: {culprit}");
        assert!(
            reasons.iter().filter(guilty).all(|reason| reason.ends_with(&named)),
            "{reasons:#?}"
        );
        assert!(reasons.iter().filter(guilty).count() >= 8, "{reasons:#?}");
    }
    assert!(promoted(&simulation, 60) >= 59);
}

#[test]
fn one_bad_pod_is_named_instead_of_the_version() {
    let bad = Service::healthy().errors(0.2);
    let simulation = simulation([worse(&[])]).stable(Service::healthy().pods(5));
    let one = simulation.clone().canary(Service::healthy().one_pod_of(4, bad.clone()));
    for report in each(&one, 20) {
        report.assert_rolled_back_by("worse");
        let reason = reason(&report);
        assert!(reason.contains("it is pod canary-1, not the version"), "{reason}");
        assert!(report.to_markdown().contains("pod canary-1"), "{}", report.to_markdown());
    }
    let named = |report: &Report| reason(report).contains("it is pod");
    let all = simulation.canary(bad.pods(4));
    assert!(each(&all, 40).filter(named).count() <= 4, "one in ten may be misnamed");
}

#[test]
fn an_outage_of_both_sides_holds_until_it_is_made_up_for_and_convicts_nobody() {
    let simulation =
        simulation([Check::objective("slo", 0.01), worse(&[])]).outage("3m", "4m", 0.3);
    for report in each(&simulation, 20) {
        report.assert_held_by("slo");
        report.assert_promoted();
        let taken = report.ended.unwrap().since(report.started);
        assert!(taken > at("35m"), "it held for {taken:?} in all");
    }
    let innocent = self::simulation([Check::objective("slo", 0.01)]);
    let length = |report: Report| report.ended.unwrap().since(report.started);
    assert!(each(&innocent, 20).all(|report| length(report) < at("22m")));
}

#[test]
fn with_too_little_traffic_it_is_not_shown_that_the_canary_is_as_good() {
    let well = |unclear| simulation([Check::as_good_as_stable("well", 2.0, unclear)]).traffic(2.0);
    let trace = well(Unclear::Hold).run_traced();
    trace.report().assert_unfinished();
    trace.report().assert_held_by("well");
    assert_eq!(trace.report().highest_weight(), Weight::percent(50));
    assert_eq!(trace.status().unwrap().stage_name, "half");

    let trace = well(Unclear::Ask).answer("well", Opening::Never).run_traced();
    trace.report().assert_unfinished();
    assert_eq!(trace.status().unwrap().waiting, Waiting::Question("well".to_owned()));
    well(Unclear::Ask).answer("well", Opening::after("5m")).run().assert_promoted();
    well(Unclear::Ask).answer("well", Opening::Rejects).run().assert_rolled_back();

    let report = well(Unclear::GoOn).run();
    report.assert_promoted();
    let length = report.ended.unwrap().since(report.started);
    assert!(length < at("22m"), "nothing held it: {length:?}");
}

#[test]
fn a_question_is_asked_once_however_late_the_samples_come() {
    let check = Check::as_good_as_stable("well", 2.0, Unclear::Ask);
    let late = simulation([check]).traffic(2.0).scrape("40s", "5s").answer("well", Opening::Never);
    let trace = late.run_traced();
    let asked = trace.records().iter().filter(|r| matches!(r.content, Content::Asked { .. }));
    assert_eq!(asked.count(), 1, "{}", trace.report().to_markdown());
}

#[test]
fn with_enough_traffic_it_is_shown_and_a_worse_one_is_not_let_through() {
    let errors = |rate| Service::healthy().errors(rate);
    let well = |rate| {
        simulation([Check::as_good_as_stable("well", 2.0, Unclear::Hold)])
            .traffic(500.0)
            .stable(errors(0.01))
            .canary(errors(rate))
    };
    for report in each(&well(0.01), 10) {
        report.assert_promoted();
        let length = report.ended.unwrap().since(report.started);
        assert!(length < at("22m"), "it held: {length:?}");
    }
    assert!(promoted(&well(0.02), 20) <= 2, "one in twenty may be let through");
}

#[test]
fn a_rank_test_at_the_end_of_each_stage_sees_a_slow_canary() {
    let kind = CheckKind::MannWhitney { metric: "latency.p95".parse().unwrap(), ratio: 1.1 };
    let simulation = simulation([Check::new("ranks", kind)]);
    for report in each(&simulation.clone().canary(slow()), 10) {
        report.assert_rolled_back_by("ranks");
        let failed = report.timeline.iter().find_map(|record| match &record.content {
            Content::Judged(judged) => judged
                .checks
                .iter()
                .find(|check| check.verdict == Verdict::Fail)
                .map(|_| judged.stage),
            _ => None,
        });
        assert_eq!(failed, Some(0), "it is seen at the end of the first stage");
    }
    assert!(promoted(&simulation, 20) >= 19);
}

#[test]
fn to_advance_skips_a_hold_but_not_what_is_judged_at_its_end() {
    let check = Check::as_good_as_stable("well", 2.0, Unclear::Hold);
    let advance = CommandKind::Advance;
    let report = simulation([check]).traffic(2.0).command_in("half", at("12m"), advance).run();
    assert_eq!(report.highest_weight(), Weight::percent(50), "{report:?}");
}
