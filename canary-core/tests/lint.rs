//! What is legal and unwise is found, by a name that never changes.
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::collections::BTreeSet;
use std::time::Duration;

use canary_core::lint::{Assumptions, Finding, NAMES, findings};
use canary_core::policy::Policy;
use canary_core::simulate::{Service, Simulation};

/// Nothing is unwise in it.
const WISE: &str = "\
version: 1
name: shop
every: 15s
settle: 5s
stages:
  - { name: first, weight: 5%, hold: 10m }
  - { name: half, weight: 50%, hold: 10m, gates: [oncall] }
  - { name: full, weight: 100%, hold: 10m }
checks:
  - { name: errors, worse_than_stable: 1.25x }
  - { name: many, metric: error_rate, above: 5%, for: 2m }
gates: { oncall: { approval: {}, timeout: 1h } }
";

fn assumptions() -> Assumptions {
    Assumptions::default()
        .requests_per_second(200.0)
        .base_error_rate(0.001)
        .scrape_interval(Duration::from_secs(15))
}

fn found(text: &str, assumptions: &Assumptions) -> Vec<Finding> {
    findings(&Policy::from_yaml(text).unwrap(), assumptions)
}

fn named(text: &str, assumptions: &Assumptions) -> Vec<(&'static str, String)> {
    found(text, assumptions).into_iter().map(|finding| (finding.name, finding.path)).collect()
}

/// Each row replaces something in the wise policy, and tells what is found then and where.
const UNWISE: [(&str, &str, &str, &str); 31] = [
    (
        "  - { name: many, metric: error_rate, above: 5%, for: 2m }\n",
        "",
        "nothing-at-full",
        "stages[2]",
    ),
    ("  - { name: errors, worse_than_stable: 1.25x }\n", "", "no-comparison", "checks[0]"),
    ("every: 15s\n", "every: 16s\n", "long-looks", "every"),
    ("every: 15s\nsettle: 5s\n", "every: 10s\n", "no-settling", "every"),
    ("weight: 5%,", "weight: 26%,", "large-first-stage", "stages[0].weight"),
    ("settle: 5s\n", "settle: 10m\n", "long-settling", "settle"),
    (
        "gates: {",
        "  - { name: slow, metric: latency_p95, above: 500, then: warn }\ngates: {",
        "likely-misspelt",
        "checks[2].metric",
    ),
    (
        "gates: {",
        "  - { name: hot, any: [{ not: { metric: memroy, below: 80% } }], then: warn }\ngates: {",
        "likely-misspelt",
        "checks[2].any[0].not.metric",
    ),
    (
        "weight: 5%, hold: 10m",
        "weight: 5%, hold: 10m, pass: { succes_rate: \">= 90%\" }",
        "likely-misspelt",
        "stages[0].pass.succes_rate",
    ),
    (
        "gates: {",
        "metrics: { health: { score: { eror_rate: 1 } } }\ngates: {",
        "likely-misspelt",
        "metrics.health.score.eror_rate",
    ),
    (
        "gates: {",
        "  - { name: long, metric: pool, above: 1, for: 30m, from: 50%, then: hold }\ngates: {",
        "never-fails",
        "checks[2].for",
    ),
    ("gates: {", "hard_limit: off\ngates: {", "no-hard-limit", "hard_limit"),
    (", timeout: 1h", "", "gate-without-timeout", "gates.oncall"),
    (
        "gates: {",
        "  - { name: soft, metric: error_rate, above: 5%, for: 3m, then: hold }\ngates: {",
        "looser-limit",
        "checks[2].above",
    ),
    (
        "weight: 5%, hold: 10m",
        "weight: 5%, hold: 10m, pass: { error_rate: \"<= 5%\" }",
        "looser-limit",
        "stages[0].pass.error_rate",
    ),
    (
        "weight: 5%, hold: 10m",
        "weight: 5%, hold: 10m, pass: { samples: 6001 }",
        "too-few-requests",
        "stages[0].pass.samples",
    ),
    ("for: 2m", "for: 2m, samples: 1201", "too-few-requests", "checks[1].samples"),
    (
        "gates: {",
        "  - { name: ab, metric: latency.p99, significance: 5%, samples: 60001 }\ngates: {",
        "too-few-requests",
        "checks[2].samples",
    ),
    (
        "gates: {",
        "  - { name: few, any: [{ metric: cpu, above: 1 }, { metric: latency.p95, above: 1s, samples: 100000 }] }\ngates: {",
        "too-few-requests",
        "checks[2].any[1].samples",
    ),
    (
        "gates: {",
        "  - { name: soft, any: [{ metric: error_rate, above: 5%, for: 3m }], then: hold }\ngates: {",
        "looser-limit",
        "checks[2].above",
    ),
    (
        "{ name: many, metric: error_rate, above: 5%, for: 2m }",
        "{ name: many, any: [{ metric: error_rate, above: 1% }] }",
        "false-alarms",
        "checks[1]",
    ),
    (
        "gates: {",
        "  - { name: shown, as_good_as_stable: 2x }\ngates: {",
        "no-progress",
        "checks[2].unclear",
    ),
    ("gates: {", "  - { name: pods, gate: ready }\ngates: {", "no-progress", "checks[2].gate"),
    (
        "gates: {",
        "  - { name: pods, any: [{ not: { gate: ready } }] }\ngates: { ready: { timeout: 5m },",
        "no-progress",
        "checks[2].any[0].not.gate",
    ),
    ("for: 2m", "for: 29s", "short-window", "checks[1].for"),
    ("above: 5%, for: 2m", "above: 1%", "false-alarms", "checks[1]"),
    (
        "metric: error_rate, above: 5%, for: 2m",
        "metric: success_rate, below: 99%",
        "false-alarms",
        "checks[1]",
    ),
    ("gates: {", "allow: [no-such]\ngates: {", "unknown-finding", "allow[0]"),
    ("gates: {", "allow: [no-hard-limit]\ngates: {", "unneeded-allow", "allow[0]"),
    (
        "\n  - { name: errors, worse_than_stable: 1.25x }\n  - { name: many, metric: error_rate, above: 5%, for: 2m }\n",
        " []\nhard_limit: off\n",
        "unjudged",
        "checks",
    ),
    (
        "worse_than_stable: 1.25x",
        "worse_than_stable: 1.25x, then: warn",
        "no-comparison",
        "checks[1]",
    ),
];

