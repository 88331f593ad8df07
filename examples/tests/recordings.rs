//! `policy replay` on a recording, as its users meet it: no server, no feature, no waiting.
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

#[allow(dead_code, reason = "nothing is piped into the program here")]
mod support;

use std::fs;
use std::time::Duration;

use canary_core::policy::Policy;
use canary_core::report::Report;
use canary_core::rollout::queries;
use canary_core::simulate::Recording;
use canary_core::value::{Counts, Measured, Query, Reading, Side, Signal, Timestamp, Window};
use support::{Ran, file, run};

const POLICY: &str = "\
version: 1
name: checkout
every: 15s
stages:
  - { name: tenth, weight: 10%,  hold: 5m, gates: [oncall] }
  - { name: full,  weight: 100%, hold: 1m }
checks:
  - { name: too-many-errors, metric: error_rate, above: 5% }
gates:
  oncall: { approval: {}, timeout: 20h }
";

/// 2026-11-20T14:00:00Z.
const BEGIN: Timestamp = Timestamp::from_millis(1_795_183_200_000);

/// Records ten minutes of which the canary fails a fifth of its requests from the third on, if at all.
fn recorded(bad: bool) -> Recording {
    let at = |s: u64| BEGIN + Duration::from_secs(s);
    let asked = queries(&Policy::from_yaml(POLICY).unwrap());
    let mut recording = Recording::new(Window::new(at(0), at(600)), asked);
    for s in (0..600).step_by(15) {
        let failed = if bad && s >= 180 { 12 } else { 0 };
        let reading = |bad| Reading::Counts(Counts::new(60, bad).unwrap());
        let measured = Measured::new(Window::new(at(s), at(s + 15)), reading(0), reading(failed));
        recording.push(&Signal::Requests, measured).unwrap();
    }
    recording
}

fn replay(policy: &str, recording: &Recording, more: &[&str]) -> Ran {
    let (_directory, policy) = file(policy);
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("kept.jsonl");
    recording.write(fs::File::create(&kept).unwrap()).unwrap();
    let arguments = ["replay", &policy, "--recording", kept.to_str().unwrap()];
    run(&[&arguments[..], more].concat())
}

#[test]
fn an_incident_would_have_been_taken_back_and_when_is_told() {
    let ran = replay(POLICY, &recorded(true), &[]);
    ran.said(
        3,
        &[
            "checkout over what was recorded from 2026-11-20T14:00:00.000Z to 2026-11-20T14:10:00.000Z:\n",
            "the canary served 2400 requests, 50% of all, and failed 14% of them; stable failed 0% of 2400\n",
            "taking the canary back: too-many-errors fails: ",
            "\nWould have been taken back at 14:03:15 UTC, 3m15s after the begin: too-many-errors fails: ",
            "\n324 of the 336 requests that the canary failed came later.\n",
            "note: gates open at once",
        ],
    );
    let json = replay(POLICY, &recorded(true), &["--json"]);
    json.said(3, &[]);
    let report: Report = serde_json::from_str(&json.out).unwrap();
    assert_eq!(report.rollback_decided, Some(BEGIN + Duration::from_secs(195)));
}

#[test]
fn a_good_time_would_have_been_promoted_if_it_was_long_enough() {
    replay(POLICY, &recorded(false), &[])
        .said(0, &["\nWould have been promoted at 14:06:", " UTC, 6m"]);
    let longer = POLICY.replace("hold: 1m", "hold: 1h");
    replay(&longer, &recorded(false), &[])
        .said(4, &["\nNot decided before the recording ends at 14:10:00 UTC, 10m after the begin: simulated-0: stage 2 of 2 (full) at 100%"]);
}

#[test]
fn what_was_not_recorded_and_what_is_damaged_is_named() {
    let slow = POLICY.replace("error_rate, above: 5%", "latency.p95, above: 300ms");
    replay(&slow, &recorded(true), &[]).said(
        1,
        &["error: the recording holds no `latency` as the policy asks for it; record it again"],
    );
    let other = Recording::new(recorded(true).span(), [Query::new(Signal::Latency, BEGIN)]);
    replay(POLICY, &other, &[]).said(1, &["holds no `requests`"]);
    let (_directory, policy) = file(POLICY);
    run(&["replay", &policy, "--recording", "nowhere.jsonl"])
        .said(1, &["cannot read nowhere.jsonl"]);
    run(&["replay", &policy, "--recording", &policy])
        .said(1, &["shop.yaml: line 1 of the recording: ", "; expected a header such as {"]);
}

#[test]
fn the_form_that_the_docs_show_is_read() {
    let page = fs::read_to_string("../docs/prometheus.md").unwrap();
    let shown = page.split("```json\n").nth(1).unwrap().split("```").next().unwrap();
    let recording = Recording::read(shown.as_bytes()).unwrap();
    assert_eq!(recording.span().after, BEGIN);
    assert_eq!((recording.len(), recording.requests(Side::Stable, BEGIN).bad), (3, 1));
    let mut again = Vec::new();
    recording.write(&mut again).unwrap();
    assert_eq!(String::from_utf8(again).unwrap(), shown);
}

#[test]
fn what_belongs_together_is_asked_for_together() {
    let (_directory, policy) = file(POLICY);
    let replay = |arguments: &[&str]| run(&[&["replay", &policy], arguments].concat());
    replay(&["--help"]).said(0, &["Usage: policy replay", "Examples, after", "--prometheus <URL>"]);
    replay(&[]).said(2, &["--prometheus <URL>"]);
    replay(&["--prometheus", "http://127.0.0.1:9"]).said(2, &["--from <TIME>"]);
    replay(&["--recording", "x", "--prometheus", "y"]).said(2, &["cannot be used with"]);
    replay(&["--recording", "x", "--record", "y"]).said(2, &["cannot be used with"]);
    let span = ["--from", "2026-11-20T14:00Z", "--to", "2026-11-20T15:00Z"];
    let server = replay(&[&["--prometheus", "http://127.0.0.1:9"], &span[..]].concat());
    let says = if cfg!(feature = "mesh") { "cannot be reached" } else { "--features mesh" };
    server.said(1, &[says]);
}
