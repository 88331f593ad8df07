//! Measures both sides with a server's answers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use canary_core::ports::{Call, MetricSource, PortError};
use canary_core::value::{Measured, Query, Signal, Timestamp, millis};
use futures::future::{FutureExt, join_all};
use tokio::time::sleep;

use crate::api::Api;
use crate::builder::{self, LatencyUnit, PrometheusBuilder};
use crate::error::invalid;
use crate::http::Endpoint;
use crate::increase::Increase;
use crate::promql::Further;
use crate::template::{Template, Variables};
use crate::tick::{Asked, Tick};
use crate::tracks::Labelling;

/// Measures both sides of a rollout with the queries that it was built with.
///
/// See the [crate's page](crate) for what is counted and how. Clones share their connections and
/// the number of queries that may be under way at a time.
#[derive(Clone, Debug)]
pub struct Prometheus {
    pub(crate) api: Api,
    pub(crate) variables: Arc<Variables>,
    pub(crate) labelling: Arc<Labelling>,
    pub(crate) asks: Arc<BTreeMap<Signal, Ask>>,
}

/// Holds the query or queries behind one signal.
#[derive(Debug)]
pub(crate) enum Ask {
    Counts(Counted),
    Increase(Increase),
    Value(Template),
}

/// Holds what is counted, and how often it is scraped.
#[derive(Debug)]
pub(crate) struct Counted {
    pub(crate) of: Of,
    /// Tells the bad requests from the rest, where all of them are among those that are fetched anyhow.
    pub(crate) bad: Option<Further>,
    pub(crate) pace: Pace,
}

/// Holds the selectors of what is counted.
#[derive(Clone, Debug)]
pub(crate) enum Of {
    Requests { total: Template, bad: Template },
    Latency { buckets: Template, unit: LatencyUnit },
}

/// Remembers how often the series of one signal are scraped, so that no more samples are fetched than are needed.
///
/// It is only a guess at what will do: where it did not, everything is fetched.
#[derive(Debug, Default)]
pub(crate) struct Pace(AtomicU64);

impl Pace {
    /// Returns the longest of the usual intervals, once there was an answer.
    pub(crate) fn interval(&self) -> Option<Duration> {
        let millis = self.0.load(Ordering::Relaxed);
        (millis > 0).then(|| Duration::from_millis(millis))
    }

    pub(crate) fn learn(&self, interval: Duration) {
        self.0.store(millis(interval), Ordering::Relaxed);
    }
}

impl Prometheus {
    /// Begins a source that asks the server at an address such as `http://prometheus:9090`.
    ///
    /// An [`Endpoint`] says more than an address: credentials, certificates, headers.
    pub fn builder(server: impl Into<Endpoint>) -> PrometheusBuilder {
        PrometheusBuilder::new(server.into())
    }
}

#[async_trait]
impl MetricSource for Prometheus {
    /// Reads the policy's own words as `build()` reads those in code.
    fn check(&self, query: &Query) -> Result<(), PortError> {
        match Asked::new(self, query)? {
            Asked::Number(template) => builder::value(&template, &self.variables)
                .map_err(|problem| invalid(problem.to_string())),
            Asked::Counts(_) | Asked::Increase(_) => Ok(()),
        }
    }

    async fn measure(
        &self,
        call: &Call,
        queries: &[Query],
        until: Timestamp,
    ) -> Vec<Result<Measured, PortError>> {
        // The call has just been made, so this needs no clock of its own.
        let patience = call.deadline.since(call.made);
        let tick = Tick::new(self, &call.rollout, until, patience);
        let deadline = sleep(patience).shared();
        let numbers = tick.numbers(queries).boxed().shared();
        let answers =
            queries.iter().map(|query| tick.answer(query, numbers.clone(), deadline.clone()));
        join_all(answers).await
    }
}
