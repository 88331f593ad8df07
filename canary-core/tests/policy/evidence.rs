//! Checks that weigh evidence: what is read, and what is refused.

use canary_core::policy::{CheckKind, Evident, Policy, Then, Unclear};

fn policy(check: &str) -> Result<Policy, String> {
    let stages = "stages: [{ weight: 10%, hold: 30m }, { weight: 50%, hold: 30m }, { weight: 100%, hold: 10m }]";
    let text = format!("version: 1\nname: shop\n{stages}\nchecks: [{{ name: it, {check} }}]\n");
    Policy::from_yaml(&text).map_err(|error| error.to_string())
}

#[test]
fn each_kind_is_read_with_its_defaults() {
    let read = |check: &str| policy(check).unwrap().checks()[0].clone();
    let CheckKind::WorseThanStable { of, .. } =
        read("worse_than_stable: 2x, of: { errors: 2, latency: 1 }").kind
    else {
        panic!("no evidence");
    };
    let of: Vec<_> = of.iter().map(|weighed| (weighed.what, weighed.weight)).collect();
    assert_eq!(of, [(Evident::Errors, 2.0), (Evident::Latency, 1.0)]);
    let good = read("as_good_as_stable: 2x").kind;
    assert_eq!(
        good,
        CheckKind::AsGoodAsStable { ratio: 2.0, false_pass: 0.05, unclear: Unclear::Hold }
    );
    let objective = read("objective: 99.9%");
    assert_eq!(objective.kind, CheckKind::Objective { allowed: 0.001, false_alarm: 0.01 });
    assert_eq!(objective.then, Then::Hold);
    let ranks = read("metric: latency.p95, mann_whitney: 1.1x, at: stage_end");
    assert_eq!(ranks.then, Then::RollBack);
}

#[test]
fn what_cannot_be_judged_or_must_not_follow_is_refused() {
    for (check, message) in [
        ("worse_than_stable: 2x, of: memory", "`errors`, `latency`"),
        ("worse_than_stable: 2x, of: { errors: 0 }", "weighs nothing"),
        ("as_good_as_stable: 1x", "nobody can show"),
        ("as_good_as_stable: 2x, unclear: pray", "go_on, hold, ask"),
        ("as_good_as_stable: 2x, then: warn", "not clear that it is well"),
        ("objective: 100%", "cannot be judged"),
        ("objective: 99.9%, then: roll_back", "innocent canary in an outage"),
        ("metric: success_rate, mann_whitney: 1.1x", "is not worse"),
        ("metric: cpu, mann_whitney: 1.1x", "like the one before"),
        ("metric: latency.p95, mann_whitney: 0.5x", "no limit"),
        ("any: [{ objective: 99% }, { as_good_as_stable: 2x }]", "no part of another check"),
    ] {
        let error = policy(check).unwrap_err();
        assert!(error.contains(message), "{check}: {error}");
    }
}
