//! Measures both sides with a server's answers.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use canary_core::ports::{Call, MetricSource, PortError};
use canary_core::value::{
    Buckets, BySide, Counts, FailureKind, Measured, Query, Reading, RolloutId, Side, Signal,
    Timestamp, Window, millis,
};
use futures::future::{Either, FutureExt, Shared, join_all, select, try_join, try_join4};
use tokio::time::{Sleep, sleep};

use crate::api::Api;
use crate::api::answer::Data;
use crate::builder::{LatencyUnit, PrometheusBuilder};
use crate::delta::{self, Cover, Tally};
use crate::error::in_context;
use crate::read;
use crate::template::{Template, Variables};

/// How far back a window may begin; what lies before that is left out.
const LONGEST_WINDOW: Duration = Duration::from_secs(60 * 60);

/// Measures both sides of a rollout with the queries that it was built with.
///
/// See the [crate's page](crate) for what is counted and how. Clones share their connections and
/// the number of queries that may be under way at a time.
#[derive(Clone, Debug)]
pub struct Prometheus {
    pub(crate) api: Api,
    pub(crate) variables: Arc<Variables>,
    pub(crate) asks: Arc<BTreeMap<Signal, Ask>>,
}

/// Holds the query or queries behind one signal.
#[derive(Clone, Debug)]
pub(crate) enum Ask {
    Requests { total: Template, bad: Template },
    Latency { buckets: Template, unit: LatencyUnit },
    Value { query: Template },
}

impl Prometheus {
    /// Begins a source that asks the server at an address such as `http://prometheus:9090`.
    ///
    /// A path is kept (`http://proxy/prometheus`), and a name and password in the address are sent
    /// with every query, and shown nowhere.
    pub fn builder(address: impl Into<String>) -> PrometheusBuilder {
        PrometheusBuilder::new(address.into())
    }
}

/// Resolves when the caller stops waiting.
type Deadline = Shared<Sleep>;

#[async_trait]
impl MetricSource for Prometheus {
    async fn measure(
        &self,
        call: &Call,
        queries: &[Query],
        until: Timestamp,
    ) -> Vec<Result<Measured, PortError>> {
        // The call has just been made, so this needs no clock of its own.
        let patience = call.deadline.since(call.made);
        let deadline = sleep(patience).shared();
        let answers = queries.iter().map(|query| {
            let measurement = Measurement {
                source: self,
                rollout: &call.rollout,
                signal: &query.signal,
                cursor: query.after,
                window: Window::new(query.after.max(until - LONGEST_WINDOW), until),
            };
            measurement.within(patience, deadline.clone())
        });
        join_all(answers).await
    }
}

/// Is one query on its way to an answer.
#[derive(Clone, Copy)]
struct Measurement<'a> {
    source: &'a Prometheus,
    rollout: &'a RolloutId,
    signal: &'a Signal,
    cursor: Timestamp,
    window: Window,
}

/// Holds what one answer was read as, and what the server remarked.
struct Read<T> {
    what: T,
    notes: Vec<String>,
}

