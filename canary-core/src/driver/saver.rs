//! Saves states one after the other, and knows which revision is ours.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use super::Clock;
use crate::policy::PolicySpec;
use crate::ports::{Claim, Past, PortError, StateStore};
use crate::rollout::Snapshot;
use crate::value::{FailureKind, Revision, Target, Timestamp};

/// How long the store may take for one answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// For how long a rollout that a store has lost is still known to be ours, beside two looks.
const REMEMBERED: Duration = Duration::from_secs(60);

/// For how long the store's word that the rollout is ours spares asking again before a raise, which comes right behind
/// the save of what it is for.
const FRESH: Duration = Duration::from_millis(200);

/// Writes one rollout's states; clones share the revision.
#[derive(Clone, Debug)]
pub(super) struct Saver {
    store: Arc<dyn StateStore>,
    target: Target,
    clock: Clock,
    /// For how long after the store's last word nobody else can have held the rollout and ended it.
    remembered: Duration,
    terms: Arc<Terms>,
    /// The lock keeps a confirmation from seeing a save half done.
    held: Arc<Mutex<Held>>,
}

/// What a claim holds beside the state.
#[derive(Debug)]
struct Terms {
    policy: Arc<PolicySpec>,
    holder: String,
    version: Option<String>,
    past: Vec<Past>,
}

#[derive(Debug)]
struct Held {
    /// What the store has to be at.
    revision: Option<Revision>,
    /// When the store was last asked and said that the rollout is ours; never before the first save. How long its
    /// answer took, or lay here while the process was frozen, is part of its age.
    ours: Option<Timestamp>,
    /// Whether it has refused or failed a write since.
    doubted: bool,
}

impl Saver {
    /// Makes one for the rollout that such a claim is of; its state is not kept.
    pub(super) fn new(
        store: Arc<dyn StateStore>,
        target: Target,
        claim: Claim,
        revision: Option<Revision>,
        clock: Clock,
    ) -> Self {
        let looks = Duration::from_millis(claim.policy.every_ms).saturating_mul(2);
        let remembered = looks.saturating_add(REMEMBERED);
        let Claim { policy, version, past, .. } = claim;
        let terms = Arc::new(Terms { policy, holder: nonce(), version, past });
        let held = Arc::new(Mutex::new(Held { revision, ours: None, doubted: false }));
        Self { store, target, clock, remembered, terms, held }
    }

    /// Saves a state; `Conflict` means that somebody else holds the rollout now.
    ///
    /// A write of which no answer came may have landed: then what is stored is ours, and we go on from there.
    pub(super) async fn save(&self, state: Snapshot) -> Result<(), PortError> {
        let mut held = self.held.lock().await;
        let Err(error) = self.write(&mut held, &state).await else { return Ok(()) };
        held.doubted = true;
        let asked = self.clock.now();
        match in_time(self.store.load(&self.target)).await? {
            Some(stored) if stored.claim.holder == self.terms.holder => {
                held.is_at(stored.revision, asked);
                match error.kind() {
                    _ if stored.claim.state == state => Ok(()),
                    FailureKind::Conflict => self.write(&mut held, &state).await,
                    _ => Err(error),
                }
            }
            None if self.remembers(&held) => {
                tracing::warn!(target = %self.target, "the store has lost the rollout: it is written anew");
                self.claim(&mut held, state, None).await
            }
            _ => Err(error),
        }
    }

    async fn write(&self, held: &mut Held, state: &Snapshot) -> Result<(), PortError> {
        let (Some(_), Some(at)) = (held.ours, held.revision) else {
            let expect = held.revision;
            return self.claim(held, state.clone(), expect).await;
        };
        let asked = self.clock.now();
        let revision = in_time(self.store.save(&self.target, state, at)).await?;
        held.is_at(revision, asked);
        Ok(())
    }

