//! `mode` is short for gates and actions.

use canary_core::policy::{Ask, GateSpec, Moment, Policy, Then};

const SHOP: &str = "\
version: 1
name: shop
stages:
  - { name: first, weight: 5%, hold: 5m }
  - { name: half, weight: 50%, hold: 5m }
  - { name: full, weight: 100%, hold: 5m, keep_old: 1h }
checks:
  - { name: errors, worse_than_stable: 1.5x }
  - { name: slow, metric: latency.p95, above: 1s }
  - { name: broken, metric: error_rate, above: 50%, then: roll_back }
  - { name: cpu, metric: cpu, above: 90%, then: warn }
progress: { within: 2h }
";

fn shop(mode: &str) -> Policy {
    Policy::from_yaml(&format!("{SHOP}mode: {mode}\n")).unwrap()
}

#[test]
fn manual_asks_before_each_weight_after_the_first_and_before_the_promotion() {
    let policy = shop("manual");
    let asks = |asks: &[Ask]| -> Vec<(String, Moment, Option<usize>)> {
        asks.iter().map(|a| (a.gate.to_string(), a.moment, a.stage)).collect()
    };
    let go_on = "go-on".to_owned();
    assert_eq!(asks(policy.asks_before_first()), []);
    assert_eq!(asks(policy.asks_after(0)), [(go_on.clone(), Moment::Entering, Some(1))]);
    assert_eq!(asks(policy.asks_after(1)), [(go_on.clone(), Moment::Entering, Some(2))]);
    // The bake has the weight of the stage before it.
    assert_eq!(asks(policy.asks_after(2)), []);
    assert_eq!(asks(policy.asks_after(3)), [(go_on, Moment::Promotion, None)]);
    assert_eq!(policy.gate(&"go-on".parse().unwrap()), GateSpec::approval());
    assert_eq!(policy.checks(), shop("automatic").checks());
}

#[test]
fn the_file_may_say_how_its_manual_gate_is_asked() {
    let policy = Policy::from_yaml(&format!(
        "{SHOP}mode: manual\ngates: {{ go-on: {{ approval: {{}}, timeout: 8h }} }}\n"
    ));
    let hours = std::time::Duration::from_secs(8 * 3600);
    assert_eq!(
        policy.unwrap().gate(&"go-on".parse().unwrap()),
        GateSpec::approval().timeout(hours)
    );
    let unasked = format!("{SHOP}gates: {{ go-on: {{ approval: {{}} }} }}\n");
    assert!(Policy::from_yaml(&unasked).is_err());
}

#[test]
fn hybrid_asks_where_nothing_else_is_said() {
    let thens = |mode: &str| -> Vec<Then> { shop(mode).checks().iter().map(|c| c.then).collect() };
    assert_eq!(thens("hybrid"), [Then::Ask, Then::Ask, Then::RollBack, Then::Warn]);
    assert_eq!(thens("automatic"), [Then::RollBack, Then::RollBack, Then::RollBack, Then::Warn]);
    let progress = |mode: &str| shop(mode).spec().progress.unwrap().then;
    assert_eq!((progress("hybrid"), progress("automatic")), (Then::Ask, Then::RollBack));
    assert!(shop("hybrid").hard_limit());
}
