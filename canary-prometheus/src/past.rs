//! Looks at the past as a rollout would have looked at it then.
//!
//! A look back differs from a live one in one thing only: where the samples come from. They are fetched for many looks at
//! once, and each look is shown what the server would have shown it then. What is counted, and up to where, is left to
//! the same code. And where a live look leaves a failure to the rollout, a look back that is midway tries again what may
//! pass: nobody decides on it, and what was read before would be lost.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use canary_core::ports::PortError;
use canary_core::value::{
    BySide, FailureKind, Measured, Query, Reading, RolloutId, Side, Signal, Timestamp, Window,
    millis,
};
use futures::future::{FutureExt, join_all};
use tokio::time::sleep;

use crate::api::answer::{Answer, Data, Instant, Series};
use crate::delta::LINK;
use crate::source::{Ask, Counted, Of, Prometheus};
use crate::tick::Tick;

/// How much of the past is fetched at once.
const CHUNK: Duration = Duration::from_secs(15 * 60);

/// How far a look may lag behind without anything being fetched again.
const LAG: Duration = Duration::from_secs(60);

/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often a request is tried again that failed in a way which may pass.
const RETRIES: u32 = 4;

/// The pause before the first of these, unless the server asks for another; each further one is twice as long.
const PAUSE: Duration = Duration::from_secs(1);

/// Who asks to be left alone for longer than this is not waited for.
const LONGEST_PAUSE: Duration = Duration::from_secs(5 * 60);

/// Holds what was fetched for the looks in a part of the past, each query once.
#[derive(Debug)]
pub(crate) struct Shelf {
    part: Window,
    every: Duration,
    retries: u32,
    samples: Mutex<BTreeMap<String, Page>>,
    numbers: Mutex<BTreeMap<String, Answer>>,
}

/// Holds the samples of a selector, from an instant to the end of the part.
#[derive(Debug)]
struct Page {
    from: Timestamp,
    answer: Answer,
}

impl Prometheus {
    /// Looks back: answers queries as they would have been answered in a span of the past, by looks every so often,
    /// a second at least, from its begin on. Each answer that covers something goes to `take`, with its query; those of one signal follow
    /// each other without a gap.
    ///
    /// Samples are counted as in a live look, with one difference: a sample is there at the time that it bears, not
    /// some milliseconds later, when its scrape has ended. `rollout` is what `{{ rollout }}` stands for.
    ///
    /// The samples of a quarter of an hour are fetched at once. After the first of them a request that fails in a way which
    /// may pass (see [`PortError::is_retryable`]) is tried four times more, after pauses of 1, 2, 4 and 8 s, or of what the
    /// server asks for up to five minutes.
    ///
    /// # Errors
    /// Those of a live look, for the first query that still cannot be answered then. `NotFound` where requests are asked for and
    /// a side has no samples in the whole span: the query is named.
    pub async fn look_back(
        &self,
        rollout: &RolloutId,
        queries: &[Query],
        span: Window,
        every: Duration,
        mut take: impl FnMut(&Query, Measured),
    ) -> Result<(), PortError> {
        let every = every.max(Duration::from_secs(1));
        let mut queries = queries.to_vec();
        queries.iter_mut().for_each(|query| query.after = span.after);
        let mut seen = BySide::<bool>::default();
        let (mut now, mut part) = (span.after, None::<Shelf>);
        while now < span.until {
            let shelf = match part.take().filter(|shelf| now < shelf.part.until) {
                Some(shelf) => shelf,
                // Who cannot be asked at all says so at once.
                None if now == span.after => Shelf::new(now, span.until, every),
                None => Shelf::new(now, span.until, every).trying_again(),
            };
            now = (now + every).min(span.until);
            let tick = Tick::new(self, rollout, now, PATIENCE).on(&shelf);
            let answers = look(tick, &queries).await;
            for (query, measured) in queries.iter_mut().zip(answers) {
                let measured = measured?;
                if measured.covered.is_empty() {
                    continue;
                }
                query.after = measured.covered.until;
                if query.signal == Signal::Requests {
                    let counted = |side| matches!(measured.sides.get(side), Reading::Counts(_));
                    seen = BySide::from_fn(|side| *seen.get(side) || counted(side));
                }
                take(query, measured);
            }
            part = Some(shelf);
        }
        self.refuse_unseen(rollout, &queries, span, seen)
    }

    /// Refuses a span in which a side has no requests at all: nothing was rolled out, or the query is wrong.
    fn refuse_unseen(
        &self,
        rollout: &RolloutId,
        queries: &[Query],
        span: Window,
        seen: BySide<bool>,
    ) -> Result<(), PortError> {
        let Some(Ask::Counts(Counted { of: Of::Requests { total, .. }, .. })) =
            self.asks.get(&Signal::Requests)
        else {
            return Ok(());
        };
        let asked = queries.iter().any(|query| query.signal == Signal::Requests);
        let Some(side) = Side::BOTH.into_iter().find(|side| asked && !*seen.get(*side)) else {
            return Ok(());
        };
        let tick = Tick::new(self, rollout, span.until, PATIENCE);
        let query = tick.render(&Signal::Requests, total, side, span)?;
        let Window { after, until, .. } = span;
        let why = format!(
            "requests of {side}: the server has no two samples between {after} and {until} of `{query}`"
        );
        Err(PortError::new(FailureKind::NotFound, why))
    }
}

