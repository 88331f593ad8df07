//! A report as a picture: the same for the same rollout, down to the byte.
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::path::Path;

use canary_core::policy::{Check, GateSpec, Policy, Then};
use canary_core::report::Report;
use canary_core::rollout::CommandKind;
use canary_core::simulate::{Crash, Opening, Port, Service, Simulation, at};
use canary_core::value::Weight;

fn policy() -> Policy {
    Policy::builder("checkout")
        .stage("initial", Weight::percent(1), at("10m"))
        .stage("tenth", Weight::percent(10), at("20m"))
        .gate("oncall", GateSpec::approval())
        .stage("half", Weight::percent(50), at("30m"))
        .stage("full", Weight::FULL, at("10m"))
        .check(Check::worse_than_stable("errors", 1.25))
        .check(Check::above_stable("slow", "latency.p95", 1.5).lasting(at("2m")).then(Then::Hold))
        .build()
        .unwrap()
}

/// Compares with the picture that is kept; `UPDATE_GOLDEN=1` writes it anew.
#[track_caller]
fn is_golden(name: &str, report: &Report) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    let svg = report.to_svg();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, &svg).unwrap();
    }
    let kept = std::fs::read_to_string(&file).unwrap();
    assert!(svg == kept, "{name} differs; look at it, then write it anew with UPDATE_GOLDEN=1");
}

#[test]
fn a_rollout_with_some_trouble_is_drawn() {
    let report = Simulation::of(&policy())
        .traffic(200.0)
        .canary(Service::healthy().warming_up("3m", Service::healthy().errors(0.004)))
        .gate("oncall", Opening::after("12m"))
        .fault("18m", Port::Metrics.down_for("4m"))
        .command("55m", CommandKind::Pause)
        .command("60m", CommandKind::Resume)
        .crash(Crash::at("24m").down_for("30s"))
        .seed(7)
        .run();
    report.assert_promoted();
    is_golden("promoted.svg", &report);
}

#[test]
fn a_canary_that_turns_bad_is_drawn() {
    let report = Simulation::of(&policy())
        .traffic(200.0)
        .canary(Service::healthy().errors_from("40m", 0.03))
        .seed(7)
        .run();
    report.assert_rolled_back_by("errors");
    is_golden("rolled_back.svg", &report);
}

#[test]
fn a_long_bake_leaves_room_for_the_rest() {
    let mut spec = policy().spec().clone();
    spec.promotion.keep_old_ms = 24 * 3_600_000;
    let report = Simulation::of(&Policy::from_spec(spec).unwrap()).traffic(200.0).run();
    report.assert_promoted();
    let svg = report.to_svg();
    for name in ["initial", "tenth", "half", "full", "bake, drawn 18 times shorter", "oncall"] {
        assert!(svg.contains(&format!(">{name}</text>")), "{name}: {svg}");
    }
}

#[test]
fn what_stood_for_longer_than_a_timeline_is_one_stripe() {
    let slow = Service::healthy().p95(at("900ms"));
    let report = Simulation::of(&policy())
        .traffic(200.0)
        .canary(slow)
        .gate("oncall", Opening::Never)
        .command("5h", CommandKind::Abort { reason: "enough".to_owned() })
        .run();
    assert!(report.left_out > 0);
    assert_eq!(report.to_svg().matches("fill-opacity=\"0.22\"").count(), 1);
}

#[test]
fn whatever_a_name_holds_the_picture_stays_xml() {
    let mut report = Report::default();
    report.policy = "<a & \"b\">\u{1}".to_owned();
    let svg = report.to_svg();
    assert!(svg.contains("under &lt;a &amp; &quot;b&quot;&gt;\u{fffd}"), "{svg}");
}

#[test]
fn a_gate_that_is_waited_for_for_days_is_seen() {
    let waiting =
        |gate| Simulation::of(&policy()).traffic(200.0).gate("oncall", gate).run().to_svg();
    let svg = waiting(Opening::after("3d"));
    assert!(svg.contains(">waits</text>"), "{svg}");
    assert!(!waiting(Opening::AtOnce).contains(">waits<"));
    // One stage is a little longer than what is drawn in full, another far longer.
    let mut spec = policy().spec().clone();
    for (stage, minutes) in spec.stages.iter_mut().zip([10, 10, 41, 2_000]) {
        stage.hold_ms = minutes * 60_000;
        stage.gates.clear();
    }
    spec.gates.clear();
    let svg = Simulation::of(&Policy::from_spec(spec).unwrap()).traffic(200.0).run().to_svg();
    assert!(!svg.contains("drawn 1"), "{svg}");
    assert!(svg.contains(" times shorter"), "{svg}");
}
