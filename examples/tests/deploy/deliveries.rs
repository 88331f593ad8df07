//! Each test has the gateway to itself: how soon traffic follows depends on what else changes.

use std::sync::{Mutex, PoisonError};

use canary_core::report::Report;
use canary_core::value::Side;
use serde_json::json;

use crate::platform::Platform;
use crate::programs::start;

static ALONE: Mutex<()> = Mutex::new(());

/// Runs a test while no other one runs.
fn alone<T>(test: impl Future<Output = T>) -> T {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    tokio::runtime::Runtime::new().unwrap().block_on(test)
}

/// Checks that only this image runs, has all of the traffic, and nothing else is left behind.
async fn only(platform: &Platform, image: &str) {
    assert_eq!(platform.image(Side::Stable).await.as_deref(), Some(image));
    assert_eq!(platform.image(Side::Canary).await, None);
    let route = platform.bed.route().await;
    let weights = route.pointer("/spec/http/0/route").unwrap().as_array().unwrap();
    let weights: Vec<_> = weights.iter().map(|way| way["weight"].as_u64().unwrap_or(0)).collect();
    assert_eq!(weights, [100, 0]);
    let annotations = &route["metadata"]["annotations"];
    assert!(*annotations == json!(null) || *annotations == json!({}), "{annotations}");
}

#[test]
#[ignore = "needs what .ci/cluster/up and .ci/cluster/mesh start, and Prometheus"]
fn a_good_image_is_promoted_and_no_request_fails() {
    alone(async {
        let platform = Platform::start().await;
        platform.add_autoscaler().await;
        let before = platform.scales_down().await;
        let mut deploy = start(&mut platform.deploy(&["--auto-promote"]));
        deploy.until("50% accepted");
        // Whoever is taken back from here finds a stable as large as it was.
        assert_eq!(platform.scales_down().await, json!("Disabled"));
        let ended = deploy.end();
        ended.came_to(0, &["5% accepted and in effect", "100% accepted", "promoted after"]);
        only(&platform, "web:v2").await;
        assert_eq!(platform.scales_down().await, before);
        let mut pages = platform.state.path().read_dir().unwrap();
        assert!(
            pages.any(|page| page.unwrap().path().extension().is_some_and(|it| it == "md")),
            "no page"
        );
        println!("{} requests, none failed", platform.none_failed());
        platform.end().await;
    });
}

#[test]
#[ignore = "needs what .ci/cluster/up and .ci/cluster/mesh start, and Prometheus"]
fn a_bad_image_is_taken_back_and_nothing_of_it_stays() {
    alone(async {
        let platform = Platform::start().await;
        platform.bed.versions.canary.fail(500);
        let ended = start(&mut platform.deploy(&["--auto-promote", "--json"])).end();
        // Nothing but the report stands there.
        let report: Report = serde_json::from_str(&ended.said).unwrap();
        report.assert_rolled_back_by("errors");
        ended.came_to(3, &[]);
        only(&platform, "web:v1").await;
        platform.end().await;
    });
}

