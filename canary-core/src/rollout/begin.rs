//! What a rollout begins with.

use std::sync::Arc;

use crate::policy::Policy;
use crate::value::{Epoch, RolloutId};

/// Holds what a rollout begins with, beside its policy.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Begin {
    pub(super) id: RolloutId,
    pub(super) policy: Arc<Policy>,
    pub(super) predecessor: Option<Epoch>,
    pub(super) workload: bool,
    pub(super) version: Option<String>,
    pub(super) fast_return: bool,
}

impl Begin {
    /// Begins with a policy on a target that nobody held before, and only routes.
    pub fn new(id: RolloutId, policy: impl Into<Arc<Policy>>) -> Self {
        Self {
            id,
            policy: policy.into(),
            predecessor: None,
            workload: false,
            version: None,
            fast_return: false,
        }
    }

    /// Comes after another holder of the target, whatever that one's clock said.
    pub const fn after(mut self, predecessor: Option<Epoch>) -> Self {
        self.predecessor = predecessor;
        self
    }

    /// Runs the versions too: there is a [`Workload`](crate::ports::Workload) to carry that out.
    pub const fn with_workload(mut self, workload: bool) -> Self {
        self.workload = workload;
        self
    }

    /// Says which version is rolled out.
    pub fn version(mut self, version: Option<String>) -> Self {
        self.version = version;
        self
    }

    /// Begins with the last stage: the version was promoted not long ago.
    pub const fn fast_return(mut self, yes: bool) -> Self {
        self.fast_return = yes;
        self
    }
}
