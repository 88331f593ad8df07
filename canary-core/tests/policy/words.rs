//! The words of the language, each where it may stand.

use canary_core::policy::{CheckKind, Evident, Metric, Policy, Unclear};
use canary_core::value::{BySide, Counts, Reading, Side, Weight};

const STAGES: &str =
    "stages: [{ name: tenth, weight: 10%, hold: 10m }, { name: full, weight: 100%, hold: 10m }]";

fn text(lines: &str) -> String {
    let stages = if lines.contains("stages:") { "" } else { STAGES };
    format!("version: 1\nname: shop\n{stages}\n{lines}\n")
}

#[track_caller]
fn read(lines: &str) -> Policy {
    Policy::from_yaml(&text(lines)).unwrap()
}

#[track_caller]
fn kind(check: &str) -> CheckKind {
    read(&format!("checks: [{{ name: it, {check} }}]")).checks()[0].kind.clone()
}

fn message(lines: &str) -> String {
    Policy::from_yaml(&text(lines)).unwrap_err().to_string()
}

#[test]
fn what_is_weighed_is_called_by_name() {
    for (word, expected) in [("errors", Evident::Errors), ("latency", Evident::Latency)] {
        let CheckKind::WorseThanStable { of, .. } =
            kind(&format!("worse_than_stable: 1.25x, of: {word}"))
        else {
            panic!("`{word}` is weighed as evidence");
        };
        assert_eq!(of.iter().map(|part| part.what).collect::<Vec<_>>(), [expected]);
    }
}

#[test]
fn what_too_little_evidence_leads_to_is_called_by_name() {
    for (word, expected) in
        [("go_on", Unclear::GoOn), ("hold", Unclear::Hold), ("ask", Unclear::Ask)]
    {
        let CheckKind::AsGoodAsStable { unclear, .. } =
            kind(&format!("as_good_as_stable: 2x, unclear: {word}"))
        else {
            panic!("`{word}` says what no proof leads to");
        };
        assert_eq!((unclear, unclear.as_str()), (expected, word));
    }
}

#[test]
fn a_check_that_is_put_together_is_visited_whole() {
    let kind = kind(
        "any: [{ metric: cpu, above: 80% }, { all: [{ metric: memory, above: 90% }, { not: { metric: io, above: 1 } }] }]",
    );
    let mut seen = 0;
    kind.visit(&mut |_| seen += 1);
    assert_eq!(seen, 6);
}

#[test]
fn a_watched_gate_that_must_not_be_open_needs_no_metrics() {
    let judged = |check: &str| {
        read(&format!("hard_limit: false\nchecks: [{{ name: it, {check} }}]")).is_judged()
    };
    assert!(!judged("not: { gate: incident }"));
    assert!(judged("not: { metric: cpu, above: 80% }"));
}

#[test]
fn a_rate_is_by_the_second() {
    let thirty = Reading::Counts(Counts::new(30, 0).unwrap());
    let sides = BySide { stable: Reading::NoData, canary: thirty };
    assert_eq!(Metric::RequestRate.read(&sides, Side::Canary, 10.0), Some(3.0));
    assert_eq!(Metric::RequestRate.read(&sides, Side::Canary, 0.0), None);
}

#[test]
fn a_factor_that_is_rounded_away_still_rises() {
    let policy = read(
        "stages: [{ from: 0.01%, to: 0.05%, factor: 1.1, hold: 1m }, { weight: 100%, hold: 1m }]",
    );
    let weights: Vec<u16> =
        policy.stages().iter().map(|stage| stage.weight.basis_points()).collect();
    assert_eq!(weights, [1, 2, 3, 4, 5, Weight::FULL.basis_points()]);
}

#[test]
fn a_check_may_be_looked_at_once_a_day_and_no_less() {
    let stages = "stages: [{ weight: 10%, hold: 3d }, { weight: 100%, hold: 1m }]\n";
    let policy = |every: &str| {
        let check =
            format!("checks: [{{ name: it, metric: error_rate, above: 5%, every: {every} }}]");
        Policy::from_yaml(&text(&format!("{stages}{check}")))
    };
    assert_eq!(policy("1d").unwrap().checks()[0].every_ms, Some(86_400_000));
    assert!(policy("86401s").is_err());
}

#[test]
fn a_page_without_a_host_is_no_page() {
    for url in ["https:///healthz", "https://", "https://shop /x", "ftp://shop"] {
        let told =
            message(&format!("start: [up]\ngates: {{ up: {{ http: {{ url: \"{url}\" }} }} }}"));
        assert!(told.contains("which is no page"), "{told}");
    }
}

#[test]
fn latency_counts_requests_and_cpu_does_not() {
    assert!(matches!(
        kind("metric: latency.p95, above: 2s, samples: 100"),
        CheckKind::Threshold { .. }
    ));
    let told = message("checks: [{ name: it, metric: cpu, above: 80%, samples: 100 }]");
    assert!(told.contains("`cpu` has no requests to count"), "{told}");
}

#[test]
fn yaml_that_cannot_be_read_is_told_in_our_words() {
    let told = message("drift: pause\ndrift: accept");
    assert!(told.contains("duplicate") && !told.contains("DuplicateKeyPolicy"), "{told}");
}

#[test]
fn checks_lie_only_so_deep_in_others() {
    let nested = |depth: usize| {
        let (open, close) = ("not: { ".repeat(depth), " }".repeat(depth));
        text(&format!("checks: [{{ name: it, {open}metric: error_rate, above: 5%{close} }}]"))
    };
    assert!(Policy::from_yaml(&nested(2)).is_ok());
    let told = Policy::from_yaml(&nested(12)).unwrap_err().to_string();
    assert!(told.contains("deep in others"), "{told}");
}
