use canary_core::policy::{Check, MetricQuery, MetricSpec, Then};
use canary_core::value::Weight;
use proptest::prelude::*;

use super::gravest::effect;
use super::*;

fn policy(checks: impl IntoIterator<Item = Check>) -> Policy {
    let hour = Duration::from_secs(3600);
    let builder = Policy::builder("shop").stage("half", Weight::percent(50), hour).stage(
        "full",
        Weight::FULL,
        hour,
    );
    checks.into_iter().fold(builder, |builder, check| builder.check(check)).build().unwrap()
}

proptest! {
    #[test]
    fn no_alert_is_looser_than_a_check_of_the_same_weight(
        checks in prop::collection::vec((0_usize..4, 0.01_f64..0.9, 0_u64..600, any::<bool>()), 1..6)
    ) {
        let thens = [Then::Warn, Then::Hold, Then::Ask, Then::RollBack];
        let made: Vec<Check> = checks
            .iter()
            .enumerate()
            .map(|(i, &(then, at, seconds, dry_run))| {
                let check = Check::above(format!("c{i}"), "error_rate", at)
                    .lasting(Duration::from_secs(seconds))
                    .then(thens[then]);
                if dry_run { check.dry_run() } else { check }
            })
            .collect();
        let bound = Limited::Errors.bound(&policy(made.clone()));
        let most = made.iter().map(effect).max().unwrap();
        let (mut is_one, mut lasts_as_one) = (false, false);
        for check in made.iter().filter(|check| effect(check) == most) {
            let CheckKind::Threshold { limit: Limit::Absolute(at), for_ms, .. } = check.kind else {
                unreachable!()
            };
            let lasting = Duration::from_millis(for_ms);
            prop_assert!(bound.at <= at && bound.lasting <= lasting);
            is_one |= bound.at == at;
            lasts_as_one |= bound.lasting == lasting;
        }
        prop_assert!(is_one && lasts_as_one);
    }
}

#[test]
fn below_a_limit_the_higher_one_is_stricter() {
    let policy = policy([
        Check::below("a", "success_rate", 0.95),
        Check::below("b", "success_rate", 0.99),
        Check::above("c", "success_rate", 0.999),
    ]);
    let bound = Limited::Success.bound(&policy);
    assert_eq!(bound.at, 0.99);
}

#[test]
fn parts_of_any_count_and_parts_of_all_do_not() {
    let threshold = |at| Check::above("x", "error_rate", at).kind;
    let any = Check::new("any", CheckKind::Any(vec![threshold(0.04), threshold(0.08)]));
    let all = Check::new("all", CheckKind::All(vec![threshold(0.01), threshold(0.02)]));
    let bound = Limited::Errors.bound(&policy([any, all]));
    assert_eq!(bound.at, 0.04);
}

#[test]
fn limits_are_in_base_units() {
    let bound = Limited::P95.bound(&policy([Check::above("slow", "latency.p95", 250.0)]));
    assert_eq!(bound, Bound::new(0.25, Duration::ZERO));
    assert_eq!(Limited::P95.show(bound.at), "250 ms");
}

#[test]
fn what_a_policy_defines_itself_under_the_name_of_a_resource_is_something_else() {
    let hour = Duration::from_secs(3600);
    let of = |builder: canary_core::policy::PolicyBuilder| {
        let builder = builder.stage("full", Weight::FULL, hour);
        builder.check(Check::above("cpu", "cpu", 900.0)).build().unwrap()
    };
    let own = MetricSpec::Query(MetricQuery::new("cpu_millicores"));
    let usual = Limited::Cpu.usual();
    assert_eq!(Limited::Cpu.bound(&of(Policy::builder("a").metric("cpu", own))), usual);
    assert_eq!(Limited::Cpu.bound(&of(Policy::builder("a"))).at, 900.0);
}

#[test]
fn evidence_on_latency_alone_says_nothing_of_errors() {
    let latency = Weighed::new(Evident::Latency, 1.0);
    let mut check = Check::worse_than_stable("slow", 1.25);
    assert_eq!(evident_ratio(&policy([check.clone()])), Some(1.25));
    if let CheckKind::WorseThanStable { of, .. } = &mut check.kind {
        of.push(latency);
    }
    assert_eq!(evident_ratio(&policy([check])), None);
}
