//! Replicas of a program share rollouts, and go on with those of one that is cut off.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use canary_core::driver::{
    Driver, DriverBuilder, DriverError, Fleet, Handle, Kept, Shutdown, StartError,
};
use canary_core::policy::Policy;
use canary_core::ports::StateStore;
use canary_core::record::Content;
use canary_core::testing::MemoryRouter;
use canary_core::testing::conformance::run;
use canary_core::value::{Actor, Target, Weight};
use canary_kube::testing::{Cluster, MemoryApi};
use canary_kube::{ConfigMapStore, Duty as _, FleetDuty, Leadership, Shards};
use http::{Method, Request, StatusCode};
use kube::Client;
use kube::client::Body;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

/// How many rollouts there are.
const ROLLOUTS: usize = 6;
const SHARDS: Shards = Shards::new(2);

/// One process.
struct Replica<R> {
    fleet: Fleet,
    leadership: Leadership,
    duty: FleetDuty<R>,
    client: Client,
    cut: watch::Sender<bool>,
    /// How many rollouts it has taken over.
    restored: watch::Receiver<usize>,
}

fn replica(
    server: Client,
    namespace: &str,
    routers: Vec<(Target, MemoryRouter)>,
) -> Replica<impl Fn(&Target) -> DriverBuilder<Kept> + Send + Sync + use<>> {
    let cut = watch::Sender::new(false);
    let open = cut.subscribe();
    let service = tower::service_fn(move |request| {
        let (server, mut open) = (server.clone(), open.clone());
        async move {
            let _ = open.wait_for(|cut| !cut).await;
            server.send(request).await
        }
    });
    let client = Client::new(service, "default");
    let store = ConfigMapStore::new(client.clone(), namespace);
    let fleet = Fleet::new(8);
    let kept = store.clone();
    let (restored, hears) = watch::channel(0);
    let duty = FleetDuty::new(fleet.clone(), store, SHARDS, move |target: &Target| {
        let (_, router) = routers.iter().find(|(of, _)| of == target).unwrap();
        let restored = restored.clone();
        let resumer = Driver::resumer(target.clone()).router(router.clone()).store(kept.clone());
        resumer.observe(move |record| {
            if matches!(record.content, Content::Restored { .. }) {
                restored.send_modify(|count| *count += 1);
            }
        })
    });
    let leadership = Leadership::lasting(client.clone(), namespace, "bot", "pod", SHARDS, 3);
    Replica { fleet, leadership, duty, client, cut, restored: hears }
}

fn policy() -> Arc<Policy> {
    let hour = Duration::from_secs(3_600);
    let policy = Policy::builder("any").stage("half", Weight::percent(50), hour);
    Arc::new(policy.stage("full", Weight::FULL, hour).without_hard_limit().build().unwrap())
}

async fn at_half(handle: &Handle) {
    let half = |status: &canary_core::rollout::Status| status.weight == Weight::percent(50);
    handle.status().wait_for(half).await.unwrap();
}

