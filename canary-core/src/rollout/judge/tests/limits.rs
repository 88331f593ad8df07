//! Limits by which nothing can be judged: a valid policy has none, and where one had, it would be told.

use proptest::prelude::*;

use super::*;
use crate::policy::{CheckKind, Evident, Unclear, Weighed};
use crate::record::Finding;
use crate::rollout::judge::plan::{Node, Plan};

/// Any number, and those at which something ends.
fn numbers() -> impl Strategy<Value = f64> {
    let ends: [f64; 9] = [0.0, 1e-9, 1e-6, 0.25, 0.5, 1.0, 1.25, 100.0, 1e6];
    let near = prop::sample::select(ends.map(|end| [end, end.next_down(), end.next_up()]).concat());
    prop_oneof![1 => any::<f64>(), 4 => near, 1 => 0.0_f64..=0.5, 1 => 1.0_f64..=100.0]
}

fn weighed() -> impl Strategy<Value = Vec<Weighed>> {
    let either = prop::sample::select(vec![Evident::Errors, Evident::Latency]);
    let one = (either, numbers());
    prop::collection::vec(one.prop_map(|(what, weight)| Weighed { what, weight }), 0..3)
}

fn kinds() -> impl Strategy<Value = CheckKind> {
    let numbers = (numbers(), numbers(), weighed(), 0..4);
    numbers.prop_map(|(limit, wrong, of, kind)| {
        let worse = CheckKind::WorseThanStable { ratio: limit, false_alarm: wrong, of };
        match kind {
            0 => worse,
            1 => CheckKind::Any(vec![worse]),
            2 => CheckKind::Objective { allowed: limit, false_alarm: wrong },
            _ => CheckKind::AsGoodAsStable {
                ratio: limit,
                false_pass: wrong,
                unclear: Unclear::GoOn,
            },
        }
    })
}

fn check(kind: CheckKind) -> Check {
    Check::new("limited", kind).then(crate::policy::Then::Warn)
}

/// Tells whether anything in a check can be judged by its limits.
fn is_possible(node: &Node) -> bool {
    match node {
        Node::Impossible(_) => false,
        Node::Combined(_, parts) => parts.iter().all(is_possible),
        _ => true,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5_000))]

    #[test]
    fn a_valid_policy_has_no_impossible_limits(kind in kinds()) {
        if let Ok(policy) = Policy::from_spec(spec(vec![check(kind)])) {
            let plan = Plan::of(&policy);
            prop_assert!(plan.checks.iter().all(|check| is_possible(&check.node)), "{plan:?}");
        }
    }
}

#[test]
fn impossible_limits_are_told_and_nothing_goes_on() {
    let mut bench = Bench::of(vec![Check::worse_than_stable("worse", 1.25)]);
    let mut plan = Plan::of(&bench.policy);
    let limits = crate::analysis::NonInferiorityLimits::new(f64::NAN, 0.05);
    plan.checks[0].node = limits.unwrap_err().into();
    bench.judge.work.plan = Some(std::sync::Arc::new(plan));
    let judged = bench.failing(0);
    assert_eq!((verdict(&judged, "worse"), ruling(&judged)), (Verdict::Error, Ruling::Hold));
    let Finding::Failed(why) = &found(&judged, "worse").finding else { panic!("{judged:?}") };
    assert_eq!(why.kind, FailureKind::Invalid);
    assert!(why.message.contains("the ratio cannot be NaN: expected 0.01 to 100"), "{why}");
}
