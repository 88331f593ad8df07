//! `policy plan` and `policy simulate --runs`: what they tell is what the library reckons, and what the pages show.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::path::Path;

use canary_core::analysis::{PlanTraffic, SeenIn};
use canary_core::policy::Policy;
use canary_core::simulate::{Service, Share, Simulation};
use canary_core::value::millis;
use serde_json::Value;

use support::{file, run, run_with_input};

const CHECKOUT: &str = "policies/checkout.yaml";
const TRAFFIC: [&str; 4] = ["--rps", "20", "--base-error-rate", "0.001"];

fn checkout() -> (String, Policy) {
    let text = std::fs::read_to_string(CHECKOUT).unwrap();
    let policy = Policy::from_yaml(&text).unwrap();
    (text, policy)
}

fn plan(arguments: &[&str]) -> Vec<String> {
    let all = [&["plan", CHECKOUT], &TRAFFIC[..], arguments].concat();
    all.into_iter().map(str::to_owned).collect()
}

fn json(arguments: &[String]) -> Value {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ran = run(&arguments);
    ran.said(0, &[]);
    serde_json::from_str(&ran.out).unwrap()
}

#[test]
fn a_plan_tells_what_the_library_reckons() {
    let policy = checkout().1;
    let expected = PlanTraffic::of(&policy, &policy.checks()[0], 20.0, 0.001).unwrap();
    let told = json(&plan(&["--times", "2", "--json"]));
    let check = &told["checks"][0];
    assert_eq!(
        (check["check"].as_str(), told["checks"].as_array().unwrap().len()),
        (Some("errors"), 1)
    );
    for (stage, told) in expected.stages().iter().zip(check["stages"].as_array().unwrap()) {
        let limits = expected.limits();
        let needed = stage.traffic.needed(&limits, 2.0).unwrap();
        let detects = |seen| stage.traffic.detects(&limits, stage.hold, seen);
        assert_eq!(told["needs_ms"]["half"], millis(needed.hold));
        assert_eq!(told["needs_ms"]["four_of_five"], millis(needed.hold_mostly));
        assert_eq!(told["detects"]["half"].as_f64(), detects(SeenIn::Half));
        assert_eq!(told["detects"]["four_of_five"].as_f64(), detects(SeenIn::FourOfFive));
        assert_eq!(told["hold_ms"], millis(stage.hold));
    }
    assert_eq!(check["stages"][2]["canary_requests"].as_f64(), Some(36_000.0));
    let together = &check["together"];
    assert_eq!(together["detects"]["half"].as_f64(), expected.detects(SeenIn::Half));
    assert_eq!(together["detects"]["four_of_five"].as_f64(), expected.detects(SeenIn::FourOfFive));
    assert_eq!(together["canary_requests"].as_f64(), Some(39_780.0));
}

#[test]
fn who_does_what_the_plan_says_has_nothing_to_change() {
    let told = json(&plan(&["--times", "2", "--json"]));
    let change = &told["checks"][0]["change"];
    assert_eq!(
        (change["name"].as_str(), &told["checks"][0]["together"]["sees"]),
        (Some("half"), &false.into())
    );
    let hold = format!("hold: {}m", change["hold_ms"].as_u64().unwrap() / 60_000);
    let (text, _) = checkout();
    let longer = text.replacen("hold: 60m", &hold, 1);
    assert_ne!(longer, text);
    let (_directory, longer) = file(&longer);
    let arguments = [&["plan", &longer], &TRAFFIC[..], &["--times", "2"]].concat();
    run(&arguments)
        .said(0, &["convicted in at least four rollouts of five: nothing has to change."]);
}

