//! When a pod is named, and when it must not be.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::analysis::Starts;
use crate::analysis::fixtures::{counts, tick};

fn limits() -> EvidenceLimits {
    EvidenceLimits::new(1.25, 0.01, Starts::over(Duration::from_secs(1800))).unwrap()
}

fn names(pods: usize) -> Vec<Arc<str>> {
    (0..pods).map(|i| format!("pod-{i}").into()).collect()
}

/// The evidence of all pods, and what is known of each.
#[derive(Default)]
struct Followed {
    all: EvidenceState,
    pods: PodEvidence,
}

impl Followed {
    fn one_pod(&self) -> Option<OnePod> {
        self.pods.one_pod(&self.all)
    }

    fn evidence(&self) -> Evidence {
        self.all.evidence()
    }
}

/// Adds ticks in which each pod serves 100 requests and fails as many of them as is said, beside a stable that fails
/// two of 2,000.
fn run(ticks: &[Vec<u64>]) -> Followed {
    let mut evidence = Followed::default();
    for (i, failed) in ticks.iter().enumerate() {
        let served: Vec<_> = failed.iter().map(|bad| counts(100, *bad)).collect();
        add(&mut evidence, i, &names(failed.len()), &served);
    }
    evidence
}

fn add(evidence: &mut Followed, i: usize, names: &[Arc<str>], served: &[Counts]) {
    let mut canary = Counts::default();
    served.iter().for_each(|served| canary.add(*served));
    let tick = tick(i, (canary.total, canary.bad, 2_000, 2));
    let pods = names.iter().zip(served.iter().copied());
    evidence.pods.add(&limits(), &mut evidence.all, tick, pods).unwrap();
}

#[test]
fn one_bad_pod_is_named() {
    for pods in [2, 3, 5, 10] {
        let mut failed = vec![0; pods];
        failed[pods / 2] = 20;
        let mut ticks = vec![failed; 20];
        // The others fail as stable does.
        for tick in ticks.iter_mut().step_by(10) {
            tick[(pods / 2 + 1) % pods] += 1;
        }
        let evidence = run(&ticks);
        assert!(evidence.evidence().convicted, "{pods}");
        let one = evidence.one_pod().unwrap_or_else(|| panic!("none of {pods} was named"));
        assert_eq!(&*one.name, format!("pod-{}", pods / 2));
        assert!(!one.others.convicted && (one.share - 1.0 / pods as f64).abs() < 1e-12);
    }
}

#[test]
fn a_bad_version_is_no_bad_pod_even_when_it_has_only_just_been_convicted() {
    for pods in [2, 3, 5, 10] {
        for bad in [1, 2, 5, 20] {
            let mut evidence = Followed::default();
            for i in 0..200 {
                add(&mut evidence, i, &names(pods), &vec![counts(100, bad); pods]);
                assert_eq!(evidence.one_pod(), None, "{pods} pods that fail {bad} %, tick {i}");
            }
            assert!(evidence.evidence().convicted);
        }
    }
}

#[test]
fn the_worst_pod_of_a_bad_version_is_not_the_reason() {
    let evidence = run(&vec![vec![60, 8, 8, 8]; 20]);
    assert!(evidence.evidence().convicted);
    assert_eq!(evidence.one_pod(), None);
}

#[test]
fn nobody_is_named_before_the_evidence_convicts_or_where_there_are_no_others() {
    assert_eq!(run(&[vec![3, 0, 0]]).one_pod(), None);
    let alone = run(&vec![vec![20]; 20]);
    assert!(alone.evidence().convicted);
    assert_eq!(alone.one_pod(), None);
    assert_eq!(Followed::default().one_pod(), None);
}

#[test]
fn a_pod_that_comes_later_is_left_out_from_its_first_request() {
    let mut ticks = vec![vec![0]; 10];
    ticks.extend(vec![vec![0, 0, 20]; 20]);
    let one = run(&ticks).one_pod().unwrap();
    assert_eq!(&*one.name, "pod-2");
    // Without it only the two others are there.
    let mut without = vec![vec![0]; 10];
    without.extend(vec![vec![0, 0]; 20]);
    assert_eq!(one.others, run(&without).evidence());
}

#[test]
fn sixteen_pods_are_followed() {
    let mut failed = vec![0; 30];
    failed[29] = 60;
    let evidence = run(&vec![failed; 20]);
    assert!(evidence.evidence().convicted && evidence.pods.pods.len() == 16);
    assert_eq!(evidence.one_pod(), None);
    let json = serde_json::to_string(&evidence.pods).unwrap();
    assert_eq!(serde_json::from_str::<PodEvidence>(&json).unwrap(), evidence.pods);
}

proptest! {
    #[test]
    fn the_order_of_the_pods_is_nothing_to_it(
        ticks in prop::collection::vec(prop::collection::vec(0_u64..30, 6), 1..20), by in 0_usize..6,
    ) {
        let turn = |tick: &Vec<u64>| {
            let mut named: Vec<_> = names(6).into_iter().zip(tick.iter().map(|bad| counts(100, *bad))).collect();
            named.rotate_left(by);
            named.into_iter().unzip::<_, _, Vec<_>, Vec<_>>()
        };
        let mut turned = Followed::default();
        for (i, tick) in ticks.iter().enumerate() {
            let (names, served) = turn(tick);
            add(&mut turned, i, &names, &served);
        }
        let straight = run(&ticks);
        prop_assert_eq!(turned.evidence(), straight.evidence());
        prop_assert_eq!(turned.one_pod(), straight.one_pod());
    }
}
