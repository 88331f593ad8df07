//! Vectors computed with 50 digits (mpmath) at the doubles as they are written here.

#![allow(clippy::excessive_precision, reason = "the reference values as they were computed")]

use proptest::prelude::*;

use super::*;
use crate::analysis::fixtures::relative;

#[test]
fn the_logarithm_without_its_first_term() {
    for (y, expected) in [
        (1e-12, -4.999_999_999_996_666_47e-25),
        (-1e-12, -5.000_000_000_003_333_13e-25),
        (1e-3, -4.996_669_164_668_332_11e-7),
        (0.39, -0.060_696_252_857_399_614_6),
        (-0.39, -0.104_296_321_814_780_128),
        (0.41, -0.066_410_295_609_923_082_7),
        (-0.41, -0.117_632_742_082_371_9),
        (-0.999_999, -12.815_511_557_935_518_5),
        (1e10, -9_999_999_976.974_149_07),
    ] {
        relative(log1p_minus(y), expected, 1e-14);
    }
}

#[test]
fn the_cumulant_function_of_one_trial() {
    for (p, s, expected) in [
        (0.01, 1e-9, 4.950_000_001_617_000_72e-21),
        (0.01, -1e-3, 4.948_383_387_926_265_12e-9),
        (0.3, 0.5, 0.027_825_113_937_635_635_1),
        (0.3, -0.5, 0.024_390_515_085_868_470_7),
        (0.3, 0.51, 0.028_977_629_727_625_760_4),
        (0.9, -0.2, 0.001_898_738_542_800_812_59),
        (1e-9, 3.0, 1.608_553_674_105_881_12e-8),
        (1e-9, 25.0, 4.290_526_528_093_400_98),
        (1e-9, 60.0, 39.276_734_103_053_588_9),
        (0.999, -700.0, 692.392_244_721_017_863),
        (0.5, 800.0, 399.306_852_819_440_055),
        (0.5, 1e4, 4_999.306_852_819_440_05),
    ] {
        relative(cumulant(p, 1.0 - p, s), expected, 1e-14);
    }
}

#[test]
fn what_stirling_leaves_out() {
    for (x, expected) in [
        (1e-300, 344.468_825_415_902_18),
        (1e-3, 2.542_270_467_967_094_54),
        (0.5, 0.153_426_409_720_027_345),
        (1.0, 0.081_061_466_795_327_258_2),
        (3.7, 0.022_468_770_580_143_145_9),
        (14.9, 0.005_592_002_512_250_830_18),
        (15.1, 0.005_517_958_003_163_080_15),
        (1e3, 8.333_333_055_555_634_92e-5),
        (1e15, 8.333_333_333_333_333_34e-17),
    ] {
        let seen = stirling(x);
        assert!(
            (seen - expected).abs() <= 1e-14 * (1.0 + expected),
            "{seen} is not {expected}: {x}"
        );
    }
}

#[test]
fn integrals_are_exact() {
    let normal = integrate(-9.0, 9.0, |s| libm::exp(-0.5 * s * s));
    relative(normal, libm::sqrt(2.0 * PI), 1e-15);
    relative(integrate(0.0, 40.0, |s| libm::exp(-s)), 1.0, 1e-15);
    // e^{−eˢ} over the whole line, substituted to end at 0: the exponential integral E₁(1).
    let cut = integrate(0.0, 4.0, |s| libm::exp(-libm::exp(s)));
    relative(cut, 0.219_383_934_395_520_274, 1e-14);
}

proptest! {
    #[test]
    fn the_cumulant_function_is_the_same_from_both_sides(p in 1e-9_f64..1.0, s in -50.0_f64..50.0) {
        let (here, there) = (cumulant(p, 1.0 - p, s), cumulant(1.0 - p, p, -s));
        prop_assert!(here >= 0.0 && (here - there).abs() <= 1e-13 * here, "{here} {there}");
    }

    #[test]
    fn the_slope_is_that_of_the_cumulant_function(p in 0.001_f64..0.999, s in -5.0_f64..5.0) {
        let (h, q) = (1e-5, 1.0 - p);
        let seen = (cumulant(p, q, s + h) - cumulant(p, q, s - h)) / (2.0 * h);
        prop_assert!((seen - cumulant_slope(p, q, s)).abs() < 1e-9);
    }
}