impl Measurement<'_> {
    async fn within(self, patience: Duration, deadline: Deadline) -> Result<Measured, PortError> {
        match select(pin!(self.measure()), deadline).await {
            Either::Left((answer, _)) => answer,
            Either::Right(((), _)) => Err(PortError::new(
                FailureKind::Timeout,
                format!("{}: no answer within {} ms", self.signal, millis(patience)),
            )),
        }
    }

    async fn measure(&self) -> Result<Measured, PortError> {
        let asks = &self.source.asks;
        let Some(ask) = asks.get(self.signal) else {
            let known: Vec<_> = asks.keys().map(Signal::to_string).collect();
            let known = known.join(", ");
            return Err(PortError::new(
                FailureKind::Unsupported,
                format!("there is no query for {}, only for: {known}", self.signal),
            ));
        };
        if self.window.is_empty() {
            return Ok(Measured::pending(self.cursor));
        }
        match ask {
            Ask::Requests { total, bad } => self.requests(total, bad).await,
            Ask::Latency { buckets, unit } => self.latency(buckets, *unit).await,
            Ask::Value { query } => self.value(query).await,
        }
    }

    async fn requests(&self, total: &Template, bad: &Template) -> Result<Measured, PortError> {
        let samples = |side, name, template| self.samples(side, name, template, read::counters);
        let (stable, canary, bad_stable, bad_canary) = try_join4(
            samples(Side::Stable, "requests (total)", total),
            samples(Side::Canary, "requests (total)", total),
            samples(Side::Stable, "requests (bad)", bad),
            samples(Side::Canary, "requests (bad)", bad),
        )
        .await?;
        let main = BySide { stable: &*stable.what, canary: &*canary.what };
        let bad = BySide { stable: &*bad_stable.what, canary: &*bad_canary.what };
        let cover = delta::cover(self.window, main, &[bad.stable, bad.canary]);
        let notes = [stable.notes, canary.notes, bad_stable.notes, bad_canary.notes];
        self.conclude(cover, notes.concat(), |side, window| {
            let total = delta::tally(main.get(side), window);
            let reading = counts(&total, &delta::tally(bad.get(side), window));
            Ok((reading?, total.resets))
        })
    }

    async fn latency(&self, query: &Template, unit: LatencyUnit) -> Result<Measured, PortError> {
        let samples =
            |side| self.samples(side, "latency", query, move |data| read::histograms(data, unit));
        let (stable, canary) = try_join(samples(Side::Stable), samples(Side::Canary)).await?;
        let sides = BySide { stable: &stable.what, canary: &canary.what };
        let main = BySide { stable: &*sides.stable.tracks, canary: &*sides.canary.tracks };
        let cover = delta::cover(self.window, main, &[]);
        self.conclude(cover, [stable.notes, canary.notes].concat(), |side, window| {
            let tally = delta::tally(main.get(side), window);
            Ok((buckets(&sides.get(side).bounds, &tally)?, tally.resets))
        })
    }

    async fn value(&self, query: &Template) -> Result<Measured, PortError> {
        let number = |side| async move {
            let promql = self.render(side, query)?;
            self.fetch(side, &self.signal.to_string(), &promql, read::number).await
        };
        let (stable, canary) = try_join(number(Side::Stable), number(Side::Canary)).await?;
        let notes = [stable.notes, canary.notes].concat();
        let numbers = BySide { stable: stable.what, canary: canary.what };
        self.conclude(Cover::Known(self.window), notes, |side, _| {
            Ok((numbers.get(side).clone(), 0))
        })
    }

    /// Fetches the samples that are needed to count one side's window.
    async fn samples<T>(
        &self,
        side: Side,
        name: &str,
        selector: &Template,
        read: impl FnOnce(Data) -> Result<T, String>,
    ) -> Result<Read<T>, PortError> {
        let selector = self.render(side, selector)?;
        let range = millis(delta::reach(self.window));
        self.fetch(side, name, &format!("{selector}[{range}ms]"), read).await
    }

    async fn fetch<T>(
        &self,
        side: Side,
        name: &str,
        promql: &str,
        read: impl FnOnce(Data) -> Result<T, String>,
    ) -> Result<Read<T>, PortError> {
        let answer = self.source.api.query(promql, self.window.until).await;
        let read = answer.and_then(|answer| {
            let what = read(answer.data).map_err(invalid)?;
            Ok(Read { what, notes: answer.notes })
        });
        read.map_err(|error| in_context(&format!("{name} of {side}"), error))
    }

    fn render(&self, side: Side, template: &Template) -> Result<String, PortError> {
        let rendered = template.render(&self.source.variables, self.rollout, side);
        rendered.map_err(|problem| {
            let message = format!("{} of {side}: {problem}", self.signal);
            PortError::new(FailureKind::Invalid, message)
        })
    }

    /// Puts the answer together; `read` gives one side's reading and how many resets are in it.
    fn conclude(
        &self,
        cover: Cover,
        remarks: Vec<String>,
        read: impl Fn(Side, Window) -> Result<(Reading, usize), String>,
    ) -> Result<Measured, PortError> {
        let mut notes = BTreeSet::from_iter(remarks);
        let measured = match cover {
            Cover::Pending => Measured::pending(self.cursor),
            Cover::Nothing => Measured::new(self.window, Reading::NoData, Reading::NoData),
            Cover::Known(window) => {
                let mut side = |side: Side| -> Result<Reading, PortError> {
                    let (reading, resets) = read(side, window).map_err(|why| {
                        in_context(&format!("{} of {side}", self.signal), invalid(why))
                    })?;
                    if resets > 0 {
                        notes.insert(format!("{side}: {resets} counter resets"));
                    }
                    Ok(reading)
                };
                Measured::new(window, side(Side::Stable)?, side(Side::Canary)?)
            }
        };
        if cover != Cover::Pending && self.window.after > self.cursor {
            notes.insert(format!(
                "left out, being too long ago: {} to {}",
                self.cursor, self.window.after
            ));
        }
        Ok(notes.into_iter().fold(measured, Measured::note))
    }
}

fn invalid(why: String) -> PortError {
    PortError::new(FailureKind::Invalid, why)
}

fn counts(total: &Tally, bad: &Tally) -> Result<Reading, String> {
    let Some(total) = &total.rises else {
        return Ok(Reading::NoData);
    };
    let bad = bad.rises.iter().flatten().sum();
    let counts = Counts::new(total.iter().sum(), bad);
    let counts = counts.map_err(|error| error.to_string())?;
    Ok(Reading::Counts(counts))
}

fn buckets(bounds: &[f64], tally: &Tally) -> Result<Reading, String> {
    let Some(cumulative) = &tally.rises else {
        return Ok(Reading::NoData);
    };
    let buckets = Buckets::new(bounds.to_vec(), read::per_bucket(cumulative)?);
    let buckets = buckets.map_err(|error| error.to_string())?;
    Ok(Reading::Buckets(buckets))
}
