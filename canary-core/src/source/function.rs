//! A metric source that is a function.

use std::fmt;

use async_trait::async_trait;

use crate::ports::{Call, MetricSource, PortError};
use crate::value::{Measured, Query, Timestamp};

/// Lets a function measure; for what the program counts itself, for tests, and for a first try.
///
/// It is called once for each query, with the time up to which it shall answer. What [`MetricSource::measure`] says of
/// an answer holds for it too. It should return at once: what has to wait implements [`MetricSource`] itself.
///
/// ```
/// use canary_core::ports::PortError;
/// use canary_core::source::FnSource;
/// use canary_core::value::{Counts, FailureKind, Measured, Reading, Signal, Window};
///
/// let source = FnSource::new(|query, until| match &query.signal {
///     Signal::Requests => {
///         // What both versions have answered since `query.after`, and how much of it badly.
///         let (stable, canary) = (Counts::new(900, 1), Counts::new(100, 0));
///         let counts = |counts: Result<_, _>| counts.map_or(Reading::NoData, Reading::Counts);
///         let covered = Window::new(query.after, until);
///         Ok(Measured::new(covered, counts(stable), counts(canary)))
///     }
///     other => Err(PortError::new(FailureKind::Unsupported, format!("{other} is not counted"))),
/// });
/// # drop(source);
/// ```
#[derive(Clone)]
pub struct FnSource<F>(F);

impl<F> FnSource<F>
where
    F: Fn(&Query, Timestamp) -> Result<Measured, PortError> + Send + Sync + 'static,
{
    /// Takes the function.
    pub const fn new(measure: F) -> Self {
        Self(measure)
    }
}

impl<F> fmt::Debug for FnSource<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a function")
    }
}

#[async_trait]
impl<F> MetricSource for FnSource<F>
where
    F: Fn(&Query, Timestamp) -> Result<Measured, PortError> + Send + Sync + 'static,
{
    async fn measure(
        &self,
        _: &Call,
        queries: &[Query],
        until: Timestamp,
    ) -> Vec<Result<Measured, PortError>> {
        queries.iter().map(|query| (self.0)(query, until)).collect()
    }
}
