//! `docs/policy.schema.json` describes the language that the library reads: the same keys, and every policy fits.
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

mod validator;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use canary_core::policy::Policy;
use serde_json::Value;

fn in_repository(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file)
}

fn schema() -> Value {
    serde_json::from_str(&fs::read_to_string(in_repository("docs/policy.schema.json")).unwrap())
        .unwrap()
}

/// Returns the keys that the reader knows where `zzzzzzzzzzzzzzzzzzzz` stands.
fn keys_read(text: &str) -> BTreeSet<String> {
    let error = Policy::from_yaml(text).unwrap_err();
    let unknown = |p: &&canary_core::policy::Problem| p.message.contains("zzzz");
    let problem = error.problems().iter().find(unknown).unwrap_or_else(|| panic!("{error}"));
    let keys = problem.help.strip_prefix("expected one of ").unwrap();
    keys.split(", ").filter(|key| !key.is_empty()).map(str::to_owned).collect()
}

/// Each map of the language, by its name in the schema, and texts that open it in each of its forms.
const MAPS: [(&str, &[&str]); 20] = [
    ("", &["Z: 1"]),
    ("start", &["start: { Z: 1 }"]),
    ("audience", &["audience: { Z: 1 }"]),
    ("member", &["audience: { always: [{ Z: 1 }] }"]),
    ("own_metric", &["metrics: { a: { Z: 1 } }", "metrics: { a: { score: {}, Z: 1 } }"]),
    ("score_part", &["metrics: { a: { score: { cpu: { Z: 1 } } } }"]),
    ("stage", &["stages: [{ weight: 5%, Z: 1 }]", "stages: [{ from: 5%, to: 6%, Z: 1 }]"]),
    ("promotion", &["promotion: { Z: 1 }"]),
    ("patience", &["no_data: { Z: 1 }", "errors: { Z: 1 }"]),
    ("progress", &["progress: { Z: 1 }"]),
    ("rollback", &["rollback: { Z: 1 }"]),
    ("workload", &["workload: { Z: 1 }"]),
    ("gate", &["gates: { a: { Z: 1 } }"]),
    ("approval", &["gates: { a: { approval: { Z: 1 } } }"]),
    ("calendar", &["gates: { a: { window: { Z: 1 } } }", "gates: { a: { freeze: { Z: 1 } } }"]),
    ("http", &["gates: { a: { http: { Z: 1 } } }"]),
    ("alerts", &["gates: { a: { alerts: { Z: 1 } } }"]),
    (
        "check",
        &[
            "checks: [{ Z: 1 }]",
            "checks: [{ metric: cpu, Z: 1 }]",
            "checks: [{ metric: cpu, significance: 5%, Z: 1 }]",
            "checks: [{ metric: cpu, mann_whitney: 2x, Z: 1 }]",
            "checks: [{ worse_than_stable: 2x, Z: 1 }]",
            "checks: [{ as_good_as_stable: 2x, Z: 1 }]",
            "checks: [{ objective: 99%, Z: 1 }]",
        ],
    ),
    (
        "part",
        &[
            "checks: [{ not: { Z: 1 } }]",
            "checks: [{ not: { metric: cpu, Z: 1 } }]",
            "checks: [{ all: [{ metric: cpu, significance: 5%, Z: 1 }] }]",
            "checks: [{ any: [{ worse_than_stable: 2x, Z: 1 }] }]",
            "checks: [{ any: [{ metric: cpu, mann_whitney: 2x, Z: 1 }] }]",
            "checks: [{ any: [{ as_good_as_stable: 2x, Z: 1 }] }]",
            "checks: [{ any: [{ objective: 99%, Z: 1 }] }]",
        ],
    ),
    ("weights", &["checks: [{ worse_than_stable: 2x, of: { Z: 1 } }]"]),
];

#[test]
fn its_keys_are_those_that_are_read() {
    let schema = schema();
    let mut known: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, texts) in MAPS {
        for text in texts {
            let text = text.replace('Z', "zzzzzzzzzzzzzzzzzzzz");
            known.entry(name.to_owned()).or_default().extend(keys_read(&text));
        }
    }
    let mut described = BTreeMap::new();
    let mut add = |name: &str, object: &Value| {
        if object["additionalProperties"] == false {
            let keys = object["properties"].as_object().unwrap().keys().cloned().collect();
            described.insert(name.to_owned(), keys);
        }
    };
    add("", &schema);
    for (name, object) in schema["$defs"].as_object().unwrap() {
        add(name, object);
    }
    assert_eq!(known, described);
}

fn as_json(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap()
}

#[test]
fn every_policy_fits() {
    let schema = schema();
    let folders = ["examples/policies", "examples/tests/policies", "canary-core/tests/policy"];
    let mut seen = 0;
    for folder in folders {
        for file in fs::read_dir(in_repository(folder)).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|end| end == "yaml") {
                let text = fs::read_to_string(&path).unwrap();
                Policy::from_yaml(&text).unwrap();
                assert_eq!(validator::problems(&schema, &as_json(&text)), [""; 0], "{path:?}");
                seen += 1;
            }
        }
    }
    assert!(seen >= 13, "{seen}");
}

#[test]
fn what_the_library_refuses_for_its_form_does_not_fit() {
    let schema = schema();
    let good = "version: 1\nname: a\nstages: [{ weight: 100%, hold: 1m }]\n";
    assert_eq!(validator::problems(&schema, &as_json(good)), [""; 0]);
    for wrong in [
        "every: 15",
        "mode: careful",
        "header: { x: true }",
        "evry: 15s",
        "allow: yes please",
        "stages: []",
        "stages: [{ weight: 100% }]",
        "stages: [{ hold: 1m }]",
        "stages: [{ weight: 5, hold: 1m }]",
        "stages: [{ weight: 5%, from: 5%, to: 6%, factor: 2, hold: 1m }]",
        "stages: [{ from: 5%, to: 6%, hold: 1m }]",
        "stages: [{ weight: 5%, hold: 1m, pass: { error_rate: 1% } }]",
        "checks: [{ name: a }]",
        "checks: [{ name: a, metric: cpu }]",
        "checks: [{ name: a, metric: cpu, above: 1, then: rollback }]",
        "checks: [{ name: a, metric: cpu, above: 1, gate: b }]",
        "checks: [{ name: a, all: [{ metric: cpu, above: 1, then: warn }] }]",
        "gates: { a: { http: { url: shop } } }",
        "gates: { a: { window: {} } }",
        "gates: { a b: {} }",
        "metrics: { a-b: {} }",
        "metrics: { a: { score: { cpu: 0 } } }",
        "audience: { always: [] }",
        "audience: { by: user, always: [{ list: a, segment: b }] }",
        "no_data: { then: warn }",
        "hard_limit: maybe",
        "keep: 1001",
    ] {
        let text = if wrong.starts_with("stages") {
            format!("version: 1\nname: a\n{wrong}\n")
        } else {
            format!("{good}{wrong}\n")
        };
        assert_ne!(validator::problems(&schema, &as_json(&text)), [""; 0], "{wrong}");
        assert!(Policy::from_yaml(&text).is_err(), "{wrong}");
    }
}
