//! Vectors computed with 50 digits (mpmath) at the doubles as they are written here, and the bound itself.

#![allow(clippy::excessive_precision, reason = "the reference values as they were computed")]

use proptest::prelude::*;

use super::*;
use crate::analysis::fixtures::{counts, mean_gain, relative};

fn at(requests: f64) -> SharpestAt {
    SharpestAt::new(requests, 0.05).unwrap()
}

fn exceeds(rate: f64, requests: f64, (bad, total): (u64, u64)) -> f64 {
    Objective::exceeds(rate, at(requests)).unwrap().ln_evidence(counts(total, bad))
}

fn below(rate: f64, requests: f64, (bad, total): (u64, u64)) -> f64 {
    Objective::stays_below(rate, at(requests)).unwrap().ln_evidence(counts(total, bad))
}

const MOST: u64 = 1 << 53;

#[test]
fn evidence_against_an_objective_gives_the_reference_values() {
    for (rate, requests, seen, expected) in [
        (0.01, 1000.0, (35, 2000), 3.663_893_531_538_378_5),
        (0.01, 1000.0, (20, 1000), 3.047_460_950_461_830_5),
        (0.01, 1000.0, (5, 100), 2.352_950_626_566_810_9),
        (0.01, 1000.0, (0, 1000), -2.224_326_784_565_520_3),
        (0.01, 1000.0, (10, 100), 8.469_709_608_488_108_1),
        (0.01, 1000.0, (0, 1_000_000), -9.033_814_277_287_328),
        (0.01, 1000.0, (9000, 1_000_000), -6.740_806_755_803_507_1),
        (1e-6, 1000.0, (3, 1_000_000), -0.493_902_387_556_872_135),
        (1e-6, 1e6, (0, 1_000_000_000), -7.587_840_906_683_868_6),
        (1e-6, 1e7, (1100, 1_000_000_000), 2.437_755_923_219_596_31),
        (0.5, 100.0, (60, 100), 1.390_121_221_350_307_49),
        (0.001, 10.0, (50, 50), 341.482_785_214_422_713),
        // With so little a prior is hardly one.
        (0.001, 1.0, (2, 500), -5.119_204_974_679_276_69),
        // The rarer the errors, the later the depth is a straight line.
        (1e-9, 1.0, (0, 10), -4.043_788_904_761_750_07),
        (1e-9, 1.0, (1, 1000), 6.888_244_927_522_013_28),
        (0.01, 1000.0, (90_071_992_547_410, MOST), -15.658_373_596_843_330_6),
        (0.01, 1000.0, (0, MOST), -31.955_005_288_258_954_1),
        (0.01, 1000.0, (MOST / 2, MOST), 14_541_790_654_232_987.6),
        (0.01, 1000.0, (MOST, MOST), 41_479_685_467_182_298.0),
    ] {
        relative(exceeds(rate, requests, seen), expected, 2e-13);
    }
}

#[test]
fn evidence_for_an_objective_gives_the_reference_values() {
    for (rate, requests, seen, expected) in [
        (0.01, 1000.0, (0, 1000), 7.406_682_514_234_260_6),
        (0.01, 1000.0, (30, 1000), -3.268_864_226_657_766_3),
        (1e-4, 1000.0, (0, 100_000), 9.955_702_145_368_138_85),
        (1e-4, 1000.0, (20, 100_000), -6.549_553_963_809_296_03),
        (0.01, 1000.0, (90_071_992_547_410, MOST), -16.082_386_921_668_876_8),
        (0.01, 1000.0, (10_000_000_000_000, MOST), 58_450_185_673_928.862_1),
        (0.9, 100.0, (80, 100), 3.514_436_071_258_726_76),
    ] {
        relative(below(rate, requests, seen), expected, 2e-13);
    }
}

