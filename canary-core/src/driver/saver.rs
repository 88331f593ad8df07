//! Saves states one after the other, and knows which revision is ours.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use crate::ports::{Claim, PortError, StateStore};
use crate::rollout::Snapshot;
use crate::value::{Epoch, FailureKind, Revision, RolloutId, Target};

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
    /// Ours, by this holder's epoch of this rollout.
    At { revision: Revision, rollout: RolloutId, epoch: Epoch },
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
                *held = Held::by(state, revision);
                return Ok(());
            }
            Err(error) => error,
        };
        let stored = in_time(self.store.load(&self.target)).await?;
        let Some(stored) =
            stored.filter(|stored| is_of(&stored.claim.state, state.rollout(), state.epoch()))
        else {
            return Err(error);
        };
        *held = Held::by(state, stored.revision);
        if stored.claim.state == *state {
            return Ok(());
        }
        if error.kind() == FailureKind::Conflict {
            *held = Held::by(state, self.write(&held, state).await?);
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
            Held::At { revision, .. } => {
                in_time(self.store.save(&self.target, state, *revision)).await
            }
        }
    }

    /// Makes sure that the rollout is still ours; `Conflict` means that somebody else holds it now.
    ///
    /// A write that we gave up may land at any time later: then what is stored is ours, and we go on from there.
    pub(super) async fn confirm(&self) -> Result<(), PortError> {
        let mut held = self.held.lock().await;
        let Held::At { revision, rollout, epoch } = &mut *held else {
            // The claim is still being tried, and says whose the rollout is.
            return Err(PortError::new(FailureKind::Unavailable, "the rollout is not claimed yet"));
        };
        let error = match in_time(self.store.confirm(&self.target, *revision)).await {
            Err(error) if error.kind() == FailureKind::Conflict => error,
            confirmed => return confirmed,
        };
        match in_time(self.store.load(&self.target)).await? {
            Some(stored) if is_of(&stored.claim.state, rollout, *epoch) => {
                *revision = stored.revision;
                Ok(())
            }
            _ => Err(error),
        }
    }
}

impl Held {
    fn by(state: &Snapshot, revision: Revision) -> Self {
        Self::At { revision, rollout: state.rollout().clone(), epoch: state.epoch() }
    }
}

/// Tells whether a holder of this epoch of this rollout wrote what is stored.
fn is_of(stored: &Snapshot, rollout: &RolloutId, epoch: Epoch) -> bool {
    stored.rollout() == rollout && stored.epoch() == epoch
}

async fn in_time<T>(answer: impl Future<Output = Result<T, PortError>>) -> Result<T, PortError> {
    tokio::time::timeout(PATIENCE, answer).await.unwrap_or_else(|_| {
        Err(PortError::new(
            FailureKind::Timeout,
            format!("the store did not answer within {} s", PATIENCE.as_secs()),
        ))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

    use super::*;
    use crate::policy::Policy;
    use crate::rollout::{Begin, Event, Rollout};
    use crate::store::MemoryStore;
    use crate::value::{Timestamp, Weight};

    #[tokio::test]
    async fn a_save_of_ours_that_lands_late_is_no_other_holder() {
        let second = Duration::from_secs(1);
        let policy = Policy::builder("shop").stage("full", Weight::FULL, second).build().unwrap();
        let policy = Arc::new(policy);
        let begin = Begin::new("shop-1".parse().unwrap(), Arc::clone(&policy));
        let now = Timestamp::from_millis(1_000);
        let state = Rollout::begin(begin, now).0.snapshot();
        let (store, target) = (MemoryStore::new(), "shop".parse::<Target>().unwrap());
        let claim = Claim::new(policy.spec().clone(), state.clone());
        let saver = Saver::new(Arc::new(store.clone()), target.clone(), claim, None);
        assert_eq!(saver.confirm().await.unwrap_err().kind(), FailureKind::Unavailable);
        saver.save(&state).await.unwrap();
        let ours = store.load(&target).await.unwrap().unwrap().revision;

        let landed = store.save(&target, &state, ours).await.unwrap();
        saver.confirm().await.unwrap();
        saver.save(&state).await.unwrap();

        let mut next = Rollout::restore(state, policy).unwrap();
        let _ = next.step(Event::Restored, now + second);
        store.save(&target, &next.snapshot(), landed.next()).await.unwrap();
        assert_eq!(saver.confirm().await.unwrap_err().kind(), FailureKind::Conflict);
    }
}
