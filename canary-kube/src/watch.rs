//! One watch on many route objects, so that looking at a route costs the API server nothing.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures::{StreamExt as _, pin_mut};
use kube::api::{Api, DynamicObject};
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, ResourceExt as _};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::selector::RouteKind;

/// How long one request of the watch lasts, in seconds: a connection that died unnoticed is noticed a few seconds later.
const LASTS: u32 = 60;

/// How long it waits before it begins again after a failure.
const PAUSE: Duration = Duration::from_secs(1);

/// Watches all route objects of one kind for the routers of many rollouts.
///
/// Without a watch a router asks the API server each time the rollout looks at its route. With one it answers from
/// what the watch last told, or its own last write where that is newer; it asks the API server where the watch is
/// interrupted or does not know the object, and whenever a write was refused. What it writes is tested against the
/// object as it is, so a watch that lags behind can make a write fail and be tried anew, never go wrong.
///
/// Clones share the watch; it ends with the last of them and of the routers that use it.
#[derive(Clone)]
pub struct RouteWatch {
    known: Arc<Known>,
    _task: Arc<JoinSet<()>>,
}

impl fmt::Debug for RouteWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouteWatch").field("kind", &self.known.kind.kind).finish_non_exhaustive()
    }
}

impl RouteWatch {
    /// Begins to watch the objects of this kind in one namespace, or in all of them.
    ///
    /// Must be called within a tokio runtime; what the account needs is
    /// [`Permissions::route_watch`](crate::Permissions::route_watch).
    #[must_use]
    pub fn start(client: Client, kind: RouteKind, namespace: Option<&str>) -> Self {
        let gvk = GroupVersionKind::gvk(kind.group, kind.version, kind.kind);
        let resource = ApiResource::from_gvk_with_plural(&gvk, kind.plural);
        let api = match namespace {
            Some(namespace) => Api::namespaced_with(client, namespace, &resource),
            None => Api::all_with(client, &resource),
        };
        let namespace = namespace.map(str::to_owned);
        let known = Arc::new(Known { kind, namespace, objects: RwLock::default() });
        let mut task = JoinSet::new();
        task.spawn(follow(api, Arc::clone(&known)));
        Self { known, _task: Arc::new(task) }
    }

    /// Returns an object as it was told last, `None` where that is not known.
    pub(crate) fn get(&self, kind: &RouteKind, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let objects = self.known.objects.read().unwrap_or_else(PoisonError::into_inner);
        if !objects.complete || !self.known.covers(kind, namespace) {
            return None;
        }
        objects.by_name.get(&(namespace.to_owned(), name.to_owned())).cloned()
    }

    /// Forgets an object that is about to be written, so that it is read where the answer is a refusal, or none.
    pub(crate) fn forget(&self, kind: &RouteKind, namespace: &str, name: &str) {
        if self.known.covers(kind, namespace) {
            self.known.change(|objects| {
                objects.by_name.remove(&(namespace.to_owned(), name.to_owned()));
            });
        }
    }

    /// Takes note of what a request of our own was told of an object.
    pub(crate) fn note(&self, kind: &RouteKind, object: &Arc<Value>) {
        let name = |key: &str| object["metadata"][key].as_str().unwrap_or("").to_owned();
        let namespace = name("namespace");
        if self.known.covers(kind, &namespace) {
            self.known.change(|objects| objects.put((namespace, name("name")), Arc::clone(object)));
        }
    }
}

struct Known {
    kind: RouteKind,
    /// `None` is all of them.
    namespace: Option<String>,
    objects: RwLock<Objects>,
}

#[derive(Default)]
struct Objects {
    /// Whether all are there, and the watch is not interrupted.
    complete: bool,
    /// By namespace and name.
    by_name: HashMap<(String, String), Arc<Value>>,
}

impl Known {
    /// Tells whether such objects are watched: of others nothing would ever be told again.
    fn covers(&self, kind: &RouteKind, namespace: &str) -> bool {
        let inside = self.namespace.as_ref().is_none_or(|watched| watched == namespace);
        inside && kind.is_same_resource(&self.kind)
    }

    fn change(&self, change: impl FnOnce(&mut Objects)) {
        change(&mut self.objects.write().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Objects {
    /// Keeps an object unless what is known of it is newer: the watch tells of older writes than our own last.
    fn put(&mut self, name: (String, String), object: Arc<Value>) {
        let older = self.by_name.get(&name).is_some_and(|known| age(&object) < age(known));
        if !older {
            self.by_name.insert(name, object);
        }
    }

    fn apply(&mut self, event: Event<DynamicObject>) {
        match event {
            // What was deleted meanwhile is not told any more.
            Event::Init => *self = Self::default(),
            Event::InitApply(object) | Event::Apply(object) => {
                if let Some((name, object)) = plain(object) {
                    self.put(name, object);
                }
            }
            Event::InitDone => self.complete = true,
            Event::Delete(object) => {
                if let Some((name, _)) = plain(object) {
                    self.by_name.remove(&name);
                }
            }
        }
    }
}

/// Returns an object's name and the object as JSON, without what nobody here reads and takes most of the room.
fn plain(mut object: DynamicObject) -> Option<((String, String), Arc<Value>)> {
    object.managed_fields_mut().clear();
    let name = (object.namespace().unwrap_or_default(), object.name_any());
    Some((name, Arc::new(serde_json::to_value(object).ok()?)))
}

/// Returns which of two states of one object is the later.
fn age(object: &Value) -> Option<u64> {
    object["metadata"]["resourceVersion"].as_str()?.parse().ok()
}

/// Keeps the objects up to date, from the beginning again whenever it was interrupted.
async fn follow(api: Api<DynamicObject>, known: Arc<Known>) {
    loop {
        let events = watcher(api.clone(), watcher::Config::default().timeout(LASTS));
        pin_mut!(events);
        while let Some(Ok(event)) = events.next().await {
            known.change(|objects| objects.apply(event));
        }
        known.change(|objects| objects.complete = false);
        tokio::time::sleep(PAUSE).await;
    }
}
