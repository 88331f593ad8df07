//! What keeps a rollout over a crash.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::PortError;
use crate::policy::PolicySpec;
use crate::rollout::Snapshot;
use crate::value::{FailureKind, Revision, RolloutId, Target, Timestamp};

/// Keeps one rollout for each target, changed by compare-and-set only.
///
/// To be correct, what is done to one target is linearizable over all processes that use the store: once a write has
/// returned, every [`load`](Self::load) and every [`confirm`](Self::confirm) that begins later knows of it. So neither
/// may be answered from a cache, from a replica that lags, or from a watch. A write whose answer nobody awaits any more
/// lands whole or not at all, at any time; where another one came before it, it is refused.
///
/// The suite `store_conformance!` of the feature `test-util` checks all of that.
#[cfg_attr(feature = "test-util", mockall::automock)]
#[async_trait]
pub trait StateStore: fmt::Debug + Send + Sync + 'static {
    /// Reads what is kept for a target, `None` if nothing is.
    ///
    /// To be correct: it returns what was written last, and nothing older.
    ///
    /// # Errors
    /// `Unavailable`, `Denied`; `Invalid` where what is kept cannot be read.
    async fn load(&self, target: &Target) -> Result<Option<Stored>, PortError>;

    /// Makes the caller the holder of a target: writes policy and state at once.
    ///
    /// `expect` is the revision that was loaded, `None` if there was nothing.
    ///
    /// To be correct: it is atomic and durable when it returns `Ok`; of two claims with the same
    /// expectation one gets `Conflict`.
    ///
    /// # Errors
    /// `Conflict` where the target is not at `expect` any more; the others as for [`load`](Self::load).
    async fn claim(
        &self,
        target: &Target,
        claim: &Claim,
        expect: Option<Revision>,
    ) -> Result<Revision, PortError>;

    /// Replaces the state and returns its new revision, higher than any before.
    ///
    /// To be correct: as for [`claim`](Self::claim).
    ///
    /// # Errors
    /// `Conflict` where the target is not at `expect` any more: somebody else holds it now.
    async fn save(
        &self,
        target: &Target,
        state: &Snapshot,
        expect: Revision,
    ) -> Result<Revision, PortError>;

    /// Confirms that a target is still at this revision; asked before every raise that does not come right behind an
    /// accepted write, and before anything is done to what runs but bringing the old version back.
    ///
    /// To be correct: it is asked of the place where claims are decided, so that a holder that was replaced is told.
    ///
    /// # Errors
    /// `Conflict` where it is not, or nothing is kept any more; the others as for [`load`](Self::load).
    async fn confirm(&self, target: &Target, expect: Revision) -> Result<(), PortError>;

    /// Lists every target of which anything is kept, for a program that drives many.
    ///
    /// # Errors
    /// `Unsupported` where the store cannot list them, as unless implemented; the others as for
    /// [`load`](Self::load).
    async fn targets(&self) -> Result<Vec<Target>, PortError> {
        Err(PortError::new(FailureKind::Unsupported, "the store cannot list its targets"))
    }
}

/// Holds what a new holder writes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Claim {
    /// The plan, in its stable form.
    pub policy: Arc<PolicySpec>,
    /// Where the rollout stands.
    pub state: Snapshot,
    /// Tells this holder from every other, even one that begins at the same moment; empty where it did not say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub holder: String,
    /// Which version is rolled out, where the program said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The target's rollouts before this one, the latest last; as many as the plan says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub past: Vec<Past>,
}

impl Claim {
    /// Puts plan and state together.
    #[must_use]
    pub fn new(policy: impl Into<Arc<PolicySpec>>, state: Snapshot) -> Self {
        Self {
            policy: policy.into(),
            state,
            holder: String::new(),
            version: None,
            past: Vec::new(),
        }
    }

    /// Says who holds the rollout from now on.
    #[must_use]
    pub fn by(mut self, holder: impl Into<String>) -> Self {
        self.holder = holder.into();
        self
    }

    /// Says which version is rolled out.
    #[must_use]
    pub fn of_version(mut self, version: Option<String>) -> Self {
        self.version = version;
        self
    }

    /// Remembers the rollouts before this one, the latest last.
    #[must_use]
    pub fn after(mut self, past: Vec<Past>) -> Self {
        self.past = past;
        self
    }
}

/// Remembers a rollout that has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Past {
    /// The rollout.
    pub rollout: RolloutId,
    /// Which version it was of, where the program said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Whether the version was promoted.
    pub promoted: bool,
    /// How it ended, in a few words.
    pub outcome: String,
    /// When.
    #[serde(rename = "ended_ms")]
    pub ended: Timestamp,
}

impl Past {
    /// Sums up what is kept of a rollout, `None` if it has not ended.
    #[must_use]
    pub fn of(claim: &Claim) -> Option<Self> {
        let outcome = claim.state.report().outcome.as_ref()?;
        Some(Self {
            rollout: claim.state.rollout().clone(),
            version: claim.version.clone(),
            promoted: outcome.is_promoted(),
            outcome: outcome.to_string(),
            ended: claim.state.report().ended.unwrap_or(claim.state.seen()),
        })
    }
}

/// Holds what was kept for a target.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Stored {
    /// The plan and the state.
    pub claim: Claim,
    /// What the next write must expect.
    pub revision: Revision,
}

impl Stored {
    /// Puts a kept rollout and its revision together.
    #[must_use]
    pub const fn new(claim: Claim, revision: Revision) -> Self {
        Self { claim, revision }
    }
}
