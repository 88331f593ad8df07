//! What one rollout went through: when it looked, raised, and took its canary back.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use canary_core::driver::Clock;
use canary_core::ports::{Call, MetricSource, PortError};
use canary_core::record::{Content, Record};
use canary_core::value::{Measured, Query, Timestamp, Weight};
use canary_prometheus::Prometheus;

/// Notes what one rollout goes through.
#[derive(Clone, Debug)]
pub(crate) struct Course(Arc<Mutex<Noted>>);

/// Is what is known of a rollout.
#[derive(Clone, Debug)]
pub(crate) struct Noted {
    every: Duration,
    /// When the next look is due.
    due: Option<Timestamp>,
    /// When the last answer was asked for.
    asked: Option<Timestamp>,
    weight: Weight,
    /// When looks were made, and how much later than they were due.
    pub(crate) looks: Vec<(Timestamp, Duration)>,
    pub(crate) raises: Vec<Raise>,
    /// When it was decided to take the canary back.
    pub(crate) decided: Option<Timestamp>,
    /// When the API server had taken the last traffic away.
    pub(crate) emptied: Option<Timestamp>,
    /// How many calls failed.
    pub(crate) failed: usize,
    /// What the last of them said.
    pub(crate) failure: Option<String>,
}

/// Tells of a weight that rose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Raise {
    pub(crate) at: Timestamp,
    /// When the numbers were asked for that allowed it.
    pub(crate) asked: Option<Timestamp>,
}

impl Course {
    /// Begins with a rollout that looks every so often.
    pub(crate) fn new(every: Duration) -> Self {
        Self(Arc::new(Mutex::new(Noted {
            every,
            due: None,
            asked: None,
            weight: Weight::ZERO,
            looks: Vec::new(),
            raises: Vec::new(),
            decided: None,
            emptied: None,
            failed: 0,
            failure: None,
        })))
    }

    /// Returns what is known.
    pub(crate) fn noted(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Noted {
    /// Takes note of a look that was made at a time.
    fn looks(&mut self, made: Timestamp, asked: Timestamp) {
        self.asked = Some(asked);
        let Some(due) = self.due else { return };
        self.looks.push((made, made.since(due)));
        // As the rollout does: one that is a whole interval late is not made up for.
        let next = due + self.every;
        self.due = Some(if next > made { next } else { made + self.every });
    }

    /// Takes note of what the rollout says.
    pub(crate) fn hears(&mut self, record: &Record) {
        match &record.content {
            Content::TrafficAccepted { weight, .. } => {
                let (at, weight) = (record.at, *weight);
                if weight > self.weight {
                    // The next look comes an interval after the weight, since there is no settle time.
                    self.due = Some(at + self.every);
                    self.raises.push(Raise { at, asked: self.asked });
                } else if self.decided.is_some() && weight == Weight::ZERO {
                    self.emptied.get_or_insert(at);
                }
                self.weight = weight;
            }
            Content::RollbackDecided { .. } => self.decided = Some(record.at),
            Content::CallFailed { failure, .. } => {
                self.failed += 1;
                self.failure = Some(failure.to_string());
            }
            _ => {}
        }
    }
}

/// Measures with Prometheus, and notes each look.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) source: Prometheus,
    pub(crate) course: Course,
    pub(crate) clock: Clock,
}

#[async_trait]
impl MetricSource for Watched {
    fn check(&self, query: &Query) -> Result<(), PortError> {
        self.source.check(query)
    }

    async fn measure(
        &self,
        call: &Call,
        queries: &[Query],
        until: Timestamp,
    ) -> Vec<Result<Measured, PortError>> {
        self.course.noted().looks(call.made, self.clock.now());
        self.source.measure(call, queries, until).await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

    use serde_json::{Value, json};

    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn hear(course: &Course, at_ms: u64, content: Value) {
        let mut record = json!({ "number": 1, "at_ms": at_ms });
        record.as_object_mut().unwrap().extend(content.as_object().unwrap().clone());
        course.noted().hears(&serde_json::from_value(record).unwrap());
    }

    fn accepted(weight: u16) -> Value {
        json!({ "kind": "traffic_accepted", "weight_bp": weight, "effective": null })
    }

    #[test]
    fn a_look_is_due_an_interval_after_the_weight_or_the_look_before() {
        let course = Course::new(Duration::from_secs(10));
        hear(&course, 1_000, accepted(500));
        for made in [11_003, 21_250, 45_000, 55_001] {
            course.noted().looks(at(made), at(made));
        }
        let late: Vec<_> = course.noted().looks.iter().map(|look| look.1.as_millis()).collect();
        assert_eq!(late, [3, 250, 14_000, 1]);
    }

    #[test]
    fn what_takes_the_canary_back_is_told_from_the_begin() {
        let course = Course::new(Duration::from_secs(10));
        hear(&course, 1, accepted(0));
        hear(&course, 2, accepted(500));
        course.noted().looks(at(10), at(11));
        hear(&course, 20, accepted(1000));
        let raise = |at_ms, asked: Option<u64>| Raise { at: at(at_ms), asked: asked.map(at) };
        assert_eq!(course.noted().raises, [raise(2, None), raise(20, Some(11))]);
        assert_eq!(course.noted().emptied, None);
        let silence = json!({ "silence": { "for_ms": 1 } });
        hear(&course, 30, json!({ "kind": "rollback_decided", "reason": silence }));
        hear(&course, 33, accepted(0));
        // Each look holds the notes until the end of its statement.
        assert_eq!(course.noted().decided, Some(at(30)));
        assert_eq!(course.noted().emptied, Some(at(33)));
    }
}
