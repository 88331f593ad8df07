//! What the control plane knows of its proxies, as a router tells it.

use std::env;
use std::time::Duration;

use canary_core::ports::{Applied, Call, TrafficRouter};
use canary_core::value::{EffectId, Epoch, Side, Traffic, Weight};
use canary_istio::SyncProbe;

use crate::bed::Bed;
use crate::rollouts::alone;

const PATIENCE: Duration = Duration::from_secs(10);

/// Gives the canary everything, as a rollout would that waits so long; then lets users in for a moment.
async fn raise(bed: &Bed, patience: Duration) -> (Applied, Vec<Option<Side>>) {
    let address = env::var("CANARY_TEST_ISTIOD").expect("CANARY_TEST_ISTIOD is set");
    let router = SyncProbe::new(address).unwrap().watch(bed.router());
    let now = bed.clock.now();
    let call = |effect| {
        let id = EffectId::new(effect);
        Call::new("sync-1".parse().unwrap(), Epoch::new(1), id, 1, now, now + patience)
    };
    let version = router.observe(&call(1)).await.unwrap().version;
    let all = Traffic::to_canary(Weight::FULL);
    let applied = router.apply(&call(2), &all, Some(&version)).await.unwrap();
    let users = bed.users(100, false);
    while users.answers().len() < 30 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let by = users.answers().iter().map(|answer| answer.by).collect();
    (applied, by)
}

#[test]
#[ignore = "needs what .ci/cluster/up and .ci/cluster/mesh start"]
fn what_the_proxies_have_taken_is_in_effect_at_once() {
    alone(async {
        let bed = Bed::start().await;
        let (applied, answered) = raise(&bed, PATIENCE).await;
        assert_eq!(applied.effective, Some(true));
        assert!(answered.iter().all(|by| *by == Some(Side::Canary)), "{answered:?}");
        bed.end().await;
    });
}

#[test]
#[ignore = "needs what .ci/cluster/up and .ci/cluster/mesh start"]
fn what_a_proxy_rejects_is_known_not_to_be_in_effect() {
    alone(async {
        let bed = Bed::start().await;
        bed.spoil_routes().await;
        let (applied, answered) = raise(&bed, PATIENCE).await;
        assert_eq!(applied.effective, Some(false));
        assert!(answered.iter().all(|by| *by == Some(Side::Stable)), "{answered:?}");
        bed.end().await;
    });
}

/// Istio collects changes while others keep coming, for ten seconds at the most.
#[test]
#[ignore = "needs what .ci/cluster/up and .ci/cluster/mesh start"]
fn while_much_else_changes_it_takes_longer_and_is_known_all_the_same() {
    alone(async {
        let bed = Bed::start().await;
        let raised = raise(&bed, 4 * PATIENCE);
        let (applied, answered) = tokio::select! {
            raised = raised => raised,
            () = bed.keep_writing(Duration::from_millis(50)) => unreachable!("it has no end"),
        };
        assert_eq!(applied.effective, Some(true));
        assert!(answered.iter().all(|by| *by == Some(Side::Canary)), "{answered:?}");
        bed.end().await;
    });
}
