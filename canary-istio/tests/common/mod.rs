//! What several tests need.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each test file uses a part of it, and fails by panicking"
)]

pub(crate) mod schema;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use canary_core::ports::{Applied, Call, PortError, TrafficRouter};
use canary_core::value::{EffectId, Epoch, Timestamp, Traffic, Weight};
use canary_istio::{VIRTUAL_SERVICE, VirtualServiceRouter, VirtualServiceRouterBuilder};
use canary_kube::testing::MemoryApi;
use serde_json::{Value, json};

/// Makes the next call of a rollout; later ones have greater numbers.
pub(crate) fn call() -> Call {
    static EFFECTS: AtomicU64 = AtomicU64::new(1);
    let effect = EffectId::new(EFFECTS.fetch_add(1, Ordering::Relaxed));
    let (made, rollout) = (Timestamp::EPOCH, "a".parse().unwrap());
    Call::new(rollout, Epoch::new(1), effect, 1, made, made + Duration::from_secs(30))
}

/// The VirtualService `shop/checkout` on a server in memory.
pub(crate) struct Shop {
    pub(crate) api: MemoryApi,
}

impl Shop {
    /// Has a VirtualService with this `spec`.
    pub(crate) fn new(spec: Value) -> Self {
        let shop = Self { api: MemoryApi::new() };
        shop.put(spec);
        shop
    }

    /// Writes as somebody else, who keeps the annotations.
    pub(crate) fn put(&self, spec: Value) {
        let old = self.api.get(&VIRTUAL_SERVICE, "shop", "checkout");
        let annotations = old.and_then(|old| old["metadata"].get("annotations").cloned());
        let fields = json!({ "metadata": { "annotations": annotations }, "spec": spec });
        self.api.put(&VIRTUAL_SERVICE, "shop", "checkout", &fields);
    }

    pub(crate) fn spec(&self) -> Value {
        self.api.get(&VIRTUAL_SERVICE, "shop", "checkout").unwrap()["spec"].clone()
    }

    /// Changes the spec as somebody else.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Value)) {
        let mut spec = self.spec();
        change(&mut spec);
        self.put(spec);
    }

    pub(crate) fn builder(&self) -> VirtualServiceRouterBuilder {
        VirtualServiceRouter::new(self.api.client(), "shop", "checkout")
    }

    pub(crate) fn router(&self) -> VirtualServiceRouter {
        self.builder().route("primary").subsets("stable", "canary")
    }
}

/// Asks for traffic at what is observed now, as a raise.
pub(crate) async fn raise(
    router: &VirtualServiceRouter,
    traffic: &Traffic,
) -> Result<Applied, PortError> {
    let at = router.observe(&call()).await?.version;
    router.apply(&call(), traffic, Some(&at)).await
}

/// Asks for less.
pub(crate) async fn lower(
    router: &VirtualServiceRouter,
    traffic: &Traffic,
) -> Result<Applied, PortError> {
    router.apply(&call(), traffic, None).await
}

pub(crate) async fn observe(router: &VirtualServiceRouter) -> Traffic {
    router.observe(&call()).await.unwrap().traffic
}

pub(crate) fn percent(percent: u8) -> Traffic {
    Traffic::to_canary(Weight::percent(percent))
}

pub(crate) fn header() -> BTreeMap<String, String> {
    BTreeMap::from([("x-canary".to_owned(), "true".to_owned())])
}

pub(crate) fn entry(subset: &str, weight: u32) -> Value {
    json!({ "destination": { "host": "checkout", "subset": subset }, "weight": weight })
}

/// A route of this name with both subsets and these weights.
pub(crate) fn route(name: &str, weights: [u32; 2]) -> Value {
    json!({ "name": name, "route": [entry("stable", weights[0]), entry("canary", weights[1])] })
}
