//! Two processes and one rollout: the one that is frozen and wakes up raises nothing, and what it lowers is noticed.

use std::time::Duration;

use canary_core::testing::conformance::run;
use futures::FutureExt as _;
use http::Method;
use tokio::time::sleep;

use crate::front::{Asked, Fate};
use crate::process::{How, Process, records_are_whole};
use crate::shop::{Shop, wait};

const FENCED: &str = "another holder has taken the rollout over";

fn confirms(asked: &Asked) -> bool {
    asked.method == Method::GET && asked.path.contains("/configmaps/")
}

fn saves(asked: &Asked) -> bool {
    asked.method == Method::PATCH && asked.path.contains("/configmaps/")
}

impl Shop {
    /// Starts a rollout in a process of its own, which waits at a tenth until somebody approves.
    async fn first(&self) -> Process {
        let first = Process::start(self, self.id().as_str(), How::Start).await;
        first.tells("gate_asked").await;
        assert_eq!(self.weight().await, 10);
        first
    }

    /// Takes the rollout up in another process.
    async fn second(&self) -> Process {
        let second = Process::start(self, self.id().as_str(), How::Resume).await;
        second.tells("restored").await;
        second
    }

    /// Freezes the one that has the rollout; another takes that over, and the canary back.
    async fn taken_back_behind(&self, first: &Process) -> Process {
        first.freeze().await;
        let mut second = self.second().await;
        second.say("abort").await;
        assert!(second.ends().await.starts_with("rolled back"));
        second
    }

    async fn closes(&self, weight: u64, processes: &[&Process]) {
        records_are_whole(processes);
        self.is_as_it_was_but_for(weight).await;
        self.object.delete().await;
    }
}

/// Waits until it notices that another one has the rollout.
async fn is_fenced(process: &mut Process) {
    let ended = process.ends().await;
    assert!(ended.contains(FENCED), "{ended}");
}

#[test]
#[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-istio -- --ignored"]
fn frozen_past_its_lease_the_other_goes_on_and_it_stops() {
    run(async {
        let shop = Shop::open().await;
        let mut first = Process::start(&shop, shop.id().as_str(), How::LeadAndStart).await;
        first.tells("gate_asked").await;
        let mut second = Process::start(&shop, shop.id().as_str(), How::Lead).await;
        first.freeze().await;
        second.tells("restored").await;
        let before = first.front.count();
        first.wake().await;
        let ended = first.ends().await;
        assert!(ended.contains("stopped") || ended.contains(FENCED), "{ended}");
        let written = |asked: &Asked| asked.writes_route() && asked.code == Some(200);
        assert!(!first.front.since(before).iter().any(written), "{:?}", first.front.since(before));
        second.say("approve").await;
        assert_eq!(second.ends().await, "promoted");
        shop.closes(100, &[&first, &second]).await;
    });
}

/// It has asked the store whose the rollout is, and hears that it is its own when that is long past.
#[test]
#[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-istio -- --ignored"]
fn frozen_between_its_look_at_the_store_and_its_raise_it_raises_nothing() {
    run(async {
        let shop = Shop::open().await;
        let mut first = shop.first().await;
        let before = first.front.count();
        first.front.rule(|asked| match asked {
            asked if confirms(asked) => Fate::Kept,
            // So slow that the answer alone does not do.
            asked if saves(asked) => Fate::Behind(sleep(Duration::from_millis(300)).boxed()),
            _ => Fate::Pass,
        });
        first.say("approve").await;
        first.front.until(before, 1, |asked| confirms(asked) && asked.code == Some(200)).await;
        let second = shop.taken_back_behind(&first).await;
        let asked = first.front.count();
        first.front.rule(|_| Fate::Pass);
        first.front.let_go();
        first.wake().await;
        is_fenced(&mut first).await;
        let raises = first.front.since(asked).into_iter().filter(Asked::writes_route);
        let codes: Vec<_> = raises.map(|asked| asked.code).collect();
        assert!(codes.contains(&Some(422)) && !codes.contains(&Some(200)), "{codes:?}");
        shop.closes(0, &[&first, &second]).await;
    });
}

