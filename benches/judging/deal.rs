//! The exact rank test of a few points.

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
}
