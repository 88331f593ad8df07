use std::time::Duration;

use crate::policy::{CheckKind, Comparison, GateKind, Limit, Metric, Policy, PolicyError, Then};
use crate::value::Weight;

const CHECKOUT: &str = r#"
version: 1
name: checkout
every: 15s
settle: 2s
stages:
  - { name: initial, weight: 0.05%, hold: 15m }
  - { name: half,    weight: 50%,   hold: 1h30m, gates: [oncall] }
  - { weight: 100%, hold: 10m }
checks:
  - { name: errors, worse_than_stable: 1.25x, false_alarm: 1% }
  - { name: too-many-errors, metric: error_rate, above: 5%, for: 2m, samples: 100, then: roll_back }
  - { name: slow, metric: latency.p95, above: 1.5x stable, for: 5m, then: hold }
  - { name: pool, metric: pool, above: 90%, then: warn }
no_data: { after: 5m, then: roll_back }
gates:
  oncall: { approval: {}, timeout: 4h, otherwise: roll_back }
hard_limit: off
rollback: { within: 2m }
"#;

fn problems(text: &str) -> PolicyError {
    Policy::from_yaml_named("checkout.yaml", text).unwrap_err()
}

#[test]
fn a_whole_policy_is_read_as_it_was_meant() {
    let policy = Policy::from_yaml(CHECKOUT).unwrap();
    assert_eq!(policy.every(), Duration::from_secs(15));
    assert_eq!(policy.stages()[0].weight.basis_points(), 5);
    assert_eq!(policy.stages()[1].hold(), Duration::from_secs(5400));
    assert_eq!(policy.stages()[2].name, "100%");
    assert_eq!(policy.mixed_time(), Duration::from_secs(900 + 5400));
    let gate = policy.gates().next().unwrap();
    assert_eq!(policy.gate(gate).kind, GateKind::Approval);
    assert_eq!(policy.gate(gate).timeout_ms, Some(4 * 3_600_000));
    assert!(!policy.hard_limit());
    let CheckKind::Threshold { metric, comparison, limit, for_ms, samples } =
        &policy.checks()[1].kind
    else {
        panic!("{:?}", policy.checks()[1]);
    };
    assert_eq!(*metric, Metric::ErrorRate);
    assert_eq!(
        (*comparison, *limit, *for_ms, *samples),
        (Comparison::Above, Limit::Absolute(0.05), 120_000, 100)
    );
    assert_eq!(policy.checks()[2].then, Then::Hold);
    assert_eq!(policy.stages()[1].weight, Weight::percent(50));
}

#[test]
fn every_error_is_shown_at_once_at_its_place() {
    let error = problems(
        "version: 1\nname: shop\nevry: 15s\nstages:\n  - { name: a, weight: 60%, hold: 5 }\n  - { name: b, weight: 50%, hold: 5m }\n  \
         - { name: b, weight: 100%, hold: 1m }\nchecks:\n  - { name: slow, metric: latency.p95, above: 5%, then: rollback }\n",
    );
    let seen: Vec<_> = error
        .problems()
        .iter()
        .map(|p| (p.path.as_str(), p.place.as_ref().map(|at| (at.line, at.column)).unwrap()))
        .collect();
    assert_eq!(
        seen,
        [
            ("evry", (3, 1)),
            ("stages[0].hold", (5, 35)),
            ("stages[1].weight", (6, 24)),
            ("stages[2].name", (7, 13)),
            ("checks[0].above", (9, 47)),
            ("checks[0].then", (9, 57)),
        ]
    );
    let shown = error.to_string();
    assert!(shown.contains("did you mean `every`?"), "{shown}");
    assert!(
        shown.contains("  ┌─ checkout.yaml:6:24\n6 │   - { name: b, weight: 50%, hold: 5m }\n"),
        "{shown}"
    );
    assert!(shown.contains("weight 50% is not above the 60% before it"), "{shown}");
    assert!(shown.ends_with("the policy has 6 errors"), "{shown}");
}

#[test]
fn a_syntax_error_stands_alone() {
    let error = problems("version: 1\nstages: [\n");
    assert_eq!(error.problems().len(), 1);
    assert!(error.to_string().contains("checkout.yaml:"), "{error}");
}

#[test]
fn an_empty_file_says_what_is_missing() {
    let shown = problems("").to_string();
    for field in ["`version` is missing", "`name` is missing", "no stages"] {
        assert!(shown.contains(field), "{shown}");
    }
}

#[test]
fn json_is_read_too() {
    let text = r#"{"version": 1, "name": "shop", "stages": [{"weight": "100%", "hold": "1m"}]}"#;
    assert_eq!(Policy::from_yaml(text).unwrap().name(), "shop");
}

#[test]
fn a_check_that_cannot_be_read_moves_no_other_out_of_place() {
    let error = problems(
        "version: 1\nname: shop\nstages:\n  - { hold: 1m }\n  - { weight: 200%, hold: 1m }\n  - { name: full, weight: 100%, hold: 400d }\n\
         checks:\n  - { metric: error_rate, above: 5% }\n  - { name: b }\n  - word\n  - { name: b, worse_than_stable: 0.5x }\n",
    );
    let seen: Vec<_> = error
        .problems()
        .iter()
        .map(|p| (p.path.as_str(), p.place.as_ref().map(|at| at.line).unwrap()))
        .collect();
    assert_eq!(
        seen,
        [
            ("stages[0].weight", 4),
            ("stages[1].weight", 5),
            ("stages[2].hold", 6),
            ("checks[0].name", 8),
            ("checks[1]", 9),
            ("checks[2]", 10),
            ("checks[2].name", 10),
            ("checks[2]", 10),
            ("checks[3].name", 11),
            ("checks[3].worse_than_stable", 11),
        ]
    );
}
