//! What stands for the looks that there may be has their moments, and the mean of two is that.

use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn two_shares_have_the_mean_and_the_variance_of_all(theta in 0.001_f64..0.999, errors in FEW..1e6) {
        let [low, high] = spread(theta, errors);
        prop_assert!(0.0 <= low && low < theta && theta < high && high <= 1.0, "{low} {high}");
        let variance = theta * (1.0 - theta) / errors;
        let seen = (theta - low) * (high - theta);
        prop_assert!((seen - variance).abs() <= 1e-9 * variance, "{seen} is not {variance}");
    }

    /// In the time in which it comes to the odds, so do the mean odds of both.
    #[test]
    fn two_processes_come_to_their_mean(tick in -1.0_f64..3.0, cluster in 0.01_f64..3.0, odds in 3.0_f64..12.0) {
        let time = 1.0 / of_the_mean(tick, cluster, odds);
        let mean = libm::log(0.5 * (libm::exp(time * tick) + libm::exp(time * cluster)));
        prop_assert!((mean - odds).abs() < 0.05, "{mean} is not {odds}");
    }
}
