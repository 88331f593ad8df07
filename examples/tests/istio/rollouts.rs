//! Each test has the gateway to itself: how soon traffic follows depends on what else changes.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use canary_core::record::{Content, Record};
use canary_core::report::Report;
use canary_core::rollout::Waiting;
use canary_core::value::{Side, Timestamp, Weight};
use serde_json::Value;

use crate::bed::Bed;
use crate::front::{Answer, Front};
use crate::plans::{orion, payment, rollout};

static ALONE: Mutex<()> = Mutex::new(());

/// How many users' requests there are in a second.
const RATE: u32 = 300;

/// Runs a test while no other one runs.
pub(crate) fn alone<T>(test: impl Future<Output = T>) -> T {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    tokio::runtime::Runtime::new().unwrap().block_on(test)
}

/// Says until when each weight was in force, from when it surely was.
fn stretches(report: &Report, until: Timestamp) -> Vec<(Weight, Timestamp, Timestamp)> {
    let accepted = |record: &Record| match record.content {
        Content::TrafficAccepted { weight, .. } => Some((weight, record.at)),
        _ => None,
    };
    let changes: Vec<_> = report.timeline.iter().filter_map(accepted).collect();
    let ends = changes.iter().skip(1).map(|change| change.1).chain([until]);
    // What the plans leave out, too.
    let settle = Duration::from_secs(1);
    changes.iter().zip(ends).map(|(&(weight, at), end)| (weight, at + settle, end)).collect()
}

fn sent_within(answers: &[Answer], from: Timestamp, to: Timestamp) -> Vec<Answer> {
    let within = |answer: &&Answer| !answer.tester && from <= answer.sent && answer.sent < to;
    answers.iter().filter(within).copied().collect()
}

/// Checks that every stretch gave the canary its share, within three standard errors.
#[track_caller]
fn shares_follow(report: &Report, answers: &[Answer], until: Timestamp) {
    for (weight, from, to) in stretches(report, until) {
        let sent = sent_within(answers, from, to);
        let canary = sent.iter().filter(|answer| answer.by == Some(Side::Canary)).count();
        let (count, share) = (sent.len() as f64, weight.fraction());
        println!("{weight}: {canary} of {count}");
        let allowed = 3.0 * (count * share * (1.0 - share)).sqrt();
        assert!(
            (canary as f64 - count * share).abs() <= allowed,
            "at {weight} the canary had {canary} of {count} requests"
        );
    }
}

/// Checks that the canary had all testers from the first stage on, and nobody else at 0 %.
#[track_caller]
fn testers_reach_the_canary(report: &Report, answers: &[Answer]) {
    // The first one is from before the first stage: the route is claimed as it stands.
    let (_, from, raised) = stretches(report, Timestamp::EPOCH)[1];
    let elsewhere = answers
        .iter()
        .find(|answer| answer.tester && from <= answer.sent && answer.by != Some(Side::Canary));
    assert!(elsewhere.is_none(), "a tester did not reach the canary: {elsewhere:?}");
    let testers = answers.iter().filter(|answer| answer.tester && from <= answer.sent).count();
    assert!(testers > 100, "{testers} testers");
    let others = sent_within(answers, from, raised);
    let other = others.iter().find(|answer| answer.by != Some(Side::Stable));
    assert!(other.is_none() && !others.is_empty(), "somebody else reached it: {other:?}");
}

#[track_caller]
fn none_failed(front: &Front) -> usize {
    let answers = front.answers();
    let failed: Vec<_> = answers.iter().filter(|answer| !answer.status.is_success()).collect();
    assert!(
        failed.is_empty(),
        "{} of {} failed: {:?}",
        failed.len(),
        answers.len(),
        failed.first()
    );
    answers.len()
}

/// Takes away what writing to an object always changes.
fn own_fields(mut object: Value) -> Value {
    let metadata = object["metadata"].as_object_mut().unwrap();
    metadata.retain(|key, _| {
        !["resourceVersion", "generation", "managedFields"].contains(&key.as_str())
    });
    object
}

