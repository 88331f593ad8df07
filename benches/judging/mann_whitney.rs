//! The Mann-Whitney test, as the tools that use it compute it.

/// The normal distribution's 99th percentile: an interval of 98 %.
const Q: f64 = 2.326_347_874_040_840_8;

/// Says by how much one sample lies above another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Shift {
    /// The lower end of the 98 % interval.
    pub(super) lower: f64,
    /// The Hodges-Lehmann estimate.
    pub(super) estimate: f64,
}

/// Estimates by how much `x` lies above `y`, with the normal approximation and its continuity correction.
///
/// `None` where a side has no points.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "there are at most thirty points on a side"
)]
pub(super) fn shift(x: &[f64], y: &[f64]) -> Option<Shift> {
    let (m, n) = (x.len() as f64, y.len() as f64);
    let pairs = m * n;
    let ties = ties(x) + ties(y);
    let variance = pairs / 12.0 * ((m + n + 1.0) - ties / ((m + n) * (m + n - 1.0)));
    let mut steps: Vec<f64> = x.iter().flat_map(|x| y.iter().map(move |y| x - y)).collect();
    steps.sort_by(f64::total_cmp);
    if steps.is_empty() {
        return None;
    }
    // Between the i-th step and the next the statistic is `pairs / 2 - i`: it first falls to `Q` standard
    // deviations, less half for continuity, at this step.
    let above = (pairs / 2.0 - 0.5 - Q * variance.sqrt()).ceil().max(1.0);
    let middle = (steps[(steps.len() - 1) / 2] + steps[steps.len() / 2]) / 2.0;
    Some(Shift { lower: steps[above as usize - 1], estimate: middle })
}

/// Returns `Σ t³ - t` over the groups of `t` equal points.
#[expect(clippy::cast_precision_loss, reason = "there are at most thirty points")]
fn ties(points: &[f64]) -> f64 {
    let mut sorted = points.to_vec();
    sorted.sort_by(f64::total_cmp);
    let sizes = sorted.chunk_by(|a, b| a == b).map(|group| group.len() as f64);
    sizes.map(|t| t * t * t - t).sum()
}

/// Returns the exact probability that chance alone puts `x` as far above `y` as it is, ties included: the share
/// of all ways to deal the points out. At most ten points in all; 1 where a side has none or all are equal.
pub(super) fn chance_of_higher(x: &[f64], y: &[f64]) -> f64 {
    let all: Vec<f64> = x.iter().chain(y).copied().collect();
    if x.is_empty() || y.is_empty() || all.iter().all(|point| *point == all[0]) {
        return 1.0;
    }
    // Twice the rank of each point, so that ties have whole numbers too.
    let rank =
        |a: &f64| -> u32 { all.iter().map(|b| if b < a { 2 } else { u32::from(b == a) }).sum() };
    let ranks: Vec<u32> = all.iter().map(rank).collect();
    let seen: u32 = ranks[..x.len()].iter().sum();
    let (mut ways, mut as_high) = (0_u32, 0_u32);
    for dealt in 0_u32..1 << all.len() {
        if dealt.count_ones() as usize == x.len() {
            let sum: u32 = (0..all.len()).filter(|i| dealt >> i & 1 == 1).map(|i| ranks[i]).sum();
            ways += 1;
            as_high += u32::from(sum >= seen);
        }
    }
    f64::from(as_high) / f64::from(ways)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exact_chance_counts_the_ways_to_deal_the_points_out() {
        let low = [1.0, 2.0, 3.0, 4.0, 5.0];
        let high = low.map(|x| x + 10.0);
        assert_eq!(chance_of_higher(&high, &low), 1.0 / 252.0);
        assert_eq!(chance_of_higher(&low, &high), 1.0);
        assert_eq!(chance_of_higher(&[0.0; 5], &[0.0; 5]), 1.0);
        assert_eq!(chance_of_higher(&[], &low), 1.0);
        // Of four points with one pair of ties, two of the six ways give a sum as high.
        assert_eq!(chance_of_higher(&[2.0, 3.0], &[1.0, 2.0]), 2.0 / 6.0);
    }

    #[test]
    fn the_interval_is_that_of_the_reference() {
        // The interval of seven points of 100 and three of 1 against ten of 1 goes from 0 to 99.
        let x = [100.0, 100.0, 100.0, 100.0, 100.0, 100.0, 100.0, 1.0, 1.0, 1.0];
        let y = [1.0; 10];
        assert_eq!(shift(&x, &y), Some(Shift { lower: 0.0, estimate: 99.0 }));
        let high = [100.0; 10];
        assert_eq!(shift(&high, &[1.0, 2.0, 1.0]).map(|shift| shift.lower), Some(98.0));
        assert_eq!(shift(&y, &y), Some(Shift { lower: 0.0, estimate: 0.0 }));
        assert_eq!(shift(&[], &y), None);
    }
}