async fn one_is_cut_off(clients: [Client; 2], namespace: &str) {
    let target = |n| format!("shop/service-{n}").parse::<Target>().unwrap();
    let routers: Vec<_> = (0..ROLLOUTS).map(|n| (target(n), MemoryRouter::new())).collect();
    let [first, second] = clients.map(|client| replica(client, namespace, routers.clone()));
    let (stop_first, first_stops) = oneshot::channel::<()>();
    let (stop_second, second_stops) = oneshot::channel::<()>();
    let all = |led: &BTreeMap<u32, Instant>| led.len() == 2;
    let follows = async {
        // Together they would share the shards.
        first.leadership.led().wait_for(all).await.unwrap();
        second.leadership.lead(&second.duty, async { _ = second_stops.await }).await;
    };
    let story = async {
        first.leadership.led().wait_for(all).await.unwrap();
        let mut started = Vec::new();
        for (target, router) in &routers {
            let builder = Driver::builder(policy()).router(router.clone());
            let builder = builder.store(ConfigMapStore::new(first.client.clone(), namespace));
            let id = format!("{}-1", target.as_str().replace('/', "-")).parse().unwrap();
            let handle = first.duty.start(&first.leadership, target, builder, id).await.unwrap();
            started.push(handle.expect("its shard is led"));
        }
        for handle in &started {
            at_half(handle).await;
        }
        first.cut.send_replace(true);
        for handle in &started {
            assert_eq!(handle.finished().await, Err(DriverError::Stopped), "it is left as it is");
        }
        assert!(!first.leadership.leads(&target(0)));

        second.leadership.led().wait_for(all).await.unwrap();
        second.restored.clone().wait_for(|restored| *restored >= ROLLOUTS).await.unwrap();
        // A record may be told a moment before the fleet knows the handle.
        while second.fleet.handles().len() < ROLLOUTS {
            tokio::task::yield_now().await;
        }
        let handles = second.fleet.handles();
        for handle in &handles {
            at_half(handle).await;
        }
        let kept = ConfigMapStore::new(second.client.clone(), namespace).targets().await.unwrap();
        assert_eq!(kept.len(), ROLLOUTS);
        stop_second.send(()).unwrap();
        for handle in &handles {
            assert_eq!(handle.finished().await, Err(DriverError::Stopped), "it is handed over");
        }
        stop_first.send(()).unwrap();
    };
    tokio::join!(
        first.leadership.lead(&first.duty, async { _ = first_stops.await }),
        follows,
        story
    );
}

#[test]
fn in_memory_the_other_goes_on_with_what_was_left() {
    run(async {
        let api = MemoryApi::new();
        one_is_cut_off([api.client(), api.client()], "canary").await;
    });
}

#[test]
#[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-kube -- --ignored"]
fn on_a_real_server_the_other_goes_on_with_what_was_left() {
    run(async {
        let [cluster, other] = [Cluster::connect().await, Cluster::connect().await];
        let namespace = cluster.namespace().await;
        one_is_cut_off([cluster.client(), other.client()], &namespace).await;
    });
}

/// A client to whom one look at the rollout of a target is answered with this code and half of a body, and word of it.
fn refused_once(inner: Client, target: &str, code: u16) -> (Client, watch::Receiver<bool>) {
    let (refused, hears) = watch::channel(false);
    let name = target.replace('/', "-");
    let service = tower::service_fn(move |request: Request<Body>| {
        let (inner, refused) = (inner.clone(), refused.clone());
        let meant = request.method() == Method::GET && request.uri().path().contains(&name);
        async move {
            let mut answer = inner.send(request).await?;
            if meant && !refused.send_replace(true) {
                // Where it is no refusal, it is cut off.
                answer = http::Response::new(Body::from(b"{\"kind\"".to_vec()));
                *answer.status_mut() = StatusCode::from_u16(code).unwrap();
            }
            Ok::<_, kube::Error>(answer)
        }
    });
    (Client::new(service, "default"), hears)
}

/// Drives the rollouts of one target; everything is one shard.
fn duty_of(
    fleet: &Fleet,
    client: Client,
    router: MemoryRouter,
) -> FleetDuty<impl Fn(&Target) -> DriverBuilder<Kept> + Send + Sync> {
    let store = ConfigMapStore::new(client, "canary");
    let kept = store.clone();
    FleetDuty::new(fleet.clone(), store, Shards::new(1), move |target: &Target| {
        Driver::resumer(target.clone()).router(router.clone()).store(kept.clone())
    })
}

