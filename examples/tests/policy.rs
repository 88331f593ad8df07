//! The `policy` example as its users meet it: arguments in, text and exit status out.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use canary_core::policy::{Policy, PolicySpec};
use canary_core::record::Content;
use canary_core::report::Report;
use canary_core::simulate::{Service, Simulation};

use support::{file, run, run_with_input};

const CAUTIOUS: &str = "tests/policies/cautious.yaml";

/// Three things are wrong with it.
const WRONG: &str = "\
version: 1
name: shop
evry: 15s
stages:
  - { name: first, weight: 60%,  hold: 5 }
  - { name: half,  weight: 50%,  hold: 5m }
  - { name: full,  weight: 100%, hold: 1m }
";

const APPROVED: &str = "\
version: 1
name: shop
every: 10s
stages:
  - { name: first, weight: 10%,  hold: 5m, gates: [oncall, smoke] }
  - { name: full,  weight: 100%, hold: 1m }
gates:
  oncall: { approval: {}, timeout: 20h }
";

#[test]
fn help_has_examples_on_every_level() {
    for arguments in [
        &["--help"][..],
        &["lint", "--help"],
        &["plan", "--help"],
        &["show", "-h"],
        &["simulate", "--help"],
    ] {
        run(arguments).said(0, &["Usage: policy", "Examples, after"]);
    }
    run(&[]).said(2, &["Usage: policy"]);
    run(&["mend", CAUTIOUS]).said(2, &["mend"]);
}

#[test]
fn a_valid_file_is_counted() {
    let ran = run(&["lint", CAUTIOUS]);
    ran.said(0, &[]);
    assert_eq!(ran.out, format!("{CAUTIOUS}: ok, 5 stages, 3 checks, 1 finding accepted\n"));
    assert_eq!(ran.err, "");
}

#[test]
fn every_policy_that_the_examples_come_with_is_valid() {
    let files = std::fs::read_dir("policies").unwrap();
    let files: Vec<_> =
        files.map(|file| file.unwrap().path().to_str().unwrap().to_owned()).collect();
    let arguments: Vec<_> = ["lint"].into_iter().chain(files.iter().map(String::as_str)).collect();
    let ran = run(&arguments);
    ran.said(0, &[]);
    assert_eq!(ran.out.lines().count(), files.len(), "{ran:#?}");
}

#[test]
fn every_error_of_every_file_is_shown_and_the_good_files_as_well() {
    let (_directory, wrong) = file(WRONG);
    let ran = run(&["lint", &wrong, "nowhere.yaml", CAUTIOUS]);
    let misspelt = format!("{wrong}:3:1");
    let at_weight = format!("{wrong}:6:28");
    ran.said(
        1,
        &[
            &misspelt,
            "did you mean `every`?",
            "`hold` is the number 5",
            &at_weight,
            "the policy has 3 errors",
        ],
    );
    ran.said(1, &["error: cannot read nowhere.yaml: "]);
    assert_eq!(ran.out, format!("{CAUTIOUS}: ok, 5 stages, 3 checks, 1 finding accepted\n"));
}

#[test]
fn what_is_unwise_is_shown_at_its_place() {
    let one = r#"{"version": 1, "name": "a", "stages": [{"weight": "100%", "hold": "1m"}]}"#;
    let ran = run_with_input(&["lint", "-"], one);
    ran.said(1, &[
        "warning[large-first-stage]: 100% of the users are the first to see the new version\n  ┌─ <stdin>:1:",
        "warning[decided-at-full]: ",
        "<stdin>: 2 findings, 1 stage, 0 checks\n",
    ]);
    let accepted = one.replace(
        "\"version\"",
        "\"allow\": [\"large-first-stage\", \"decided-at-full\"], \"version\"",
    );
    run_with_input(&["lint", "-"], &accepted)
        .said(0, &["ok, 1 stage, 0 checks, 2 findings accepted"]);
}

#[test]
fn traffic_that_is_known_is_reckoned_with() {
    let few = ["lint", CAUTIOUS, "--rps", "0.2", "--base-error-rate", "0.001"];
    run(&few).said(1, &["warning[evidence-too-slow]", "0.2 requests a second are too few"]);
    run(&["lint", CAUTIOUS, "--scrape", "2m"])
        .said(1, &["warning[short-window]", "scraped every 2 min"]);
}

