//! One comparison of two shares, for a sample that was fixed beforehand.

use crate::value::Counts;

/// Returns the probability that chance alone makes the canary's share of bad requests exceed stable's by as
/// much as it does: the one-sided z test of two proportions with their pooled variance.
///
/// Valid for one look at a sample of a size that was fixed beforehand; for many looks see
/// [`EvidenceState`](super::EvidenceState). `None` where a side has no requests. Where no request is bad, or
/// every one is, it is 1: there is no difference.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a normal approximation needs no 53 bits")]
pub fn worse_by_chance(stable: Counts, canary: Counts) -> Option<f64> {
    let (rate_c, rate_b) = (canary.error_rate()?, stable.error_rate()?);
    let (n_c, n_b) = (canary.total as f64, stable.total as f64);
    let pooled = (canary.bad as f64 + stable.bad as f64) / (n_c + n_b);
    let variance = pooled * (1.0 - pooled) * (1.0 / n_c + 1.0 / n_b);
    if variance <= 0.0 {
        return Some(1.0);
    }
    let z = (rate_c - rate_b) / variance.sqrt();
    Some(0.5 * libm::erfc(z * std::f64::consts::FRAC_1_SQRT_2))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn counts(total: u64, bad: u64) -> Counts {
        Counts::new(total, bad).unwrap()
    }

    #[test]
    fn it_gives_the_values_of_the_normal_distribution() {
        // (stable, canary, p), computed with fifty digits.
        for (stable, canary, p) in [
            (counts(48_000, 384), counts(12_000, 144), 1.3561437110652245e-05),
            (counts(10_000, 100), counts(10_000, 130), 0.023316693019580653),
            (counts(9_500, 95), counts(500, 9), 0.04283803818697257),
            (counts(1_000, 10), counts(1_000, 4), 0.9462147383979059),
            (counts(2_000_000, 2_000), counts(2_000_000, 2_500), 4.4004196093250854e-14),
        ] {
            let seen = worse_by_chance(stable, canary).unwrap();
            assert!((seen - p).abs() <= 1e-13 + 1e-11 * p, "{seen} is not {p}");
        }
    }

    #[test]
    fn no_difference_is_no_evidence() {
        assert_eq!(worse_by_chance(counts(100, 0), counts(100, 0)), Some(1.0));
        assert_eq!(worse_by_chance(counts(100, 100), counts(100, 100)), Some(1.0));
        assert_eq!(worse_by_chance(counts(100, 10), counts(50, 5)), Some(0.5));
        assert_eq!(worse_by_chance(counts(0, 0), counts(50, 5)), None);
    }

    proptest! {
        #[test]
        fn it_is_a_probability_and_falls_with_every_error_of_the_canary(
            n_c in 1_u64..1 << 40, n_b in 1_u64..1 << 40, k_c in 0_u64..1 << 40, k_b in 0_u64..1 << 40,
        ) {
            let (k_c, k_b) = (k_c % n_c, k_b % (n_b + 1));
            let p = worse_by_chance(counts(n_b, k_b), counts(n_c, k_c)).unwrap();
            let one_more = worse_by_chance(counts(n_b, k_b), counts(n_c, k_c + 1)).unwrap();
            prop_assert!((0.0..=1.0).contains(&p), "{p}");
            prop_assert!(one_more <= p + 1e-12, "{one_more} after {p}");
        }
    }
}
