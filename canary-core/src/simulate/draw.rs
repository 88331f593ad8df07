//! Random draws that are the same on every platform: ChaCha8 and `libm` only.

use chacha20::ChaCha8Rng;
use chacha20::rand_core::{Rng, SeedableRng};

/// Above this mean a count is drawn by rejection, below it by adding up probabilities.
const MANY: f64 = 10.0;
/// What a count of so small a mean never reaches: where it does, rounding is to blame, and it is drawn anew.
const NEVER: f64 = 110.0;

/// Draws numbers from a stream that a few words name.
pub(super) struct Draw(ChaCha8Rng);

/// Holds a probability as it is drawn with, so that what does not change is worked out once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chance {
    /// The probability of a hit, or of a miss where that is the smaller one: at most one half.
    smaller: f64,
    /// The logarithm of what is left of 1.
    log_rest: f64,
    counts_misses: bool,
}

impl Chance {
    /// Takes a probability; what lies outside 0 to 1 counts as the nearer end.
    pub(super) fn of(p: f64) -> Self {
        let p = if p.is_nan() { 0.0 } else { p.clamp(0.0, 1.0) };
        let counts_misses = p > 0.5;
        let smaller = if counts_misses { 1.0 - p } else { p };
        Self { smaller, log_rest: libm::log1p(-smaller), counts_misses }
    }
}

impl Draw {
    /// Opens the stream of these words; equal words give equal draws.
    pub(super) fn keyed(words: [u64; 4]) -> Self {
        let mut seed = [0; 32];
        for (bytes, word) in seed.chunks_exact_mut(8).zip(words) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        Self(ChaCha8Rng::from_seed(seed))
    }

    /// Draws from (0, 1).
    #[expect(clippy::cast_precision_loss, reason = "53 bits are kept")]
    fn uniform(&mut self) -> f64 {
        ((self.0.next_u64() >> 11) as f64 + 0.5) / 9_007_199_254_740_992.0
    }

    /// Draws how many of `n` happen.
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    pub(super) fn binomial(&mut self, n: u64, chance: &Chance) -> u64 {
        let count = n as f64;
        let drawn = if chance.smaller <= 0.0 || n == 0 {
            0
        } else if count * chance.smaller < MANY {
            self.binomial_by_inversion(count, chance)
        } else {
            self.binomial_by_rejection(count, chance.smaller)
        };
        if chance.counts_misses { n - drawn } else { drawn }
    }

    /// Goes up from none until the probabilities add up to a uniform draw.
    fn binomial_by_inversion(&mut self, count: f64, chance: &Chance) -> u64 {
        let odds = chance.smaller / (1.0 - chance.smaller);
        let none = libm::exp(count * chance.log_rest);
        self.by_inversion(none, count.min(NEVER), |k| (count + 1.0) * odds / k - odds)
    }