#[test]
#[ignore = "needs what .ci/cluster/up and .ci/cluster/mesh start, and Prometheus"]
fn a_dry_run_changes_nothing() {
    alone(async {
        let platform = Platform::start().await;
        platform.add_http_route().await;
        let before = platform.objects().await;
        let ended = start(&mut platform.deploy(&["--dry-run"])).end();
        ended.came_to(
            0,
            &[
                "ok: permissions",
                "has both subsets",
                "gives the canary 100%",
                "nothing was changed",
            ],
        );
        // Nobody tells this Prometheus what Linkerd's proxies see.
        let linkerd = ["--dry-run", "--mesh", "linkerd", "--skip-validation"];
        let ended = start(&mut platform.deploy(&linkerd)).end();
        let route = format!("HTTPRoute default/{} gives the canary 100%", platform.bed.name);
        ended.came_to(0, &[&route, "nothing was changed"]);
        // What the real run would refuse is refused here.
        let by = |policy: &str| {
            let file = format!("{}/policies/{policy}.yaml", env!("CARGO_MANIFEST_DIR"));
            start(&mut platform.deploy_as(&["--dry-run", "--policy", &file])).end()
        };
        by("payment").came_to(0, &["gives the canary 0%, header x-canary", "nothing was changed"]);
        by("feature-flag").failed_with(1, "choose the canary's share by user");
        by("blue-green").failed_with(1, "let the promotion be `in_place`");
        let nowhere = ["--dry-run", "--skip-validation", "--istiod", "no address"];
        let ended = start(&mut platform.deploy_as(&nowhere)).end();
        ended.failed_with(1, "`no address` is no address of istiod");
        assert_eq!(platform.objects().await, before);
        assert!(platform.state.path().read_dir().unwrap().next().is_none(), "it left a file");
        platform.end().await;
    });
}

#[test]
#[ignore = "needs what .ci/cluster/up and .ci/cluster/mesh start, and Prometheus"]
fn all_that_is_wrong_is_said_at_once() {
    alone(async {
        let platform = Platform::start().await;
        let before = platform.objects().await;
        let wrong = ["--deployment", "nobody", "--route", "nowhere"];
        let ended = start(&mut platform.deploy(&wrong)).end();
        ended.came_to(
            1,
            &[
                "error: permissions: may not patch virtualservices.networking.istio.io nowhere in default",
                "error: VirtualService default/nowhere: it cannot be read",
                "error: Deployments nobody and ",
                "no canary can be made: Deployment default/nobody is not there",
                "it knows no requests of stable",
                "ok: Service default/",
            ],
        );
        let ended = start(&mut platform.deploy(&["--traffic-steps", "50,25,100"])).end();
        assert_eq!(ended.code, Some(2));
        assert_eq!(platform.objects().await, before);
        platform.end().await;
    });
}

#[test]
#[ignore = "needs what .ci/cluster/up and .ci/cluster/mesh start, and Prometheus"]
fn killed_twice_it_is_taken_up_and_promoted() {
    alone(async {
        let platform = Platform::start().await;
        let mut deploy = start(&mut platform.deploy(&["--auto-promote"]));
        deploy.until("25% accepted");
        deploy.signal("KILL");
        assert_eq!(deploy.end().code, None);
        let again = start(&mut platform.deploy(&["--auto-promote"])).end();
        again.failed_with(1, &format!("{} is busy with the rollout", platform.target()));
        let mut resume = start(&mut platform.resume(&[]));
        resume.until("point of no return");
        resume.signal("KILL");
        assert_eq!(resume.end().code, None);
        let ended = start(&mut platform.resume(&[])).end();
        ended.came_to(0, &["1 to take up", "stable has the new version", "promoted after"]);
        only(&platform, "web:v2").await;
        platform.none_failed();
        start(&mut platform.resume(&[])).end().came_to(0, &["0 to take up"]);
        platform.end().await;
    });
}

#[test]
#[ignore = "needs what .ci/cluster/up and .ci/cluster/mesh start, and Prometheus"]
fn what_a_lost_rollout_has_left_is_taken_back_first() {
    alone(async {
        let platform = Platform::start().await;
        let mut lost = start(&mut platform.deploy(&["--auto-promote"]));
        lost.until("25% accepted");
        lost.signal("KILL");
        assert_eq!(lost.end().code, None);
        std::fs::remove_dir_all(platform.state.path()).unwrap();

        let steps = ["--auto-promote", "--traffic-steps", "50,100"];
        let refused = start(&mut platform.deploy(&steps)).end();
        refused.failed_with(1, "--supersede takes back first what a rollout that is lost has left");
        let route = platform.bed.route().await;
        assert_eq!(route.pointer("/spec/http/0/route/1/weight"), Some(&json!(25)));

        let mut next = start(&mut platform.deploy(&[&steps[..], &["--supersede"]].concat()));
        next.until("50% accepted");
        let ended = next.end();
        ended.came_to(0, &["promoted after"]);
        let back = ended.said.find(" 0% ").unwrap();
        assert!(back < ended.said.find("50% accepted").unwrap(), "it is not taken back first");
        only(&platform, "web:v2").await;
        platform.none_failed();
        platform.end().await;
    });
}