#[test]
#[ignore = "needs what .ci/cluster/up and .ci/cluster/mesh start"]
fn orion_goes_through_and_no_request_fails() {
    alone(async {
        let bed = Bed::start().await;
        let users = bed.users(RATE, false);
        let handle = rollout(&bed, orion()).start("orion-1".parse().unwrap()).await.unwrap();
        let report = handle.finished().await.unwrap().report().clone();
        let until = bed.clock.now();
        report.assert_promoted();
        shares_follow(&report, &users.answers(), until);
        println!("{} requests, none failed", none_failed(&users));
        bed.end().await;
    });
}

#[test]
#[ignore = "needs what .ci/cluster/up and .ci/cluster/mesh start"]
fn payment_goes_through_with_testers_in_front() {
    alone(async {
        let bed = Bed::start().await;
        let users = bed.users(RATE, true);
        let handle = rollout(&bed, payment()).start("payment-1".parse().unwrap()).await.unwrap();
        let mut status = handle.status();
        status.wait_for(|status| matches!(&status.waiting, Waiting::Gate(gate) if gate.as_str() == "oncall")).await.unwrap();
        handle.approve("oncall", &"somebody".parse().unwrap()).await.unwrap();
        let report = handle.finished().await.unwrap().report().clone();
        let until = bed.clock.now();
        report.assert_promoted();
        shares_follow(&report, &users.answers(), until);
        println!("{} requests, none failed", none_failed(&users));
        testers_reach_the_canary(&report, &users.answers());
        bed.end().await;
    });
}

#[test]
#[ignore = "needs what .ci/cluster/up and .ci/cluster/mesh start"]
fn a_bad_canary_is_back_to_nothing_and_the_object_as_it_was() {
    alone(async {
        let bed = Bed::start().await;
        let before = own_fields(bed.route().await);
        let users = bed.users(RATE, false);
        let report = taken_back_at_a_quarter(&bed).await;
        // What is under way has arrived by then.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let last = last_request(&bed, &report);
        assert!(last < report.ended.unwrap() + Duration::from_secs(1), "it still gets requests");
        assert_eq!(own_fields(bed.route().await), before);
        drop(users);
        bed.end().await;
    });
}

/// Istio collects changes while others keep coming, for ten seconds at the most.
#[test]
#[ignore = "needs what .ci/cluster/up and .ci/cluster/mesh start"]
fn a_bad_canary_is_back_to_nothing_while_much_else_changes() {
    const MOST: Duration = Duration::from_secs(10);
    alone(async {
        let bed = Bed::start().await;
        let users = bed.users(RATE, false);
        let gone = async {
            let report = taken_back_at_a_quarter(&bed).await;
            tokio::time::sleep(MOST + Duration::from_secs(2)).await;
            report
        };
        let report = tokio::select! {
            report = gone => report,
            () = bed.keep_writing(Duration::from_millis(50)) => unreachable!("it has no end"),
        };
        let decided = report.rollback_decided.unwrap();
        let last = last_request(&bed, &report);
        assert!(last < decided + MOST + Duration::from_secs(1), "it still gets requests");
        drop(users);
        bed.end().await;
    });
}

/// Lets the canary fail when it has a quarter of the traffic.
async fn taken_back_at_a_quarter(bed: &Bed) -> Report {
    let id = format!("{}-bad", bed.name).parse().unwrap();
    let handle = rollout(bed, orion()).start(id).await.unwrap();
    let mut status = handle.status();
    status.wait_for(|status| status.weight == Weight::percent(25)).await.unwrap();
    bed.versions.canary.fail(500);
    let report = handle.finished().await.unwrap().report().clone();
    report.assert_rolled_back();
    report
}

/// Returns when the canary got its last request, and says how long after the decision that was.
fn last_request(bed: &Bed, report: &Report) -> Timestamp {
    let last = bed.versions.canary.arrivals().last().unwrap().at;
    let late = last.since(report.rollback_decided.unwrap());
    println!("the last request reached the canary {late:?} after the decision");
    last
}
