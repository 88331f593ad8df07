//! Sums of readings over a stretch of covered time.

use serde::{Deserialize, Serialize};

use crate::policy::Metric;
use crate::value::{BySide, Measured, Reading, Side, millis};

/// Sums both sides' readings: counts and buckets are added, values averaged by covered time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Tally {
    sides: BySide<Reading>,
    /// The covered time behind each side's, in milliseconds.
    ms: BySide<u64>,
}

impl Default for Tally {
    fn default() -> Self {
        Self { sides: BySide::from_fn(|_| Reading::NoData), ms: BySide::default() }
    }
}

impl Tally {
    /// Adds the readings of one window; one without anything of the canary covers nothing and is passed over.
    ///
    /// Where the source answers in another shape than before, the sum begins anew.
    pub(super) fn add(&mut self, sides: &BySide<Reading>, ms: u64) {
        if sides.canary.is_missing() {
            return;
        }
        add(&mut self.sides.stable, &mut self.ms.stable, &sides.stable, ms);
        add(&mut self.sides.canary, &mut self.ms.canary, &sides.canary, ms);
    }

    /// Takes the readings of one window for what was there before.
    pub(super) fn set(&mut self, sides: &BySide<Reading>, ms: u64) {
        copy(&mut self.sides.stable, &sides.stable);
        copy(&mut self.sides.canary, &sides.canary);
        let stable = if sides.stable.is_missing() { 0 } else { ms };
        self.ms = BySide { stable, canary: ms };
    }

    /// Adds another sum.
    pub(super) fn join(&mut self, other: &Self) {
        add(&mut self.sides.stable, &mut self.ms.stable, &other.sides.stable, other.ms.stable);
        add(&mut self.sides.canary, &mut self.ms.canary, &other.sides.canary, other.ms.canary);
    }

    /// Takes away what was added before. False where that cannot be taken out of a sum: an average.
    #[must_use]
    pub(super) fn take(&mut self, other: &Self) -> bool {
        self.ms.stable = self.ms.stable.saturating_sub(other.ms.stable);
        self.ms.canary = self.ms.canary.saturating_sub(other.ms.canary);
        take(&mut self.sides.stable, &other.sides.stable)
            && take(&mut self.sides.canary, &other.sides.canary)
    }

    /// Tells whether these readings can be added to it without beginning anew.
    pub(super) fn takes(&self, sides: &BySide<Reading>) -> bool {
        same_shape(&self.sides.stable, &sides.stable)
            && same_shape(&self.sides.canary, &sides.canary)
    }

    /// Returns the covered time of the canary, in milliseconds.
    pub(super) const fn covered_ms(&self) -> u64 {
        self.ms.canary
    }

    pub(super) const fn view(&self) -> View<'_> {
        View { sides: &self.sides, ms: self.ms }
    }
}

/// Shows both sides' readings with the covered time behind them.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) sides: &'a BySide<Reading>,
    ms: BySide<u64>,
}

impl<'a> View<'a> {
    /// Shows what one look measured.
    pub(super) fn of(measured: &'a Measured) -> Self {
        let ms = millis(measured.covered.length());
        Self { sides: &measured.sides, ms: BySide { stable: ms, canary: ms } }
    }

    /// Reads a metric off one side.
    #[expect(clippy::cast_precision_loss, reason = "a rate needs no 53 bits")]
    pub(super) fn read(&self, metric: &Metric, side: Side) -> Option<f64> {
        metric.read(self.sides, side, *self.ms.get(side) as f64 / 1000.0)
    }

    /// Returns how many requests of a side there are; `None` where the reading has none to count.
    pub(super) fn requests(&self, side: Side) -> Option<u64> {
        match self.sides.get(side) {
            Reading::Counts(counts) => Some(counts.total),
            Reading::Buckets(buckets) => Some(buckets.total()),
            _ => None,
        }
    }

    /// Returns the covered time of the canary, in milliseconds.
    pub(super) const fn covered_ms(&self) -> u64 {
        self.ms.canary
    }
}

fn same_shape(sum: &Reading, more: &Reading) -> bool {
    match (sum, more) {
        (Reading::Buckets(sum), Reading::Buckets(more)) => sum.has_bounds_of(more),
        (sum, more) => sum.is_missing() || more.is_missing() || sum.shape() == more.shape(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a mean needs no 53 bits")]
fn add(sum: &mut Reading, sum_ms: &mut u64, more: &Reading, ms: u64) {
    if more.is_missing() {
        return;
    }
    let before = *sum_ms;
    *sum_ms = before.saturating_add(ms);
    let added = match (&mut *sum, more) {
        (Reading::Counts(sum), Reading::Counts(more)) => {
            sum.add(*more);
            true
        }
        (Reading::Buckets(sum), Reading::Buckets(more)) => sum.add(more),
        (Reading::Value(mean), Reading::Value(more)) if *sum_ms > 0 => {
            // In this form equal values have just that value as their mean.
            *mean += (more - *mean) * (ms as f64 / *sum_ms as f64);
            mean.is_finite()
        }
        _ => false,
    };
    if !added {
        copy(sum, more);
        *sum_ms = ms;
    }
}

/// Takes what was added out of a sum again.
fn take(sum: &mut Reading, less: &Reading) -> bool {
    match (sum, less) {
        (Reading::Counts(sum), Reading::Counts(less)) => sum.take(*less),
        (Reading::Buckets(sum), Reading::Buckets(less)) => sum.take(less),
        (_, less) => return less.is_missing(),
    }
    true
}

/// Copies a reading, into the memory of the old one where it fits.
fn copy(to: &mut Reading, from: &Reading) {
    match (to, from) {
        (Reading::Buckets(to), Reading::Buckets(from)) => to.copy_from(from),
        (to, from) => *to = from.clone(),
    }
}