#[test]
fn the_bounds_of_a_rate_are_the_reference_values() {
    for ((bad, total), alpha, requests, lower, upper) in [
        ((1, 1000), 0.05, 1000.0, 0.0, 0.007_139_853_490_034_458_43),
        ((3, 100), 0.05, 100.0, 0.000_980_072_877_813_417_368, 0.108_328_734_135_415_002),
        ((12, 2000), 0.01, 1000.0, 0.001_566_134_081_621_346_21, 0.014_210_664_546_260_639),
        ((50, 10_000_000_000), 0.01, 1e6, 2.137_690_010_947_728_72e-9, 9.389_826_824_986_835_11e-9),
        (
            (9_000_000_000_000, MOST),
            0.01,
            1e5,
            0.000_999_198_710_415_833_58,
            0.000_999_202_733_912_033_47,
        ),
        ((0, 40), 0.05, 100.0, 0.0, 0.122_985_503_683_398_17),
        ((40, 40), 0.05, 100.0, 0.877_014_496_316_601_83, 1.0),
    ] {
        let seen = rate_bounds(counts(total, bad), alpha, at(requests));
        relative(seen.0, lower, 1e-11);
        relative(seen.1, upper, 1e-11);
    }
    let (lower, upper) = rate_bounds(counts(10_000_000_000, 9_999_999_997), 0.05, at(1000.0));
    relative(1.0 - lower, 1.0 - 0.999_999_997_290_091_716, 1e-6);
    relative(1.0 - upper, 1.0 - 0.999_999_999_999_996_464, 0.1);
    assert_eq!(rate_bounds(counts(0, 0), 0.05, at(100.0)), (0.0, 1.0));
}

fn rates() -> impl Strategy<Value = f64> {
    (-6.0_f64..-0.3).prop_map(|power| 10.0_f64.powf(power))
}

proptest! {
    #[test]
    fn it_gains_nothing_on_average_while_the_null_holds(
        n in 1_u64..60, rate in rates(), requests in 1.0_f64..1e6, times in 0.0_f64..=1.0,
    ) {
        let (null, well) = (rate, rate * times);
        let above = mean_gain(|bad| exceeds(null, requests, (bad, n)), n, well);
        prop_assert!(above <= 1.0 + 1e-9, "{above}");
        let ill = null + (1.0 - null) * times * 0.99;
        let under = mean_gain(|bad| below(null, requests, (bad, n)), n, ill);
        prop_assert!(under <= 1.0 + 1e-9, "{under}");
    }

    #[test]
    fn at_the_null_itself_the_bet_is_fair(n in 1_u64..60, rate in rates(), requests in 1.0_f64..1e6) {
        let above = mean_gain(|bad| exceeds(rate, requests, (bad, n)), n, rate);
        let under = mean_gain(|bad| below(rate, requests, (bad, n)), n, rate);
        prop_assert!((above - 1.0).abs() < 1e-9 && (under - 1.0).abs() < 1e-9, "{above} {under}");
    }

    #[test]
    fn one_more_error_is_more_evidence_against_and_less_for(
        total in 1_u64..1_000_000, bad in 0_u64..1_000_000, rate in rates(), requests in 1.0_f64..1e6,
    ) {
        let bad = bad % total;
        let (few, more) = ((bad, total), (bad + 1, total));
        let slack = 1e-9;
        prop_assert!(exceeds(rate, requests, more) >= exceeds(rate, requests, few) - slack);
        prop_assert!(below(rate, requests, more) <= below(rate, requests, few) + slack);
    }

    #[test]
    fn evidence_is_always_a_number(
        a in 0_u64..=MOST, b in 0_u64..=MOST, rate in rates(), requests in 1e-3_f64..1e12, shift in 0_u32..53,
    ) {
        let (total, bad) = (a.max(b) >> shift, a.min(b) >> shift);
        let (above, under) = (exceeds(rate, requests, (bad, total)), below(rate, requests, (bad, total)));
        prop_assert!(above.is_finite() && under.is_finite(), "{above} {under}");
        let (lower, upper) = rate_bounds(counts(total, bad), 0.01, at(requests));
        let seen = bad as f64 / (total as f64).max(1.0);
        prop_assert!(lower <= seen && seen <= upper && lower >= 0.0 && upper <= 1.0, "{lower} {seen} {upper}");
    }
}
