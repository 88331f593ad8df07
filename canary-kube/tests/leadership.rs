//! Several replicas lead shards, each shard one at a time.
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use canary_core::testing::conformance::run;
use canary_kube::testing::{Cluster, MemoryApi};
use canary_kube::{Duty, Leadership, Shards};
use kube::Client;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

/// A client that can be cut off from its server.
struct Cut {
    client: Client,
    cut: watch::Sender<bool>,
}

impl Cut {
    fn of(inner: Client) -> Self {
        let cut = watch::Sender::new(false);
        let open = cut.subscribe();
        let service = tower::service_fn(move |request| {
            let (inner, mut open) = (inner.clone(), open.clone());
            async move {
                let _ = open.wait_for(|cut| !cut).await;
                inner.send(request).await
            }
        });
        Self { client: Client::new(service, "default"), cut }
    }
}

/// What happened, in order.
#[derive(Clone, Debug, Default)]
struct Story(Arc<Mutex<Vec<Line>>>);

/// Who did what with which shard, and when.
type Line = (&'static str, &'static str, u32, Option<Instant>);

impl Story {
    fn of(&self, what: &str) -> Vec<(&'static str, u32)> {
        let told = self.0.lock().unwrap();
        told.iter()
            .filter(|(_, kind, ..)| *kind == what)
            .map(|(who, _, shard, _)| (*who, *shard))
            .collect()
    }

    /// Fails where two lead a shard at once.
    fn is_exclusive(&self) {
        let told = self.0.lock().unwrap();
        let mut led = std::collections::BTreeMap::new();
        for (who, what, shard, _) in told.iter() {
            match *what {
                "up" => assert_eq!(led.insert(shard, who), None, "{told:?}"),
                _ => assert_eq!(led.remove(shard), Some(who), "{told:?}"),
            }
        }
    }
}

struct Told {
    who: &'static str,
    story: Story,
    changed: watch::Sender<usize>,
}

impl Told {
    fn new(who: &'static str, story: &Story) -> Self {
        Self { who, story: story.clone(), changed: watch::Sender::new(0) }
    }

    fn tell(&self, what: &'static str, shard: u32) {
        #[allow(clippy::disallowed_methods, reason = "a test of clocks")]
        let now = Some(Instant::now());
        self.story.0.lock().unwrap().push((self.who, what, shard, now));
        self.changed.send_modify(|changes| *changes += 1);
    }

    /// Waits until it has told this often that it took or put down.
    async fn has_told(&self, times: usize) {
        self.changed.subscribe().wait_for(|told| *told >= times).await.unwrap();
    }
}

#[async_trait]
impl Duty for Told {
    async fn take_up(&self, shard: u32) {
        self.tell("up", shard);
        std::future::pending::<()>().await;
    }

    fn put_down(&self, shard: u32) {
        self.tell("down", shard);
    }

    async fn hand_over(&self, _: u32) {}
}

async fn one_is_cut_off(clients: [Client; 2], namespace: &str, seconds: u16) -> Story {
    const SHARDS: usize = 3;
    let story = Story::default();
    let [first, second] = [Told::new("first", &story), Told::new("second", &story)];
    let [cut, other] = clients;
    let cut = Cut::of(cut);
    let lead =
        |client| Leadership::lasting(client, namespace, "bot", "pod", Shards::new(3), seconds);
    let (leads, follows) = (lead(cut.client.clone()), lead(other));
    let (stop, stopped) = oneshot::channel::<()>();
    let play = async {
        first.has_told(SHARDS).await;
        let (end, ended) = oneshot::channel::<()>();
        let meanwhile = async {
            cut.cut.send_replace(true);
            second.has_told(SHARDS).await;
            // Whatever it still had on its way arrives now.
            cut.cut.send_replace(false);
            end.send(()).unwrap();
        };
        let until = async { _ = ended.await };
        tokio::join!(follows.lead(&second, until), meanwhile);
        // What was given back is taken at once, by the one that was cut off.
        first.has_told(3 * SHARDS).await;
        stop.send(()).unwrap();
    };
    tokio::join!(leads.lead(&first, async { _ = stopped.await }), play);
    story.is_exclusive();
    assert_eq!(story.of("up").len(), 3 * SHARDS, "{story:?}");
    story
}

#[tokio::test(start_paused = true)]
async fn in_memory_who_is_cut_off_stops_before_another_begins() {
    let api = MemoryApi::new();
    let story = one_is_cut_off([api.client(), api.client()], "canary", 1).await;
    let told = story.0.lock().unwrap();
    let at = |who, what| {
        let when = told.iter().filter(|told| (told.0, told.1) == (who, what));
        when.map(|told| told.3.unwrap()).collect::<Vec<_>>()
    };
    let (down, up) = (at("first", "down"), at("second", "up"));
    let apart = *up.iter().min().unwrap() - *down[..3].iter().max().unwrap();
    assert!(apart >= Duration::from_millis(250), "a quarter of the Lease lies between: {apart:?}");
}

#[test]
#[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-kube -- --ignored"]
fn on_a_real_server_who_is_cut_off_stops_before_another_begins() {
    run(async {
        let [cluster, other] = [Cluster::connect().await, Cluster::connect().await];
        let namespace = cluster.namespace().await;
        // Long enough for a busy machine.
        one_is_cut_off([cluster.client(), other.client()], &namespace, 3).await;
    });
}
