//! What keeps pods from being ready, in words.

use std::fmt::Write;

use canary_core::ports::PortError;
use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateTerminated, ContainerStatus, Pod, PodStatus,
};
use kube::ResourceExt;

use super::deployment::Deployment;
use super::server::Server;

/// The reasons of a container that waits for an image in vain.
const NO_IMAGE: [&str; 4] =
    ["ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"];
/// The reasons of a container that cannot be started as it is described.
const NO_START: [&str; 3] =
    ["CreateContainerConfigError", "CreateContainerError", "RunContainerError"];

/// How many pods are spoken of.
const MOST: usize = 3;

/// Says what is wrong with one pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) what: String,
    /// Whether it can never become ready as it is described.
    pub(super) is_hopeless: bool,
}

/// Says all that keeps a Deployment's pods from being available, and whether any of it is hopeless.
///
/// Makes one request, for the pods.
pub(super) async fn troubles(
    server: &Server,
    deployment: &Deployment,
    lacks: String,
) -> Result<Trouble, PortError> {
    let mut found = server.pods(&deployment.selector()?.to_string()).await?;
    found.sort_by_key(|pod| std::cmp::Reverse(pod.creation_timestamp()));
    let may_be_old = deployment.may_have_old();
    let mut pods: Vec<_> = found
        .iter()
        .filter_map(|pod| {
            let mut trouble = trouble(pod)?;
            // Those of an older template may be in trouble, too, but are not waited for.
            trouble.is_hopeless &= !may_be_old || is_newest(pod, deployment);
            Some(trouble)
        })
        .collect();
    // What is hopeless must be among what is said.
    pods.sort_by_key(|trouble| !trouble.is_hopeless);
    let is_hopeless = pods.first().is_some_and(|trouble| trouble.is_hopeless);
    let more = pods.len().saturating_sub(MOST);
    let mut what = lacks;
    let said = pods.into_iter().take(MOST).map(|trouble| trouble.what);
    for words in deployment.trouble().into_iter().chain(said) {
        let _ = write!(what, "; {words}");
    }
    if more > 0 {
        let _ = write!(what, "; and {more} more");
    }
    Ok(Trouble { what, is_hopeless })
}

/// Tells whether a pod has all images of the newest template, whatever else was put into it.
fn is_newest(pod: &Pod, deployment: &Deployment) -> bool {
    let there = pod
        .spec
        .iter()
        .flat_map(|spec| spec.containers.iter().chain(spec.init_containers.iter().flatten()));
    let there: Vec<_> = there
        .map(|container| (Some(container.name.as_str()), container.image.as_deref()))
        .collect();
    let template = &deployment.json()["spec"]["template"]["spec"];
    let mut wanted = ["containers", "initContainers"]
        .into_iter()
        .flat_map(|of| template[of].as_array().into_iter().flatten());
    wanted
        .all(|container| there.contains(&(container["name"].as_str(), container["image"].as_str())))
}

/// Says what keeps a pod from being ready; `None` where it is ready, or going.
fn trouble(pod: &Pod) -> Option<Trouble> {
    if pod.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let status = pod.status.clone().unwrap_or_default();
    let is_ready = |status: &PodStatus| condition(status, "Ready").is_some_and(|(is, _)| is);
    if is_ready(&status) {
        return None;
    }
    let (words, is_hopeless) = of_container(&status)
        .or_else(|| of_pod(&status).map(|words| (words, false)))
        .unwrap_or_else(|| ("has not started yet".to_owned(), false));
    Some(Trouble { what: format!("pod {} {words}", pod.name_any()), is_hopeless })
}

