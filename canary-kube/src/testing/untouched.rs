//! What a rollout leaves alone on an object.

use std::time::Duration;

use canary_core::ports::{Call, TrafficRouter};
use canary_core::value::{EffectId, Epoch, Timestamp, Traffic};
use json_patch::PatchOperation;
use serde_json::{Value, json};

use crate::fence::{BEFORE, FENCE};
use crate::form::is_own;

/// Takes a rollout through this traffic, to 0 % and to its release, and checks after each step that nothing of the
/// object changed but the two weights, the fence, the rollout's own rules, and what `ours` takes away from an object
/// that was read.
///
/// `weights` points at the two weights, stable's first; `read` reads the object.
///
/// # Panics
/// Where anything else changed, a step was refused, or the fence is missing or stays; in the end where anything but
/// weights stays, and not even those where the canary had nothing.
pub async fn takes_only_its_own(
    router: &impl TrafficRouter,
    read: impl AsyncFn() -> Value,
    weights: &[String; 2],
    steps: &[Traffic],
    ours: impl Fn(&mut Value),
) {
    let before = read().await;
    let mut calls = Calls(0);
    let first = router.observe(&calls.next()).await.expect("it can be observed");
    let empty = !first.traffic.reaches_canary();
    for traffic in steps.iter().chain([&Traffic::all_stable()]) {
        let observed = router.observe(&calls.next()).await.expect("it can be observed");
        let raises = !traffic.is_within(&observed.traffic);
        let at = raises.then_some(&observed.version);
        let applied = router.apply(&calls.next(), traffic, at).await;
        assert_eq!(applied.expect("it is accepted").accepted, *traffic);
        let observed = router.observe(&calls.next()).await.expect("it can be observed");
        assert_eq!(observed.traffic, *traffic);
        let mut now = read().await;
        assert!(holds_fence(&now), "no fence at {traffic}: {now}");
        ours(&mut now);
        assert_only(weights, &before, &without_own_rules(now));
    }
    router.release(&calls.next()).await.expect("it is released");
    let after = read().await;
    assert!(!holds_fence(&after), "the fence stays: {after}");
    assert_only(weights, &before, &after);
    if empty {
        assert_eq!(differences(&before, &after), [""; 0], "from 0 % to 0 %");
    }
}

/// Takes the rules away that stand in front of others.
fn without_own_rules(mut object: Value) -> Value {
    let lists = object["spec"].as_object_mut().into_iter().flatten();
    for rules in lists.filter_map(|(_, list)| list.as_array_mut()) {
        rules.retain(|rule| !is_own(rule));
    }
    object
}

/// Points at what differs between two states of an object, beside the server's own counters and what controllers say
/// of it.
#[must_use]
pub fn differences(before: &Value, after: &Value) -> Vec<String> {
    let [before, after] = [before, after].map(|object| {
        let mut object = object.clone();
        object.as_object_mut().and_then(|fields| fields.remove("status"));
        if let Some(metadata) = object["metadata"].as_object_mut() {
            for counter in ["generation", "managedFields", "resourceVersion"] {
                metadata.remove(counter);
            }
        }
        object
    });
    let patch = json_patch::diff(&before, &after);
    patch.iter().map(|change: &PatchOperation| change.path().to_string()).collect()
}

fn assert_only(weights: &[String; 2], before: &Value, now: &Value) {
    let touched = differences(before, &without_fence(now));
    let strange: Vec<_> = touched.iter().filter(|path| !weights.contains(path)).collect();
    assert!(strange.is_empty(), "touched {strange:?} of {before}");
}

/// Takes the fence away, and the map with it where nothing else is in it, as a server does.
fn without_fence(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(annotations) = object.pointer_mut("/metadata/annotations") {
        if let Some(map) = annotations.as_object_mut() {
            map.remove(FENCE);
            map.remove(BEFORE);
        }
        if *annotations == json!({}) {
            let metadata = object["metadata"].as_object_mut();
            metadata.and_then(|metadata| metadata.remove("annotations"));
        }
    }
    object
}

fn holds_fence(object: &Value) -> bool {
    object["metadata"]["annotations"].get(FENCE).is_some()
}

/// Numbers the calls of one rollout.
#[derive(Debug)]
struct Calls(u64);

impl Calls {
    fn next(&mut self) -> Call {
        self.0 += 1;
        let made = Timestamp::EPOCH;
        let rollout = "untouched".parse().expect("a plain name");
        let (epoch, effect) = (Epoch::new(1), EffectId::new(self.0));
        Call::new(rollout, epoch, effect, 1, made, made + Duration::from_secs(30))
    }
}