/// It has saved what it is about to raise, and hears that this was accepted when that is long past.
#[test]
#[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-istio -- --ignored"]
fn frozen_between_its_save_and_its_raise_it_asks_again_and_raises_nothing() {
    run(async {
        let shop = Shop::open().await;
        let mut first = shop.first().await;
        let before = first.front.count();
        first.front.rule(|asked| if saves(asked) { Fate::Kept } else { Fate::Pass });
        first.say("approve").await;
        first.front.until(before, 1, |asked| saves(asked) && asked.code == Some(200)).await;
        let second = shop.taken_back_behind(&first).await;
        let asked = first.front.count();
        first.front.rule(|_| Fate::Pass);
        first.front.let_go();
        first.wake().await;
        is_fenced(&mut first).await;
        let asked = first.front.since(asked);
        assert!(asked.iter().any(confirms) && !asked.iter().any(Asked::writes_route), "{asked:?}");
        shop.closes(0, &[&first, &second]).await;
    });
}

/// Its raise is on the way when it is frozen, and arrives when the other one has the rollout.
#[test]
#[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-istio -- --ignored"]
fn frozen_with_its_raise_on_the_way_that_raise_is_refused() {
    run(async {
        let shop = Shop::open().await;
        let mut first = shop.first().await;
        let before = first.front.count();
        first.front.rule(|asked| if asked.writes_route() { Fate::Held } else { Fate::Pass });
        first.say("approve").await;
        first.front.until(before, 1, Asked::writes_route).await;
        let second = shop.taken_back_behind(&first).await;
        first.front.rule(|_| Fate::Pass);
        first.front.let_go();
        first.front.until(before, 1, |asked| asked.writes_route() && asked.code.is_some()).await;
        first.wake().await;
        is_fenced(&mut first).await;
        let raise = first.front.since(before).into_iter().find(Asked::writes_route);
        assert_eq!(raise.unwrap().code, Some(422));
        shop.closes(0, &[&first, &second]).await;
    });
}

/// It is frozen between reading the route and taking the canary back, which nobody else knows of.
#[test]
#[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-istio -- --ignored"]
fn a_lowering_that_lands_before_the_other_has_the_route_stays() {
    run(async {
        let shop = Shop::open().await;
        let mut first = shop.first().await;
        let before = first.front.count();
        first.front.rule(|asked| match asked {
            asked if asked.writes_route() => Fate::Held,
            asked if saves(asked) => Fate::Cut,
            _ => Fate::Pass,
        });
        first.say("abort").await;
        first.front.until(before, 1, Asked::writes_route).await;
        first.freeze().await;
        let mut second = Process::start(&shop, shop.id().as_str(), How::Resume).await;
        second.front.rule(|asked| if asked.writes_route() { Fate::Held } else { Fate::Pass });
        second.front.until(0, 1, Asked::writes_route).await;
        first.front.let_go();
        wait(async || shop.weight().await == 0).await;
        second.front.rule(|_| Fate::Pass);
        second.front.let_go();
        let ended = second.ends().await;
        assert!(ended.starts_with("rolled back") && ended.contains("10%"), "{ended}");
        first.front.rule(|_| Fate::Pass);
        first.wake().await;
        is_fenced(&mut first).await;
        shop.closes(0, &[&first, &second]).await;
    });
}

/// The same, but the other one has written the route: the store is not heard, and the route alone says that there is
/// a later holder, who may be dead.
#[test]
#[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-istio -- --ignored"]
fn a_lowering_that_lands_when_the_other_has_the_route_is_put_right() {
    run(async {
        let shop = Shop::open().await;
        let mut first = shop.first().await;
        let before = first.front.count();
        first.front.rule(|asked| match asked {
            asked if asked.writes_route() => Fate::Held,
            asked if asked.path.contains("/configmaps/") => Fate::Hangs,
            _ => Fate::Pass,
        });
        first.say("abort").await;
        first.front.until(before, 1, Asked::writes_route).await;
        first.freeze().await;
        let mut second = shop.second().await;
        second.front.until(0, 1, |asked| asked.writes_route() && asked.code == Some(200)).await;
        let store = |asked: &Asked| asked.path.contains("/configmaps/");
        first.front.rule(move |asked| if store(asked) { Fate::Hangs } else { Fate::Pass });
        first.front.let_go();
        first.wake().await;
        second.tells("drifted").await;
        first.front.rule(|_| Fate::Pass);
        is_fenced(&mut first).await;
        let writes = first.front.since(before).into_iter().filter(Asked::writes_route);
        let codes: Vec<_> = writes.map(|asked| asked.code).collect();
        assert_eq!(codes[..2], [Some(422), Some(200)], "{codes:?}");
        second.say("approve").await;
        let ended = second.ends().await;
        // With a verdict that still holds the canary gets its share again, and else it is taken back.
        let promoted = ended == "promoted";
        assert!(promoted || ended.contains("somebody else has set the route"), "{ended}");
        shop.closes(if promoted { 100 } else { 0 }, &[&first, &second]).await;
    });
}