    async fn claim(
        &self,
        held: &mut Held,
        state: Snapshot,
        expect: Option<Revision>,
    ) -> Result<(), PortError> {
        let Terms { policy, holder, version, past } = &*self.terms;
        let claim = Claim::new(Arc::clone(policy), state)
            .by(holder)
            .of_version(version.clone())
            .after(past.clone());
        let asked = self.clock.now();
        let revision = in_time(self.store.claim(&self.target, &claim, expect)).await?;
        held.is_at(revision, asked);
        Ok(())
    }

    /// Makes sure that the rollout is ours, or was a moment ago, before a raise: the route's fence refuses that where
    /// somebody has followed since. Otherwise as [`confirm`](Self::confirm).
    pub(super) async fn confirm_lately(&self) -> Result<(), PortError> {
        let lately = {
            let held = self.held.lock().await;
            !held.doubted && held.age(self.clock.now()).is_some_and(|age| age <= FRESH)
        };
        if lately { Ok(()) } else { self.confirm().await }
    }

    /// Makes sure that the rollout is still ours; `Conflict` means that somebody else holds it now.
    ///
    /// A write that we gave up may land at any time later: then what is stored is ours, and we go on from there.
    pub(super) async fn confirm(&self) -> Result<(), PortError> {
        let mut held = self.held.lock().await;
        let (Some(_), Some(revision)) = (held.ours, held.revision) else {
            // The claim is still being tried, and says whose the rollout is.
            return Err(PortError::new(FailureKind::Unavailable, "the rollout is not claimed yet"));
        };
        let asked = self.clock.now();
        let error = match in_time(self.store.confirm(&self.target, revision)).await {
            Ok(()) => {
                held.is_at(revision, asked);
                return Ok(());
            }
            Err(error) if error.kind() == FailureKind::Conflict => error,
            Err(error) => return Err(error),
        };
        let asked = self.clock.now();
        match in_time(self.store.load(&self.target)).await? {
            Some(stored) if stored.claim.holder == self.terms.holder => {
                held.is_at(stored.revision, asked);
                Ok(())
            }
            None if self.remembers(&held) => {
                let message = "the store has lost the rollout, which is written anew";
                Err(PortError::new(FailureKind::Unavailable, message))
            }
            _ => Err(error),
        }
    }

    /// Tells whether a store that has nothing must have lost it: a holder that slept may have been followed by
    /// another one that brought the rollout to its end.
    fn remembers(&self, held: &Held) -> bool {
        held.age(self.clock.now()).is_some_and(|age| age <= self.remembered)
    }
}

impl Held {
    fn is_at(&mut self, revision: Revision, asked: Timestamp) {
        self.revision = Some(revision);
        self.ours = Some(asked);
        self.doubted = false;
    }

    /// Returns how old the store's last word is that the rollout is ours.
    fn age(&self, now: Timestamp) -> Option<Duration> {
        self.ours.map(|asked| now.since(asked))
    }
}

/// Draws what tells this holder from every other: those that begin in the same millisecond have the same epoch.
fn nonce() -> String {
    let drawn = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", drawn(), drawn())
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
    use crate::rollout::{Begin, Rollout};
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
        let claim = Claim::new(policy.shared_spec(), state.clone());
        let saver =
            Saver::new(Arc::new(store.clone()), target.clone(), claim, None, Clock::system());
        assert_eq!(saver.confirm().await.unwrap_err().kind(), FailureKind::Unavailable);
        saver.save(state.clone()).await.unwrap();
        let ours = store.load(&target).await.unwrap().unwrap().revision;

        let landed = store.save(&target, &state, ours).await.unwrap();
        saver.confirm().await.unwrap();
        saver.save(state.clone()).await.unwrap();

        let again = state.clone();
        let next = Claim::new(policy.shared_spec(), state).by("somebody else");
        store.claim(&target, &next, Some(landed.next())).await.unwrap();
        saver.confirm_lately().await.unwrap();
        assert_eq!(saver.confirm().await.unwrap_err().kind(), FailureKind::Conflict);
        assert_eq!(saver.save(again).await.unwrap_err().kind(), FailureKind::Conflict);
        assert_eq!(saver.confirm_lately().await.unwrap_err().kind(), FailureKind::Conflict);
    }
}
