//! What the proxy counted, as a [`MetricSource`].

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use canary_core::driver::Clock;
use canary_core::ports::{Call, MetricSource, PortError};
use canary_core::value::{
    Buckets, BySide, Counts, FailureKind, Measured, Query, Reading, Side, Signal, Timestamp, Window,
};

/// The upper bounds of the latency buckets, in milliseconds.
const BOUNDS: [f64; 22] = [
    1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 35.0, 40.0, 45.0, 50.0, 60.0, 80.0, 100.0, 150.0,
    250.0, 400.0, 600.0, 1000.0, 2500.0, 5000.0,
];

/// How long a finished request is remembered.
const KEEP: Duration = Duration::from_secs(600);

/// Remembers each finished request, so that any window of the last minutes can be counted exactly.
///
/// Clones share one memory.
#[derive(Clone, Debug)]
pub struct Counters {
    clock: Clock,
    log: Arc<Mutex<Log>>,
}

#[derive(Debug)]
struct Log {
    /// In the order of their time.
    finished: VecDeque<Finished>,
    /// What finished up to here is not remembered.
    forgotten: Timestamp,
}

#[derive(Debug)]
struct Finished {
    /// The end of the millisecond in which it finished.
    at: Timestamp,
    side: Side,
    bad: bool,
    bucket: usize,
}

/// Sums up one side over one window.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Tally {
    /// Requests that finished, and the bad ones.
    pub counts: Counts,
    /// The same requests by how long they took.
    pub latency: Buckets,
}

impl Counters {
    /// Starts with nothing counted.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        let log = Log { finished: VecDeque::new(), forgotten: clock.now() };
        Self { clock, log: Arc::new(Mutex::new(log)) }
    }

    /// Counts a request that finished just now.
    pub fn finished(&self, side: Side, bad: bool, took: Duration) {
        let millis = took.as_secs_f64() * 1000.0;
        let bucket = BOUNDS.partition_point(|&bound| bound < millis);
        let mut log = self.lock();
        // Read under the lock, or the log would not be in order; and the end of this millisecond, so that
        // nothing can still finish at a time that was asked about already.
        let at = self.clock.now() + Duration::from_millis(1);
        log.push(Finished { at, side, bad, bucket });
    }

    /// Sums up what finished within the last `span`.
    #[must_use]
    pub fn latest(&self, span: Duration) -> BySide<Tally> {
        let until = self.clock.now() + Duration::from_millis(1);
        self.lock().tally(Window::new(until - span, until))
    }

    fn lock(&self) -> MutexGuard<'_, Log> {
        // No code under the lock leaves a half-made change behind.
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log {
    fn push(&mut self, finished: Finished) {
        let keep_after = finished.at - KEEP;
        self.finished.push_back(finished);
        let old = self.finished.partition_point(|one| one.at <= keep_after);
        if let Some(last) = self.finished.drain(..old).next_back() {
            self.forgotten = last.at;
        }
    }

    /// Returns the part of a window that can be counted to the end: it begins where the log does and
    /// ends now, if not earlier.
    fn covered(&self, after: Timestamp, until: Timestamp, now: Timestamp) -> Window {
        Window::new(after.max(self.forgotten), until.min(now))
    }

    fn tally(&self, window: Window) -> BySide<Tally> {
        let mut buckets = BySide::from_fn(|_| vec![0_u64; BOUNDS.len() + 1]);
        let mut bad = BySide::<u64>::default();
        for finished in self.within(window) {
            let (buckets, bad) = match finished.side {
                Side::Stable => (&mut buckets.stable, &mut bad.stable),
                Side::Canary => (&mut buckets.canary, &mut bad.canary),
            };
            buckets[finished.bucket] += 1;
            *bad += u64::from(finished.bad);
        }
        BySide {
            stable: Tally::new(buckets.stable, bad.stable),
            canary: Tally::new(buckets.canary, bad.canary),
        }
    }

    fn within(&self, window: Window) -> impl Iterator<Item = &Finished> {
        let from = self.finished.partition_point(|one| one.at <= window.after);
        let to = self.finished.partition_point(|one| one.at <= window.until);
        self.finished.range(from..to.max(from))
    }
}

impl Tally {
    fn new(buckets: Vec<u64>, bad: u64) -> Self {
        let latency = Buckets::new(BOUNDS.to_vec(), buckets).expect("the bounds rise");
        let counts = Counts::new(latency.total(), bad).expect("a bad request is a request");
        Self { counts, latency }
    }

