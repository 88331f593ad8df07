//! One look at some pods.

use std::collections::BTreeMap;
use std::time::Duration;

use canary_core::ports::PortError;
use canary_core::value::FailureKind;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::{Api, ListParams};
use kube::core::Selector;
use kube::{Client, ResourceExt};

use crate::calls::within;

/// Says which pods.
#[derive(Clone, Debug)]
pub(super) enum Pods {
    Deployment(String),
    Selector(String),
}

/// Says what is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) what: String,
    /// Whether waiting will not help.
    pub(crate) crashes: bool,
}

impl Trouble {
    fn wait(what: String) -> Self {
        Self { what, crashes: false }
    }

    fn crash(what: String) -> Self {
        Self { what, crashes: true }
    }

    /// Says that a container has restarted so often while a rollout looked.
    pub(super) fn restarts(pod: &str, container: &str, times: i32, ended: &str) -> Self {
        let s = if times == 1 { "" } else { "s" };
        Self::crash(format!(
            "pod {pod}: container {container} has restarted {times} time{s} in this rollout{ended}"
        ))
    }
}

/// Holds what a look showed.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) troubles: Vec<Trouble>,
    /// How often each container has restarted, with its pod's name.
    pub(super) restarts: BTreeMap<(String, String), (String, i32)>,
    /// How each container that has restarted ended before, in words.
    pub(super) ended: BTreeMap<(String, String), String>,
}

/// The reason for which a container waits in vain.
const VAIN: &str = "CrashLoopBackOff";

/// The reasons for which a container waits until somebody puts something right: an image, a Secret, a registry.
const HELD_UP: [&str; 6] = [
    "CreateContainerConfigError",
    "CreateContainerError",
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "RunContainerError",
];

/// Looks at pods now.
pub(super) async fn look(
    client: &Client,
    namespace: &str,
    pods: &Pods,
    patience: Duration,
) -> Result<Seen, PortError> {
    let (mut seen, labels) = match pods {
        Pods::Selector(labels) => (Seen::default(), labels.clone()),
        Pods::Deployment(name) => {
            let api = Api::<Deployment>::namespaced(client.clone(), namespace);
            let deployment = within(patience, api.get(name)).await;
            let place = format!("Deployment {namespace}/{name}");
            let deployment = deployment.map_err(|error| error.about(&place))?;
            let troubles = short_of(&place, &deployment).map(Trouble::wait).into_iter().collect();
            let labels = deployment.spec.map(|spec| spec.selector).unwrap_or_default();
            (Seen { troubles, ..Seen::default() }, selector(&place, labels)?)
        }
    };
    let api = Api::<Pod>::namespaced(client.clone(), namespace);
    let listed = within(patience, api.list(&ListParams::default().labels(&labels))).await;
    let listed = listed.map_err(|error| error.about(format_args!("pods {namespace} {labels}")))?;
    let here: Vec<_> = listed.items.into_iter().filter(is_here).collect();
    if here.is_empty() {
        seen.troubles.push(Trouble::wait(format!("no pod has {labels}")));
    }
    here.iter().for_each(|pod| seen.take_in(pod));
    Ok(seen)
}

/// Tells whether a pod is anybody's trouble: one that goes is not, nor one that has ended, which may stay listed for
/// days (an evicted one, say) while another has long taken its place.
fn is_here(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    pod.metadata.deletion_timestamp.is_none() && !matches!(phase, Some("Failed" | "Succeeded"))
}

/// Says what a Deployment still lacks.
fn short_of(place: &str, deployment: &Deployment) -> Option<String> {
    let asked = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let status = deployment.status.clone().unwrap_or_default();
    if status.observed_generation < deployment.metadata.generation {
        return Some(format!("{place} was changed and not taken up yet"));
    }
    let [updated, ready] = [status.updated_replicas, status.ready_replicas].map(|n| n.unwrap_or(0));
    let all = status.replicas.unwrap_or(0);
    if updated < asked || all > updated {
        return Some(format!(
            "{place} has {updated} of {asked} pods of its newest template, {all} in all"
        ));
    }
    (ready < asked).then(|| format!("{place} has {ready} of {asked} pods ready"))
}

fn selector(place: &str, labels: LabelSelector) -> Result<String, PortError> {
    Selector::try_from(labels).map(|selector| selector.to_string()).map_err(|error| {
        PortError::new(FailureKind::Invalid, format!("{place} has no usable selector"))
            .with_source(error)
    })
}

impl Seen {
    fn take_in(&mut self, pod: &Pod) {
        let name = pod.name_any();
        let status = pod.status.clone().unwrap_or_default();
        let condition = |kind: &str| {
            status.conditions.iter().flatten().find(|condition| condition.type_ == kind).cloned()
        };
        let containers: Vec<_> =
            [status.init_container_statuses.clone(), status.container_statuses.clone()]
                .into_iter()
                .flatten()
                .flatten()
                .collect();
        let before = self.troubles.len();
        for container in &containers {
            self.take_in_container(pod, &name, container);
        }
        if self.troubles.len() > before {
            return;
        }
        match condition("PodScheduled") {
            Some(no) if no.status == "False" => {
                let why = no.message.or(no.reason).unwrap_or_default();
                self.troubles.push(Trouble::wait(format!("pod {name} has no node: {why}")));
                return;
            }
            _ => {}
        }
        match condition("Ready") {
            Some(ready) if ready.status == "True" => {}
            Some(no) => {
                let why = no.message.or(no.reason).unwrap_or_else(|| "its probes fail".to_owned());
                self.troubles.push(Trouble::wait(format!("pod {name} is not ready: {why}")));
            }
            None => self.troubles.push(Trouble::wait(format!("pod {name} has not started yet"))),
        }
    }

    fn take_in_container(&mut self, pod: &Pod, name: &str, container: &ContainerStatus) {
        let key = (pod.uid().unwrap_or_else(|| name.to_owned()), container.name.clone());
        let last = container.last_state.as_ref().and_then(|state| state.terminated.as_ref());
        let ended = last.map(|last| {
            let reason = last.reason.as_deref().unwrap_or("ended");
            format!(" (last: {reason}, exit code {})", last.exit_code)
        });
        let waiting = container.state.as_ref().and_then(|state| state.waiting.as_ref());
        let reason = waiting.and_then(|waiting| waiting.reason.as_deref()).unwrap_or("");
        if reason == VAIN || HELD_UP.contains(&reason) {
            let told = waiting.and_then(|waiting| waiting.message.clone());
            let told = told.map(|told| format!(": {told}")).unwrap_or_default();
            let ended = ended.as_deref().unwrap_or("");
            let what =
                format!("pod {name}: container {} is in {reason}{told}{ended}", container.name);
            self.troubles.push(Trouble { what, crashes: reason == VAIN });
        }
        if let Some(ended) = ended {
            self.ended.insert(key.clone(), ended);
        }
        self.restarts.insert(key, (name.to_owned(), container.restart_count));
    }
}
