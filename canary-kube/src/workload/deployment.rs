//! One Deployment, as it was read.

use std::collections::BTreeMap;

use canary_core::ports::PortError;
use canary_core::value::FailureKind;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::Selector;
use serde_json::Value;

/// Holds the rollout that made or scaled a Deployment as its canary.
pub(super) const ROLLOUT: &str = "canary-rollout/rollout";
/// Holds the name of the Deployment that a canary was made from.
pub(super) const MADE_FROM: &str = "canary-rollout/made-from";
/// Holds what a canary was asked to have for being different.
pub(super) const ASKED: &str = "canary-rollout/asked";
/// Holds what of that a canary had when it was first seen: the API server, and others that may change what they admit, write
/// it in their own way.
pub(super) const RUNS: &str = "canary-rollout/runs";
/// Holds the largest size of stable that was seen in a rollout.
pub(super) const SIZE: &str = "canary-rollout/stable-replicas";
/// Holds the rollout in which a canary became the stable one by swap.
pub(super) const TOOK_OVER: &str = "canary-rollout/took-over";
/// Holds what stable was before it was promoted in place.
pub(super) const REPLACED: &str = "canary-rollout/replaced";

/// A Deployment as plain JSON.
#[derive(Clone, Debug)]
pub(super) struct Deployment(Value);

impl Deployment {
    pub(super) const fn new(object: Value) -> Self {
        Self(object)
    }

    pub(super) const fn json(&self) -> &Value {
        &self.0
    }

    pub(super) fn name(&self) -> &str {
        self.metadata("name").unwrap_or_default()
    }

    pub(super) fn uid(&self) -> Option<&str> {
        self.metadata("uid")
    }

    pub(super) fn resource_version(&self) -> &str {
        self.metadata("resourceVersion").unwrap_or_default()
    }

    /// Writes `Deployment shop/web`.
    pub(super) fn place(&self) -> String {
        format!("Deployment {}/{}", self.metadata("namespace").unwrap_or_default(), self.name())
    }

    pub(super) fn annotation(&self, key: &str) -> Option<&str> {
        self.0["metadata"]["annotations"][key].as_str()
    }

    /// Tells whether it was deleted and something still holds it.
    pub(super) fn is_going(&self) -> bool {
        self.metadata("deletionTimestamp").is_some()
    }

    /// Returns how many replicas it shall have.
    pub(super) fn replicas(&self) -> u32 {
        self.0["spec"]["replicas"].as_u64().map_or(1, saturate)
    }

    /// Tells whether its controller replaces no pods.
    pub(super) fn is_paused(&self) -> bool {
        self.0["spec"]["paused"] == true
    }

    /// Tells whether nothing of it runs, or will.
    pub(super) fn is_down(&self) -> bool {
        self.replicas() == 0 && self.is_taken_up() && self.counted("replicas") == 0
    }

    /// Says why fewer than these replicas of its newest template are available, or others still run beside them;
    /// `None` where all is well.
    pub(super) fn lacks(&self, replicas: u32) -> Option<String> {
        let place = self.place();
        if !self.is_taken_up() {
            return Some(format!("{place} was changed and not taken up yet"));
        }
        let [all, updated, available] =
            ["replicas", "updatedReplicas", "availableReplicas"].map(|of| self.counted(of));
        if all > updated {
            let has = if self.is_paused() { "is paused with" } else { "has" };
            return Some(format!(
                "{place} {has} {updated} pods of its newest template and {} old ones",
                all - updated
            ));
        }
        (available < replicas)
            .then(|| format!("{place} has {available} of {replicas} pods available"))
    }

    /// Returns how many replicas have been ready for long enough, as long as all are of its newest template.
    pub(super) fn available(&self) -> u32 {
        if self.may_have_old() { 0 } else { self.counted("availableReplicas") }
    }

    /// Tells whether some of its pods may be of an older template.
    pub(super) fn may_have_old(&self) -> bool {
        !self.is_taken_up() || self.counted("replicas") > self.counted("updatedReplicas")
    }

    /// Says why it could not bear all of the traffic: fewer than these, or than it shall have, are available.
    pub(super) fn cannot_bear_all(&self, at_least: u32) -> Option<String> {
        let needed = self.replicas().max(at_least).max(1);
        let available = if self.is_taken_up() { self.counted("availableReplicas") } else { 0 };
        (available < needed)
            .then(|| format!("{} has {available} of {needed} pods available", self.place()))
    }

    /// Says what keeps its pods from being made, or made in time.
    pub(super) fn trouble(&self) -> Option<String> {
        let conditions = self.0["status"]["conditions"].as_array().into_iter().flatten();
        let mut told = conditions.filter_map(|condition| {
            let [kind, status, reason, message] = ["type", "status", "reason", "message"]
                .map(|key| condition[key].as_str().unwrap_or_default());
            match (kind, status, reason) {
                ("ReplicaFailure", "True", _) => {
                    Some(format!("its pods cannot be made: {message}"))
                }
                ("Progressing", "False", "ProgressDeadlineExceeded") => {
                    Some("its progress deadline is over".to_owned())
                }
                _ => None,
            }
        });
        told.next()
    }

    /// Returns the labels of its pods.
    pub(super) fn labels(&self) -> BTreeMap<String, String> {
        let labels = self.0["spec"]["template"]["metadata"]["labels"].clone();
        serde_json::from_value(labels).unwrap_or_default()
    }

    /// Returns what its pods are found by.
    pub(super) fn selector(&self) -> Result<Selector, PortError> {
        let wrong = || {
            PortError::new(FailureKind::Invalid, format!("{} has no usable selector", self.place()))
        };
        let labels: LabelSelector = serde_json::from_value(self.0["spec"]["selector"].clone())
            .map_err(|error| wrong().with_source(error))?;
        Selector::try_from(labels).map_err(|error| wrong().with_source(error))
    }

    /// Tells whether what is counted is of the Deployment as it is; a change of its annotations is one, too.
    pub(super) fn is_taken_up(&self) -> bool {
        let generation = self.0["metadata"]["generation"].as_u64();
        self.0["status"]["observedGeneration"].as_u64() >= generation
    }

    fn counted(&self, of: &str) -> u32 {
        self.0["status"][of].as_u64().map_or(0, saturate)
    }

    fn metadata(&self, key: &str) -> Option<&str> {
        self.0["metadata"][key].as_str()
    }
}

fn saturate(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
