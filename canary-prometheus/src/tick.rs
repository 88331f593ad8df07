//! Answers all queries of one call, with as few questions to the server as will do.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error as _;
use std::iter::successors;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use canary_core::ports::PortError;
use canary_core::value::{
    Failure, FailureKind, Measured, Query, Reading, RolloutId, Side, Signal, Timestamp, Window,
    millis,
};
use futures::future::{BoxFuture, Either, Shared, join_all, select};
use tokio::time::Sleep;

use crate::api::answer::Answer;
use crate::count;
use crate::error::{TooMuch, in_context, invalid};
use crate::fetch::Fetch;
use crate::increase::Increase;
use crate::past::Shelf;
use crate::read;
use crate::source::{Ask, Counted, Prometheus};
use crate::template::Template;
use crate::union;

/// How far back a window may begin; what lies before that is left out.
const LONGEST_WINDOW: Duration = Duration::from_secs(60 * 60);

/// The shortest window of which, where it is too much to fetch, half is left out: few looks are that far apart, so
/// somebody was absent. What is too much of a shorter one is so at each look, and an error.
const HALVED: Duration = Duration::from_secs(30 * 60);

/// Resolves when the caller stops waiting.
pub(crate) type Deadline = Shared<Sleep>;

/// Is what a query for a number gave, and what the server remarked.
type Number = (Reading, Vec<String>);

/// Holds what each query gave by its text.
type Numbers = Arc<BTreeMap<String, Result<Number, Failure>>>;

/// Resolves to the numbers once all of them are there.
pub(crate) type SharedNumbers<'a> = Shared<BoxFuture<'a, Numbers>>;

