//! The rooms of the house import only from below, and the pure ones stay pure.
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What each room may import of the others, beside itself.
const MAY_IMPORT: [(&str, &[&str]); 17] = [
    ("value", &[]),
    ("policy", &["value"]),
    ("analysis", &["value", "policy"]),
    ("lint", &["value", "policy", "analysis"]),
    ("record", &["value", "policy", "analysis"]),
    ("report", &["value", "policy", "record"]),
    ("ports", &["value", "policy", "record", "rollout"]),
    // Of the ports the machine knows the words (`Call`, `Applied`, `Decision`), never a trait.
    ("rollout", &["value", "policy", "analysis", "record", "report", "ports"]),
    ("journal", &["value", "policy", "record", "rollout"]),
    ("simulate", &["value", "policy", "record", "report", "rollout", "ports"]),
    ("store", &["value", "policy", "rollout", "ports"]),
    ("observe", &["value", "record", "ports"]),
    ("gate", &["value", "policy", "ports"]),
    ("source", &["value", "ports"]),
    (
        "driver",
        &["value", "policy", "record", "report", "rollout", "ports", "store", "journal", "gate"],
    ),
    ("testing", &["value", "policy", "record", "rollout", "ports", "simulate"]),
    ("lib", &[]),
];

/// Rooms without I/O, clock, async or randomness of their own.
const PURE: [&str; 7] = ["value", "policy", "analysis", "lint", "record", "report", "rollout"];

const IMPURE: [&str; 13] = [
    "async ",
    ".await",
    "tokio",
    "futures",
    "SystemTime",
    "Instant",
    "std::env",
    "std::fs",
    "std::net",
    "std::thread",
    "chacha20",
    "reqwest",
    "println!",
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs")
            && path.file_stem().is_some_and(|s| s != "tests")
        {
            found.push(path);
        }
    }
}

/// Returns each file's room, name and code, without comments and without its tests.
fn files() -> Vec<(String, String, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    sources(&src, &mut paths);
    let read = |path: PathBuf| {
        let name = path.strip_prefix(&src).unwrap().to_string_lossy().into_owned();
        let room = name.split(['/', '.']).next().unwrap().to_owned();
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        let code: Vec<&str> =
            code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        (room, name, code.join("\n"))
    };
    paths.into_iter().map(read).collect()
}

/// Returns the rooms that a file's code names after `crate::`, in braces too.
fn imports(code: &str) -> Vec<String> {
    let mut rooms = Vec::new();
    for rest in code.split("crate::").skip(1) {
        let list = match rest.strip_prefix('{') {
            Some(inner) => inner.split('}').next().unwrap_or_default(),
            None => rest,
        };
        let first = |item: &str| {
            item.trim().chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
        };
        if rest.starts_with('{') {
            rooms.extend(list.split(',').map(first));
        } else {
            rooms.push(first(list));
        }
    }
    rooms
}

#[test]
fn rooms_import_only_from_below() {
    let allowed: BTreeMap<&str, &[&str]> = MAY_IMPORT.into_iter().collect();
    let mut seen = 0;
    for (room, name, code) in files() {
        let may = allowed
            .get(room.as_str())
            .unwrap_or_else(|| panic!("{name} stands in a room that has no rule"));
        for import in imports(&code) {
            seen += 1;
            let known = allowed.contains_key(import.as_str());
            let ok = import == room || may.contains(&import.as_str());
            assert!(!known || ok, "{name} imports `{import}`, which `{room}` may not");
        }
    }
    assert!(seen > 50, "the test found only {seen} imports, so it looks in the wrong place");
}

#[test]
fn the_pure_rooms_do_nothing_impure() {
    for (room, name, code) in files() {
        if PURE.contains(&room.as_str()) {
            for word in IMPURE {
                assert!(!code.contains(word), "{name} uses `{word}`, but `{room}` is pure");
            }
        }
    }
}

#[test]
fn the_machine_knows_no_trait_of_the_ports() {
    for (room, name, code) in files().into_iter().filter(|(room, ..)| room == "rollout") {
        for port in ["TrafficRouter", "MetricSource", "dyn ", "StateStore", "Observer"] {
            assert!(!code.contains(port), "{name} of `{room}` names `{port}`");
        }
    }
}