#[test]
fn all_is_told_as_json_too() {
    let (_directory, wrong) = file(WRONG);
    let ran = run(&["lint", &wrong, CAUTIOUS, "--json"]);
    ran.said(1, &[]);
    let told: Vec<serde_json::Value> = serde_json::from_str(&ran.out).unwrap();
    let seen: Vec<_> = told
        .iter()
        .map(|t| (t["level"].as_str().unwrap(), t["name"].as_str(), t["line"].as_u64().unwrap()))
        .collect();
    assert_eq!(seen[..3], [("error", None, 3), ("error", None, 5), ("error", None, 6)], "{ran:#?}");
    assert_eq!(seen[3].1, Some("gate-without-timeout"));
    assert_eq!(seen[3].0, "accepted");
}

#[test]
fn a_syntax_error_stands_alone() {
    run_with_input(&["lint", "-"], "stages: [\n")
        .said(1, &["<stdin>:", "the policy has 1 error\n"]);
}

#[test]
fn every_job_refuses_a_bad_file_alike() {
    let (_directory, wrong) = file(WRONG);
    for job in
        [&["lint"][..], &["plan", "--rps=9", "--base-error-rate=0.1"], &["show"], &["simulate"]]
    {
        let of = |file| run(&[job, &[file]].concat());
        let ran = of(&wrong);
        ran.said(1, &["the policy has 3 errors"]);
        assert_eq!(ran.out, "");
        of("nowhere.yaml").said(1, &["cannot read nowhere.yaml"]);
        of("policies").said(1, &["cannot read policies"]);
    }
}

#[test]
fn a_plan_is_shown_in_words() {
    let ran = run(&["show", CAUTIOUS]);
    ran.said(0, &[
        "stage    weight  hold  gates before it is left\n",
        "tenth       10%   30m  oncall\n",
        "half        50%    1h\n",
        "Every 15s, leaving out 2s after each change of weight; what is",
        "more than 1.25 times as often as on stable; convicts at most 1% of innocent canaries\n  → the canary is taken",
        "- too-many-errors: error_rate above 5% over 2m\n",
        "- slow: latency.p95 above 1.5 times stable's over 5m\n  → weight and clock stand",
        "- hard limit: ",
        "; what is up to 1m old is fresh:\n",
        "A version may take 5m to become ready.\n",
        "Of each target 10 rollouts that ended are remembered.\n",
        "- smoke: the program that runs the rollout decides; it is waited for as long as it takes\n",
        "- oncall: a person approves it; after 4h without an answer the canary is taken back\n",
        "takes longer than 5m is called stuck",
        "If all goes well the rollout takes 2h10m10s, and what the gates take.\n",
    ]);
}

#[test]
fn whatever_a_policy_can_say_is_shown() {
    let ran = run_with_input(
        &["show", "-"],
        "\
version: 1
name: odd
stages: [{ name: full, weight: 100%, hold: 1d, gates: [other] }]
hard_limit: off
checks:
  - { name: ok, metric: success_rate, below: 7%, samples: 40, then: warn }
  - { name: idle, metric: request_rate, below: 0.5 }
  - { name: tail, metric: latency.p99.9, above: 1.5s }
  - { name: pool, metric: pool, above: 90% }
no_data: { after: 7m, then: roll_back }
gates: { other: { timeout: 1h, otherwise: open } }
",
    );
    ran.said(0, &[
        "full     100%   24h  other\n",
        "- ok: success_rate below 7%, judged once the canary had 40 requests in that time\n  → it is noted",
        "- idle: request_rate below 0.5/s\n",
        "- tail: latency.p99.9 above 1s500ms\n",
        "- pool: pool above 0.9\n",
        "; after 7m the canary is taken back\n",
        "- other: the program that runs the rollout decides; after 1h without an answer the rollout goes on",
        "takes 24h, and what the gates take.\n",
    ]);
    assert!(!ran.out.contains("hard limit"), "{ran:#?}");
    let bare = r#"{"version": 1, "name": "a", "hard_limit": false, "stages": [{"weight": "100%", "hold": "1m"}]}"#;
    run_with_input(&["show", "-"], bare).said(0, &["- nothing is checked"]);
}

#[test]
fn the_stable_form_is_the_same_policy() {
    let ran = run(&["show", CAUTIOUS, "--json"]);
    ran.said(0, &[]);
    let spec: PolicySpec = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(Policy::from_spec(spec).unwrap(), cautious());
    for job in ["lint", "show", "simulate"] {
        run_with_input(&[job, "-"], &ran.out).said(0, &[]);
    }
    let broken = ran.out.replace("\"keep\"", "\"kep\"");
    run_with_input(&["lint", "-"], &broken).said(1, &["no policy in the stable form", "kep"]);
}

