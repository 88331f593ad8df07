//! Latency as a histogram.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Counts, InvalidReading};

/// Counts requests by how long they took, over one window.
///
/// The bucket at `i` counts requests that took more than `bounds[i - 1]` and at
/// most `bounds[i]` milliseconds; one more bucket holds those above all bounds.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Buckets {
    bounds: Arc<[f64]>,
    counts: Vec<u64>,
    /// All of the counts together.
    #[serde(skip)]
    total: u64,
}

impl Buckets {
    /// Takes bounds in milliseconds and one more count than there are bounds (not cumulative).
    ///
    /// A source that answers with the same bounds again and again shares them: `Arc<[f64]>`.
    ///
    /// # Errors
    /// [`InvalidReading`] if the bounds do not rise, the numbers do not fit, or the counts overflow.
    pub fn new(bounds: impl Into<Arc<[f64]>>, counts: Vec<u64>) -> Result<Self, InvalidReading> {
        let bounds = bounds.into();
        if counts.len() != bounds.len() + 1 {
            return Err(InvalidReading::WrongNumberOfCounts {
                bounds: bounds.len(),
                expected: bounds.len() + 1,
                counts: counts.len(),
            });
        }
        let mut previous = f64::NEG_INFINITY;
        for &bound in &*bounds {
            if !bound.is_finite() || bound <= previous {
                return Err(InvalidReading::UnorderedBounds(bound));
            }
            previous = bound;
        }
        let total = counts
            .iter()
            .try_fold(0_u64, |sum, &n| sum.checked_add(n))
            .ok_or(InvalidReading::TooMany)?;
        Ok(Self { bounds, counts, total })
    }

    /// Returns the upper bounds in milliseconds, rising.
    #[must_use]
    pub fn bounds(&self) -> &[f64] {
        &self.bounds
    }

    /// Returns the counts, one more than there are bounds.
    #[must_use]
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// Returns how many requests were counted.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// Returns how many requests took longer than the bound at this position.
    pub(crate) fn beyond(&self, bound: usize) -> u64 {
        self.counts.iter().skip(bound + 1).fold(0, |sum, n| sum.saturating_add(*n))
    }

    /// Counts the requests that took longer than the bound at this position as the bad ones.
    pub(crate) fn slower_than(&self, bound: usize) -> Counts {
        Counts { total: self.total, bad: self.beyond(bound).min(self.total) }
    }

    /// Tells whether these have the same bounds.
    pub(crate) fn has_bounds_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.bounds, &other.bounds) || self.bounds == other.bounds
    }

    /// Estimates a quantile in milliseconds, linear within its bucket.
    ///
    /// `q` is 0 to 1. `None` without requests. A quantile above all bounds is
    /// the highest bound: no more is known.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "an estimate within a bucket needs no 53 bits")]
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let total = self.total();
        if total == 0 || self.bounds.is_empty() {
            return None;
        }
        let rank = q.clamp(0.0, 1.0) * total as f64;
        let mut below = 0.0;
        let mut lower = 0.0;
        for (&bound, &count) in self.bounds.iter().zip(&self.counts) {
            let count = count as f64;
            if count > 0.0 && below + count >= rank {
                return Some(lower + (bound - lower) * ((rank - below) / count).clamp(0.0, 1.0));
            }
            below += count;
            lower = bound;
        }
        Some(lower)
    }

    /// Adds another window's counts. Returns false, and adds nothing, where the bounds differ.
    #[must_use]
    pub fn add(&mut self, other: &Self) -> bool {
        if self.counts.is_empty() {
            self.clone_from(other);
            return true;
        }
        if !self.has_bounds_of(other) {
            return false;
        }
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine = mine.saturating_add(*theirs);
        }
        self.total = self.total.saturating_add(other.total);
        true
    }

    /// Takes away counts that were added before.
    pub(crate) fn take(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine = mine.saturating_sub(*theirs);
        }
        self.total = self.total.saturating_sub(other.total);
    }

    /// Becomes a copy of another, in the memory that it has.
    pub(crate) fn copy_from(&mut self, other: &Self) {
        self.bounds = Arc::clone(&other.bounds);
        self.counts.clone_from(&other.counts);
        self.total = other.total;
    }
}

impl<'de> Deserialize<'de> for Buckets {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Raw {
            bounds: Vec<f64>,
            counts: Vec<u64>,
        }
        let raw = Raw::deserialize(deserializer)?;
        Self::new(raw.bounds, raw.counts).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_lies_in_its_bucket() {
        let buckets = Buckets::new(vec![10.0, 20.0, 40.0], vec![50, 40, 8, 2]).unwrap();
        assert_eq!(buckets.quantile(0.5), Some(10.0));
        assert_eq!(buckets.quantile(0.7), Some(15.0));
        assert_eq!(buckets.quantile(0.95), Some(32.5));
        assert_eq!(buckets.quantile(1.0), Some(40.0));
        assert_eq!(Buckets::default().quantile(0.5), None);
        let none_fast = Buckets::new(vec![10.0, 20.0], vec![0, 4, 0]).unwrap();
        assert_eq!(none_fast.quantile(0.0), Some(10.0));
    }

    #[test]
    fn buckets_of_other_bounds_are_not_added() {
        let mut sum = Buckets::default();
        assert!(sum.add(&Buckets::new(vec![1.0], vec![1, 2]).unwrap()));
        assert!(sum.add(&Buckets::new(vec![1.0], vec![10, 20]).unwrap()));
        assert!(!sum.add(&Buckets::new(vec![2.0], vec![1, 1]).unwrap()));
        assert_eq!(sum.counts(), [11, 22]);
    }
}
