//! What runs pods, where there are no nodes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff;
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

/// How often it looks for pods.
const EVERY: Duration = Duration::from_millis(20);

/// Plays the kubelet of a namespace: writes into each pod's status what becomes of it, as the test says for its image.
///
/// Pods get no node, so that they are gone as soon as they are deleted. Clones play the same one.
#[derive(Clone)]
pub struct Kubelet {
    pods: Api<Pod>,
    state: Arc<Mutex<State>>,
}

impl std::fmt::Debug for Kubelet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kubelet").field("state", &self.state()).finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct State {
    /// By image.
    fates: BTreeMap<String, Fate>,
    /// What was written last, by pod.
    written: BTreeMap<String, Fate>,
}

/// Says what becomes of pods.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fate {
    /// They run and are ready.
    Ready,
    /// Nothing is written about them.
    Unseen,
    /// No node has room for them.
    Unschedulable(&'static str),
    /// Their container waits, for a reason and with a message.
    Waits(&'static str, &'static str),
    /// Their container runs and its readiness probe fails.
    NotReady,
    /// Their container was started again so often, ended for this reason with this exit code, and now waits in
    /// `CrashLoopBackOff`.
    Crashes(i32, &'static str, i32),
    /// The same, and now it runs and is not ready.
    Restarted(i32, &'static str, i32),
}

impl Kubelet {
    /// Begins with pods that all become ready.
    #[must_use]
    pub fn new(client: Client, namespace: &str) -> Self {
        Self { pods: Api::namespaced(client, namespace), state: Arc::default() }
    }

    /// Says what becomes of pods with this image, those that run already too.
    pub fn image(&self, image: &str, fate: Fate) {
        self.state().fates.insert(image.to_owned(), fate);
    }

    /// Does so for ever.
    ///
    /// # Panics
    /// Where the server does not let it.
    pub async fn serve(&self) {
        loop {
            let pods = self.pods.list(&ListParams::default()).await.expect("pods are listed");
            for pod in pods {
                self.take_care_of(&pod).await;
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    async fn take_care_of(&self, pod: &Pod) {
        let name = pod.name_any();
        let Some(container) = pod.spec.as_ref().and_then(|spec| spec.containers.first()) else {
            return;
        };
        let image = container.image.clone().unwrap_or_default();
        let fate = {
            let mut state = self.state();
            let fate = state.fates.get(&image).cloned().unwrap_or(Fate::Ready);
            let known = state.written.insert(name.clone(), fate.clone());
            if known.as_ref() == Some(&fate) {
                return;
            }
            fate
        };
        let Some(status) = fate.status(&container.name, &image) else { return };
        let patch = Patch::Merge(json!({ "status": status }));
        match self.pods.patch_status(&name, &PatchParams::default(), &patch).await {
            // Deleted since it was listed.
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            written => drop(written.expect("a pod's status is written")),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fate {
    fn status(&self, container: &str, image: &str) -> Option<Value> {
        let running = json!({ "running": {} });
        let ended = |reason: &str, code: i32| json!({ "terminated": { "reason": reason, "exitCode": code } });
        let no = json!(null);
        let (restarts, state, last) = match self {
            Self::Ready | Self::NotReady => (0, running, no),
            Self::Unseen => return None,
            Self::Unschedulable(why) => return Some(unschedulable(why)),
            Self::Waits(reason, message) => {
                (0, json!({ "waiting": { "reason": reason, "message": message } }), no)
            }
            Self::Crashes(times, reason, code) => {
                let message = "back-off 5m0s restarting failed container";
                let state =
                    json!({ "waiting": { "reason": "CrashLoopBackOff", "message": message } });
                (*times, state, ended(reason, *code))
            }
            Self::Restarted(times, reason, code) => (*times, running, ended(reason, *code)),
        };
        let is_ready = *self == Self::Ready;
        let ready = condition("Ready", is_ready, "ContainersNotReady", "");
        Some(json!({
            "phase": "Running",
            "conditions": [condition("PodScheduled", true, "", ""), ready],
            "containerStatuses": [{
                "name": container, "image": image, "imageID": image, "ready": is_ready, "started": true,
                "restartCount": restarts, "state": state, "lastState": last,
            }],
        }))
    }
}

fn unschedulable(why: &str) -> Value {
    json!({
        "phase": "Pending", "containerStatuses": [],
        "conditions": [condition("PodScheduled", false, "Unschedulable", why)],
    })
}

fn condition(kind: &str, holds: bool, reason: &str, message: &str) -> Value {
    let status = if holds { "True" } else { "False" };
    let (reason, message) = if holds { ("", "") } else { (reason, message) };
    let since = jiff::Timestamp::now();
    json!({ "type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": since })
}
