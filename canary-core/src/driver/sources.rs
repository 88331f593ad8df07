//! Asks several metric sources at once, each on its own account.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::join_all;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use crate::ports::{Call, MetricSource, PortError};
use crate::value::{Failure, FailureKind, Measured, Query, Timestamp};

/// Names a source as the policy does; `None` for the one without a name.
pub(super) type SourceName = Option<Arc<str>>;

type Answers = Vec<Result<Measured, Failure>>;

/// Holds the metric sources of one rollout.
#[derive(Clone, Debug, Default)]
pub(super) struct Sources {
    by_name: BTreeMap<SourceName, Source>,
}

#[derive(Clone, Debug)]
struct Source {
    port: Arc<dyn MetricSource>,
    /// How many queries may be under way, where others ask it too.
    slots: Option<Slots>,
}

/// Bounds the queries that are under way at one source.
#[derive(Clone, Debug)]
pub(super) struct Slots {
    free: Arc<Semaphore>,
    most: u32,
}

impl Slots {
    pub(super) fn new(most: u32) -> Self {
        Self { free: Arc::new(Semaphore::new(most as usize)), most }
    }
}

impl Sources {
    pub(super) fn insert(&mut self, name: SourceName, port: Arc<dyn MetricSource>) {
        self.by_name.insert(name, Source { port, slots: None });
    }

    pub(super) fn has(&self, name: &SourceName) -> bool {
        self.by_name.contains_key(name)
    }

    /// Asks the source of a query whether it could be asked that; one that is not there has no objections.
    pub(super) fn check(&self, query: &Query) -> Result<(), PortError> {
        self.by_name.get(&query.source).map_or(Ok(()), |source| source.port.check(query))
    }

    /// Bounds the queries of each source.
    pub(super) fn bound(&mut self, slots: impl Fn(&SourceName) -> Slots) {
        for (name, source) in &mut self.by_name {
            source.slots = Some(slots(name));
        }
    }

    /// Answers each query in its place; a source that hangs or panics spoils its own answers alone.
    pub(super) async fn measure(
        &self,
        call: &Call,
        queries: &[Query],
        until: Timestamp,
        deadline: Instant,
    ) -> Answers {
        let mut places: BTreeMap<&SourceName, Vec<usize>> = BTreeMap::new();
        for (place, query) in queries.iter().enumerate() {
            places.entry(&query.source).or_default().push(place);
        }
        let asked = places.into_iter().map(|(name, places)| async move {
            let own: Vec<Query> = places.iter().map(|place| queries[*place].clone()).collect();
            let answers = match self.by_name.get(name) {
                Some(source) => source.measure(call, &own, until, deadline).await,
                // Without it the rollout began, so nothing needs what it would say.
                None if name.is_none() => {
                    own.iter().map(|query| Ok(Measured::pending(query.after))).collect()
                }
                None => {
                    failed(own.len(), FailureKind::Unsupported, "no such metric source was given")
                }
            };
            places.into_iter().zip(answers)
        });
        let mut answers: Vec<_> = join_all(asked).await.into_iter().flatten().collect();
        answers.sort_by_key(|(place, _)| *place);
        answers.into_iter().map(|(_, answer)| answer).collect()
    }
}

impl Source {
    /// Returns as many answers as there are queries, at the deadline at the latest.
    async fn measure(
        &self,
        call: &Call,
        queries: &[Query],
        until: Timestamp,
        deadline: Instant,
    ) -> Answers {
        let asked = async {
            let _slots = self.slots(queries.len()).await;
            self.port.measure(call, queries, until).await
        };
        let fail = |kind, message| failed(queries.len(), kind, message);
        match timeout_at(deadline, AssertUnwindSafe(asked).catch_unwind()).await {
            Err(_) => fail(FailureKind::Timeout, "no answer came in time"),
            Ok(Err(_)) => fail(FailureKind::Internal, "it panicked"),
            Ok(Ok(answers)) if answers.len() != queries.len() => {
                let message =
                    format!("it gave {} answers to {} queries", answers.len(), queries.len());
                fail(FailureKind::Invalid, &message)
            }
            Ok(Ok(answers)) => {
                answers.into_iter().map(|answer| answer.map_err(PortError::into_failure)).collect()
            }
        }
    }

    async fn slots(&self, queries: usize) -> Option<tokio::sync::SemaphorePermit<'_>> {
        let slots = self.slots.as_ref()?;
        // More than there are at all would be waited for in vain.
        let wanted = u32::try_from(queries).unwrap_or(u32::MAX).min(slots.most);
        // The semaphore is never closed; if it were, nothing would be bounded.
        slots.free.acquire_many(wanted).await.ok()
    }
}

fn failed(queries: usize, kind: FailureKind, message: &str) -> Answers {
    vec![Err(Failure::new(kind, message)); queries]
}
