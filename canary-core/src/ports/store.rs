//! What keeps a rollout over a crash.

use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::PortError;
use crate::policy::PolicySpec;
use crate::rollout::Snapshot;
use crate::value::{Revision, Target};

/// Keeps one rollout for each target, changed by compare-and-set only.
#[async_trait]
#[cfg_attr(feature = "test-util", mockall::automock)]
pub trait StateStore: fmt::Debug + Send + Sync + 'static {
    /// Reads what is kept for a target, `None` if nothing was ever.
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

    /// Confirms that a target is still at this revision; asked before every raise.
    ///
    /// # Errors
    /// `Conflict` where it is not; the others as for [`load`](Self::load).
    async fn confirm(&self, target: &Target, expect: Revision) -> Result<(), PortError>;
}

/// Holds what a new holder writes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Claim {
    /// The plan, in its stable form.
    pub policy: PolicySpec,
    /// Where the rollout stands.
    pub state: Snapshot,
}

impl Claim {
    /// Puts plan and state together.
    #[must_use]
    pub const fn new(policy: PolicySpec, state: Snapshot) -> Self {
        Self { policy, state }
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