/// Answers all queries as of one instant.
async fn look(tick: Tick<'_>, queries: &[Query]) -> Vec<Result<Measured, PortError>> {
    let numbers = tick.numbers(queries).boxed().shared();
    join_all(queries.iter().map(|query| tick.measure(query, numbers.clone()))).await
}

impl Shelf {
    /// Begins an empty one, for looks every so often after `after`.
    fn new(after: Timestamp, end: Timestamp, every: Duration) -> Self {
        let looks = (millis(CHUNK) / millis(every)).max(1);
        let until = after + Duration::from_millis(millis(every).saturating_mul(looks));
        let part = Window::new(after, until.min(end));
        Self { part, every, retries: 0, samples: Mutex::default(), numbers: Mutex::default() }
    }

    fn trying_again(self) -> Self {
        Self { retries: RETRIES, ..self }
    }

    /// Asks until there is an answer, or a failure that does not pass.
    async fn patiently<F>(&self, ask: impl Fn() -> F) -> Result<Answer, PortError>
    where
        F: Future<Output = Result<Answer, PortError>>,
    {
        for retry in 0..self.retries {
            let error = match ask().await {
                Err(error) if error.is_retryable() => error,
                answer => return answer,
            };
            let pause = error.retry_after().unwrap_or(PAUSE * 2_u32.pow(retry));
            if pause > LONGEST_PAUSE {
                return Err(error);
            }
            sleep(pause).await;
        }
        ask().await
    }

    /// Returns the samples of a selector that a look sees which goes back so far.
    pub(crate) async fn samples(
        &self,
        tick: &Tick<'_>,
        selector: &str,
        reach: Duration,
    ) -> Result<Answer, PortError> {
        let from = tick.until - reach;
        let seen = Window::new(from, tick.until);
        let known = |pages: &BTreeMap<String, Page>| {
            let page = pages.get(selector).filter(|page| page.from <= from)?;
            Some(cut(&page.answer, seen))
        };
        if let Some(answer) = known(&open(&self.samples)) {
            return Ok(answer);
        }
        let from = from.min(self.part.after - LINK - LAG);
        let promql = format!("{selector}[{}ms]", millis(self.part.until.since(from)));
        let answer = self.patiently(|| tick.fetch_at(&promql, self.part.until)).await?;
        let shown = cut(&answer, seen);
        open(&self.samples).insert(selector.to_owned(), Page { from, answer });
        Ok(shown)
    }

    /// Returns what an expression gave at the time of a look.
    pub(crate) async fn number(&self, tick: &Tick<'_>, promql: &str) -> Result<Answer, PortError> {
        if !millis(tick.until.since(self.part.after)).is_multiple_of(millis(self.every)) {
            // The last look of all comes sooner than the others.
            return self.patiently(|| tick.fetch(promql)).await;
        }
        if let Some(answer) = open(&self.numbers).get(promql) {
            return Ok(at(answer, tick.until));
        }
        let answer =
            self.patiently(|| tick.fetch_range(promql, self.part.until, self.every)).await?;
        let shown = at(&answer, tick.until);
        open(&self.numbers).insert(promql.to_owned(), answer);
        Ok(shown)
    }
}

fn open<T>(shelf: &Mutex<T>) -> MutexGuard<'_, T> {
    shelf.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns what a server shows of samples to someone who asks for those in a window.
fn cut(answer: &Answer, window: Window) -> Answer {
    let within = |at: Timestamp| window.after < at && at <= window.until;
    let Data::Matrix(series) = &answer.data else { return answer.clone() };
    let series = series.iter().map(|series| Series {
        metric: series.metric.clone(),
        values: series.values.iter().copied().filter(|point| within(point.at)).collect(),
        histograms: series.histograms.iter().filter(|(at, _)| within(at.0)).cloned().collect(),
    });
    let shown = series.filter(|series| series.samples() > 0);
    Answer { data: Data::Matrix(shown.collect()), notes: answer.notes.clone() }
}

/// Returns what an expression gave at one of its instants.
fn at(answer: &Answer, at: Timestamp) -> Answer {
    let Data::Matrix(series) = &answer.data else { return answer.clone() };
    let shown = series.iter().filter_map(|series| {
        let value = series.values.iter().copied().find(|point| point.at == at);
        let histogram = series.histograms.iter().any(|(time, _)| time.0 == at);
        (value.is_some() || histogram).then(|| Instant { metric: series.metric.clone(), value })
    });
    Answer { data: Data::Vector(shown.collect()), notes: answer.notes.clone() }
}