    fn reading(&self, signal: &Signal) -> Option<Reading> {
        match signal {
            Signal::Requests => Some(Reading::Counts(self.counts)),
            Signal::Latency => Some(Reading::Buckets(self.latency.clone())),
            _ => None,
        }
    }
}

#[async_trait]
impl MetricSource for Counters {
    async fn measure(
        &self,
        _call: &Call,
        queries: &[Query],
        until: Timestamp,
    ) -> Vec<Result<Measured, PortError>> {
        let log = self.lock();
        let now = self.clock.now();
        let answer = |query: &Query| {
            let window = log.covered(query.after, until, now);
            if window.is_empty() {
                return Ok(Measured::pending(query.after));
            }
            let tally = log.tally(window);
            let reading = |side| {
                tally.get(side).reading(&query.signal).ok_or_else(|| {
                    let message = format!("the proxy counts no `{}`", query.signal);
                    PortError::new(FailureKind::Unsupported, message)
                })
            };
            Ok(Measured::new(window, reading(Side::Stable)?, reading(Side::Canary)?))
        };
        queries.iter().map(answer).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn log() -> Log {
        Log { finished: VecDeque::new(), forgotten: at(0) }
    }

    fn finish(log: &mut Log, now: u64, side: Side) {
        log.push(Finished { at: at(now + 1), side, bad: now.is_multiple_of(3), bucket: 4 });
    }

    #[derive(Clone, Debug)]
    enum Step {
        Pass(u64),
        Finish(Side),
        Measure,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let side = prop_oneof![Just(Side::Stable), Just(Side::Canary)];
        let step = prop_oneof![
            1 => (1_u64..4).prop_map(Step::Pass),
            3 => side.prop_map(Step::Finish),
            2 => Just(Step::Measure),
        ];
        prop::collection::vec(step, 0..200)
    }

    proptest! {
        /// However requests and questions fall within the same milliseconds, each request is in exactly one window.
        #[test]
        fn windows_add_up(steps in steps()) {
            let (mut log, mut now, mut cursor) = (log(), 1, at(0));
            let (mut had, mut counted) = (BySide::default(), BySide::default());
            let add = |sums: &mut BySide<u64>, side, n| match side {
                Side::Stable => sums.stable += n,
                Side::Canary => sums.canary += n,
            };
            for step in steps.into_iter().chain([Step::Pass(1), Step::Measure]) {
                match step {
                    Step::Pass(millis) => now += millis,
                    Step::Finish(side) => {
                        finish(&mut log, now, side);
                        add(&mut had, side, 1);
                    }
                    Step::Measure => {
                        let window = log.covered(cursor, at(now), at(now));
                        let tally = log.tally(window);
                        for side in Side::BOTH {
                            add(&mut counted, side, tally.get(side).counts.total);
                        }
                        cursor = window.until;
                    }
                }
            }
            prop_assert_eq!(had, counted);
        }
    }

    #[test]
    fn a_window_begins_where_the_memory_does() {
        let mut log = log();
        let keep = 600_000;
        finish(&mut log, 5, Side::Stable);
        finish(&mut log, 7, Side::Stable);
        finish(&mut log, 6 + keep, Side::Canary);
        let window = log.covered(at(0), at(9 + keep), at(7 + keep));
        assert_eq!(window, Window::new(at(6), at(7 + keep)));
        let tally = log.tally(window);
        assert_eq!(tally.stable.counts, Counts::new(1, 0).unwrap());
        assert_eq!(tally.canary.counts.total, 1);
    }

    #[tokio::test]
    async fn a_signal_that_nobody_counts_is_unsupported() {
        let counters = Counters::new(Clock::system());
        let now = counters.clock.now();
        let call = Call::new(
            "test".parse().unwrap(),
            canary_core::value::Epoch::new(1),
            canary_core::value::EffectId::new(1),
            1,
            now,
            now,
        );
        counters.lock().forgotten = Timestamp::EPOCH;
        let queries = [
            Query::new(Signal::Custom("pool".into()), Timestamp::EPOCH),
            Query::new(Signal::Requests, Timestamp::EPOCH),
            Query::new(Signal::Latency, now + Duration::from_secs(60)),
        ];
        let answers = counters.measure(&call, &queries, now).await;
        let kinds: Vec<_> = answers
            .into_iter()
            .map(|answer| match answer {
                Ok(measured) if measured.covered.is_empty() => "pending",
                Ok(measured) => measured.sides.canary.shape(),
                Err(error) => error.kind().as_str(),
            })
            .collect();
        assert_eq!(kinds, ["unsupported", "counts", "pending"]);
    }
}
