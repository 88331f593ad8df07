//! Whether the canary can be made.

use async_trait::async_trait;
use canary_core::ports::{Capacity, Workload};
use canary_core::value::{FailureKind, RolloutId, Weight};

use super::routing::{OF_NONE, call};
use super::{Check, Finding};

/// Tries to make the canary ready for a first weight.
#[derive(Debug)]
pub(super) struct Versions<W> {
    pub(super) about: String,
    pub(super) first: Weight,
    pub(super) workload: W,
}

#[async_trait]
impl<W: Workload> Check for Versions<W> {
    fn about(&self) -> String {
        format!("{}: a canary for {} can be made", self.about, self.first)
    }

    async fn findings(&self) -> Vec<Finding> {
        let Ok(rollout) = RolloutId::new(OF_NONE) else { return Vec::new() };
        let wanted = Capacity::new(self.first, None);
        let Err(error) = self.workload.prepare(&call(&rollout, 1), &wanted).await else {
            return Vec::new();
        };
        let finding = Finding::error(&self.about, format!("no canary can be made: {error}"));
        vec![match error.kind() {
            FailureKind::NotFound => finding.advice("create stable first, or correct its name"),
            FailureKind::Denied => {
                finding.advice("apply a Role that allows it (`Permissions::manifest`)")
            }
            FailureKind::Unavailable => finding.advice("try again once the API server answers"),
            _ => finding,
        }]
    }
}