    /// Goes up from none, whose probability is given, by the ratio of each probability to the one before.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it counts from 0 to 110"
    )]
    fn by_inversion(&mut self, none: f64, most: f64, ratio: impl Fn(f64) -> f64) -> u64 {
        loop {
            let (mut k, mut mass, mut left) = (0.0, none, self.uniform());
            while left > mass && k <= most {
                left -= mass;
                k += 1.0;
                mass *= ratio(k);
            }
            if k <= most {
                return k as u64;
            }
        }
    }

    /// Hörmann's transformed rejection for the binomial (BTRS, 1993), for `n p` of at least 10.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "k is checked to lie in 0..=n"
    )]
    fn binomial_by_rejection(&mut self, count: f64, p: f64) -> u64 {
        let spread = libm::sqrt(count * p * (1.0 - p));
        let b = 1.15 + 2.53 * spread;
        let a = -0.0873 + 0.0248 * b + 0.01 * p;
        let centre = count * p + 0.5;
        let v_r = 0.92 - 4.2 / b;
        loop {
            let u = self.uniform() - 0.5;
            let v = self.uniform();
            let us = 0.5 - u.abs();
            let k = libm::floor((2.0 * a / us + b) * u + centre);
            if k < 0.0 || k > count {
                continue;
            }
            if us >= 0.07 && v <= v_r {
                return k as u64;
            }
            // One draw in seven or so comes here, where the exact likelihood is worked out.
            let alpha = (2.83 + 5.1 / b) * spread;
            let mode = libm::floor((count + 1.0) * p);
            let height = libm::log(v * alpha / (a / (us * us) + b));
            let likelihood = libm::lgamma(mode + 1.0) + libm::lgamma(count - mode + 1.0)
                - libm::lgamma(k + 1.0)
                - libm::lgamma(count - k + 1.0)
                + (k - mode) * libm::log(p / (1.0 - p));
            if height <= likelihood {
                return k as u64;
            }
        }
    }

    /// Draws a count with this mean.
    pub(super) fn poisson(&mut self, mean: f64) -> u64 {
        if mean <= 0.0 || !mean.is_finite() {
            0
        } else if mean < MANY {
            self.by_inversion(libm::exp(-mean), NEVER, |k| mean / k)
        } else {
            self.poisson_by_rejection(mean)
        }
    }

    /// Draws how many of `n` happen where they come in clusters of this mean size, `n p` of them on average.
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    pub(super) fn clustered(&mut self, n: u64, p: f64, size: f64) -> u64 {
        let clusters = self.poisson(n as f64 * p / size);
        let log_goes_on = libm::log(1.0 - 1.0 / size);
        let mut hits = 0_u64;
        for _ in 0..clusters {
            // A geometric size of at least one.
            let more = libm::floor(libm::log(self.uniform()) / log_goes_on);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "both logarithms are negative, and a cast saturates"
            )]
            let more = more as u64;
            hits = hits.saturating_add(more).saturating_add(1);
        }
        hits.min(n)
    }

    /// Hörmann's transformed rejection for the Poisson distribution (PTRS, 1993), for a mean of at least 10.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "k is checked not to be negative"
    )]
    fn poisson_by_rejection(&mut self, mean: f64) -> u64 {
        let b = 0.931 + 2.53 * libm::sqrt(mean);
        let a = -0.059 + 0.02483 * b;
        let v_r = 0.9277 - 3.6224 / (b - 2.0);
        loop {
            let u = self.uniform() - 0.5;
            let v = self.uniform();
            let us = 0.5 - u.abs();
            let k = libm::floor((2.0 * a / us + b) * u + mean + 0.43);
            if k < 0.0 || (us < 0.013 && v > us) {
                continue;
            }
            if us >= 0.07 && v <= v_r {
                return k as u64;
            }
            let inverse_alpha = 1.1239 + 1.1328 / (b - 3.4);
            let height = libm::log(v * inverse_alpha / (a / (us * us) + b));
            if height <= -mean + k * libm::log(mean) - libm::lgamma(k + 1.0) {
                return k as u64;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks mean and variance of 40 000 draws within five standard errors.
    fn check(name: &str, mean: f64, variance: f64, mut draw: impl FnMut(u64) -> u64) {
        let n = 40_000_u32;
        let draws: Vec<f64> = (0..u64::from(n)).map(|i| draw(i) as f64).collect();
        let n = f64::from(n);
        let seen = draws.iter().sum::<f64>() / n;
        let spread = draws.iter().map(|x| (x - seen).powi(2)).sum::<f64>() / n;
        assert!(
            (seen - mean).abs() < 5.0 * (variance / n).sqrt(),
            "{name}: mean {seen}, not {mean}"
        );
        assert!(
            (spread - variance).abs() < 0.06 * variance,
            "{name}: variance {spread}, not {variance}"
        );
    }

    #[test]
    fn draws_have_the_mean_and_variance_of_their_distribution() {
        for mean in [0.3, 4.0, 9.9, 10.0, 75.0, 3_000.0, 1e7] {
            check(&format!("poisson {mean}"), mean, mean, |i| {
                Draw::keyed([i, 1, 2, 3]).poisson(mean)
            });
        }
        for (n, p) in
            [(5, 0.2), (1_000, 0.001), (60, 0.5), (1_000, 0.02), (3_000, 0.7), (100_000, 0.001)]
        {
            let mean = n as f64 * p;
            check(&format!("binomial {n} {p}"), mean, mean * (1.0 - p), |i| {
                Draw::keyed([i, 4, 5, 6]).binomial(n, &Chance::of(p))
            });
        }
    }

    /// Checks how often each count comes in many draws of one stream, within five standard errors and a half.
    fn check_each(name: &str, ln_probability: impl Fn(f64) -> f64, mut draw: impl FnMut() -> u64) {
        let n = 200_000_u32;
        let mut seen = [0_u32; 100];
        (0..n).for_each(|_| seen[draw() as usize] += 1);
        for (k, seen) in seen.into_iter().enumerate() {
            let p = libm::exp(ln_probability(k as f64));
            let (seen, expected) = (f64::from(seen), p * f64::from(n));
            let off = 5.5 * (expected * (1.0 - p)).sqrt() + 1.0;
            assert!((seen - expected).abs() < off, "{name}: {k} came {seen} times, not {expected}");
        }
    }

    #[test]
    fn each_count_comes_as_often_as_its_probability_says() {
        for mean in [0.7, 9.0, 10.0, 30.0] {
            let mut stream = Draw::keyed([1, 0, 0, 0]);
            let poisson = |k: f64| k * libm::log(mean) - mean - libm::lgamma(k + 1.0);
            check_each(&format!("poisson {mean}"), poisson, || stream.poisson(mean));
        }
        for (n, p) in [(3, 0.3), (10, 0.9), (1_000, 0.01), (40, 0.5)] {
            let (mut stream, chance) = (Draw::keyed([2, 0, 0, 0]), Chance::of(p));
            let (count, lgamma) = (n as f64, |x: f64| libm::lgamma(x + 1.0));
            let binomial = |k: f64| match count - k {
                rest if rest < 0.0 => f64::NEG_INFINITY,
                rest => {
                    let ways = lgamma(count) - lgamma(k) - lgamma(rest);
                    ways + k * libm::log(p) + rest * libm::log(1.0 - p)
                }
            };
            check_each(&format!("binomial {n} {p}"), binomial, || stream.binomial(n, &chance));
        }
    }

    #[test]
    fn where_none_is_as_good_as_impossible_it_still_comes() {
        // Once in 23 000 draws.
        let (mut stream, chance) = (Draw::keyed([3, 0, 0, 0]), Chance::of(0.01));
        let none = (0..200_000).filter(|_| stream.binomial(1_000, &chance) == 0).count();
        assert!((1..30).contains(&none), "{none}");
    }

    #[test]
    fn clusters_keep_the_mean_and_widen_the_spread() {
        // Geometric sizes of mean m have the mean square m (2 m - 1).
        let (n, p, size) = (100_000, 0.001, 5.0);
        let mean = n as f64 * p;
        check("clusters", mean, mean * (2.0 * size - 1.0), |i| {
            Draw::keyed([i, 7, 8, 9]).clustered(n, p, size)
        });
        assert!((0..100).all(|i| Draw::keyed([i; 4]).clustered(3, 1.0, 5.0) <= 3));
    }

    #[test]
    fn the_streams_are_golden() {
        let mut draw = Draw::keyed([7, 0, 0, 0]);
        let seen = [
            draw.poisson(3.0),
            draw.poisson(300.0),
            draw.binomial(100, &Chance::of(0.01)),
            draw.binomial(1_000, &Chance::of(0.3)),
        ];
        assert_eq!(seen, GOLDEN);
    }

    const GOLDEN: [u64; 4] = [4, 298, 0, 295];
}
