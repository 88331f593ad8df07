//! Another writer of the same object, fifty times a second.

use std::cell::Cell;
use std::sync::Mutex;
use std::time::Duration;

use canary_core::testing::conformance::run;
use canary_core::value::Weight;
use canary_kube::RouteWatch;
use serde_json::{Value, json};
use tokio::sync::Mutex as AsyncMutex;

use crate::front::Front;
use crate::shop::{HOUR, Shop, admin, ana, ended, holds, kubeconfig, set_weight, until, wait};

/// Writes to all parts of the object, and knows what must be there in the end.
struct Writer {
    shop: Shop,
    /// How the object would be if nobody else wrote.
    expected: Mutex<Value>,
    written: Cell<u64>,
    /// Whether it leaves the weights alone; locked while it writes them.
    calm: AsyncMutex<bool>,
    done: Cell<bool>,
}

impl Writer {
    async fn of(shop: &Shop) -> Self {
        let expected = Mutex::new(shop.object.read().await);
        let (written, done) = (Cell::new(0), Cell::new(false));
        Self { shop: shop.clone(), expected, written, calm: AsyncMutex::new(false), done }
    }

    /// Writes until it is told to end: each part so often that together they make fifty writes a second.
    async fn write(&self) {
        let part = |part: u64| async move {
            let mut ticks = tokio::time::interval(Duration::from_millis(80));
            for number in 1_u64.. {
                ticks.tick().await;
                if self.done.get() {
                    return;
                }
                match part {
                    0 => {
                        let marks =
                            json!({ "count": number.to_string(), format!("n{number}"): "x" });
                        self.merge(json!({ "metadata": { "annotations": marks } })).await;
                    }
                    1 => {
                        self.merge(
                            json!({ "metadata": { "labels": { "count": number.to_string() } } }),
                        )
                        .await
                    }
                    2 => {
                        self.merge(json!({ "spec": { "exportTo": [format!("ns-{number}")] } }))
                            .await
                    }
                    _ => self.move_routes(number).await,
                }
                self.written.set(self.written.get() + 1);
            }
        };
        tokio::join!(part(0), part(1), part(2), part(3));
    }

    async fn merge(&self, fields: Value) {
        self.shop.object.merge(&fields).await;
        json_patch::merge(&mut self.expected.lock().unwrap(), &fields);
    }

    /// Lets the routes change places, and now and then moves the weights.
    async fn move_routes(&self, number: u64) {
        self.shop.reorder().await;
        self.expected.lock().unwrap()["spec"]["http"].as_array_mut().unwrap().swap(0, 1);
        let calm = self.calm.lock().await;
        if number.is_multiple_of(10) && !*calm {
            self.shop.send(30).await;
        }
    }

    /// Leaves the weights alone from now on.
    async fn calm_down(&self) {
        *self.calm.lock().await = true;
    }

    /// Fails unless all that was written is there, and nothing else but this weight.
    async fn lost_nothing(&self, canary: u64) {
        assert!(self.written.get() >= STORM, "that was no storm: {} writes", self.written.get());
        let mut expected = self.expected.lock().unwrap().clone();
        set_weight(&mut expected, canary);
        self.shop.is(&expected).await;
    }
}

/// How many writes there are at least.
const STORM: u64 = 50;

#[test]
#[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-istio -- --ignored"]
fn a_rollout_goes_through_and_nothing_of_the_other_writer_is_lost() {
    run(async {
        let shop = Shop::open().await;
        let writer = Writer::of(&shop).await;
        let rolling = async {
            let second = Duration::from_secs(1);
            let handle =
                shop.builder(shop.cluster.client(), second).start(shop.id()).await.unwrap();
            until(&handle, |status| status.weight == Weight::FULL).await;
            writer.calm_down().await;
            let outcome = ended(&handle).await;
            assert!(outcome.is_promoted(), "{outcome}");
            writer.done.set(true);
        };
        tokio::join!(writer.write(), rolling);
        writer.lost_nothing(100).await;
        assert!(shop.drifts() > 0, "nobody else has moved the weights");
        shop.object.delete().await;
    });
}

#[test]
#[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-istio -- --ignored"]
fn an_abort_needs_one_try() {
    run(async { aborted(false).await });
}

#[test]
#[ignore = "needs a Kubernetes API server: CANARY_TEST_KUBECONFIG=… cargo test -p canary-istio -- --ignored"]
fn an_abort_by_a_watch_that_lags_behind_needs_one_try() {
    run(async { aborted(true).await });
}

/// Aborts a rollout that has a tenth of the traffic.
async fn aborted(watched: bool) {
    let shop = Shop::open().await;
    let front = Front::to(&kubeconfig()).await;
    let client = front.client(&admin()).await;
    let mut router = shop.router(client.clone());
    if watched {
        let kind = canary_istio::VIRTUAL_SERVICE;
        let namespace = Some(shop.object.namespace());
        router = router.watched(&RouteWatch::start(client.clone(), kind, namespace));
    }
    let writer = Writer::of(&shop).await;
    let rolling = async {
        let builder = shop.builder(client, HOUR).router(router);
        let handle = builder.start(shop.id()).await.unwrap();
        holds(&handle, 10).await;
        wait(async || writer.written.get() >= STORM).await;
        writer.calm_down().await;
        let before = shop.failures().len();
        handle.abort("bad", &ana()).await.unwrap();
        let outcome = ended(&handle).await;
        assert!(!outcome.is_promoted(), "{outcome}");
        let failures = shop.failures().split_off(before);
        let to_nothing = |action: &str| action == "route 0% to the canary";
        assert!(!failures.iter().any(|(action, _)| to_nothing(action)), "{failures:?}");
        writer.done.set(true);
    };
    tokio::join!(writer.write(), rolling);
    writer.lost_nothing(0).await;
    shop.object.delete().await;
}