#[test]
fn a_wise_policy_has_no_findings() {
    assert_eq!(named(WISE, &assumptions()), []);
    assert_eq!(named(WISE, &Assumptions::default()), []);
}

#[test]
fn each_unwise_thing_is_found_alone_and_at_its_place() {
    for (from, to, name, path) in UNWISE {
        let text = WISE.replacen(from, to, 1);
        assert_ne!(text, WISE, "{from}");
        assert_eq!(named(&text, &assumptions()), [(name, path.to_owned())], "{text}");
    }
}

#[test]
fn a_gate_that_is_only_named_is_found_where_it_is_asked() {
    let text = WISE.replacen("hold: 10m }", "hold: 10m, enter: [oncal], gates: [smoke] }", 1);
    assert_eq!(
        named(&text, &assumptions()),
        [
            ("likely-misspelt", "stages[0].enter[0]".to_owned()),
            ("gate-without-timeout", "stages[0].enter[0]".to_owned()),
            ("gate-without-timeout", "stages[0].gates[0]".to_owned()),
        ]
    );
    let placed = found(&text, &assumptions()).remove(2).in_text("shop.yaml", &text);
    assert_eq!(placed.place.unwrap().line, 6);
    assert!(placed.help.contains("`gates: { smoke: { timeout"), "{}", placed.help);
}

#[test]
fn a_score_beside_stable_judges_nothing_at_full() {
    let score = |parts: &str| {
        let check = "{ name: many, metric: health, below: 50% }\nmetrics: { health: { score: { ";
        let limit = "{ name: many, metric: error_rate, above: 5%, for: 2m }\n";
        WISE.replacen(limit, &format!("{check}{parts} }} }} }}\n"), 1)
    };
    let slow = score("latency.p50: 50, latency.p95: 50");
    assert_eq!(named(&slow, &assumptions()), [("nothing-at-full", "stages[2]".to_owned())]);
    assert_eq!(named(&score("latency.p50: 50, error_rate: 50"), &assumptions()), []);
}