#[test]
fn what_cannot_be_planned_is_said() {
    let plain = "{ version: 1, name: shop, stages: [{ weight: 100%, hold: 1m }] }";
    let traffic = |job: &[&'static str]| [job, &TRAFFIC[..]].concat();
    run_with_input(&traffic(&["plan", "-"]), plain).said(
        1,
        &["the policy `shop` has no evidence about errors to plan for", "worse_than_stable"],
    );
    run(&traffic(&["plan", CHECKOUT, "--times", "1.2"])).said(
        0,
        &["A canary that fails 1.2 times as often as stable is no regression to this check"],
    );
    run(&traffic(&["plan", CHECKOUT, "--times", "1.2500001"])).said(0, &["no hold is enough"]);
    run(&["plan", CHECKOUT, "--rps", "200"]).said(2, &["--base-error-rate"]);
    for (option, expected) in [
        ("--times=1", "a number above 1"),
        ("--times=nan", "a number above 1"),
        ("--times=-3", "a number above 1"),
        ("--base-error-rate=0", "a share above 0 and below 1"),
        ("--base-error-rate=1", "a share above 0 and below 1"),
        ("--base-error-rate=100%", "a share above 0 and below 1"),
    ] {
        run(&["plan", CHECKOUT, "--rps=9", option]).said(1, &["error: ", expected]);
    }
}

#[test]
fn many_rollouts_tell_what_the_library_counts() {
    let policy = checkout().1;
    let simulate = ["simulate", CHECKOUT, "--rps", "300", "--runs", "30", "--seed", "7"];
    let bad = [&simulate[..], &["--canary-error-rate", "0.02"]].concat();
    let many = Simulation::of(&policy)
        .traffic(300.0)
        .canary(Service::healthy().errors(0.02))
        .seed(7)
        .run_many(30);
    let arguments: Vec<String> = bad.iter().chain(&["--json"]).map(|a| (*a).to_owned()).collect();
    let told = json(&arguments);
    let share = |told: &Value, expected: Share| {
        let (low, high) = expected.interval(0.99);
        assert_eq!(
            (told["runs"].as_u64(), told["share"].as_f64()),
            (Some(expected.hits), Some(expected.fraction()))
        );
        assert_eq!((told["low"].as_f64(), told["high"].as_f64()), (Some(low), Some(high)));
    };
    share(&told["rolled_back"], many.rolled_back());
    share(&told["rolled_back_by"]["errors"], many.rolled_back_by("errors"));
    share(&told["promoted"], many.promoted());
    share(&told["unfinished"], many.unfinished());
    assert_eq!(
        told["rolled_back_after_ms"]["median"],
        millis(many.rolled_back_after(0.5).unwrap())
    );
    assert_eq!(
        told["rolled_back_after_ms"]["ninety_percent"],
        millis(many.rolled_back_after(0.9).unwrap())
    );
    let from_the_begin = [&told["onset_ms"], &told["early"]["runs"]];
    assert_eq!(from_the_begin, [&Value::Null, &Value::from(0)]);
    assert_eq!(told["detected_after_ms"], told["rolled_back_after_ms"]);
    assert_eq!(told["promoted_after_ms"]["median"], Value::Null);
    assert_eq!(
        told["canary_errors_served"]["mean"].as_f64(),
        Some(many.mean_canary_errors_served())
    );
    assert_eq!((&told["innocent"], &told["first_rolled_back"]), (&false.into(), &7.into()));

    run(&bad).said(0, &["of 30  share  with 99% confidence", "\ndetected ", "`--seed 7` shows"]);
    let later: Vec<_> = bad.iter().copied().chain(["--canary-errors-from", "5m"]).collect();
    run(&later)
        .said(0, &["\nrolled back before it was bad, at 5m", "\ntime from when it was bad until "]);
    let later: Vec<String> = later.iter().chain(&["--json"]).map(|a| (*a).to_owned()).collect();
    let told = json(&later);
    assert_eq!(told["onset_ms"], 300_000);
    let [begin, onset] =
        ["rolled_back_after_ms", "detected_after_ms"].map(|t| told[t]["worst"].as_u64());
    assert_eq!(onset, begin.map(|begin| begin - 300_000));
    let innocent = run(&simulate);
    innocent.said(0, &["\nfalse rollbacks ", "\npromoted ", "\ntime until it was promoted "]);
    assert_eq!(innocent.err, "", "no progress is shown where there is no terminal");
}

#[test]
fn the_pages_show_what_is_printed() {
    let page = std::fs::read_to_string("../docs/testing-policies.md").unwrap();
    let shown = page.split("```text\n$ cargo run --example policy -- ").skip(1);
    let mut commands = Vec::new();
    for block in shown {
        let (command, output) = block.split_once('\n').unwrap();
        // The page is read from the root of the repository, this test is run beside the policies.
        let arguments: Vec<&str> =
            command.split(' ').map(|word| word.strip_prefix("examples/").unwrap_or(word)).collect();
        assert!(Path::new(arguments[1]).exists(), "{command}");
        let ran = run(&arguments);
        assert_eq!(ran.out, output.split("```").next().unwrap(), "{command}");
        commands.push(arguments[0].to_owned());
    }
    assert_eq!(commands, ["plan", "simulate"]);
}