/// Says what the first container in trouble is in, those that run before the others first.
fn of_container(status: &PodStatus) -> Option<(String, bool)> {
    let all = [&status.init_container_statuses, &status.container_statuses];
    let mut all = all.into_iter().flatten().flatten();
    all.find_map(|container| {
        let state = container.state.clone().unwrap_or_default();
        let name = &container.name;
        if let Some(waiting) = state.waiting {
            let reason = waiting.reason.unwrap_or_default();
            let told = waiting.message.filter(|told| !told.is_empty());
            let told = told.map(|told| format!(": {}", told.trim())).unwrap_or_default();
            return match reason.as_str() {
                reason if NO_IMAGE.contains(&reason) => {
                    let words = format!(
                        "cannot pull the image {} of container {name} ({reason}{told})",
                        container.image
                    );
                    Some((words, true))
                }
                reason if NO_START.contains(&reason) => {
                    Some((format!("cannot start container {name} ({reason}{told})"), false))
                }
                "CrashLoopBackOff" => {
                    // The rest of what is told is how long the kubelet waits, which changes all the time.
                    Some((
                        format!("crashes in a loop: container {name}{}", restarts(container)),
                        false,
                    ))
                }
                _ if container.restart_count > 0 => {
                    Some((format!("starts container {name} again{}", restarts(container)), false))
                }
                _ => None,
            };
        }
        of_running(container, &state)
    })
}

/// Says what is wrong with a container that runs, or has ended.
fn of_running(container: &ContainerStatus, state: &ContainerState) -> Option<(String, bool)> {
    let name = &container.name;
    if let Some(ended) = &state.terminated {
        // What runs before the others may end.
        let has_done = ended.exit_code == 0 && container.ready;
        return (!has_done).then(|| {
            (
                format!(
                    "has no running container {name}: it {}{}",
                    how(ended),
                    restarts_only(container)
                ),
                false,
            )
        });
    }
    state.running.as_ref().filter(|_| !container.ready)?;
    let probe = if container.started == Some(false) { "startup" } else { "readiness" };
    let crashes = restarts(container);
    let words = if crashes.is_empty() {
        format!(
            "runs and is not ready: the {probe} probe of container {name} fails or has not passed yet"
        )
    } else {
        format!(
            "runs again and is not ready: container {name}{crashes}; it crashes or its liveness probe fails"
        )
    };
    Some((words, false))
}

/// Says what keeps a pod from running containers at all.
fn of_pod(status: &PodStatus) -> Option<String> {
    if let Some((false, why)) = condition(status, "PodScheduled") {
        return Some(format!("has no node: {why}"));
    }
    if status.phase.as_deref() == Some("Failed") {
        let words = status.message.as_deref().or(status.reason.as_deref());
        return Some(format!("has failed: {}", words.unwrap_or("nobody said why")));
    }
    match condition(status, "Ready") {
        Some((false, why)) if !why.is_empty() => Some(format!("is not ready: {why}")),
        _ => None,
    }
}

/// Tells whether a condition holds, and what is said about it.
fn condition(status: &PodStatus, kind: &str) -> Option<(bool, String)> {
    let condition = status.conditions.iter().flatten().find(|condition| condition.type_ == kind)?;
    let words = condition.message.clone().or_else(|| condition.reason.clone());
    Some((condition.status == "True", words.unwrap_or_default()))
}

/// Says how often a container was started again, and why the last time; nothing where it never was.
fn restarts(container: &ContainerStatus) -> String {
    let last = container.last_state.as_ref().and_then(|last| last.terminated.as_ref());
    match (container.restart_count, last) {
        (0, None) => String::new(),
        (_, None) => restarts_only(container),
        (_, Some(last)) => format!("{}; the last time it {}", restarts_only(container), how(last)),
    }
}

fn restarts_only(container: &ContainerStatus) -> String {
    match container.restart_count {
        0 => String::new(),
        1 => " was started again once".to_owned(),
        times => format!(" was started again {times} times"),
    }
}

/// Says how a container ended.
fn how(ended: &ContainerStateTerminated) -> String {
    let code = ended.exit_code;
    match ended.reason.as_deref() {
        Some("OOMKilled") => "was killed for using more memory than it may (OOMKilled)".to_owned(),
        Some(reason) => format!("ended with exit code {code} ({reason})"),
        None => format!("ended with exit code {code}"),
    }
}