#[test]
fn the_calendar_is_asked_at_the_time_that_is_simulated() {
    let policy = APPROVED.replace("smoke]", "office-hours]")
        + "  office-hours: { window: { cron: \"* 9-16 * * MON-THU\", zone: Europe/Berlin } }\n";
    let (_directory, shop) = file(&policy);
    // A Friday at eleven in the evening.
    let from = ["simulate", &shop, "--start", "2026-11-20T22:00Z"];
    run(&from).said(0, &["58:00:00  gate office-hours opened\n"]);
    let at_once = [&from[..], &["--gate", "office-hours=0s"]].concat();
    run(&at_once).said(0, &[" 0:05:00  gate office-hours opened\n"]);
    run(&["simulate", &shop, "--start", "friday"]).said(1, &["such as 2026-11-20T22:00Z"]);
}

#[test]
fn both_versions_show_what_they_are_told_to() {
    let check = "checks:\n  - { name: pool, metric: pool, above: 1.5x stable, then: hold }\n";
    let (_directory, shop) = file(&format!("{APPROVED}{check}"));
    let canary = ["simulate", &shop, "--gauge", "pool=0.5"];
    run(&canary).said(
        4,
        &[
            "note: the made-up stable has no `pool`",
            "the clock stands with 5 min to go\n  pool has no data: the source shows no pool of stable",
        ],
    );
    let both = |base| run(&[&canary[..], &["--base-gauge", base]].concat());
    both("pool=0.5").said(0, &["\npromoted after"]);
    both("pool=0.3").said(4, &["pool fails: pool 0.50 (stable 0.30)"]);
}

fn cautious() -> Policy {
    Policy::from_yaml(&std::fs::read_to_string(CAUTIOUS).unwrap()).unwrap()
}

#[test]
fn a_good_canary_is_promoted_in_the_time_that_the_plan_shows() {
    let ran = run(&["simulate", CAUTIOUS, "--base-error-rate", "0"]);
    ran.said(0, &["\npromoted after 2 h 10 min", " 2:00:08  stage 5 (full): 100% asked for\n"]);
    let report = report(&["simulate", CAUTIOUS, "--base-error-rate", "0", "--json"], 0);
    assert_eq!(report.ended.unwrap().since(report.started).as_secs(), 2 * 3600 + 10 * 60 + 10);
}

