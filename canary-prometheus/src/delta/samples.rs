//! The samples of one series, or of several that are scraped and reset together.

use std::time::Duration;

use canary_core::value::Timestamp;

/// Holds what some counters stood at when they were scraped, in rising order of time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Samples {
    times: Vec<Timestamp>,
    /// `width` of them for each time.
    values: Vec<u64>,
    width: usize,
}

impl Samples {
    /// Begins with no sample of so many counters.
    pub(crate) fn of(width: usize) -> Self {
        Self { times: Vec::new(), values: Vec::new(), width }
    }

    /// Adds a sample, which must be newer than the others and have as many values.
    pub(crate) fn push(&mut self, at: Timestamp, values: &[u64]) {
        debug_assert!(values.len() == self.width && self.newest().is_none_or(|newest| newest < at));
        self.times.push(at);
        self.values.extend_from_slice(values);
    }

    /// Lets all counters stand at zero at an instant before the first sample.
    pub(super) fn begin_at_zero(&mut self, at: Timestamp) {
        debug_assert!(self.oldest().is_none_or(|oldest| at < oldest));
        self.times.insert(0, at);
        self.values.splice(0..0, std::iter::repeat_n(0, self.width));
    }

    pub(super) const fn width(&self) -> usize {
        self.width
    }

    pub(crate) fn times(&self) -> &[Timestamp] {
        &self.times
    }

    pub(super) fn values(&self, sample: usize) -> &[u64] {
        &self.values[sample * self.width..(sample + 1) * self.width]
    }

    pub(crate) fn oldest(&self) -> Option<Timestamp> {
        self.times.first().copied()
    }

    pub(super) fn newest(&self) -> Option<Timestamp> {
        self.times.last().copied()
    }

    /// Returns the median distance between samples, the longer one of two.
    pub(super) fn usual_interval(&self) -> Option<Duration> {
        let mut gaps: Vec<_> = self.times.windows(2).map(|pair| pair[1].since(pair[0])).collect();
        gaps.sort_unstable();
        gaps.get(gaps.len() / 2).copied()
    }
}
