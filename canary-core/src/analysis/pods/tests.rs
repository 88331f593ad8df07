//! When a pod is named, and when it must not be.

use std::ops::Range;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::analysis::Starts;
use crate::analysis::fixtures::{close, counts, tick};

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
        assert_eq!(one.name.as_deref(), Some(&*format!("pod-{}", pods / 2)));
        assert!(!one.others.convicted && (one.share - 1.0 / pods as f64).abs() < 1e-12);
    }
}

/// Only pods' own errors tell them apart: the bet is that each error falls on a pod as its requests do, or so many
/// times as often.
#[test]
fn how_far_a_pod_is_apart_is_the_likelihood_of_its_errors() {
    let seen = run(&[vec![9, 1, 0], vec![4, 0, 2]]);
    let of = |times: f64| {
        let share = times / (times + 2.0);
        let as_often: f64 = 1.0 / 3.0;
        let (own, others) = ((share / as_often).ln(), ((1.0 - share) / (1.0 - as_often)).ln());
        (13.0 * own + 3.0 * others).exp()
    };
    let mean = RATIOS.map(of).iter().sum::<f64>() / 8.0;
    close(seen.pods.pods[0].part.ln_apart(), mean.ln());
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
    assert_eq!(one.name.as_deref(), Some("pod-2"));
    // Without it only the two others are there.
    let mut without = vec![vec![0]; 10];
    without.extend(vec![vec![0, 0]; 20]);
    assert_eq!(one.others, run(&without).evidence());
}

/// Adds ticks of canary pods with these numbers, of which one fails most of its requests and the others none.
fn run_of(evidence: &mut Followed, ticks: Range<usize>, pods: Range<usize>, bad: Option<usize>) {
    let served: Vec<_> =
        pods.clone().map(|pod| counts(100, if Some(pod) == bad { 60 } else { 0 })).collect();
    let names: Vec<_> = pods.map(name).collect();
    ticks.for_each(|i| add(evidence, i, &names, &served));
}

fn name(pod: usize) -> Arc<str> {
    format!("pod-{pod:05}").into()
}

#[test]
fn pods_beyond_the_places_are_weighed_together() {
    for bad in [3, 29] {
        let mut evidence = Followed::default();
        run_of(&mut evidence, 0..20, 0..40, Some(bad));
        assert!(evidence.evidence().convicted && evidence.pods.pods.len() == PLACES);
        assert_eq!(evidence.pods.most_together(), 24);
        let one = evidence.one_pod().unwrap();
        assert_eq!(one.name, (bad < PLACES).then(|| name(bad)), "{bad}");
        let share = if bad < PLACES { 1.0 / 40.0 } else { 24.0 / 40.0 };
        assert!(!one.others.convicted && (one.share - share).abs() < 1e-12, "{one:?}");
        let json = serde_json::to_string(&evidence.pods).unwrap();
        assert_eq!(serde_json::from_str::<PodEvidence>(&json).unwrap(), evidence.pods);
    }
}

#[test]
fn a_bad_version_in_many_pods_is_not_among_some_of_them() {
    for bad in [1, 20] {
        let mut evidence = Followed::default();
        for i in 0..60 {
            let names: Vec<_> = (0..40).map(name).collect();
            add(&mut evidence, i, &names, &[counts(100, bad); 40]);
            assert_eq!(evidence.one_pod(), None, "{bad} %, tick {i}");
        }
        assert!(evidence.evidence().convicted);
    }
}

#[test]
fn what_is_weighed_together_gets_places_that_become_free() {
    let mut evidence = Followed::default();
    run_of(&mut evidence, 0..10, 0..40, None);
    run_of(&mut evidence, 10..30, 16..40, Some(29));
    assert_eq!(evidence.one_pod().unwrap().name, Some(name(29)));
    // The eight that still have none stay together.
    assert_eq!((evidence.pods.pods.len(), evidence.pods.most_together()), (PLACES, 24));
}

#[test]
fn over_hours_of_restarts_new_pods_find_places_and_what_is_kept_stays_small() {
    let (mut evidence, mut size) = (Followed::default(), 0);
    // Four pods, all replaced every ten minutes for eight hours.
    for restart in 0..48 {
        let pods = 4 * restart..4 * restart + 4;
        run_of(&mut evidence, 10 * restart..10 * restart + 10, pods, None);
        let now = serde_json::to_string(&evidence.pods).unwrap().len();
        assert!(restart < 4 || now <= size + size / 2, "{now} bytes after {size}");
        size = if restart < 4 { now } else { size };
    }
    assert_eq!((evidence.pods.pods.len(), evidence.pods.most_together()), (PLACES, 0));
    run_of(&mut evidence, 480..540, 192..196, Some(194));
    assert!(evidence.evidence().convicted);
    assert_eq!(evidence.one_pod().unwrap().name, Some(name(194)));
}

#[test]
fn the_one_that_is_suspect_is_remembered_though_it_is_gone() {
    let mut evidence = Followed::default();
    run_of(&mut evidence, 0..1, 0..16, Some(3));
    assert!(!evidence.evidence().convicted);
    // All others leave their places.
    run_of(&mut evidence, 1..2, 100..115, None);
    assert!(evidence.pods.has_place(&name(3)));
    run_of(&mut evidence, 2..3, 100..116, None);
    assert!(!evidence.pods.has_place(&name(3)), "in need there is a place for all that are there");
    assert_eq!(evidence.pods.most_together(), 0);
}

proptest! {
    #[test]
    fn the_order_of_the_pods_is_nothing_to_it(
        ticks in prop::collection::vec(prop::collection::vec(0_u64..30, 20), 1..20),
        pods in 1_usize..20, by in 0_usize..20,
    ) {
        let ticks: Vec<_> = ticks.into_iter().map(|tick| tick[..pods].to_vec()).collect();
        let turn = |tick: &Vec<u64>| {
            let mut named: Vec<_> = names(pods).into_iter().zip(tick.iter().map(|bad| counts(100, *bad))).collect();
            named.rotate_left(by % pods);
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
