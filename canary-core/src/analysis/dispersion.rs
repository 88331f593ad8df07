//! How much more errors scatter among the pods of one side than independent ones would.

use serde::{Deserialize, Serialize};

use crate::value::Counts;

/// Estimates the over-dispersion of one side's errors from its pods' counts; small and `Copy`.
///
/// Errors that come in clusters count for more than they are. The factor tells by how much: 1 for independent
/// ones. Where it shall divide the evidence, it is that of stable's pods: a canary with one bad pod scatters, too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Dispersion {
    /// The mean squares of each tick, times its errors.
    scatter: f64,
    /// The errors of all those ticks.
    errors: f64,
}

impl Dispersion {
    /// Adds one tick's requests, by pod: Pearson's χ² of the errors over its degrees of freedom, weighted by the
    /// number of errors. A tick with fewer than two errors, or two pods that served anything, says nothing.
    #[expect(clippy::cast_precision_loss, reason = "an estimate needs no 53 bits")]
    pub fn add(&mut self, pods: impl IntoIterator<Item = Counts> + Clone) {
        let (mut all, mut serving) = (Counts::default(), 0_u32);
        for pod in pods.clone() {
            all.add(pod);
            serving += u32::from(pod.total > 0);
        }
        if serving < 2 || all.bad < 2 {
            return;
        }
        let (errors, requests) = (all.bad as f64, all.total as f64);
        let off = |pod: Counts| {
            let expected = errors * (pod.total as f64 / requests);
            let off = pod.bad as f64 - expected;
            off * off / expected
        };
        let chi_squared: f64 = pods.into_iter().filter(|pod| pod.total > 0).map(off).sum();
        self.scatter += errors * chi_squared / f64::from(serving - 1);
        self.errors += errors;
    }

    /// Returns how many independent errors one cluster counts for, 1 or more.
    ///
    /// A tick's evidence may be divided by the factor of the ticks before it, not by one that it has changed
    /// itself.
    #[must_use]
    pub fn factor(&self) -> f64 {
        if self.errors > 0.0 { (self.scatter / self.errors).max(1.0) } else { 1.0 }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::analysis::fixtures::{close, counts};

    fn factor(ticks: &[&[Counts]]) -> f64 {
        let mut dispersion = Dispersion::default();
        ticks.iter().for_each(|pods| dispersion.add(pods.iter().copied()));
        dispersion.factor()
    }

    #[test]
    fn it_is_the_weighted_mean_of_the_ticks() {
        // χ² = 10 and 4 of one degree of freedom, with 10 and 4 errors: (100 + 16)/14.
        let (one, other) = ([counts(100, 10), counts(100, 0)], [counts(100, 4), counts(100, 0)]);
        close(factor(&[&one]), 10.0);
        close(factor(&[&one, &other]), 116.0 / 14.0);
        // A third of the requests each, 6, 3 and 0 of nine errors: χ² = (9 + 0 + 9)/3, two degrees.
        close(factor(&[&[counts(90, 6), counts(90, 3), counts(90, 0)]]), 3.0);
        // Two errors are enough: one is expected of each, χ² = 1 + 1.
        close(factor(&[&[counts(100, 2), counts(100, 0)]]), 2.0);
    }

    #[test]
    fn what_says_nothing_counts_for_nothing() {
        close(factor(&[]), 1.0);
        close(factor(&[&[counts(100, 50)]]), 1.0);
        close(factor(&[&[counts(100, 50), counts(0, 0)]]), 1.0);
        close(factor(&[&[counts(1, 1), counts(999, 0)]]), 1.0);
        let even = [counts(100, 5), counts(100, 5)];
        close(factor(&[&even, &even]), 1.0);
    }

    proptest! {
        #[test]
        fn it_is_at_least_one_and_the_order_of_pods_is_nothing_to_it(
            pods in prop::collection::vec((0_u64..1 << 53, 0_u64..1 << 53), 0..20), by in 0_usize..20,
        ) {
            let mut pods: Vec<_> = pods.into_iter().map(|(n, k)| counts(n.max(k), k.min(n))).collect();
            let before = factor(&[&pods]);
            prop_assert!(before >= 1.0 && before.is_finite(), "{before}");
            let by = by % pods.len().max(1);
            pods.rotate_left(by);
            prop_assert!((factor(&[&pods]) - before).abs() <= 1e-9 * before);
        }
    }
}
