//! Which limits are refused, and that those which are not give numbers.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::analysis::fixtures::{counts, tick};
use crate::analysis::{
    CombinedLimits, EvidenceLimits, EvidenceState, NonInferiorityLimits, NonInferiorityState,
    Objective, SharpestAt, Starts,
};

const NEVER: [f64; 6] =
    [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, f64::MAX, f64::MIN_POSITIVE / 2.0];

fn against(ratio: f64, false_alarm: f64) -> Result<EvidenceLimits, InvalidLimits> {
    EvidenceLimits::new(ratio, false_alarm, Starts::over(Duration::ZERO))
}

fn sharpest() -> SharpestAt {
    SharpestAt::new(1000.0, 0.01).unwrap()
}

/// A maker of limits from one number.
type Make = fn(f64) -> Result<(), InvalidLimits>;

/// Each number of each limit, with some that are refused and some that are not.
const NUMBERS: [(&str, Make, &[f64], &[f64]); 10] = [
    ("the ratio", |x| against(x, 0.01).map(drop), &[0.99, 100.1], &[1.0, 1.25, 100.0]),
    ("the false-alarm probability", |x| against(1.25, x).map(drop), &[0.0, 1.0], &[1e-300, 0.99]),
    (
        "the ratio",
        |x| NonInferiorityLimits::new(x, 0.05).map(drop),
        &[0.0, 0.009, 100.1],
        &[0.01, 1.0, 100.0],
    ),
    (
        "the false-pass probability",
        |x| NonInferiorityLimits::new(2.0, x).map(drop),
        &[0.0, 1.0],
        &[1e-300, 0.99],
    ),
    (
        "the false-alarm probability",
        |x| CombinedLimits::new(&[1.0, 2.0], x).map(drop),
        &[0.0, 1.0],
        &[1e-300, 0.99],
    ),
    (
        "a weight",
        |x| CombinedLimits::new(&[1.0, x], 0.01).map(drop),
        &[0.0, 1e-101, 1e101],
        &[1e-100, 1e100],
    ),
    ("the rate", |x| Objective::exceeds(x, sharpest()).map(drop), &[0.0, 1.0], &[1e-9, 0.5]),
    ("the rate", |x| Objective::stays_below(x, sharpest()).map(drop), &[0.0, 1.0], &[1e-9, 0.5]),
    ("the number of requests", |x| SharpestAt::new(x, 0.01).map(drop), &[0.0, 1e16], &[1e-3, 1e15]),
    (
        "the false-alarm probability",
        |x| SharpestAt::new(1000.0, x).map(drop),
        &[0.0, 0.5],
        &[1e-300, 0.49],
    ),
];

#[test]
fn what_cannot_be_a_limit_is_refused_by_its_name() {
    for (argument, make, refused, accepted) in NUMBERS {
        for value in refused.iter().chain(&NEVER) {
            let error = make(*value).expect_err(argument);
            assert_eq!(error.argument, argument, "{value}");
            assert!(error.value == *value || value.is_nan(), "{error} for {value}");
        }
        for value in accepted {
            assert_eq!(make(*value), Ok(()), "{argument} of {value}");
        }
    }
    for parts in [0, 33] {
        let error = CombinedLimits::new(&vec![1.0; parts], 0.01).unwrap_err();
        assert_eq!((error.argument, error.value), ("the number of parts", parts as f64));
    }
    let error = against(f64::NAN, 0.01).unwrap_err().to_string();
    assert_eq!(error, "the ratio cannot be NaN: expected 1 to 100");
}

/// Any number, and those at which something ends.
fn numbers() -> impl Strategy<Value = f64> {
    let ends = prop::sample::select(&[0.0, 1e-9, 0.01, 0.5, 1.0, 1.25, 100.0, 1e15][..]);
    let within = (-12.0_f64..16.0).prop_map(|power| 10.0_f64.powf(power));
    prop_oneof![any::<f64>(), ends, within, 0.0_f64..1.0]
}

proptest! {
    #[test]
    fn limits_that_are_not_refused_give_numbers(
        ratio in numbers(), wrong in numbers(), rate in numbers(), requests in numbers(),
        (n_c, n_b) in (1_u64..=1 << 53, 1_u64..=1 << 53), (bad_c, bad_b) in (0.0_f64..=1.0, 0.0_f64..=1.0),
    ) {
        let (k_c, k_b) = ((n_c as f64 * bad_c) as u64, (n_b as f64 * bad_b) as u64);
        let tick = tick(0, (n_c, k_c.min(n_c), n_b, k_b.min(n_b)));
        if let Ok(limits) = against(ratio, wrong) {
            let seen = EvidenceState::default().add(&limits, tick).unwrap();
            prop_assert!(seen.ln_ratio.is_finite() && seen.ln_tick.is_finite() && seen.ln_cluster.is_finite(), "{seen:?}");
            prop_assert!((1.0 / limits.false_alarm()).is_finite());
        }
        if let Ok(limits) = NonInferiorityLimits::new(ratio, wrong) {
            let seen = NonInferiorityState::default().add(&limits, tick).unwrap();
            prop_assert!(seen.ln_ratio.is_finite() && seen.ln_tick.is_finite(), "{seen:?}");
        }
        if let Ok(sharpest) = SharpestAt::new(requests, wrong) {
            for objective in [Objective::exceeds(rate, sharpest), Objective::stays_below(rate, sharpest)] {
                let Ok(objective) = objective else { continue };
                let seen = objective.ln_evidence(counts(n_c, k_c.min(n_c)));
                prop_assert!(seen.is_finite(), "{seen}");
            }
        }
    }
}
