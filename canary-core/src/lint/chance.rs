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

/// The most requests in a window for which it matters that there are now more of them and now fewer.
const FEW: f64 = 400.0;

/// The most errors in a window that are counted out one by one.
const FEW_ERRORS: f64 = 5.0;

/// What is too unlikely to be counted.
const NEVER: f64 = 1e-9;

/// Says how an innocent canary looks through a window that slides in steps.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sliding {
    /// How many requests of the canary a window has on average.
    pub(super) requests: f64,
    /// The share of them that fails.
    pub(super) base: f64,
    /// The share above which the window crosses the limit.
    pub(super) limit: f64,
    /// How many requests a window must have to be judged.
    pub(super) samples: f64,
    /// How many steps a window has, at least 1.
    pub(super) window: f64,
    /// How many steps follow the first full window.
    pub(super) steps: f64,
}

impl Sliding {
    /// Returns the probability that a window ever crosses the limit.
    pub(super) fn ever_crosses(&self) -> f64 {
        let errors = self.requests * self.base;
        if errors <= 0.0 || self.limit <= 0.0 {
            return if errors > 0.0 { 1.0 } else { 0.0 };
        }
        if self.requests <= FEW && errors <= FEW_ERRORS {
            return self.ever_of_few();
        }
        let most = self.requests.max(self.samples) * self.limit;
        if self.window > 1.0 {
            return ever_above(errors, most, errors / self.window, self.steps);
        }
        1.0 - libm::pow(1.0 - poisson_above(errors, most), self.steps + 1.0)
    }

    /// Counts out what may be in a window: requests and errors both come by chance, and an error among fewer requests
    /// is a larger share.
    ///
    /// The first window may cross, and each later one may where the one before it did not. Crossings that follow each
    /// other closely make this a little high.
    fn ever_of_few(&self) -> f64 {
        let errors = self.requests * self.base;
        let good = Counted::poisson(self.requests - errors);
        let whole: f64 =
            Counted::poisson(errors).likely().map(|(k, p)| p * self.crosses(k, &good, 0)).sum();
        if self.window <= 1.0 {
            return 1.0 - libm::pow(1.0 - whole, self.steps + 1.0);
        }
        let not = 1.0 - whole;
        if not <= NEVER {
            return 1.0;
        }
        1.0 - not * libm::exp(-self.steps * self.begins_to_cross() / not)
    }

    /// Returns the probability that a window crosses and the one a step earlier did not: they share all but a step.
    fn begins_to_cross(&self) -> f64 {
        let (errors, share) = (self.requests * self.base, 1.0 / self.window);
        let goods = self.requests - errors;
        let [goods_of_step, goods_shared] =
            [share, 1.0 - share].map(|part| Counted::poisson(goods * part));
        let [errors_of_step, errors_shared] =
            [share, 1.0 - share].map(|part| Counted::poisson(errors * part));
        let mut sum = 0.0;
        for (shared, p_shared) in errors_shared.likely() {
            for (left, p_left) in errors_of_step.likely() {
                for (come, p_come) in errors_of_step.likely() {
                    let p = p_shared * p_left * p_come;
                    if p < NEVER || shared + come == 0 {
                        continue;
                    }
                    let begins = goods_shared.likely().map(|(good, p_good)| {
                        let crossed = self.crosses(shared + left, &goods_of_step, good);
                        p_good * (1.0 - crossed) * self.crosses(shared + come, &goods_of_step, good)
                    });
                    sum += p * begins.sum::<f64>();
                }
            }
        }
        sum
    }

    /// Returns the probability that so many errors cross the limit, beside so many good requests and more by chance.
    fn crosses(&self, errors: usize, more: &Counted, good: usize) -> f64 {
        let (errors, good) = (as_f64(errors), as_f64(good));
        // Below this many requests the errors are too large a share.
        let below = libm::ceil(errors / self.limit - 1e-9);
        if errors == 0.0 || below <= errors + good {
            return 0.0;
        }
        (more.below(below - errors - good) - more.below(self.samples - errors - good)).max(0.0)
    }
}