/// Returns the report that stands alone on standard output.
fn report(arguments: &[&str], code: i32) -> Report {
    let ran = run(arguments);
    ran.said(code, &[]);
    serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {ran:#?}"))
}

#[test]
fn the_numbers_reach_the_simulation() {
    let arguments = ["simulate", CAUTIOUS, "--rps", "120", "--seed", "7", "--json"];
    let more = ["--base-error-rate", "0.002", "--canary-error-rate", "0.05"];
    let latency = ["--base-latency-ms", "20", "--canary-latency-ms", "24.5"];
    let seen = report(&[&arguments[..], &more, &latency].concat(), 3);
    let expected = Simulation::of(&cautious())
        .traffic(120.0)
        .stable(Service::healthy().errors(0.002).median(std::time::Duration::from_millis(20)))
        .canary(Service::healthy().errors(0.05).median(std::time::Duration::from_micros(24_500)))
        .seed(7)
        .run();
    assert_eq!(seen, expected);
}

#[test]
fn a_bad_canary_is_rolled_back_and_the_story_says_why() {
    let ran = run(&["simulate", CAUTIOUS, "--canary-error-rate", "0.05"]);
    ran.said(
        3,
        &[
            "canary fails 5%",
            "taking the canary back: errors fails: ",
            "\nrolled back at 1% after ",
        ],
    );
    // Once on the way, and in the sentence at the end.
    assert_eq!(ran.out.matches("errors fails").count(), 2, "{ran:#?}");
    let last = ran.out.lines().rev().nth(2).unwrap();
    assert!(last.ends_with("0% accepted and in effect"), "{ran:#?}");
}

#[test]
fn looks_that_find_the_same_are_one_line_and_none_is_lost() {
    let arguments = ["simulate", CAUTIOUS, "--canary-latency-ms", "78", "--rps", "1000"];
    let story = run(&arguments).out;
    let json = [&arguments[..], &["--json"]].concat();
    let code = run(&json).code.unwrap();
    let stages = report(&json, code).stages;
    let looks: u64 = stages.iter().map(|stage| stage.ticks).sum();
    let requests: u64 = stages.iter().map(|stage| stage.requests.canary.total).sum();
    let mut told = (0, 0);
    for line in story.lines().filter(|line| line.starts_with(' ')) {
        let Some((until, found)) = line.split_once(": canary failed ") else { continue };
        let words: Vec<_> = until.split_whitespace().collect();
        told.0 += if words.get(2) == Some(&"looks") { words[1].parse().unwrap() } else { 1 };
        told.1 += found.split_whitespace().nth(3).unwrap().parse::<u64>().unwrap();
    }
    assert_eq!(told, (looks, requests), "{story}");
    assert!(story.contains("hold: ") && story.contains("go on: "), "{story}");
    assert!((story.lines().count() as u64) < looks / 2, "{story}");
}

#[test]
fn gates_open_at_once_unless_told_otherwise() {
    let (_directory, shop) = file(APPROVED);
    let run = |gates: &[&str]| run(&[&["simulate", &shop], gates].concat());
    run(&[]).said(
        0,
        &[" 0:05:00  gate oncall opened by simulation\n", " 0:05:00  gate smoke opened\n"],
    );
    run(&["--gate", "oncall=1h30m"]).said(0, &[" 1:35:00  gate oncall opened by simulation\n"]);
    let long = ["--gate", "smoke=never", "--gate", "smoke=2d"];
    run(&long).said(0, &["48:05:00  gate smoke opened\n"]);
    let never = run(&["--gate", "smoke=never"]);
    never.said(
        4,
        &[
            "\nnot finished.",
            "note: not finished after ",
            "stage 1 of 2 (first) at 10%, 5 min of 5 min held; waits for gate smoke; `--gate smoke=30m` opens it",
        ],
    );
    // Its time passes long after four times all holds.
    run(&["--gate", "oncall=never"]).said(3, &["gate oncall did not open within 20 h"]);
}

#[test]
fn wrong_numbers_are_refused_with_what_was_expected() {
    let requests = "more than 0 and at most 1000000";
    let share = "a share from 0 to 1";
    let latency = "milliseconds from 0.001 to 3600000";
    let gate = "NAME=never, NAME=reject or NAME=TIME";
    for (option, values, expected) in [
        ("--rps", &["0", "-1", "nan", "inf", "1e7", "many", ""][..], requests),
        ("--base-error-rate", &["-0.1", "1.1", "101%", "%", "nan"], share),
        ("--canary-error-rate", &["-0.1", "1.1"], share),
        ("--base-latency-ms", &["0", "-5", "1e300"], latency),
        ("--canary-latency-ms", &["0", "nan"], latency),
        (
            "--gate",
            &["oncall", "oncall=", "oncall=-5m", "oncall=+5m", "oncall=5", "oncall=sometime"],
            gate,
        ),
        ("--gate", &["on call=never"], "asks no gate `on call`"),
        (
            "--answer",
            &["other=never"],
            "the policy `cautious` has no check `other`; expected one of: errors, too-many-errors, slow",
        ),
        ("--gauge", &["cpu", "cpu=nan", "cpu=much"], "NAME=NUMBER"),
        ("--gauge", &["latency=3"], "the policy `cautious` reads no metric `latency`"),
        ("--base-gauge", &["latency=3"], "the policy `cautious` reads no metric `latency`"),
        ("--answer", &["progress=5m"], "the policy `cautious` has no check `progress`"),
        ("--answer", &["errors=5m"], "the policy `cautious` never asks by the check `errors`"),
        ("--metrics-down", &["20m", "20m+", "+10m"], "FROM+LENGTH"),
        ("--crash-at", &["soon", "+5m"], "expected a time"),
        ("--canary-p95-ms", &["0"], latency),
        (
            "--gate",
            &["other=never"],
            "the policy `cautious` asks no gate `other`; expected one of: smoke, oncall",
        ),
    ] {
        for value in values {
            let ran = run(&["simulate", CAUTIOUS, option, value]);
            ran.said(1, &["error: ", expected]);
            assert_eq!(ran.out, "");
        }
    }
    run(&["simulate", CAUTIOUS, "--rps"]).said(2, &["a value is required"]);
}

#[test]
fn what_a_simulation_says_to_answer_can_be_answered() {
    let plan =
        "version: 1\nname: g\nstages: [{ weight: 50%, hold: 10m }, { weight: 100%, hold: 1m }]\n";
    for (asks, check) in [
        ("no_data: { after: 1m, then: ask }\n", "hard-limit"),
        ("no_data: { after: 1h, then: hold }\nprogress: { within: 5m, then: ask }\n", "progress"),
    ] {
        let (_directory, file) = file(&format!("{plan}{asks}"));
        let answer = format!("--answer={check}=30m");
        run(&["simulate", &file, "--silent"])
            .said(4, &[&format!("`--answer {check}=30m` lets it go on")]);
        let answered = run(&["simulate", &file, "--silent", &answer]);
        assert!(!answered.err.contains("error: "), "{}", answered.err);
    }
}

#[test]
fn what_the_made_up_service_cannot_show_is_said_beside_the_report() {
    let policy =
        format!("{APPROVED}checks:\n  - {{ name: pool, metric: pool, above: 90%, then: hold }}\n");
    let (_directory, shop) = file(&policy);
    let note = "note: the made-up canary has no `pool`: check `pool` cannot be judged, and the rollout waits";
    run(&["simulate", &shop, "--json"]).said(4, &[note]);
    let unseen = report(&["simulate", &shop, "--json"], 4);
    assert!(unseen.timeline.iter().any(|record| matches!(record.content, Content::Judged(_))));
    let shown = run(&["simulate", &shop, "--gauge", "pool=0.5"]);
    shown.said(0, &["\npromoted after"]);
    assert_eq!(shown.err, "");
    run(&["simulate", &shop, "--gauge", "pool=0.95"]).said(4, &["\nnot finished"]);
}

#[test]
fn what_else_goes_wrong_can_be_tried() {
    let simulate = |options: &[&str]| run(&[&["simulate", CAUTIOUS][..], options].concat());
    let late = ["--canary-error-rate", "0.05", "--canary-errors-from", "70m"];
    simulate(&late).said(3, &["\nrolled back at 50% after 1 h 1", "errors fails"]);
    simulate(&["--canary-errors-from", "70m"]).said(2, &["--canary-error-rate"]);
    simulate(&["--silent"]).said(4, &["no data"]);
    simulate(&["--p95", "900"]).said(4, &["slow"]);
    simulate(&["--gate", "oncall=reject"]).said(3, &["oncall"]);
    simulate(&["--crash-at", "20m"]).said(0, &["promoted"]);
    simulate(&["--ready-after", "2m"]).said(0, &["promoted"]);
    let down = report(&["simulate", CAUTIOUS, "--metrics-down", "50m+30m", "--json"], 0);
    assert!(down.ended.unwrap().since(down.started).as_secs() > 2 * 3600 + 30 * 60);
}

#[test]
fn one_is_drawn() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("rollout.svg");
    let drawn = run(&["simulate", CAUTIOUS, "--svg", file.to_str().unwrap()]);
    drawn.said(0, &["promoted after"]);
    assert!(std::fs::read_to_string(&file).unwrap().starts_with("<svg "));
    run(&["simulate", CAUTIOUS, "--svg", "no/where.svg"]).said(1, &["cannot write no/where.svg"]);
}

