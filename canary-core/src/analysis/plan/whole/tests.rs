//! The plan of a whole policy agrees with that of its stages, and with what happens.

use proptest::prelude::*;

use super::*;
use crate::analysis::evidence::Processes;
use crate::analysis::fixtures::relative;
use crate::analysis::plan::tests::drawn;
use crate::policy::Weighed;
use crate::value::Weight;

const MINUTE: Duration = Duration::from_secs(60);

/// Plans stages of so many percent and minutes at 100 requests a second, of which stable fails one in a thousand.
fn plan(stages: &[(u8, u32)], check: &Check) -> PlanTraffic {
    plan_at(100.0, stages, check)
}

fn plan_at(per_second: f64, stages: &[(u8, u32)], check: &Check) -> PlanTraffic {
    let mut policy = Policy::builder("shop");
    for (percent, minutes) in stages {
        policy =
            policy.stage(format!("at-{percent}"), Weight::percent(*percent), MINUTE * *minutes);
    }
    let policy = policy.stage("full", Weight::FULL, MINUTE).check(check.clone()).build().unwrap();
    PlanTraffic::of(&policy, &policy.checks()[0], per_second, 0.001).unwrap()
}

fn errors() -> Check {
    Check::worse_than_stable("errors", 1.25)
}

#[test]
fn a_plan_of_one_stage_is_that_stage() {
    for (percent, minutes) in [(1, 600), (5, 60), (50, 4), (90, 30)] {
        let plan = plan(&[(percent, minutes)], &errors());
        let PlannedStage { stage, traffic, hold } = plan.stages()[0];
        assert_eq!((stage, hold, plan.hold()), (0, MINUTE * minutes, MINUTE * minutes));
        for seen in [SeenIn::Half, SeenIn::FourOfFive] {
            let alone = traffic.detects(&plan.limits(), hold, seen).unwrap();
            relative(plan.detects(seen).unwrap(), alone, 1e-6);
        }
    }
}

#[test]
fn a_plan_tells_which_ratio_is_still_well() {
    assert_eq!(plan(&[(5, 60)], &errors()).ratio(), 1.25);
}

#[test]
fn stages_add_up_where_the_check_applies() {
    let stages = [(1, 15), (10, 30), (50, 60)];
    let all = plan(&stages, &errors());
    let late = plan(&stages, &errors().from_weight(Weight::percent(10)));
    assert_eq!(all.stages().iter().map(|s| s.stage).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(late.stages().iter().map(|s| s.stage).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(late.limits(), all.limits(), "the judge counts all stages");
    let alone = plan(&[(50, 60)], &errors());
    let [all, late, alone] = [all, late, alone].map(|plan| plan.detects(SeenIn::Half).unwrap());
    assert!(all < late && late < alone, "{all} {late} {alone}");
}

#[test]
fn what_is_weighed_beside_errors_makes_them_weigh_less() {
    let of = |what: &[(Evident, f64)]| {
        let mut check = errors();
        if let CheckKind::WorseThanStable { of, .. } = &mut check.kind {
            of.extend(what.iter().map(|(what, weight)| Weighed::new(*what, *weight)));
        }
        check
    };
    let stages = [(50, 60)];
    let both = plan(&stages, &of(&[(Evident::Latency, 3.0), (Evident::Errors, 1.0)]));
    relative(both.limits().false_alarm(), 0.0025, 1e-12);
    assert_eq!(plan(&stages, &of(&[(Evident::Errors, 2.0)])), plan(&stages, &errors()));

    let latency = of(&[(Evident::Latency, 1.0)]);
    let limit = Check::above("many", "error_rate", 0.05);
    let policy = Policy::builder("shop")
        .stage("half", Weight::percent(50), MINUTE * 60)
        .stage("full", Weight::FULL, MINUTE)
        .check(latency)
        .check(limit)
        .build()
        .unwrap();
    for check in policy.checks() {
        assert_eq!(PlanTraffic::of(&policy, check, 100.0, 0.001), None);
    }
}

#[test]
fn what_no_hold_shows_has_none() {
    let plan = plan(&[(50, 10)], &errors());
    assert_eq!(plan.hold_needed(0, 1.25, SeenIn::Half), None, "no regression");
    assert_eq!(plan.hold_needed(1, 3.0, SeenIn::Half), None, "no such stage");
}

/// Returns how many of a hundred rollouts convict, with errors drawn.
fn convicted(plan: &PlanTraffic, times: f64, random: &mut u64) -> usize {
    let limits = plan.limits();
    let run = |random: &mut u64| {
        let (mut processes, mut live) = (Processes::default(), Duration::ZERO);
        plan.stages().iter().any(|PlannedStage { traffic, hold, .. }| {
            let end = live + *hold;
            let mut convicted = false;
            while live < end {
                let seen = drawn(traffic, times, random);
                convicted |= processes.add(&limits, seen, live).convicted;
                live += traffic.every;
            }
            convicted
        })
    };
    (0..100).filter(|_| run(random)).count()
}

#[test]
fn the_plan_is_near_what_happens() {
    let mut random = 88_172_645_463_325_252;
    for (per_second, stages) in [
        (10.0, &[(5, 60), (25, 60), (50, 60)][..]),
        (50.0, &[(1, 15), (10, 30), (50, 60)]),
        (100.0, &[(5, 10), (25, 10), (50, 10)]),
        (100.0, &[(10, 60)]),
        (300.0, &[(5, 10), (50, 10)]),
        (1000.0, &[(5, 10), (25, 10), (50, 10)]),
    ] {
        let plan = plan_at(per_second, stages, &errors());
        let half = convicted(&plan, plan.detects(SeenIn::Half).unwrap(), &mut random);
        let mostly = convicted(&plan, plan.detects(SeenIn::FourOfFive).unwrap(), &mut random);
        assert!((40..=72).contains(&half), "{per_second} {stages:?}: {half} of a hundred");
        assert!((65..=95).contains(&mostly), "{per_second} {stages:?}: {mostly} of a hundred");
    }
}

proptest! {
    #[test]
    fn the_hold_that_is_needed_is_enough_and_hardly_more(
        times in 1.5_f64..20.0, minutes in prop::collection::vec(1_u32..90, 3), position in 0_usize..3,
    ) {
        let stages = [(5, minutes[0]), (25, minutes[1]), (50, minutes[2])];
        let mut plan = plan(&stages, &errors());
        let seen = SeenIn::FourOfFive;
        let hold = plan.hold_needed(position, times, seen);
        if let Some(hold) = hold {
            let old = plan.stages[position].hold;
            prop_assert!(!plan.sees(times, seen) || hold <= old);
            let others = plan.mixed - old;
            let set = |plan: &mut PlanTraffic, hold| {
                (plan.stages[position].hold, plan.mixed) = (hold, others + hold);
            };
            set(&mut plan, hold);
            prop_assert!(plan.sees(times, seen), "{hold:?} is not enough");
            let every = plan.stages[position].traffic.every;
            // Up to five minutes all of the evidence starts at once, which makes less enough there.
            if hold >= every && plan.mixed > MINUTE * 6 {
                set(&mut plan, hold - every);
                prop_assert!(!plan.sees(times, seen), "a look less is enough");
            }
        }
    }
}
