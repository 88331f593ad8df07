//! Saves states one after the other, and knows which revision is ours.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use crate::policy::PolicySpec;
use crate::ports::{Claim, PortError, StateStore};
use crate::rollout::Snapshot;
use crate::value::{FailureKind, Revision, Target};

/// How long the store may take for one answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Writes one rollout's states; clones share the revision.
#[derive(Clone, Debug)]
pub(super) struct Saver {
    store: Arc<dyn StateStore>,
    target: Target,
    /// Ours and the last; the lock keeps a confirmation from seeing a save half done.
    held: Arc<Mutex<Held>>,
}

#[derive(Clone, Debug)]
enum Held {
    /// Not ours yet: the first save claims it.
    Unclaimed { policy: Box<PolicySpec>, expect: Option<Revision> },
    /// Ours.
    At(Revision),
}

impl Saver {
    pub(super) fn new(
        store: Arc<dyn StateStore>,
        target: Target,
        policy: PolicySpec,
        expect: Option<Revision>,
    ) -> Self {
        let held = Held::Unclaimed { policy: Box::new(policy), expect };
        Self { store, target, held: Arc::new(Mutex::new(held)) }
    }

    /// Saves a state; `Conflict` means that somebody else holds the rollout now.
    pub(super) async fn save(&self, state: &Snapshot) -> Result<(), PortError> {
        let mut held = self.held.lock().await;
        let revision = match &*held {
            Held::Unclaimed { policy, expect } => {
                let claim = Claim::new((**policy).clone(), state.clone());
                in_time(self.store.claim(&self.target, &claim, *expect)).await?
            }
            Held::At(revision) => in_time(self.store.save(&self.target, state, *revision)).await?,
        };
        *held = Held::At(revision);
        Ok(())
    }

    /// Makes sure that the rollout is still ours.
    pub(super) async fn confirm(&self) -> Result<(), PortError> {
        match &*self.held.lock().await {
            Held::Unclaimed { .. } => {
                Err(PortError::new(FailureKind::Conflict, "the rollout was never claimed"))
            }
            Held::At(revision) => in_time(self.store.confirm(&self.target, *revision)).await,
        }
    }
}

async fn in_time<T>(answer: impl Future<Output = Result<T, PortError>>) -> Result<T, PortError> {
    tokio::time::timeout(PATIENCE, answer).await.unwrap_or_else(|_| {
        Err(PortError::new(
            FailureKind::Timeout,
            format!("the store did not answer within {} s", PATIENCE.as_secs()),
        ))
    })
}
