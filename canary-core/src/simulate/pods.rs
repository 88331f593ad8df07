//! Which of a side's requests each of its pods served.

use std::sync::Arc;

use super::World;
use super::draw::{Chance, Draw};
use super::measure::PODS;
use crate::value::{BySide, Counts, Measured, PodCounts, Side, Window};

impl World {
    /// Adds the pods of both sides, where they are told apart and drawn; what the sides' requests are stays as it was
    /// drawn.
    pub(super) fn with_pods(&self, measured: Measured, counts: &BySide<Counts>) -> Measured {
        let is_told = |side: &Side| {
            let silent = self.services.get(*side).is_silent();
            let scripted =
                ["requests", "error_rate"].map(|name| self.script(*side, name).is_some());
            !self.pods.get(*side).is_empty() && !silent && !scripted.contains(&true)
        };
        if Side::BOTH.iter().all(|side| !is_told(side)) {
            return measured;
        }
        let mut draw = self.stream(measured.covered, PODS);
        Side::BOTH.into_iter().filter(is_told).fold(measured, |measured, side| {
            let names = self.pods.get(side);
            let rates = self.pods_rates(side, measured.covered);
            let served = split(&mut draw, *counts.get(side), names.len(), rates);
            let pods = names
                .iter()
                .zip(served)
                .map(|(name, counts)| PodCounts::new(Arc::clone(name), counts));
            measured.with_pods(side, pods.collect())
        })
    }

    /// Returns how often the first pod of a side fails in a window, and how often each other one.
    fn pods_rates(&self, side: Side, window: Window) -> [f64; 2] {
        let (after, until) = self.between(window);
        let (mut bad, mut total) = ([0.0; 2], 0.0);
        self.visit(side, after, until, |from, since, requests| {
            let usual = || self.services.get(side).pods_error_rates_at(from, since);
            let rates = self.outage_at(from).map_or_else(usual, |rate| [rate; 2]);
            total += requests;
            bad[0] += requests * rates[0];
            bad[1] += requests * rates[1];
        });
        bad.map(|bad| bad / f64::max(total, f64::MIN_POSITIVE))
    }
}

/// Splits requests evenly over so many pods, and the bad ones by how often each pod fails.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
fn split(draw: &mut Draw, all: Counts, pods: usize, [first, other]: [f64; 2]) -> Vec<Counts> {
    let mut left = all;
    let mut next = |i: usize| {
        let total = draw.binomial(left.total, &Chance::of(1.0 / (pods - i) as f64));
        let rest = left.total - total;
        let (own, others) = (if i == 0 { first } else { other }, other);
        let (own, others) = (total as f64 * own, rest as f64 * others);
        // Where nothing fails there is nothing to split.
        let drawn = draw.binomial(left.bad, &Chance::of(own / (own + others)));
        // Neither the pod nor those after it can have more bad requests than requests.
        let bad = drawn.clamp(left.bad.saturating_sub(rest), total.min(left.bad));
        left = Counts { total: rest, bad: left.bad - bad };
        Counts { total, bad }
    };
    (0..pods).map(&mut next).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_pods_add_up_to_the_side(
            key: u64, total in 0_u64..10_000, bad in 0.0_f64..=1.0, pods in 1_usize..20, first in 0.0_f64..=1.0,
            other in 0.0_f64..=1.0,
        ) {
            let all = Counts { total, bad: (total as f64 * bad) as u64 };
            let served = split(&mut Draw::keyed([key; 4]), all, pods, [first, other]);
            prop_assert_eq!(served.len(), pods);
            prop_assert!(served.iter().all(|pod| pod.bad <= pod.total), "{:?}", served);
            let mut sum = Counts::default();
            served.iter().for_each(|pod| sum.add(*pod));
            prop_assert_eq!(sum, all);
        }
    }
}
