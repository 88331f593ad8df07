//! The Leases of the shards on the API server.

use std::collections::BTreeMap;
use std::time::Duration;

use canary_core::ports::PortError;
use canary_core::value::FailureKind;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff;
use kube::api::{Api, ListParams, Patch};
use kube::core::ObjectMeta;
use kube::{Client, ResourceExt};
use serde_json::json;

use crate::calls::{creating, patching, within};

/// Names the label by which the Leases of one group are found.
const GROUP: &str = "canary-rollout/group";

/// Reads and writes the Leases of one group of replicas.
#[derive(Clone)]
pub(super) struct Leases {
    api: Api<Lease>,
    group: String,
    /// Names this process, and no other one, even of the same pod.
    holder: String,
    duration: Duration,
    /// How long one call may take.
    patience: Duration,
}

/// What was seen of a Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) version: String,
    /// `None` where it was released.
    pub(super) holder: Option<String>,
    /// For how long its holder says that it may be silent.
    pub(super) duration: Duration,
}

impl Leases {
    pub(super) fn new(
        client: Client,
        namespace: &str,
        group: String,
        holder: String,
        duration: Duration,
        patience: Duration,
    ) -> Self {
        Self { api: Api::namespaced(client, namespace), group, holder, duration, patience }
    }

    pub(super) fn holder(&self) -> &str {
        &self.holder
    }

    /// Reads all of them, by shard.
    pub(super) async fn list(&self) -> Result<BTreeMap<u32, Seen>, PortError> {
        let params = ListParams::default().labels(&format!("{GROUP}={}", self.group));
        let listed = within(self.patience, self.api.list(&params)).await?;
        let seen = listed.items.iter().filter_map(|lease| {
            let shard = lease.name_any().strip_prefix(&self.name("")).map(str::to_owned)?;
            Some((shard.parse().ok()?, Seen::of(lease)))
        });
        Ok(seen.collect())
    }

    /// Writes ourselves down as the holder of a shard whose Lease is at this version, or is not there.
    ///
    /// # Errors
    /// `Conflict` where somebody came first.
    pub(super) async fn take(&self, shard: u32, at: Option<&Seen>) -> Result<Seen, PortError> {
        let now = MicroTime(jiff::Timestamp::now());
        let Some(at) = at else {
            let lease = self.lease(shard, now);
            let created = within(self.patience, self.api.create(&creating(), &lease)).await?;
            return Ok(Seen::of(&created));
        };
        let ours = at.holder.as_ref() == Some(&self.holder);
        let mut spec = json!({
            "holderIdentity": self.holder,
            "leaseDurationSeconds": self.duration.as_secs(),
            "renewTime": now,
        });
        if !ours {
            spec["acquireTime"] = json!(now);
        }
        self.write(shard, at, spec).await
    }

    /// Reads one Lease if it is ours.
    pub(super) async fn ours(&self, shard: u32) -> Result<Option<Seen>, PortError> {
        // Out of all, since whoever may list them needs no further permission so.
        let seen = self.list().await?.remove(&shard);
        Ok(seen.filter(|seen| seen.holder.as_ref() == Some(&self.holder)))
    }

    /// Writes down that nobody holds a shard any more, unless it is not ours.
    pub(super) async fn release(&self, shard: u32, at: &Seen) -> Result<(), PortError> {
        let nobody = || json!({ "holderIdentity": null, "renewTime": null });
        match self.write(shard, at, nobody()).await {
            // A renewal of ours that nobody waited for any more may have landed.
            Err(error) if error.kind() == FailureKind::Conflict => match self.ours(shard).await? {
                Some(now) => self.write(shard, &now, nobody()).await.map(drop),
                None => Ok(()),
            },
            released => released.map(drop),
        }
    }

    async fn write(
        &self,
        shard: u32,
        at: &Seen,
        spec: serde_json::Value,
    ) -> Result<Seen, PortError> {
        let patch = json!({ "metadata": { "resourceVersion": at.version }, "spec": spec });
        let (name, params, patch) = (self.name(shard), patching(), Patch::Merge(patch));
        let lease = within(self.patience, self.api.patch(&name, &params, &patch)).await?;
        Ok(Seen::of(&lease))
    }

    fn lease(&self, shard: u32, now: MicroTime) -> Lease {
        let metadata = ObjectMeta {
            name: Some(self.name(shard)),
            labels: Some(BTreeMap::from([(GROUP.to_owned(), self.group.clone())])),
            ..ObjectMeta::default()
        };
        let spec = LeaseSpec {
            holder_identity: Some(self.holder.clone()),
            lease_duration_seconds: i32::try_from(self.duration.as_secs()).ok(),
            acquire_time: Some(now.clone()),
            renew_time: Some(now),
            ..LeaseSpec::default()
        };
        Lease { metadata, spec: Some(spec) }
    }

    fn name(&self, shard: impl std::fmt::Display) -> String {
        format!("{}-shard-{shard}", self.group)
    }
}

impl Seen {
    fn of(lease: &Lease) -> Self {
        let spec = lease.spec.clone().unwrap_or_default();
        let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        Self {
            version: lease.resource_version().unwrap_or_default(),
            holder: spec.holder_identity.filter(|holder| !holder.is_empty()),
            duration: Duration::from_secs(seconds.unwrap_or(0)),
        }
    }
}
