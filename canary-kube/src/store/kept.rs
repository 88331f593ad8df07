//! How a rollout stands in a ConfigMap.

use std::collections::BTreeMap;
use std::sync::Arc;

use canary_core::policy::PolicySpec;
use canary_core::ports::{Claim, Past, PortError, Stored};
use canary_core::rollout::Snapshot;
use canary_core::value::{FailureKind, Revision, Target};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use kube::core::ObjectMeta;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::hash::stable;

/// Finds the ConfigMaps of this store.
pub(super) const KEEPS: &str = "canary-rollout/keeps=state";
const KEEPS_LABEL: (&str, &str) = ("canary-rollout/keeps", "state");

/// Names the annotation that says of what a ConfigMap keeps the rollout.
const TARGET: &str = "canary-rollout/target";

const CLAIM: &str = "claim.json";
const STATE: &str = "state.json";
/// Holds the revision that was written over, so that the same state saved again is a new revision too.
const FOLLOWS: &str = "follows";

/// What the API server takes in one ConfigMap, keys not counted.
const MOST: usize = 1024 * 1024;
const CLAIM_MOST: usize = MOST / 4;
/// Leaves room for the few bytes beside the two.
const STATE_MOST: usize = MOST - CLAIM_MOST - 1024;

/// Holds what `claim.json` says.
#[derive(Debug, Serialize, Deserialize)]
struct ClaimPart {
    policy: Arc<PolicySpec>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    holder: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    past: Vec<Past>,
}

/// Holds what is written at once.
#[derive(Debug)]
pub(super) struct Kept {
    claim: Option<String>,
    state: String,
}

impl Kept {
    /// Writes out what a new holder keeps, without the oldest of the past where that is too much.
    ///
    /// # Errors
    /// `Invalid` where plan or state are too large by themselves.
    pub(super) fn of_claim(claim: &Claim) -> Result<Self, PortError> {
        let Claim { policy, state, holder, version, past, .. } = claim.clone();
        let mut part = ClaimPart { policy, holder, version, past };
        let mut text = write(&part)?;
        while text.len() > CLAIM_MOST && !part.past.is_empty() {
            // By halves: one by one would write a long past out as often as it has entries.
            part.past.drain(..part.past.len().div_ceil(2));
            text = write(&part)?;
        }
        fits("the plan", &text, CLAIM_MOST)?;
        Ok(Self { claim: Some(text), ..Self::of_state(&state)? })
    }

    /// Writes a state out.
    ///
    /// # Errors
    /// `Invalid` where it is too large.
    pub(super) fn of_state(state: &Snapshot) -> Result<Self, PortError> {
        let state = write(state)?;
        fits("the state", &state, STATE_MOST)?;
        Ok(Self { claim: None, state })
    }

    /// Returns what to lay over a ConfigMap that is at this revision.
    pub(super) fn fields(self, expect: Revision) -> Value {
        let expect = expect.to_string();
        let mut fields = json!({
            "metadata": { "resourceVersion": expect },
            "data": { STATE: self.state, FOLLOWS: expect },
        });
        if let Some(claim) = self.claim {
            fields["data"][CLAIM] = Value::String(claim);
        }
        fields
    }

    /// Returns the ConfigMap to create.
    pub(super) fn map(self, target: &Target) -> ConfigMap {
        let pair = |(key, value): (&str, &str)| BTreeMap::from([(key.into(), value.into())]);
        let metadata = ObjectMeta {
            name: Some(name(target)),
            labels: Some(pair(KEEPS_LABEL)),
            annotations: Some(pair((TARGET, target.as_str()))),
            ..ObjectMeta::default()
        };
        let claim = self.claim.map(|claim| (CLAIM.to_owned(), claim));
        let data = claim.into_iter().chain([(STATE.to_owned(), self.state)]).collect();
        ConfigMap { metadata, data: Some(data), ..ConfigMap::default() }
    }
}

/// Names a target's ConfigMap: readable, and of its own for each target.
pub(super) fn name(target: &Target) -> String {
    /// As much of a target as fits a line.
    const READABLE: usize = 40;
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let readable: String = target.as_str().chars().take(READABLE).map(plain).collect();
    format!("canary-{}-{:016x}", readable.trim_end_matches('-'), stable(target.as_str()))
}

/// Reads what a ConfigMap keeps.
///
/// # Errors
/// `Invalid` where it keeps no rollout, one of another target, or one that this library cannot read.
pub(super) fn read(target: &Target, map: &ConfigMap) -> Result<Stored, PortError> {
    let found = map.annotations().get(TARGET);
    if found.map(String::as_str) != Some(target.as_str()) {
        let found = found.map_or("nothing", String::as_str);
        return Err(invalid(format!("its annotation `{TARGET}` names {found}, not {target}")));
    }
    let ClaimPart { policy, holder, version, past } = part(map, CLAIM)?;
    let claim = Claim::new(policy, part(map, STATE)?).by(holder).of_version(version).after(past);
    Ok(Stored::new(claim, revision(map)?))
}

/// Reads off a ConfigMap of what it keeps the rollout; `None` for what is not ours.
pub(super) fn target(map: &impl ResourceExt) -> Option<Target> {
    map.annotations().get(TARGET)?.parse().ok()
}

/// Returns the revision that an object is at.
///
/// # Errors
/// `Invalid` where its resource version is no number.
pub(super) fn revision(map: &impl ResourceExt) -> Result<Revision, PortError> {
    let version = map.resource_version().unwrap_or_default();
    version.parse().map(Revision::new).map_err(|error: std::num::ParseIntError| {
        invalid(format!("its resource version `{version}` is no number")).with_source(error)
    })
}

fn part<T: for<'de> Deserialize<'de>>(map: &ConfigMap, key: &str) -> Result<T, PortError> {
    let text = map.data.as_ref().and_then(|data| data.get(key));
    let text = text.ok_or_else(|| invalid(format!("it has no `{key}`")))?;
    serde_json::from_str(text).map_err(|error| {
        invalid(format!("its `{key}` holds nothing that this library can read")).with_source(error)
    })
}

fn write(value: &impl Serialize) -> Result<String, PortError> {
    serde_json::to_string(value).map_err(|error| {
        PortError::new(FailureKind::Internal, "a state cannot be written").with_source(error)
    })
}

fn fits(what: &str, text: &str, most: usize) -> Result<(), PortError> {
    if text.len() <= most {
        return Ok(());
    }
    let kib = |bytes: usize| bytes.div_ceil(1024);
    let (has, most) = (kib(text.len()), most / 1024);
    Err(invalid(format!("{what} has {has} KiB, and a ConfigMap has room for {most} KiB of it")))
}

fn invalid(message: String) -> PortError {
    PortError::new(FailureKind::Invalid, message)
}
