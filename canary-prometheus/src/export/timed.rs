//! Ports whose calls are timed.

use std::time::Instant;

use async_trait::async_trait;
use canary_core::policy::How;
use canary_core::ports::{
    Applied, Call, Capabilities, Capacity, Decision, Gate, GateContext, MetricSource, Observed,
    PortError, Progress, Readiness, TrafficRouter, Workload,
};
use canary_core::value::{Measured, Query, RolloutId, Side, Timestamp, Traffic, Version};

use super::calls::CallName;
use super::{RolloutObserver, now};

/// Does what the port in it does, and measures how long that takes.
#[derive(Debug)]
pub struct Timed<P> {
    port: P,
    observer: RolloutObserver,
}

impl<P> Timed<P> {
    pub(super) const fn new(port: P, observer: RolloutObserver) -> Self {
        Self { port, observer }
    }

    fn begin(&self, port: &'static str, call: &'static str) -> Running<'_> {
        let name = CallName { port, call, result: "cancelled" };
        Running { observer: &self.observer, name, since: now() }
    }
}

/// Measures one call, to its answer or until nobody waits for it any more.
struct Running<'a> {
    observer: &'a RolloutObserver,
    name: CallName,
    since: Instant,
}

impl Running<'_> {
    fn end<T>(mut self, answer: Result<T, PortError>) -> Result<T, PortError> {
        self.name.result = if answer.is_ok() { "ok" } else { "error" };
        answer
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let took = now().saturating_duration_since(self.since);
        self.observer.with_series(|series| series.calls.observe(self.name, took));
    }
}

#[async_trait]
impl<P: TrafficRouter> TrafficRouter for Timed<P> {
    fn capabilities(&self) -> Capabilities {
        self.port.capabilities()
    }

    async fn observe(&self, call: &Call) -> Result<Observed, PortError> {
        let running = self.begin("router", "observe");
        running.end(self.port.observe(call).await)
    }

    async fn holder(&self, call: &Call) -> Result<Option<RolloutId>, PortError> {
        let running = self.begin("router", "holder");
        running.end(self.port.holder(call).await)
    }

    async fn apply(
        &self,
        call: &Call,
        traffic: &Traffic,
        at: Option<&Version>,
    ) -> Result<Applied, PortError> {
        let running = self.begin("router", "apply");
        running.end(self.port.apply(call, traffic, at).await)
    }

    async fn release(&self, call: &Call) -> Result<(), PortError> {
        let running = self.begin("router", "release");
        running.end(self.port.release(call).await)
    }
}

#[async_trait]
impl<P: MetricSource> MetricSource for Timed<P> {
    fn check(&self, query: &Query) -> Result<(), PortError> {
        self.port.check(query)
    }

    async fn measure(
        &self,
        call: &Call,
        queries: &[Query],
        until: Timestamp,
    ) -> Vec<Result<Measured, PortError>> {
        let mut running = self.begin("metrics", "measure");
        let answers = self.port.measure(call, queries, until).await;
        running.name.result = if answers.iter().all(Result::is_ok) { "ok" } else { "error" };
        answers
    }
}

#[async_trait]
impl<P: Gate> Gate for Timed<P> {
    async fn decide(&self, call: &Call, context: &GateContext) -> Result<Decision, PortError> {
        let running = self.begin("gate", "decide");
        running.end(self.port.decide(call, context).await)
    }
}

#[async_trait]
impl<P: Workload> Workload for Timed<P> {
    async fn prepare(&self, call: &Call, wanted: &Capacity) -> Result<Readiness, PortError> {
        let running = self.begin("workload", "prepare");
        running.end(self.port.prepare(call, wanted).await)
    }

    async fn promote(&self, call: &Call, how: How) -> Result<Progress, PortError> {
        let running = self.begin("workload", "promote");
        running.end(self.port.promote(call, how).await)
    }

    async fn restore(&self, call: &Call, how: How) -> Result<Progress, PortError> {
        let running = self.begin("workload", "restore");
        running.end(self.port.restore(call, how).await)
    }

    async fn retire(&self, call: &Call, side: Side) -> Result<Progress, PortError> {
        let running = self.begin("workload", "retire");
        running.end(self.port.retire(call, side).await)
    }
}