/// A permission is taken away for a moment, or an answer cut off.
#[tokio::test(start_paused = true)]
async fn a_rollout_that_could_not_be_resumed_is_tried_again() {
    let (api, router) = (MemoryApi::new(), MemoryRouter::new());
    let target: Target = "shop/web".parse().unwrap();
    let builder = || Driver::builder(policy()).router(router.clone()).target(target.clone());
    let store = ConfigMapStore::new(api.client(), "canary");
    let fleet = Fleet::new(8);
    let before = fleet.start(builder().store(store), "web-1".parse().unwrap()).await.unwrap();
    at_half(&before).await;
    before.stop();
    assert_eq!(before.finished().await, Err(DriverError::Stopped));

    for code in [403, 401, 200] {
        let (client, refused) = refused_once(api.client(), target.as_str(), code);
        let fleet = Fleet::new(8);
        duty_of(&fleet, client, router.clone()).take_up(0).await;
        assert!(*refused.borrow());
        let handle = fleet.handle(&target).expect("it was tried again");
        handle.stop();
        assert_eq!(handle.finished().await, Err(DriverError::Stopped));
    }
}

/// A target's rollout is over, its next one starts while the shard is still being taken up.
#[tokio::test(start_paused = true)]
async fn what_was_started_here_is_not_taken_up_again() {
    let (api, router) = (MemoryApi::new(), MemoryRouter::new());
    let target: Target = "shop/web".parse().unwrap();
    let (client, refused) = refused_once(api.client(), target.as_str(), 503);
    let builder = || {
        let builder = Driver::builder(policy()).router(router.clone()).target(target.clone());
        builder.store(ConfigMapStore::new(api.client(), "canary"))
    };
    let before = Fleet::new(8).start(builder(), "web-1".parse().unwrap()).await.unwrap();
    let how = Shutdown::TakeBack { actor: Actor::new("test").unwrap(), reason: "old".into() };
    before.shutdown(how).await.unwrap().expect("it is over");

    let fleet = Fleet::new(8);
    let duty = duty_of(&fleet, client, router.clone());
    let leadership = Leadership::new(api.client(), "canary", "bot", "pod", Shards::new(1));
    let (stop, stopped) = oneshot::channel::<()>();
    let story = async {
        refused.clone().wait_for(|refused| *refused).await.unwrap();
        let id = "web-2".parse().unwrap();
        let handle = duty.start(&leadership, &target, builder(), id).await.unwrap().unwrap();
        // Meanwhile all others are tried again.
        let ended = tokio::time::timeout(Duration::from_secs(120), handle.finished()).await;
        assert!(ended.is_err(), "{ended:?}");
        at_half(&handle).await;
        stop.send(()).unwrap();
    };
    tokio::join!(leadership.lead(&duty, async { _ = stopped.await }), story);
}

/// A start that finds the target busy leaves it to be taken up.
#[tokio::test(start_paused = true)]
async fn what_could_not_be_started_here_is_taken_up() {
    let (api, router) = (MemoryApi::new(), MemoryRouter::new());
    let target: Target = "shop/web".parse().unwrap();
    let (client, refused) = refused_once(api.client(), target.as_str(), 503);
    let builder = || {
        let builder = Driver::builder(policy()).router(router.clone()).target(target.clone());
        builder.store(ConfigMapStore::new(api.client(), "canary"))
    };
    let before = Fleet::new(8).start(builder(), "web-1".parse().unwrap()).await.unwrap();
    at_half(&before).await;
    before.stop();

    let fleet = Fleet::new(8);
    let duty = duty_of(&fleet, client, router.clone());
    let leadership = Leadership::new(api.client(), "canary", "bot", "pod", Shards::new(1));
    let (stop, stopped) = oneshot::channel::<()>();
    let story = async {
        refused.clone().wait_for(|refused| *refused).await.unwrap();
        let id = "web-2".parse().unwrap();
        let busy = duty.start(&leadership, &target, builder(), id).await.unwrap_err();
        assert!(matches!(busy, StartError::Busy { .. }), "{busy}");
        tokio::time::sleep(Duration::from_secs(60)).await;
        let handle = fleet.handle(&target).expect("it is taken up");
        assert_eq!(handle.status().borrow().weight, Weight::percent(50));
        stop.send(()).unwrap();
    };
    tokio::join!(leadership.lead(&duty, async { _ = stopped.await }), story);
}
