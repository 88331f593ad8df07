//! What tells how the two versions are doing.

use std::fmt;

use async_trait::async_trait;

use super::{Call, PortError};
use crate::value::{Measured, Query, Timestamp};

/// Measures both versions.
#[cfg_attr(feature = "test-util", mockall::automock)]
#[async_trait]
pub trait MetricSource: fmt::Debug + Send + Sync + 'static {
    /// Tells whether a query could be asked at all, without asking anybody. A rollout whose queries could not does not
    /// start.
    ///
    /// # Errors
    /// `Unsupported` for a signal that the source does not know, `Invalid` for words that it cannot read.
    fn check(&self, query: &Query) -> Result<(), PortError> {
        let _ = query;
        Ok(())
    }

    /// Answers each query, in their order, with what happened after its cursor and up to `until`.
    ///
    /// To be correct:
    /// - there are as many answers as queries;
    /// - [`Measured::covered`] begins at or after the query's cursor, ends at or before `until`, and says
    ///   what the numbers *really* cover: where samples come late, an earlier end; where there is
    ///   nothing newer yet, an empty window ([`Measured::pending`]). Numbers are never extrapolated;
    /// - both sides' readings cover the same window;
    /// - nothing known of a side is [`Reading::NoData`](crate::value::Reading::NoData), not zero and no error;
    /// - it changes nothing, so asking twice is harmless.
    ///
    /// # Errors
    /// Each answer has its own: `Unavailable`, `Denied`, `Unsupported` for a signal that the source does not
    /// know, `Invalid` for an answer that makes no sense.
    async fn measure(
        &self,
        call: &Call,
        queries: &[Query],
        until: Timestamp,
    ) -> Vec<Result<Measured, PortError>>;
}
