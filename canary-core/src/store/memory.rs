//! A store that lasts as long as its process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::first;
use crate::ports::{Claim, PortError, StateStore, Stored};
use crate::rollout::Snapshot;
use crate::value::{FailureKind, Revision, Target};

/// Keeps rollouts in memory; clones share what is kept.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    kept: Arc<Mutex<BTreeMap<Target, Stored>>>,
}

impl MemoryStore {
    /// Makes an empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn kept(&self) -> MutexGuard<'_, BTreeMap<Target, Stored>> {
        // A panic cannot leave the map half written: every change is one insertion.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn conflict(target: &Target) -> PortError {
    PortError::new(
        FailureKind::Conflict,
        format!("somebody else has written the state of {target}"),
    )
}

#[async_trait]
impl StateStore for MemoryStore {
    async fn load(&self, target: &Target) -> Result<Option<Stored>, PortError> {
        Ok(self.kept().get(target).cloned())
    }

    async fn claim(
        &self,
        target: &Target,
        claim: &Claim,
        expect: Option<Revision>,
    ) -> Result<Revision, PortError> {
        let mut kept = self.kept();
        let now = kept.get(target).map(|stored| stored.revision);
        if now != expect {
            return Err(conflict(target));
        }
        let next = now.unwrap_or_else(|| first(claim)).next();
        kept.insert(target.clone(), Stored::new(claim.clone(), next));
        Ok(next)
    }

    async fn save(
        &self,
        target: &Target,
        state: &Snapshot,
        expect: Revision,
    ) -> Result<Revision, PortError> {
        let mut kept = self.kept();
        match kept.get_mut(target) {
            Some(stored) if stored.revision == expect => {
                stored.claim.state = state.clone();
                stored.revision = expect.next();
                Ok(stored.revision)
            }
            _ => Err(conflict(target)),
        }
    }

    async fn confirm(&self, target: &Target, expect: Revision) -> Result<(), PortError> {
        match self.kept().get(target) {
            Some(stored) if stored.revision == expect => Ok(()),
            _ => Err(conflict(target)),
        }
    }

    async fn targets(&self) -> Result<Vec<Target>, PortError> {
        Ok(self.kept().keys().cloned().collect())
    }
}
