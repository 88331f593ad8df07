//! The `observability` example as its users meet it: arguments in, files, text and exit status out.
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn run(arguments: &[&str], out: &Path) -> Output {
    let test = std::env::current_exe().unwrap();
    let examples = test.ancestors().nth(2).unwrap().join("examples");
    let program = examples.join("observability").with_extension(std::env::consts::EXE_EXTENSION);
    // With `--tests`, `--all-targets` or `--test` cargo builds no example, and leaves an old one.
    let shown = program.display();
    assert!(
        program.exists(),
        "no {shown}: run `cargo build -p canary-examples --features mesh --example observability`"
    );
    Command::new(program).args(arguments).arg("--out").arg(out).output().unwrap()
}

const ARGUMENTS: [&str; 8] = [
    "--policy",
    "policies/orion.yaml",
    "--mesh",
    "istio",
    "--namespace",
    "shop",
    "--service",
    "checkout",
];

fn said(output: &Output, code: i32, texts: &[&str]) {
    let all = String::from_utf8([output.stdout.clone(), output.stderr.clone()].concat()).unwrap();
    assert_eq!(output.status.code(), Some(code), "{all}");
    for text in texts {
        assert!(all.contains(text), "no `{text}` in {all}");
    }
}

#[test]
fn rules_and_dashboard_are_written_into_a_new_folder() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("a/b");
    let told = ["checkout-rules.yaml: 10 recording rules, 19 alerts", "checkout-dashboard.json"];
    said(&run(&ARGUMENTS, &out), 0, &told);
    let rules = fs::read_to_string(out.join("checkout-rules.yaml")).unwrap();
    let rules: Value = serde_saphyr::from_str(&rules).unwrap();
    let service = canary_prometheus::rules::Service::new(
        canary_prometheus::rules::Mesh::Istio,
        "shop",
        "checkout",
    );
    let policy = fs::read_to_string("policies/orion.yaml").unwrap();
    let policy = canary_core::policy::Policy::from_yaml(&policy).unwrap();
    let expected = canary_prometheus::rules::rules(&policy, &service.unwrap());
    assert_eq!(rules, serde_json::to_value(expected).unwrap());
    let dashboard = fs::read_to_string(out.join("checkout-dashboard.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    assert_eq!(dashboard["title"], "Canary rollouts: orion");
}

#[test]
fn a_policy_and_a_mesh_are_enough() {
    let folder = tempfile::tempdir().unwrap();
    let told = ["orion-rules.yaml: 10 recording rules, 19 alerts", "orion-dashboard.json"];
    said(&run(&ARGUMENTS[..4], folder.path()), 0, &told);
    let rules = fs::read_to_string(folder.path().join("orion-rules.yaml")).unwrap();
    let rules: Value = serde_saphyr::from_str(&rules).unwrap();
    let labels = &rules["groups"][0]["rules"][0]["labels"];
    assert_eq!((&labels["namespace"], &labels["service"]), (&"default".into(), &"orion".into()));
}

#[test]
fn what_is_wrong_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let with = |more: &[&str]| run(&[&ARGUMENTS[2..], more].concat(), folder.path());
    said(&with(&["--help"]), 0, &["Usage: observability", "Examples, after"]);
    said(&with(&[]), 2, &["--policy"]);
    said(&with(&["--policy", "no.yaml"]), 1, &["error: cannot read no.yaml"]);
    let file = folder.path().join("wrong.yaml");
    fs::write(&file, "version: 1\nname: shop\nevry: 5s\n").unwrap();
    said(&with(&["--policy", file.to_str().unwrap()]), 1, &["evry"]);
    let known = |more: &[&str]| with(&[&["--policy", "policies/orion.yaml"], more].concat());
    said(&known(&["--canary", "checkout"]), 1, &["it is the one of stable"]);
    said(&known(&["--runbook", "https://wiki.example.com/canary"]), 0, &["19 alerts"]);
    let mut arguments = ARGUMENTS;
    arguments[3] = "consul";
    said(&run(&arguments, folder.path()), 2, &["`consul` is no mesh: istio or linkerd"]);
    arguments = ARGUMENTS;
    arguments[5] = "Shop";
    said(&run(&arguments, folder.path()), 1, &["`Shop` is no namespace: only lower-case"]);
}