/// Says what stands behind a query.
pub(crate) enum Asked<'a> {
    Counts(&'a Counted),
    Increase(&'a Increase),
    Number(Cow<'a, Template>),
}

impl<'a> Asked<'a> {
    /// Finds what stands behind a query: the policy's own words for it, or what the source was built with.
    pub(crate) fn new(source: &'a Prometheus, query: &Query) -> Result<Self, PortError> {
        if let (Signal::Custom(_), Some(text)) = (&query.signal, &query.text) {
            return Ok(Self::Number(Cow::Owned(Template::new(&**text))));
        }
        let asks = &source.asks;
        match asks.get(&query.signal) {
            Some(Ask::Value(template)) => Ok(Self::Number(Cow::Borrowed(template))),
            Some(Ask::Counts(ask)) => Ok(Self::Counts(ask)),
            Some(Ask::Increase(ask)) => Ok(Self::Increase(ask)),
            None => {
                let known: Vec<_> = asks.keys().map(Signal::to_string).collect();
                let known = known.join(", ");
                Err(PortError::new(
                    FailureKind::Unsupported,
                    format!("there is no query for {}, only for: {known}", query.signal),
                ))
            }
        }
    }
}

/// Is one call to the source.
#[derive(Clone, Copy)]
pub(crate) struct Tick<'a> {
    pub(crate) source: &'a Prometheus,
    rollout: &'a RolloutId,
    pub(crate) until: Timestamp,
    patience: Duration,
    /// Where the answers are, of a look at the past.
    shelf: Option<&'a Shelf>,
}

impl<'a> Tick<'a> {
    pub(crate) const fn new(
        source: &'a Prometheus,
        rollout: &'a RolloutId,
        until: Timestamp,
        patience: Duration,
    ) -> Self {
        Self { source, rollout, until, patience, shelf: None }
    }

    /// Looks at the past.
    pub(crate) const fn on(self, shelf: &'a Shelf) -> Self {
        Self { shelf: Some(shelf), ..self }
    }

    /// Answers one query before the deadline.
    pub(crate) async fn answer(
        self,
        query: &Query,
        numbers: SharedNumbers<'_>,
        deadline: Deadline,
    ) -> Result<Measured, PortError> {
        match select(pin!(self.measure(query, numbers)), deadline).await {
            Either::Left((answer, _)) => answer,
            Either::Right(((), _)) => Err(PortError::new(
                FailureKind::Timeout,
                format!("{}: no answer within {} ms", query.signal, millis(self.patience)),
            )),
        }
    }

    pub(crate) async fn measure(
        &self,
        query: &Query,
        numbers: SharedNumbers<'_>,
    ) -> Result<Measured, PortError> {
        let mut window = self.window(query);
        let asked = Asked::new(self.source, query)?;
        if window.is_empty() {
            return Ok(Measured::pending(query.after));
        }
        let measured = match &asked {
            Asked::Number(template) => self.value(query, template, window, &numbers.await),
            Asked::Increase(ask) => ask.measure(self, window).await,
            Asked::Counts(ask) => self.counts(ask, &query.signal, &mut window).await,
        }?;
        if measured.covered.is_empty() {
            let pending = Measured::pending(query.after);
            return Ok(measured.notes.into_iter().fold(pending, Measured::note));
        }
        if window.after == query.after {
            return Ok(measured);
        }
        let why = if window == self.window(query) { "too long ago" } else { "too much to fetch" };
        let note = format!("left out, being {why}: {} to {}", query.after, window.after);
        Ok(measured.note(note))
    }

    /// Counts what came in a window; of one that is too much to fetch, after an absence, the later part: the next look
    /// would ask for as much again.
    async fn counts(
        &self,
        ask: &Counted,
        signal: &Signal,
        window: &mut Window,
    ) -> Result<Measured, PortError> {
        loop {
            let fetch = Fetch { tick: self, ask, signal, window: *window };
            match count::measure(&fetch).await {
                Err(error) if is_too_much(&error) && window.length() >= HALVED => {}
                answer => return answer,
            }
            *window = Window::new(window.after + window.length() / 2, window.until);
        }
    }

    fn window(&self, query: &Query) -> Window {
        Window::new(query.after.max(self.until - LONGEST_WINDOW), self.until)
    }

    /// Renders one side's query, as it is sent.
    pub(crate) fn render(
        &self,
        signal: &Signal,
        template: &Template,
        side: Side,
        window: Window,
    ) -> Result<String, PortError> {
        let rendered = template.render(&self.source.variables, self.rollout, side, window);
        rendered.map_err(|problem| invalid(format!("{signal} of {side}: {problem}")))
    }

    /// Fetches the samples of a selector, so far back.
    pub(crate) async fn samples(
        &self,
        selector: &str,
        reach: Duration,
    ) -> Result<Answer, PortError> {
        match self.shelf {
            Some(shelf) => shelf.samples(self, selector, reach).await,
            None => self.fetch(&format!("{selector}[{}ms]", millis(reach))).await,
        }
    }

    /// Asks the server, as of the instant that is looked at.
    pub(crate) async fn fetch(&self, promql: &str) -> Result<Answer, PortError> {
        self.fetch_at(promql, self.until).await
    }

    pub(crate) async fn fetch_at(&self, promql: &str, at: Timestamp) -> Result<Answer, PortError> {
        self.source.api.query(promql, at, self.patience).await
    }

    /// Asks the server as of the instant that is looked at, and every so often after it.
    pub(crate) async fn fetch_range(
        &self,
        promql: &str,
        until: Timestamp,
        every: Duration,
    ) -> Result<Answer, PortError> {
        self.source.api.query_range(promql, (self.until, until), every, self.patience).await
    }

    fn value(
        &self,
        query: &Query,
        template: &Template,
        window: Window,
        numbers: &Numbers,
    ) -> Result<Measured, PortError> {
        let signal = &query.signal;
        let mut notes = BTreeSet::new();
        let mut number = |side| {
            let text = self.render(signal, template, side, window)?;
            // Each text that can be rendered was asked for.
            let found = numbers.get(&text).cloned().unwrap_or(Ok((Reading::NoData, Vec::new())));
            let (reading, remarks) = found
                .map_err(|failure| in_context(&format!("{signal} of {side}"), failure.into()))?;
            notes.extend(remarks);
            Ok::<_, PortError>(reading)
        };
        let measured = Measured::new(window, number(Side::Stable)?, number(Side::Canary)?);
        Ok(notes.into_iter().fold(measured, Measured::note))
    }

    /// Fetches the numbers of all queries for one: each text once, and in one question where that can be.
    pub(crate) async fn numbers(self, queries: &[Query]) -> Numbers {
        let mut texts = BTreeSet::new();
        for query in queries {
            let window = self.window(query);
            if let (Ok(Asked::Number(template)), false) =
                (Asked::new(self.source, query), window.is_empty())
            {
                let text = |side| self.render(&query.signal, &template, side, window);
                texts.extend(Side::BOTH.into_iter().filter_map(|side| text(side).ok()));
            }
        }
        let texts = Vec::from_iter(texts);
        if let Some(shelf) = self.shelf {
            let each = join_all(texts.iter().map(|text| shelf.number(&self, text))).await;
            return read_numbers(texts, each);
        }
        if let Some(found) = self.together(&texts).await {
            return Arc::new(texts.into_iter().zip(found).collect());
        }
        let each = join_all(texts.iter().map(|text| self.fetch(text))).await;
        read_numbers(texts, each)
    }

    /// Asks for several numbers at once; nothing if that cannot be done, or if one of them spoils the others.
    async fn together(&self, texts: &[String]) -> Option<Vec<Result<Number, Failure>>> {
        let union = union::of(texts)?;
        match self.fetch(&union).await {
            Ok(answer) => {
                let parts = union::apart(answer, texts.len())?;
                let read = parts
                    .into_iter()
                    .map(|part| read_number(part).map_err(PortError::into_failure));
                Some(read.collect())
            }
            Err(error) if error.kind() == FailureKind::Invalid => None,
            // Asked one by one, it would only have more to do.
            Err(error) => Some(vec![Err(error.into_failure()); texts.len()]),
        }
    }
}

fn is_too_much(error: &PortError) -> bool {
    successors(error.source(), |&error| error.source()).any(|below| below.is::<TooMuch>())
}

fn read_numbers(texts: Vec<String>, answers: Vec<Result<Answer, PortError>>) -> Numbers {
    let read = |answer: Result<_, _>| answer.and_then(read_number).map_err(PortError::into_failure);
    Arc::new(texts.into_iter().zip(answers.into_iter().map(read)).collect())
}

pub(crate) fn read_number(Answer { data, notes }: Answer) -> Result<Number, PortError> {
    Ok((read::number(&data).map_err(invalid)?, notes))
}
