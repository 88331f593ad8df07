//! A source that says nothing, or nothing newer.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use canary_core::driver::{Driver, DriverBuilder};
use canary_core::policy::{Check, Patience, Policy, Then};
use canary_core::ports::{Call, MetricSource, PortError};
use canary_core::testing::MemoryRouter;
use canary_core::value::{
    Counts, FailureKind, Measured, Query, Reading, Timestamp, Weight, Window,
};

use crate::support::{id, s};

type Answer = Result<Measured, PortError>;

/// Answers each query as the test says, by the time since the first look.
struct Source<F>(F, std::sync::OnceLock<Timestamp>);

impl<F> fmt::Debug for Source<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Source")
    }
}

#[async_trait]
impl<F> MetricSource for Source<F>
where
    F: Fn(&Query, Timestamp, Duration) -> Answer + Send + Sync + 'static,
{
    async fn measure(&self, _: &Call, queries: &[Query], until: Timestamp) -> Vec<Answer> {
        let since = until.since(*self.1.get_or_init(|| until));
        queries.iter().map(|query| self.0(query, until, since)).collect()
    }
}

/// A tenth for ten minutes, then all; errors take the canary back after two minutes, and silence as it says.
fn rollout(
    no_data: Patience,
    answer: impl Fn(&Query, Timestamp, Duration) -> Answer + Send + Sync + 'static,
) -> DriverBuilder {
    let policy = Policy::builder("shop")
        .every(s(15))
        .stage("tenth", Weight::percent(10), s(600))
        .stage("full", Weight::FULL, s(60))
        .check(Check::above("errors", "error_rate", 0.05))
        .no_data(no_data)
        .errors(Patience::new(s(120), Then::RollBack))
        .build()
        .unwrap();
    let source = Source(answer, std::sync::OnceLock::new());
    Driver::builder(policy).router(MemoryRouter::new()).metrics(source)
}

fn good(query: &Query, until: Timestamp) -> Measured {
    let counts = Reading::Counts(Counts::new(1_000, 1).unwrap());
    Measured::new(Window::new(query.after, until), counts.clone(), counts)
}

#[tokio::test(start_paused = true)]
async fn one_error_before_a_source_has_nothing_newer_is_no_row_of_errors() {
    let handle = rollout(Patience::default(), |query, until, since| match since.as_secs() {
        60..75 => Err(PortError::new(FailureKind::Unavailable, "down")),
        75..300 => Ok(Measured::pending(query.after)),
        _ => Ok(good(query, until)),
    });
    let finished = handle.start(id("shop-1")).await.unwrap().finished().await.unwrap();
    assert!(finished.outcome().is_promoted(), "{}", finished.outcome());
}

#[tokio::test(start_paused = true)]
async fn a_source_that_never_has_anything_newer_is_silent() {
    let handle = rollout(Patience::new(s(120), Then::RollBack), |query, _, _| {
        Ok(Measured::pending(query.after))
    });
    let handle = handle.start(id("shop-1")).await.unwrap();
    let finished = tokio::time::timeout(s(7 * 86_400), handle.finished()).await;
    let finished = finished.unwrap_or_else(|_| panic!("{:?}", handle.status().borrow()));
    let outcome = finished.unwrap().outcome().to_string();
    assert!(outcome.contains("was silent"), "{outcome}");
}
