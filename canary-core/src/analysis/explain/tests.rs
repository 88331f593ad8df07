//! The sentence, and what it leaves out.

use super::*;
use crate::analysis::RatioSequence;
use crate::analysis::fixtures::{STREAM, counts, tick};

fn explained(stable: Counts, canary: Counts, bounds: RatioBounds, odds: f64) -> String {
    Explained::new(BySide { stable, canary }, bounds, 0.99, odds, 100.0).to_string()
}

#[test]
fn it_is_one_sentence() {
    let bounds = RatioBounds { lower: 8.1, upper: Some(41.0), estimate: Some(19.2) };
    assert_eq!(
        explained(counts(100_000, 100), counts(16_200, 308), bounds, 5300.4),
        "the canary fails 1.9% of requests, stable 0.1%; ratio 19, between 8.1 and 41 with 99% confidence; \
         evidence 5300 : 1 against it, limit 100 : 1"
    );
    let mut sequence = RatioSequence::default();
    (0..).zip(STREAM).for_each(|(i, t)| sequence.add(tick(i, t)).unwrap());
    let seen = explained(counts(0, 0), counts(3, 1), sequence.bounds(0.01), 2e9);
    assert_eq!(
        seen,
        "the canary fails 33% of requests, stable none; ratio 18, between 2.97 and 155 with 99% confidence; \
         evidence more than 1000000 : 1 against it, limit 100 : 1"
    );
}

#[test]
fn what_is_not_known_is_not_said() {
    let (well, ill) = (counts(1000, 0), counts(1000, 9));
    let of = |lower, upper, estimate| RatioBounds { lower, upper, estimate };
    for (bounds, said) in [
        (of(0.0, None, None), "; no ratio is known; "),
        (of(0.0, Some(0.31), Some(0.0)), "; ratio 0, at most 0.31 with 99% confidence; "),
        (of(2.5, None, None), "; ratio at least 2.5 with 99% confidence; "),
        (
            of(0.0, Some(1e9), Some(0.00125)),
            "; ratio 0.0013, at most more than 1000000 with 99% confidence; ",
        ),
    ] {
        let text = explained(well, ill, bounds, 1.0);
        assert!(text.contains(said), "{text}");
    }
}

#[test]
fn ratios_are_written_with_what_is_known_of_them() {
    for (lower, upper, estimate, written) in [
        (0.4, Some(3.1), Some(1.2), "1.2 (0.4 – 3.1)"),
        (2.5, None, Some(4.0), "4 (at least 2.5)"),
        (2.5, None, None, "at least 2.5"),
        (0.0, None, None, "unknown"),
    ] {
        assert_eq!(RatioBounds { lower, upper, estimate }.to_string(), written);
    }
}
