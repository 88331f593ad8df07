//! Rollouts kept in the cluster that they are about.

mod kept;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use canary_core::ports::{Claim, PortError, StateStore, Stored};
use canary_core::rollout::Snapshot;
use canary_core::value::{FailureKind, Revision, Target};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ListParams, Patch};
use kube::{Client, ResourceExt};
use serde_json::Value;

use self::kept::{KEEPS, Kept, name};
use crate::calls::{PATIENCE, creating, patching, within};

/// How many targets one answer to a listing holds: a fleet of thousands is no single large answer.
const PAGE: u32 = 500;

/// Keeps rollouts in ConfigMaps of one namespace, one for each target.
///
/// A [`Revision`] is the ConfigMap's `resourceVersion`, and every write is conditional on it, so the API server decides
/// between two holders. [`load`](StateStore::load) and [`confirm`](StateStore::confirm) ask without a resource version,
/// which the API server answers from etcd and not from a cache.
///
/// - The ConfigMap is called `canary-` and what of the target a name may hold, with a hash of the whole target behind
///   it. The target stands in full in the annotation `canary-rollout/target`, and the label `canary-rollout/keeps=state`
///   finds them all.
/// - The plan with the target's past is in `claim.json`, the state in `state.json`. A ConfigMap holds 1 MiB at most:
///   256 KiB are for the former (the oldest of the past is left out where it does not fit), the rest for the latter.
///   What is larger is refused before it is sent, with `Invalid`.
/// - A save, a confirmation and a load are one call each; a confirmation brings back the metadata alone.
/// - A ConfigMap is never deleted here, since the past of a target belongs to its next rollout. To forget a target,
///   delete its ConfigMap.
///
/// ```
/// # use canary_kube::testing::MemoryApi;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use canary_core::ports::StateStore;
/// use canary_kube::ConfigMapStore;
///
/// # let client = MemoryApi::new().client();
/// let store = ConfigMapStore::new(client, "canary");
/// assert_eq!(store.load(&"shop/checkout".parse()?).await?, None);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ConfigMapStore {
    maps: Api<ConfigMap>,
    namespace: String,
    patience: Duration,
}

impl fmt::Debug for ConfigMapStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (namespace, patience) = (&self.namespace, &self.patience);
        let mut shown = f.debug_struct("ConfigMapStore");
        shown.field("namespace", namespace).field("patience", patience).finish_non_exhaustive()
    }
}

#[async_trait]
impl StateStore for ConfigMapStore {
    async fn load(&self, target: &Target) -> Result<Option<Stored>, PortError> {
        let Some(map) = self.about(target, self.maps.get_opt(&name(target))).await? else {
            return Ok(None);
        };
        let stored = kept::read(target, &map).map_err(|error| error.about(self.place(target)))?;
        Ok(Some(stored))
    }

    async fn claim(
        &self,
        target: &Target,
        claim: &Claim,
        expect: Option<Revision>,
    ) -> Result<Revision, PortError> {
        let kept = Kept::of_claim(claim).map_err(|error| error.about(self.place(target)))?;
        let Some(expect) = expect else {
            return self.create(target, kept).await;
        };
        self.patch(target, &kept.fields(expect), expect).await
    }

    async fn save(
        &self,
        target: &Target,
        state: &Snapshot,
        expect: Revision,
    ) -> Result<Revision, PortError> {
        let kept = Kept::of_state(state).map_err(|error| error.about(self.place(target)))?;
        self.patch(target, &kept.fields(expect), expect).await
    }

    async fn confirm(&self, target: &Target, expect: Revision) -> Result<(), PortError> {
        let now = self.about(target, self.maps.get_metadata_opt(&name(target))).await?;
        let now = now.map(|map| self.revision(target, &map)).transpose()?;
        if now == Some(expect) { Ok(()) } else { Err(self.conflict(target)) }
    }

    async fn targets(&self) -> Result<Vec<Target>, PortError> {
        let mut targets = Vec::new();
        let mut page = ListParams::default().labels(KEEPS).limit(PAGE);
        loop {
            let listed = within(self.patience, self.maps.list_metadata(&page)).await;
            let listed = listed.map_err(|error| {
                error.about(format_args!("the ConfigMaps of {}", self.namespace))
            })?;
            targets.extend(listed.items.iter().filter_map(kept::target));
            match listed.metadata.continue_ {
                Some(token) if !token.is_empty() => page.continue_token = Some(token),
                _ => return Ok(targets),
            }
        }
    }
}

impl ConfigMapStore {
    /// Keeps rollouts in this namespace, which must be there.
    #[must_use]
    pub fn new(client: Client, namespace: impl Into<String>) -> Self {
        let namespace = namespace.into();
        Self { maps: Api::namespaced(client, &namespace), namespace, patience: PATIENCE }
    }

    /// Waits no longer than this for an answer; 5 s unless said, and more than 10 s help nobody, since a rollout waits
    /// no longer for its store.
    #[must_use]
    pub const fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Waits for an answer, and says in an error which ConfigMap it is about.
    async fn about<T>(
        &self,
        target: &Target,
        answer: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, PortError> {
        within(self.patience, answer).await.map_err(|error| error.about(self.place(target)))
    }

    fn place(&self, target: &Target) -> String {
        format!("ConfigMap {}/{}", self.namespace, name(target))
    }

    async fn create(&self, target: &Target, kept: Kept) -> Result<Revision, PortError> {
        let (params, map) = (creating(), kept.map(target));
        match self.about(target, self.maps.create(&params, &map)).await {
            Ok(map) => self.revision(target, &map),
            Err(error) if error.kind() == FailureKind::Conflict => {
                Err(self.conflict(target).with_source(error))
            }
            Err(error) => Err(error),
        }
    }

    /// Lays fields over what is kept, if it is still at this revision.
    async fn patch(
        &self,
        target: &Target,
        fields: &Value,
        expect: Revision,
    ) -> Result<Revision, PortError> {
        // The API server takes a resourceVersion of 0 for none, and would write blindly.
        if expect == Revision::default() {
            return Err(self.conflict(target));
        }
        let (name, params, patch) = (name(target), patching(), Patch::Merge(fields));
        match self.about(target, self.maps.patch(&name, &params, &patch)).await {
            Ok(map) => self.revision(target, &map),
            // What is gone is as little ours as what somebody else has written.
            Err(error) if matches!(error.kind(), FailureKind::NotFound | FailureKind::Conflict) => {
                Err(self.conflict(target).with_source(error))
            }
            Err(error) => Err(error),
        }
    }

    fn conflict(&self, target: &Target) -> PortError {
        let place = self.place(target);
        let message = format!("{place}: somebody else has written the state of {target}");
        PortError::new(FailureKind::Conflict, message)
    }

    fn revision(&self, target: &Target, map: &impl ResourceExt) -> Result<Revision, PortError> {
        kept::revision(map).map_err(|error| error.about(self.place(target)))
    }
}
