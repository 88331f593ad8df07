//! How well a number is, and a health score made of several.

/// Says how well a value is, 0 to 1: 1 at `good` or better, 0 at `bad` or worse, in proportion between.
///
/// `None` where good and bad are the same, so that nothing lies between, or where any of the three is not finite.
#[must_use]
pub fn grade(value: f64, good: f64, bad: f64) -> Option<f64> {
    let span = good - bad;
    (span != 0.0 && span.is_finite() && value.is_finite())
        .then(|| ((value - bad) / span).clamp(0.0, 1.0))
}

/// Returns the weighted mean of grades, given as pairs of grade and weight; `None` without any weight.
#[must_use]
pub fn health_score(grades: impl IntoIterator<Item = (f64, f64)>) -> Option<f64> {
    let (sum, weight) = grades
        .into_iter()
        .fold((0.0, 0.0), |(sum, all), (grade, weight)| (sum + grade * weight, all + weight));
    (weight > 0.0).then(|| (sum / weight).clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn between_good_and_bad_it_is_in_proportion_on_either_side() {
        for (value, good, bad, expected) in [
            (0.0, 0.0, 1.0, 1.0),
            (0.25, 0.0, 1.0, 0.75),
            (0.25, 1.0, 0.0, 0.25),
            (150.0, 100.0, 200.0, 0.5),
            (90.0, 100.0, 200.0, 1.0),
            (900.0, 100.0, 200.0, 0.0),
        ] {
            assert_eq!(grade(value, good, bad), Some(expected), "{value} of {good} to {bad}");
        }
        assert_eq!(grade(1.0, 2.0, 2.0), None);
        assert_eq!(grade(f64::NAN, 0.0, 1.0), None);
    }

    #[test]
    fn what_counts_more_moves_the_score_more() {
        assert_eq!(health_score([(1.0, 50.0), (0.5, 30.0), (0.0, 20.0)]), Some(0.65));
        assert_eq!(health_score([]), None);
    }

    proptest! {
        #[test]
        fn a_score_lies_between_its_worst_and_its_best_part(
            parts in prop::collection::vec((0.0_f64..=1.0, 0.001_f64..1000.0), 1..10),
        ) {
            let score = health_score(parts.iter().copied()).unwrap();
            let worst = parts.iter().map(|p| p.0).fold(1.0, f64::min);
            let best = parts.iter().map(|p| p.0).fold(0.0, f64::max);
            prop_assert!(worst - 1e-9 <= score && score <= best + 1e-9, "{score}");
        }
    }
}
