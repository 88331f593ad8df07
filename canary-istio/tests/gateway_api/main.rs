//! An HTTPRoute of the Gateway API on a real Istio control plane and a real Envoy: requests by their headers, copies,
//! shares, and the control plane's word on a route.
//!
//! They need what `.ci/cluster/up` and `.ci/cluster/mesh` start.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bed;

use std::collections::BTreeMap;
use std::time::Duration;

use bed::{Bed, HTTP};
use canary_core::ports::{Call, TrafficRouter};
use canary_core::testing::conformance::run;
use canary_core::value::{BySide, EffectId, Epoch, FailureKind, Side, Timestamp, Traffic, Weight};
use canary_kube::{RouteWeights, Rule, http_route};
use serde_json::json;

fn call(effect: u64) -> Call {
    let made = Timestamp::EPOCH;
    let rollout = "gateway-1".parse().unwrap();
    Call::new(
        rollout,
        Epoch::new(1),
        EffectId::new(effect),
        1,
        made,
        made + Duration::from_secs(10),
    )
}

fn router(bed: &Bed, canary: &str) -> RouteWeights {
    let backends = BySide { stable: bed.backend(Side::Stable), canary: canary.to_owned() };
    http_route(bed.client(), bed::NAMESPACE, &bed.name, Rule::Only, backends)
}

/// Whether so many of so many are what a share makes likely: within three standard errors.
fn is_share(found: usize, of: usize, share: f64) -> bool {
    let error = (of as f64 * share * (1.0 - share)).sqrt();
    (found as f64 - of as f64 * share).abs() <= 3.0 * error
}

#[test]
#[ignore = "needs what .ci/cluster/up and .ci/cluster/mesh start"]
fn headers_shares_and_copies_reach_the_canary_as_the_route_says() {
    run(async {
        let bed = Bed::start().await;
        let filter = json!({ "type": "RequestHeaderModifier",
            "requestHeaderModifier": { "set": [{ "name": "x-via", "value": "mesh" }] } });
        let matches = json!([{ "path": { "type": "PathPrefix", "value": "/api" } }]);
        let rule =
            json!({ "matches": matches, "filters": [filter], "timeouts": { "request": "5s" } });
        bed.route(rule, &bed.backend(Side::Canary)).await;
        bed.eventually(async || bed.ask(None).await == (200, "stable mesh".to_owned())).await;
        let before = bed.read(HTTP).await["spec"].clone();

        // Names of headers have no case in the Gateway API.
        let router = router(&bed, &bed.backend(Side::Canary));
        let header = BTreeMap::from([("X-Canary".to_owned(), "true".to_owned())]);
        let testers = Traffic::all_stable().with_header(header);
        let observed = router.observe(&call(1)).await.unwrap();
        let applied = router.apply(&call(2), &testers, Some(&observed.version)).await.unwrap();
        bed.eventually(async || bed.ask(Some("true")).await.1 == "canary mesh").await;
        for _ in 0..50 {
            assert_eq!(bed.ask(Some("true")).await, (200, "canary mesh".to_owned()));
            assert_eq!(bed.ask(Some("no")).await, (200, "stable mesh".to_owned()));
            assert_eq!(bed.ask(None).await, (200, "stable mesh".to_owned()));
        }

        let copied = testers.clone().with_mirror(Weight::percent(50));
        let applied = router.apply(&call(3), &copied, Some(&applied.version)).await.unwrap();
        let quiet = bed.arrivals(Side::Canary);
        bed.eventually(async || {
            bed.ask(None).await;
            bed.arrivals(Side::Canary) > quiet
        })
        .await;
        let first = bed.arrivals(Side::Canary);
        for _ in 0..400 {
            assert_eq!(bed.ask(None).await, (200, "stable mesh".to_owned()));
        }
        let copies = bed.arrivals(Side::Canary) - first;
        println!("{copies} copies of 400 requests");
        assert!(is_share(copies, 400, 0.5), "{copies} copies of 400 requests");

        let fifth = Traffic::to_canary(Weight::percent(20)).with_header(testers.header.clone());
        router.apply(&call(4), &fifth, Some(&applied.version)).await.unwrap();
        bed.eventually(async || bed.ask(None).await.1 == "canary mesh").await;
        let mut canary = 0;
        for _ in 0..1_000 {
            let (status, by) = bed.ask(None).await;
            assert_eq!(status, 200);
            canary += usize::from(by == "canary mesh");
        }
        println!("{canary} of 1000 requests at the canary");
        assert!(is_share(canary, 1_000, 0.2), "{canary} of 1000");

        router.apply(&call(5), &Traffic::all_stable(), None).await.unwrap();
        router.release(&call(6)).await.unwrap();
        assert_eq!(bed.read(HTTP).await["spec"], before);
        bed.eventually(async || bed.ask(Some("true")).await.1 == "stable mesh").await;
        bed.end().await;
    });
}

#[test]
#[ignore = "needs what .ci/cluster/up and .ci/cluster/mesh start"]
fn a_route_that_istiod_rejects_is_an_error_in_its_words_and_can_be_taken_back() {
    run(async {
        let bed = Bed::start().await;
        let path = json!([{ "path": { "type": "PathPrefix", "value": "/" } }]);
        bed.route(json!({ "matches": path }), "gone").await;
        let told = async || bed.read(HTTP).await["status"]["parents"][0]["conditions"].is_array();
        bed.eventually(told).await;
        let router = router(&bed, "gone");
        let observed = router.observe(&call(1)).await.unwrap();
        let tenth = Traffic::to_canary(Weight::percent(10));
        let refused = router.apply(&call(2), &tenth, Some(&observed.version)).await.unwrap_err();
        println!("{refused}");
        assert_eq!(refused.kind(), FailureKind::Invalid);
        let says = "istio.io/gateway-controller cannot use what it refers to";
        assert!(refused.to_string().contains(says), "{refused}");
        assert!(refused.to_string().contains("BackendNotFound"), "{refused}");
        router.apply(&call(3), &Traffic::all_stable(), None).await.unwrap();
        assert_eq!(router.observe(&call(4)).await.unwrap().traffic, Traffic::all_stable());
        bed.end().await;
    });
}
