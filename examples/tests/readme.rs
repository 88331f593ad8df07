//! The README shows what is compiled, run and checked here, word for word.
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::fs;
use std::path::Path;

/// Returns the README's blocks of one language.
fn blocks(language: &str) -> Vec<String> {
    blocks_of("../README.md", language)
}

fn blocks_of(page: &str, language: &str) -> Vec<String> {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(page)).unwrap();
    let fence = format!("```{language}\n");
    page.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

#[test]
fn its_programs_are_the_examples() {
    let files = ["embed.rs", "tests/checkout.rs"];
    let shown = blocks("rust");
    assert_eq!(shown.len(), files.len());
    for (file, block) in files.into_iter().zip(shown) {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
        let code = text.split_once("\n\n").unwrap().1;
        assert_eq!(block, code, "README.md and examples/{file} differ");
    }
}

#[test]
fn its_policy_is_the_example() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies/checkout.yaml");
    assert_eq!(blocks("yaml"), [fs::read_to_string(file).unwrap()]);
}

#[test]
fn the_first_policy_test_is_run() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/first.rs");
    let text = fs::read_to_string(file).unwrap();
    let shown = blocks_of("../docs/testing-policies.md", "rust");
    assert_eq!(shown[0], text.split_once("\n\n").unwrap().1);
}
