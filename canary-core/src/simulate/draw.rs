//! Random draws that are the same on every platform: ChaCha8 and `libm` only.

use chacha20::ChaCha8Rng;
use chacha20::rand_core::{Rng, SeedableRng};

/// Draws numbers from a stream that a few words name.
pub(super) struct Draw(ChaCha8Rng);

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

    /// Draws how many of `n` happen, each with probability `p`.
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    pub(super) fn binomial(&mut self, n: u64, p: f64) -> u64 {
        if p <= 0.0 || n == 0 {
            0
        } else if p >= 1.0 {
            n
        } else if p > 0.5 {
            n - self.binomial(n, 1.0 - p)
        } else if n as f64 * p < 10.0 {
            self.binomial_by_waiting(n, p)
        } else {
            self.binomial_by_rejection(n, p)
        }
    }

    /// Counts hits by drawing the gaps between them (geometric waiting times).
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    fn binomial_by_waiting(&mut self, n: u64, p: f64) -> u64 {
        let log_miss = libm::log1p(-p);
        let (mut hits, mut at) = (0, 0.0);
        loop {
            at += libm::floor(libm::log(self.uniform()) / log_miss) + 1.0;
            if at > n as f64 {
                return hits;
            }
            hits += 1;
        }
    }

    /// Hörmann's transformed rejection for the binomial (BTRS, 1993), for `n p` of at least 10.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "k is checked to lie in 0..=n"
    )]
    fn binomial_by_rejection(&mut self, n: u64, p: f64) -> u64 {
        let count = n as f64;
        let spread = libm::sqrt(count * p * (1.0 - p));
        let b = 1.15 + 2.53 * spread;
        let a = -0.0873 + 0.0248 * b + 0.01 * p;
        let centre = count * p + 0.5;
        let alpha = (2.83 + 5.1 / b) * spread;
        let v_r = 0.92 - 4.2 / b;
        let odds = p / (1.0 - p);
        let mode = libm::floor((count + 1.0) * p);
        let at_mode = libm::lgamma(mode + 1.0) + libm::lgamma(count - mode + 1.0);
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
            let height = libm::log(v * alpha / (a / (us * us) + b));
            let likelihood = at_mode - libm::lgamma(k + 1.0) - libm::lgamma(count - k + 1.0)
                + (k - mode) * libm::log(odds);
            if height <= likelihood {
                return k as u64;
            }
        }
    }

    /// Draws a count with this mean.
    pub(super) fn poisson(&mut self, mean: f64) -> u64 {
        if mean <= 0.0 || !mean.is_finite() {
            0
        } else if mean < 10.0 {
            self.poisson_by_waiting(mean)
        } else {
            self.poisson_by_rejection(mean)
        }
    }

    /// Counts arrivals by drawing the gaps between them.
    fn poisson_by_waiting(&mut self, mean: f64) -> u64 {
        let (mut arrivals, mut at) = (0, -libm::log(self.uniform()));
        while at <= mean {
            arrivals += 1;
            at -= libm::log(self.uniform());
        }
        arrivals
    }

    /// Hörmann's transformed rejection for the Poisson distribution (PTRS, 1993), for a mean of at least 10.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "k is checked not to be negative"
    )]
    fn poisson_by_rejection(&mut self, mean: f64) -> u64 {
        let log_mean = libm::log(mean);
        let b = 0.931 + 2.53 * libm::sqrt(mean);
        let a = -0.059 + 0.02483 * b;
        let inverse_alpha = 1.1239 + 1.1328 / (b - 3.4);
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
            let height = libm::log(v * inverse_alpha / (a / (us * us) + b));
            if height <= -mean + k * log_mean - libm::lgamma(k + 1.0) {
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
                Draw::keyed([i, 4, 5, 6]).binomial(n, p)
            });
        }
    }

    #[test]
    fn the_streams_are_golden() {
        let mut draw = Draw::keyed([7, 0, 0, 0]);
        let seen = [
            draw.poisson(3.0),
            draw.poisson(300.0),
            draw.binomial(100, 0.01),
            draw.binomial(1_000, 0.3),
        ];
        assert_eq!(seen, GOLDEN);
    }

    const GOLDEN: [u64; 4] = [2, 290, 0, 294];
}