#[test]
#[ignore = "needs what .ci/cluster/up and .ci/cluster/mesh start, and Prometheus"]
fn told_to_stop_it_takes_the_canary_back() {
    alone(async {
        let platform = Platform::start().await;
        let mut deploy = start(&mut platform.deploy(&[]));
        deploy.until("25% accepted");
        deploy.signal("INT");
        deploy.end().came_to(3, &["Ctrl-C: taking the canary back", "rolled back at 25%"]);
        only(&platform, "web:v1").await;

        // Twice, it is left on the way back; however it is told.
        let advice = format!("resume {} --state", platform.target());
        let mut deploy = start(&mut platform.deploy(&[]));
        deploy.until("5% accepted");
        deploy.signal("TERM");
        deploy.until("SIGTERM: taking the canary back; once more to leave everything as it is");
        deploy.signal("INT");
        deploy.end().came_to(4, &["Ctrl-C again: the rollout is left as it is", &advice]);
        start(&mut platform.resume(&[])).end().came_to(3, &["rolled back at 5%"]);
        only(&platform, "web:v1").await;
        platform.none_failed();
        platform.end().await;
    });
}

#[test]
#[ignore = "needs what .ci/cluster/up and .ci/cluster/mesh start, and Prometheus"]
fn where_nobody_can_answer_somebody_answers_elsewhere() {
    alone(async {
        let platform = Platform::start().await;
        let mut deploy = start(&mut platform.deploy(&["--traffic-steps", "50,100"]));
        deploy.until("Nobody is at standard input");
        assert_eq!(platform.image(Side::Stable).await.as_deref(), Some("web:v1"));
        let target = platform.target();
        start(&mut platform.resume(&[&target, "--answer", "yes"]))
            .end()
            .came_to(0, &["promoted after"]);
        let left = deploy.end();
        left.came_to(
            4,
            &["unanswered for 1h, it is taken back", "another holder has taken the rollout over"],
        );
        // Whoever took it up again would take it away from where it goes on.
        assert!(!left.said.contains("To go on"), "it says how to take it back");
        only(&platform, "web:v2").await;
        platform.none_failed();
        platform.end().await;
    });
}

#[test]
#[ignore = "needs what .ci/cluster/up and .ci/cluster/mesh start, and Prometheus"]
fn several_are_taken_up_together() {
    alone(async {
        let good = Platform::start().await;
        let bad = good.another().await;
        for platform in [&good, &bad] {
            let mut deploy = start(&mut platform.deploy(&["--auto-promote"]));
            deploy.until("5% accepted");
            deploy.signal("KILL");
            assert_eq!(deploy.end().code, None);
        }
        // An answer is for one of them.
        let all = start(&mut good.resume(&["--answer", "yes"])).end();
        all.failed_with(2, "say which one has this answer: default/");
        let nobody = start(&mut good.resume(&["default/nobody"])).end();
        nobody.failed_with(1, "no rollout of default/nobody is under way");
        bad.bed.versions.canary.fail(500);
        let ended = start(&mut good.resume(&[])).end();
        ended.came_to(3, &["2 to take up", "promoted after", "rolled back at 5%"]);
        let named = |name: &str| {
            ended.said.lines().any(|line| line.starts_with(name) && line.contains("accepted"))
        };
        assert!(named(&good.bed.name) && named(&bad.bed.name), "each line says whose it is");
        only(&good, "web:v2").await;
        only(&bad, "web:v1").await;
        good.end().await;
        bad.end().await;
    });
}