#[test]
fn what_ends_a_wait_for_evidence_is_no_finding() {
    for (to, then) in
        [("progress: { within: 2h }\n", ""), ("", ", unclear: ask"), ("", ", unclear: go_on")]
    {
        let check = format!("  - {{ name: shown, as_good_as_stable: 2x{then} }}\n{to}gates: {{");
        assert_eq!(named(&WISE.replacen("gates: {", &check, 1), &assumptions()), []);
    }
}

#[test]
fn what_ends_a_wait_for_a_watched_gate_is_no_finding() {
    for (more, gate, then) in [
        ("progress: { within: 2h }\n", "{}", "hold"),
        ("", "{}", "warn"),
        ("", "{ alerts: {} }", "roll_back"),
        ("", "{ http: { url: \"http://localhost/\" } }", "roll_back"),
        ("", "{ window: { cron: \"* 9-16 * * *\" } }", "hold"),
    ] {
        let check = format!(
            "  - {{ name: watched, gate: other, then: {then} }}\n{more}gates: {{ other: {gate},"
        );
        assert_eq!(named(&WISE.replacen("gates: {", &check, 1), &assumptions()), [], "{check}");
    }
}

#[test]
fn a_limit_that_is_looked_at_more_often_or_with_fewer_requests_is_reached() {
    let soft = "  - { name: soft, metric: error_rate, above: 5%, for: 3m, then: hold }\ngates: {";
    let text = WISE.replacen("gates: {", soft, 1);
    for hard in ["every: 5m", "samples: 1000"] {
        let text = text.replacen("for: 2m }", &format!("for: 2m, {hard} }}"), 1);
        let names = named(&text, &assumptions());
        assert!(names.iter().all(|(name, _)| *name != "looser-limit"), "{hard}: {names:?}");
    }
}

#[test]
fn a_plan_for_all_users_at_once_is_decided_there() {
    let text = WISE
        .replacen("  - { name: first, weight: 5%, hold: 10m }\n", "", 1)
        .replacen("  - { name: half, weight: 50%, hold: 10m, gates: [oncall] }\n", "", 1)
        .replacen("  - { name: errors, worse_than_stable: 1.25x }\n", "", 1)
        .replacen("gates: { oncall: { approval: {}, timeout: 1h } }\n", "", 1);
    assert_eq!(
        named(&text, &assumptions()),
        [
            ("large-first-stage", "stages[0].weight".to_owned()),
            ("decided-at-full", "stages[0]".to_owned()),
        ]
    );
}

#[test]
fn evidence_needs_looks_and_requests() {
    let short = WISE.replacen("hold: 10m", "hold: 15s", 2);
    let names = |text: &str, rate: f64| -> Vec<&str> {
        found(text, &Assumptions::default().requests_per_second(rate).base_error_rate(0.001))
            .into_iter()
            .map(|finding| finding.name)
            .filter(|name| *name != "false-alarms")
            .collect()
    };
    assert_eq!(names(&short, 10_000.0), ["never-fails"]);
    assert_eq!(names(WISE, 20.0), [""; 0]);
    assert_eq!(names(WISE, 1.0), ["evidence-too-slow"]);
}

#[test]
fn the_hold_that_is_told_is_enough() {
    let slow = |text: &str, rate| {
        let known = Assumptions::default().requests_per_second(rate).base_error_rate(0.001);
        found(text, &known).into_iter().find(|finding| finding.name == "evidence-too-slow")
    };
    for rate in [1.0, 5.0] {
        let finding = slow(WISE, rate).unwrap();
        assert!(finding.help.starts_with("expected stage `half` to hold "), "{finding}");
        let hold = finding.help.split(" hold ").nth(1).unwrap().split(',').next().unwrap();
        let hold = hold.replace(" min", "m").replace(" h", "h").replace(" s", "s").replace(' ', "");
        let longer =
            WISE.replacen("weight: 50%, hold: 10m", &format!("weight: 50%, hold: {hold}"), 1);
        assert_ne!(longer, WISE);
        assert_eq!(slow(&longer, rate), None, "{hold}");
    }
    assert_eq!(
        slow(WISE, 0.000_001).unwrap().help.split(':').next().unwrap(),
        "add a limit in numbers, such as `{ name"
    );
}