/// Holds the probabilities of a Poisson number and of all below it.
struct Counted {
    probabilities: Vec<f64>,
    below: Vec<f64>,
}

impl Counted {
    fn poisson(mean: f64) -> Self {
        let end = mean + 8.0 * libm::sqrt(mean) + 8.0;
        let numbers = (0..).map(as_f64).take_while(|number| *number <= end);
        let probabilities: Vec<f64> = if mean > 0.0 {
            numbers.map(|number| poisson(mean, number)).collect()
        } else {
            vec![1.0]
        };
        let sums = probabilities.iter().scan(0.0, |sum, p| {
            let below = *sum;
            *sum += p;
            Some(below)
        });
        let below = sums.collect();
        Self { probabilities, below }
    }

    /// Returns each number that is not too unlikely, with its probability.
    fn likely(&self) -> impl Iterator<Item = (usize, f64)> {
        self.probabilities.iter().copied().enumerate().filter(|(_, p)| *p > NEVER)
    }

    /// Returns the probability of less than a whole number.
    fn below(&self, number: f64) -> f64 {
        if number <= 0.0 {
            return 0.0;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is whole and above 0"
        )]
        self.below.get(number as usize).copied().unwrap_or(1.0)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a number of requests needs no 53 bits")]
const fn as_f64(count: usize) -> f64 {
    count as f64
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

    /// Draws Poisson numbers, the same ones for the same seed.
    struct Draws(u64);

    impl Draws {
        #[expect(clippy::cast_precision_loss, reason = "53 bits are kept")]
        fn uniform(&mut self) -> f64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((z ^ (z >> 31)) >> 11) as f64 / 9_007_199_254_740_992.0
        }

        fn poisson(&mut self, mean: f64) -> usize {
            let (end, mut product) = (libm::exp(-mean), self.uniform());
            let mut number = 0;
            while product > end {
                product *= self.uniform();
                number += 1;
            }
            number
        }
    }

    /// Returns how often a window crosses when requests and errors are drawn.
    fn drawn(sliding: &Sliding, window: usize, steps: usize, seed: u64) -> f64 {
        const RUNS: usize = 1500;
        let (mut draws, step) = (Draws(seed), sliding.requests / sliding.window);
        let crossed = (0..RUNS).filter(|_| {
            let looks: Vec<_> = (0..window + steps)
                .map(|_| {
                    let bad = draws.poisson(step * sliding.base);
                    (bad, bad + draws.poisson(step * (1.0 - sliding.base)))
                })
                .collect();
            looks.windows(window).any(|looks| {
                let sum = |of: fn(&(usize, usize)) -> usize| as_f64(looks.iter().map(of).sum());
                let (bad, all) = (sum(|look| look.0), sum(|look| look.1));
                bad > sliding.limit * all && all >= sliding.samples
            })
        });
        as_f64(crossed.count()) / as_f64(RUNS)
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(16))]
        #[test]
        fn few_requests_cross_as_often_as_when_they_are_drawn(
            per_step in 0.5_f64..20.0,
            base in 0.0005_f64..0.03,
            limit in 0.03_f64..0.2,
            samples in 0_u32..20,
            window in 1_usize..12,
            steps in 0_usize..60,
            seed: u64,
        ) {
            let sliding = Sliding {
                requests: per_step * as_f64(window),
                base,
                limit,
                samples: f64::from(samples),
                window: as_f64(window),
                steps: as_f64(steps),
            };
            let (seen, expected) = (sliding.ever_crosses(), drawn(&sliding, window, steps, seed));
            // Four standard errors, and what is a little high where crossings come in rows.
            let error = 4.0 * libm::sqrt(expected.max(0.002) / 1500.0);
            proptest::prop_assert!(seen > expected - error, "{seen} is below {expected}");
            proptest::prop_assert!(seen < 1.5 * expected + error, "{seen} is above {expected}");
        }
    }
}
