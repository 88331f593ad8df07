//! What happens, told where operators look first.

mod rate;
mod reason;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use canary_core::ports::Observer;
use canary_core::record::Record;
use canary_core::value::{FailureKind, RolloutId};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff;
use kube::Client;
use kube::api::{Api, DynamicObject};
use kube::core::{ApiResource, GroupVersionKind, ObjectMeta};
use tokio::sync::{mpsc, watch};

use self::rate::Rate;
use self::reason::{Reason, Reasons};
use crate::calls::{PATIENCE, creating, within};
use crate::hash::stable;
use crate::selector::RouteKind;

/// How many Events wait to be written; beyond that, new ones are lost.
const QUEUE: usize = 256;

/// What the API server takes as an Event's text, in bytes.
const LONGEST: usize = 1024;

/// Names the object that Events are on: `kubectl describe` shows them there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventsOn {
    pub(crate) kind: ApiResource,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl EventsOn {
    /// Names a route.
    #[must_use]
    pub fn route(kind: &RouteKind, namespace: impl Into<String>, name: impl Into<String>) -> Self {
        let gvk = GroupVersionKind::gvk(kind.group, kind.version, kind.kind);
        let kind = ApiResource::from_gvk_with_plural(&gvk, kind.plural);
        Self { kind, namespace: namespace.into(), name: name.into() }
    }

    /// Names a Deployment.
    #[must_use]
    pub fn deployment(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        let gvk = GroupVersionKind::gvk("apps", "v1", "Deployment");
        let kind = ApiResource::from_gvk_with_plural(&gvk, "deployments");
        Self { kind, namespace: namespace.into(), name: name.into() }
    }
}

/// Writes what a rollout says as Kubernetes Events (`events.k8s.io/v1`) on an object.
///
/// The reasons are stable, so that alerts may name them: see [`REASONS`](Self::REASONS). Judgements are told when what
/// follows from them changes, everything else each time. An Event has the time of its record and a name of its own, so
/// that a record which is told again after a crash is no second Event.
///
/// Events are told to people and nothing depends on them: writing never holds a rollout up, tries each once, keeps to
/// 25 at once and one a second on average, and leaves out what comes while 256 wait. The log says how many were left out.
///
/// Clones share the queue. What still waits when the last clone is gone is written then;
/// [`written`](Self::written) waits for it, before a program ends.
#[derive(Clone)]
pub struct Events {
    queue: mpsc::Sender<Event>,
    waiting: Arc<watch::Sender<usize>>,
    on: EventsOn,
    instance: String,
    reasons: Arc<Mutex<Reasons>>,
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").field("on", &self.on).finish_non_exhaustive()
    }
}

impl Events {
    /// Lists every reason that an Event may have, with whether it is a warning.
    pub const REASONS: &'static [(&'static str, bool)] = reason::ALL;

    /// Writes Events on this object, in the name of this replica. Must be called within a tokio runtime.
    ///
    /// Needs `create` on `events.events.k8s.io`, and `get` on the object for its uid; without the latter, Events have none.
    #[must_use]
    pub fn new(client: Client, on: EventsOn, replica: &str) -> Self {
        let (queue, events) = mpsc::channel(QUEUE);
        let waiting = Arc::new(watch::Sender::new(0));
        let writer = Writer { client, on: on.clone(), waiting: Arc::clone(&waiting) };
        #[expect(clippy::disallowed_methods, reason = "it ends when the last sender is dropped")]
        tokio::spawn(writer.write(events));
        let instance: String = replica.chars().take(128).collect();
        let instance = if instance.is_empty() { "canary".to_owned() } else { instance };
        Self { queue, waiting, on, instance, reasons: Arc::default() }
    }

    /// Waits until nothing waits to be written.
    pub async fn written(&self) {
        // The sender is ours: it cannot be gone.
        let _ = self.waiting.subscribe().wait_for(|waiting| *waiting == 0).await;
    }

    fn event(&self, rollout: &RolloutId, record: &Record, reason: Reason) -> Event {
        let EventsOn { kind, namespace, name } = &self.on;
        let id = stable(&format!("{rollout}/{}", record.number));
        let short: String = name.chars().take(200).collect();
        let millis = i64::try_from(record.at.as_millis()).unwrap_or(i64::MAX);
        let at = jiff::Timestamp::from_millisecond(millis).unwrap_or_default();
        Event {
            metadata: ObjectMeta {
                name: Some(format!("{}.{id:016x}", short.trim_end_matches('.'))),
                namespace: Some(namespace.clone()),
                ..ObjectMeta::default()
            },
            action: Some(record.content.kind().to_owned()),
            event_time: Some(MicroTime(at)),
            note: Some(shortened(&format!("{rollout}: {}", record.content))),
            reason: Some(reason.name.to_owned()),
            regarding: Some(ObjectReference {
                api_version: Some(kind.api_version.clone()),
                kind: Some(kind.kind.clone()),
                name: Some(name.clone()),
                namespace: Some(namespace.clone()),
                ..ObjectReference::default()
            }),
            reporting_controller: Some("canary".to_owned()),
            reporting_instance: Some(self.instance.clone()),
            type_: Some(if reason.warns { "Warning" } else { "Normal" }.to_owned()),
            ..Event::default()
        }
    }
}

impl Observer for Events {
    fn notice(&self, rollout: &RolloutId, record: &Record) {
        let mut reasons = self.reasons.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(reason) = reasons.of(rollout, &record.content) else { return };
        drop(reasons);
        self.waiting.send_modify(|waiting| *waiting += 1);
        if self.queue.try_send(self.event(rollout, record, reason)).is_err() {
            self.waiting.send_modify(|waiting| *waiting -= 1);
            tracing::debug!(%rollout, number = record.number, "an Event was left out");
        }
    }
}

/// Writes one Event after the other.
struct Writer {
    client: Client,
    on: EventsOn,
    waiting: Arc<watch::Sender<usize>>,
}

impl Writer {
    async fn write(self, mut events: mpsc::Receiver<Event>) {
        let api = Api::<Event>::namespaced(self.client.clone(), &self.on.namespace);
        let mut rate = Rate::new(25, Duration::from_secs(1));
        let (mut uid, mut failed) = (None, 0_u64);
        while let Some(mut event) = events.recv().await {
            rate.wait().await;
            if uid.is_none() {
                uid = self.uid().await;
            }
            if let Some(regarding) = &mut event.regarding {
                regarding.uid.clone_from(&uid);
            }
            let written = within(PATIENCE, api.create(&creating(), &event)).await;
            match written {
                // It was told before.
                Err(error) if error.kind() == FailureKind::Conflict => {}
                Err(error) => {
                    failed += 1;
                    if failed.is_power_of_two() {
                        tracing::warn!(%error, failed, "an Event cannot be written");
                    }
                }
                Ok(_) => {}
            }
            self.waiting.send_modify(|waiting| *waiting -= 1);
        }
    }

    async fn uid(&self) -> Option<String> {
        let EventsOn { kind, namespace, name } = &self.on;
        let api = Api::<DynamicObject>::namespaced_with(self.client.clone(), namespace, kind);
        within(PATIENCE, api.get_metadata(name)).await.ok()?.metadata.uid
    }
}

/// Cuts a text to what an Event holds.
fn shortened(text: &str) -> String {
    if text.len() <= LONGEST {
        return text.to_owned();
    }
    let end = (0..=LONGEST - '…'.len_utf8()).rev().find(|end| text.is_char_boundary(*end));
    format!("{}…", &text[..end.unwrap_or(0)])
}
