//! What every call to the API server has: an end, and a name.

use std::time::Duration;

use canary_core::ports::PortError;
use canary_core::value::FailureKind;
use kube::api::{PatchParams, PostParams};

use crate::error::port_error;
use crate::object::FIELD_MANAGER;

/// How long one call may take where nobody said: below what a rollout waits for its store.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// Waits for an answer, body and all, no longer than this.
pub(crate) async fn within<T>(
    patience: Duration,
    answer: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, PortError> {
    match tokio::time::timeout(patience, answer).await {
        Ok(answer) => answer.map_err(port_error),
        Err(_) => Err(PortError::new(
            FailureKind::Timeout,
            format!("the API server did not answer within {patience:?}"),
        )),
    }
}

/// Patches as whom the managed fields tell.
pub(crate) fn patching() -> PatchParams {
    PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() }
}

/// Creates as whom the managed fields tell.
pub(crate) fn creating() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() }
}
