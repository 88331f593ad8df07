//! Whether a DestinationRule suits a rollout.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use canary_core::ports::Call;
use canary_core::value::{BySide, EffectId, Epoch, FailureKind, RolloutId, Side, Timestamp};
use canary_kube::{Check, Finding};
use serde_json::Value;

use crate::subsets::Subsets;

/// How long the look may take.
const PATIENCE: Duration = Duration::from_secs(5);

type Labels = BTreeMap<String, String>;

/// Looks whether both subsets are there and select the pods of their versions alone, and at what makes a rollout's
/// numbers say something else: outlier detection that takes failing pods of the canary out, session affinity.
///
/// ```no_run
/// # async fn look(client: kube::Client, versions: canary_kube::Deployments, call: canary_core::ports::Call) -> Result<(), canary_core::ports::PortError> {
/// use canary_istio::{DestinationRuleCheck, Subsets};
/// use canary_kube::Preflight;
///
/// let subsets = Subsets::new(client.clone(), "shop", "checkout", "stable", "canary");
/// let check = DestinationRuleCheck::new(subsets, "checkout").pods(versions.pod_labels(&call).await?);
/// print!("{}", Preflight::new(client).check(check).run().await);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct DestinationRuleCheck {
    subsets: Subsets,
    host: String,
    added: bool,
    missed: bool,
    pods: Option<BySide<Labels>>,
}

impl DestinationRuleCheck {
    /// Looks at the DestinationRule of these subsets, which must be for this host; nothing is read yet.
    #[must_use]
    pub fn new(subsets: Subsets, host: impl Into<String>) -> Self {
        Self { subsets, host: host.into(), added: false, missed: true, pods: None }
    }

    /// Does not miss the canary's subset, which the rollout
    /// [adds](crate::VirtualServiceRouter::with_own_subset).
    #[must_use]
    pub const fn canary_is_added(mut self) -> Self {
        self.added = true;
        self
    }

    /// Only notes that there is no DestinationRule of this name: another one may be for the host.
    #[must_use]
    pub const fn if_there(mut self) -> Self {
        self.missed = false;
        self
    }

    /// Says which labels the pods of each version have, so that subsets which select none of them, or those of the
    /// other version, are found.
    #[must_use]
    pub fn pods(mut self, labels: BySide<BTreeMap<String, String>>) -> Self {
        self.pods = Some(labels);
        self
    }

    /// Finds subsets that select other pods than those of their version.
    fn astray(&self, rule: &Value, pods: &BySide<Labels>) -> Vec<Finding> {
        let of_stable = (Side::Stable, "stable's", &pods.stable);
        let of_canary = (Side::Canary, "the canary's", &pods.canary);
        let mut found = Vec::new();
        for ((side, whose, own), (_, others, other)) in
            [(of_stable, of_canary), (of_canary, of_stable)]
        {
            let (name, Some(subset)) = self.subsets.subset(rule, side) else { continue };
            let labels = written(&subset["labels"]);
            let means = if labels.is_empty() {
                "all pods".to_owned()
            } else {
                format!("pods with {labels}")
            };
            let advice =
                format!("let it mean pods with what {whose} alone have: {}", apart(own, other));
            if !selects(subset, own) {
                let what = format!(
                    "its subset `{name}` means {means}, and none of {whose}: requests to it fail"
                );
                found.push(self.error(what).advice(&advice));
            }
            if selects(subset, other) {
                let what = format!(
                    "its subset `{name}` means {means}, and so {others} too: they get some of {whose} requests, \
                     whatever the weights are"
                );
                found.push(self.error(what).advice(&advice));
            }
        }
        found
    }

    fn error(&self, what: String) -> Finding {
        Finding::error(self.about(), what)
    }
}

/// Tells whether Istio counts pods with these labels to a subset.
fn selects(subset: &Value, pods: &Labels) -> bool {
    let labels = subset["labels"].as_object().into_iter().flatten();
    labels.into_iter().all(|(key, value)| pods.get(key).map(String::as_str) == value.as_str())
}

/// Writes `app=web,version=v1`.
fn written(labels: &Value) -> String {
    let labels = labels.as_object().into_iter().flatten();
    let labels = labels.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()));
    labels.collect::<Vec<_>>().join(",")
}

/// Writes what pods have that others do not.
fn apart(own: &Labels, other: &Labels) -> String {
    let apart = own.iter().filter(|(key, value)| other.get(*key) != Some(*value));
    let apart: Vec<_> = apart.map(|(key, value)| format!("`{key}: {value}`")).collect();
    if apart.is_empty() { "there is none yet".to_owned() } else { apart.join(", ") }
}

#[async_trait]
impl Check for DestinationRuleCheck {
    fn about(&self) -> String {
        self.subsets.to_string()
    }

    async fn findings(&self) -> Vec<Finding> {
        // A name that no rollout has; it only reads.
        let Ok(rollout) = RolloutId::new("preflight.canary") else { return Vec::new() };
        let (made, epoch) = (Timestamp::EPOCH, Epoch::new(1));
        let call = Call::new(rollout, epoch, EffectId::new(1), 1, made, made + PATIENCE);
        let rule = match self.subsets.read(&call).await {
            Ok(rule) => rule,
            Err(error) if error.kind() == FailureKind::NotFound && !self.missed => {
                let what = "it is not there, so nobody looked which pods the subsets mean";
                return vec![Finding::note(self.about(), what)];
            }
            Err(error) => return vec![self.error(error.to_string())],
        };
        let mut found = self.subsets.findings(&rule, &self.host, self.added);
        found.extend(self.pods.iter().flat_map(|pods| self.astray(&rule, pods)));
        found
    }
}
