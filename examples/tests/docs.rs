//! What `docs/policy.md` shows is read, and what it lists is all there is.
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use canary_core::lint::NAMES;
use canary_core::policy::Policy;
use serde_json::Value;

fn in_docs(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(file)).unwrap()
}

#[test]
fn every_example_of_the_policy_language_is_read() {
    let text = in_docs("policy.md");
    let blocks: Vec<&str> =
        text.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(blocks.len() >= 10);
    for block in blocks {
        let mut whole = String::new();
        for (key, line) in [
            ("version:", "version: 1\n"),
            ("name:", "name: shop\n"),
            (
                "stages:",
                "stages: [{ weight: 10%, hold: 10m }, { weight: 50%, hold: 10m }, { weight: 100%, hold: 10m }]\n",
            ),
        ] {
            if !block.lines().any(|line| line.starts_with(key)) {
                whole += line;
            }
        }
        if let Err(error) = Policy::from_yaml(&(whole + block)) {
            panic!("{block}\n{error}");
        }
    }
}

/// Returns what the first column of the tables lists.
fn listed() -> BTreeSet<String> {
    let text = in_docs("policy.md");
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    let first = rows.map(|row| row.split('|').nth(1).unwrap());
    first
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .map(|key| key.split(':').next().unwrap().to_owned())
        .collect()
}

#[test]
fn every_key_is_listed() {
    let schema: Value = serde_json::from_str(&in_docs("policy.schema.json")).unwrap();
    let listed = listed();
    // These are told in words.
    let told = [
        "above",
        "after",
        "all",
        "always",
        "any",
        "at",
        "bad",
        "below",
        "by",
        "cron",
        "email_domain",
        "as_good_as_stable",
        "errors",
        "expect",
        "factor",
        "false_alarm",
        "false_pass",
        "from",
        "good",
        "increment",
        "latency",
        "list",
        "mann_whitney",
        "metric",
        "not",
        "objective",
        "of",
        "segment",
        "significance",
        "to",
        "then",
        "unclear",
        "url",
        "weight",
        "within",
        "worse_than_stable",
        "zone",
        "gate",
    ];
    let text = in_docs("policy.md");
    let objects = schema["$defs"].as_object().unwrap().values().chain([&schema]);
    for object in objects.filter(|object| object["additionalProperties"] == false) {
        for key in object["properties"].as_object().unwrap().keys() {
            let in_words = told.contains(&key.as_str()) && text.contains(key);
            assert!(listed.contains(key) || in_words, "docs/policy.md does not list `{key}`");
        }
    }
}

#[test]
fn every_finding_is_listed_with_what_it_is_about() {
    let text = in_docs("policy.md");
    let (_, findings) = text.split_once("## Findings").unwrap();
    let rows: Vec<&str> = findings.lines().filter(|line| line.starts_with("| `")).collect();
    let expected: Vec<String> =
        NAMES.iter().map(|(name, about)| format!("| `{name}` | {about} |")).collect();
    assert_eq!(rows, expected);
}
