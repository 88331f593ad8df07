//! Saves states one after the other, and knows which revision is ours.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

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
    Unclaimed { claim: Box<Claim>, expect: Option<Revision> },
    /// Ours.
    At(Revision),
}

impl Saver {
    pub(super) fn new(
        store: Arc<dyn StateStore>,
        target: Target,
        claim: Claim,
        expect: Option<Revision>,
    ) -> Self {
        let held = Held::Unclaimed { claim: Box::new(claim), expect };
        Self { store, target, held: Arc::new(Mutex::new(held)) }
    }

    /// Saves a state; `Conflict` means that somebody else holds the rollout now.
    ///
    /// A write of which no answer came may have landed: then what is stored is ours, and we go on from there.
    pub(super) async fn save(&self, state: &Snapshot) -> Result<(), PortError> {
        let mut held = self.held.lock().await;
        let error = match self.write(&held, state).await {
            Ok(revision) => {
                *held = Held::At(revision);
                return Ok(());
            }
            Err(error) => error,
        };
        let stored = in_time(self.store.load(&self.target)).await?;
        let Some(stored) = stored.filter(|stored| is_ours(&stored.claim.state, state)) else {
            return Err(error);
        };
        *held = Held::At(stored.revision);
        if stored.claim.state == *state {
            return Ok(());
        }
        if error.kind() == FailureKind::Conflict {
            *held = Held::At(self.write(&held, state).await?);
            return Ok(());
        }
        Err(error)
    }

    async fn write(&self, held: &Held, state: &Snapshot) -> Result<Revision, PortError> {
        match held {
            Held::Unclaimed { claim, expect } => {
                let claim = Claim { state: state.clone(), ..(**claim).clone() };
                in_time(self.store.claim(&self.target, &claim, *expect)).await
            }
            Held::At(revision) => in_time(self.store.save(&self.target, state, *revision)).await,
        }
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

/// Tells whether the same holder of the same rollout wrote both.
fn is_ours(stored: &Snapshot, state: &Snapshot) -> bool {
    stored.rollout() == state.rollout() && stored.epoch() == state.epoch()
}

async fn in_time<T>(answer: impl Future<Output = Result<T, PortError>>) -> Result<T, PortError> {
    tokio::time::timeout(PATIENCE, answer).await.unwrap_or_else(|_| {
        Err(PortError::new(
            FailureKind::Timeout,
            format!("the store did not answer within {} s", PATIENCE.as_secs()),
        ))
    })
}