#[test]
fn what_was_accepted_is_marked_and_what_cannot_be_told_is_left_alone() {
    let accepted = WISE.replacen(
        "gates: {",
        "hard_limit: off\nallow: [no-hard-limit, too-few-requests]\ngates: {",
        1,
    );
    let seen = found(&accepted, &Assumptions::default());
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert!(seen[0].accepted);
    let seen = found(&accepted, &assumptions());
    let unneeded = seen.iter().find(|finding| !finding.accepted).unwrap();
    assert_eq!((unneeded.name, unneeded.path.as_str()), ("unneeded-allow", "allow[1]"));
}

#[test]
fn a_finding_is_shown_as_an_error_is() {
    let text = WISE.replacen("weight: 5%,", "weight: 26%,", 1);
    let finding = found(&text, &assumptions()).remove(0).in_text("shop.yaml", &text);
    assert_eq!(
        finding.to_string(),
        "warning[large-first-stage]: 26% of the users are the first to see the new version\n\
         \x20 ┌─ shop.yaml:6:28\n\
         6 │   - { name: first, weight: 26%, hold: 10m }\n\
         \x20 │                            ^\n\
         \x20 = begin with 25% or less"
    );
}

#[test]
fn a_finding_behind_a_rule_is_shown_at_the_rule() {
    let text = WISE.replacen(
        "- { name: first, weight: 5%,",
        "- { from: 5%, to: 40%, factor: 2, pass: { error_rate: \"<= 5%\" },",
        1,
    );
    let places: BTreeSet<_> = found(&text, &Assumptions::default())
        .into_iter()
        .map(|finding| finding.in_text("shop.yaml", &text).place.unwrap().line)
        .collect();
    assert_eq!(places, BTreeSet::from([6]));
}

#[test]
fn every_name_is_found_somewhere_and_every_finding_has_one() {
    let known: BTreeSet<&str> = NAMES.into_iter().map(|(name, _)| name).collect();
    assert_eq!(known.len(), NAMES.len());
    let elsewhere = ["decided-at-full", "never-fails", "evidence-too-slow"];
    let tested: BTreeSet<&str> = UNWISE.into_iter().map(|row| row.2).chain(elsewhere).collect();
    assert_eq!(tested, known);
}

#[test]
fn a_policy_without_checks_is_told_what_is_left_to_judge() {
    let checks = WISE.split_once("checks:\n").unwrap().1.split_once("gates:").unwrap().0;
    let bare = WISE.replace("checks:\n", "").replace(checks, "");
    let names: Vec<_> = found(&bare, &assumptions()).into_iter().map(|f| f.name).collect();
    assert_eq!(names, ["unjudged", "nothing-at-full"]);
    let unjudged = found(&bare, &assumptions()).swap_remove(0);
    assert!(unjudged.message.starts_with("below 100% only the hard limit judges"), "{unjudged}");
}

/// At two requests a second a window has 20 requests now and 30 then, and one error is too much for the former.
#[test]
fn alarms_at_low_traffic_are_as_many_as_in_the_simulation() {
    const RUNS: u64 = 500;
    let text = "\
version: 1
name: internal
hard_limit: off
stages: [{ weight: 10%, hold: 10m }, { weight: 50%, hold: 10m }, { weight: 100%, hold: 10m }]
checks: [{ name: errs, metric: error_rate, above: 5%, for: 2m }]
";
    for rate in [2.0, 4.0] {
        let known = Assumptions::default().requests_per_second(rate).base_error_rate(0.001);
        let finding = found(text, &known).into_iter().find(|f| f.name == "false-alarms");
        let told: f64 = finding.map_or(0.0, |finding| {
            let (_, rest) = finding.message.split_once("back about ").unwrap();
            rest.split(' ').next().unwrap().parse().unwrap()
        });
        let many = Simulation::of(&Policy::from_yaml(text).unwrap())
            .traffic(rate)
            .stable(Service::healthy().errors(0.001))
            .canary(Service::healthy().errors(0.001))
            .run_many(RUNS);
        let (least, most) = many.rolled_back_by("errs").interval(0.999);
        // It is told in whole percents, and a little high.
        let close = (100.0 * least - 0.5)..(140.0 * most + 0.5);
        assert!(close.contains(&told), "{rate}: {told} % told, {close:?} % seen");
    }
}