#[test]
fn numbers_are_read_as_they_stand_in_policies() {
    let plain = ["--canary-error-rate", "0.05", "--canary-latency-ms", "100"];
    let units = ["--canary-error-rate", "5%", "--canary-latency-ms", "100ms"];
    let [plain, units] =
        [plain, units].map(|numbers| run(&[&["simulate", CAUTIOUS][..], &numbers].concat()).out);
    assert_eq!(plain, units);
}

#[test]
fn numbers_that_contradict_each_other_are_refused() {
    let both = ["simulate", CAUTIOUS, "--canary-latency-ms", "200", "--canary-p95-ms", "20"];
    run(&both)
        .said(1, &["cannot answer 95 of a hundred requests in 20ms, and half of them in 200ms"]);
}

#[test]
fn nothing_is_worked_out_for_a_picture_that_cannot_be_written() {
    let ran = run(&["simulate", CAUTIOUS, "--svg", "no/where.svg"]);
    ran.said(1, &["cannot write no/where.svg"]);
    assert_eq!(ran.out, "");
}

#[test]
fn a_file_that_cannot_be_read_is_in_the_list_too() {
    let ran = run(&["lint", "--json", CAUTIOUS, "no-such.yaml"]);
    ran.said(1, &[]);
    let all: Vec<serde_json::Value> = serde_json::from_str(&ran.out).unwrap();
    let unread = all.iter().find(|entry| entry["file"] == "no-such.yaml").unwrap();
    assert_eq!(unread["level"], "error");
    assert!(unread["message"].as_str().unwrap().contains("cannot read"), "{unread}");
}

#[test]
fn looks_while_a_gate_is_waited_for_say_so() {
    let policy = format!("{APPROVED}checks:\n  - {{ name: errors, worse_than_stable: 1.25x }}\n");
    let (_directory, shop) = file(&policy);
    let ran = run(&["simulate", &shop, "--gate", "oncall=1h"]);
    ran.said(0, &[", waiting for the gate oncall: go on: "]);
    run(&["simulate", &shop, "--silent"]).said(4, &[", and tells the metric source nothing\n"]);
}
