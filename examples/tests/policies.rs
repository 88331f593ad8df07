//! The policies that the examples come with: each loads, is wise or says where it is not, and does what it is for.
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::path::Path;
use std::time::Duration;

use canary_core::lint::{self, Assumptions};
use canary_core::policy::Policy;

fn read(name: &str) -> (String, Policy) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("policies/{name}.yaml"));
    let text = std::fs::read_to_string(file).unwrap();
    let policy = Policy::from_yaml_named(&format!("{name}.yaml"), &text).unwrap();
    (text, policy)
}

/// Every policy, in the order of their files' names.
fn names() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let mut names: Vec<String> =
        files.map(|file| file.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

#[test]
fn each_is_wise_or_says_what_was_accepted() {
    let known = Assumptions::default()
        .requests_per_second(200.0)
        .base_error_rate(0.001)
        .scrape_interval(Duration::from_secs(15));
    let quick = Assumptions::default();
    for name in names() {
        let (text, policy) = read(&name);
        // The quickstart scrapes itself.
        let assumptions = if name == "quickstart" { quick } else { known };
        for finding in lint::findings(&policy, &assumptions) {
            assert!(finding.accepted, "{}", finding.in_text(&name, &text));
        }
    }
}

#[test]
fn each_is_named_after_its_file() {
    let names = names();
    for name in &names {
        assert_eq!(read(name).1.name(), name);
    }
    assert_eq!(names.len(), 11, "{names:?}");
}
