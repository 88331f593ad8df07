//! What chance alone does.

use std::time::Duration;

/// Returns how many looks fall into a time, at least one.
pub(super) fn looks(time: Duration, every: Duration) -> f64 {
    (time.as_secs_f64() / every.as_secs_f64()).floor().max(1.0)
}

/// Returns the probability that a Poisson number of this mean is above `most`; 1 where that is more likely than not.
pub(super) fn poisson_above(mean: f64, most: f64) -> f64 {
    let first = most.floor().max(0.0) + 1.0;
    if mean <= 0.0 {
        return 0.0;
    }
    if mean > first {
        return 1.0;
    }
    let mut term = poisson(mean, first);
    let (mut sum, mut k) = (0.0, first);
    while term > sum * 1e-9 && term > 0.0 {
        sum += term;
        k += 1.0;
        term *= mean / k;
    }
    sum.min(1.0)
}

/// Returns the probability of a Poisson number of this mean.
fn poisson(mean: f64, number: f64) -> f64 {
    libm::exp(number * libm::log(mean) - mean - libm::lgamma(number + 1.0))
}

/// Returns the probability that a Poisson process ever has more than `most` events in a window, which slides in steps:
/// `mean` events a window, `step` events a step.
///
/// What is new in a window is what the last step brings: the first window may be full, and each later one becomes so
/// with an event that comes when it holds as many as it may. That events leave it as well makes this a little high.
pub(super) fn ever_above(mean: f64, most: f64, step: f64, steps: f64) -> f64 {
    if mean <= 0.0 {
        return 0.0;
    }
    let crossings = steps * step * poisson(mean, most.floor().max(0.0));
    1.0 - libm::exp(-(poisson_above(mean, most) + crossings))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_of_the_poisson_distribution() {
        for (mean, most, expected) in [
            (1.0, 0.0, 0.632_120_558_828_557_7),
            (1.0, 3.0, 0.018_988_156_876_153_81),
            (5.0, 10.0, 0.013_695_268_598_382_881),
            (0.015, 0.75, 0.014_888_060_396_937_34),
        ] {
            let seen = poisson_above(mean, most);
            assert!((seen - expected).abs() < 1e-9, "{mean} {most}: {seen}");
        }
        assert_eq!(poisson_above(0.0, 0.0), 0.0);
        assert_eq!(poisson_above(1e7, 1e9), 0.0);
        assert_eq!(poisson_above(10.0, 3.0), 1.0);
    }

    #[test]
    fn a_window_that_slides_is_full_more_often_than_one_that_jumps() {
        // 240 requests in two minutes, one in a thousand bad, at most 2.4 of them, for a quarter of an hour.
        let slides = ever_above(0.24, 2.4, 0.03, 52.0);
        let jumps = 1.0 - libm::pow(1.0 - poisson_above(0.24, 2.4), 7.0);
        assert!((0.030..0.040).contains(&slides), "{slides}");
        assert!((0.010..0.016).contains(&jumps), "{jumps}");
        assert_eq!(ever_above(0.0, 2.4, 0.0, 52.0), 0.0);
    }
}
