//! Copies of requests, whose answers nobody sees.

use std::time::Duration;

use canary_core::ports::{Call, TrafficRouter};
use canary_core::value::{EffectId, Epoch, Side, Traffic, Weight};

use crate::bed::Bed;
use crate::rollouts::alone;

#[test]
#[ignore = "needs what .ci/cluster/up and .ci/cluster/mesh start"]
fn mirrored_requests_reach_the_canary_and_its_answers_nobody() {
    alone(async {
        let bed = Bed::start().await;
        bed.versions.canary.fail(1000);
        let (router, now) = (bed.router(), bed.clock.now());
        let call = |effect| {
            let deadline = now + Duration::from_secs(10);
            let rollout = "mirror-1".parse().unwrap();
            Call::new(rollout, Epoch::new(1), EffectId::new(effect), 1, now, deadline)
        };
        let version = router.observe(&call(1)).await.unwrap().version;
        let mirrored = Traffic::all_stable().with_mirror(Weight::percent(50));
        router.apply(&call(2), &mirrored, Some(&version)).await.unwrap();

        let users = bed.users(200, false);
        let copies = || bed.versions.canary.arrivals();
        while copies().is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let before = (users.answers().len(), copies().len());
        while users.answers().len() < before.0 + 1_000 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let (answers, copied) = (users.answers(), copies().len() - before.1);
        println!("{copied} copies of {} requests", answers.len() - before.0);
        // Half of a thousand, within three standard errors and what is under way.
        assert!((440..=560).contains(&copied), "{copied} of a thousand");
        let seen = |answer: &&crate::front::Answer| {
            answer.by != Some(Side::Stable) || !answer.status.is_success()
        };
        assert!(!answers.iter().any(|answer| seen(&answer)), "a user saw the canary's answer");

        router.apply(&call(3), &Traffic::all_stable(), None).await.unwrap();
        bed.end().await;
    });
}
