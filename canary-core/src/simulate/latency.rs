//! Made-up latency: log-normal, seen as a histogram.

use super::draw::{Chance, Draw};

/// The bounds of the made-up latency histogram, in milliseconds.
pub(super) const BOUNDS: [f64; 18] = [
    5.0, 10.0, 25.0, 50.0, 75.0, 100.0, 150.0, 200.0, 300.0, 400.0, 500.0, 750.0, 1_000.0, 1_500.0,
    2_000.0, 3_000.0, 5_000.0, 10_000.0,
];

/// The spread of the logarithm of latency where none is said: p95 is about 2.3 times the median.
const SPREAD: f64 = 0.5;
/// How many spreads above the median the 95th percentile lies.
const P95: f64 = 1.644_853_626_951_472_2;

/// Holds the share of requests in each bucket.
pub(super) type Shares = [f64; BOUNDS.len() + 1];

/// Says how long requests take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Latency {
    pub(super) median_ms: f64,
    pub(super) p95_ms: Option<f64>,
}

impl Latency {
    pub(super) const fn usual() -> Self {
        Self { median_ms: 50.0, p95_ms: None }
    }

    /// Tells whether half, or 95 of a hundred, of the requests take longer.
    pub(super) fn is_slower_than(self, other: Self) -> bool {
        self.median_ms > other.median_ms || self.p95() > other.p95()
    }

    fn p95(self) -> f64 {
        self.p95_ms.unwrap_or_else(|| self.median_ms * libm::exp(P95 * SPREAD))
    }

    /// Adds the shares of requests in each bucket, counted `times` so often.
    pub(super) fn add(self, shares: &mut Shares, times: f64) {
        if times <= 0.0 {
            return;
        }
        let middle = libm::log(self.median_ms.max(1e-3));
        let spread = match self.p95_ms {
            Some(p95) => ((libm::log(p95.max(1e-3)) - middle) / P95).max(1e-3),
            None => SPREAD,
        };
        let mut reached = 0.0;
        for (share, bound) in shares.iter_mut().zip(BOUNDS) {
            let z = (libm::log(bound) - middle) / spread;
            let reach = 0.5 * libm::erfc(-z / std::f64::consts::SQRT_2);
            *share += times * (reach - reached);
            reached = reach;
        }
        shares[BOUNDS.len()] += times * (1.0 - reached);
    }
}

/// Spreads requests over the buckets: how many of those left over fall into each.
#[derive(Clone, Debug)]
pub(super) struct Histogram([Chance; BOUNDS.len()]);

impl Histogram {
    /// Takes the share of each bucket, of any sum.
    pub(super) fn of(shares: &Shares) -> Self {
        let mut left: f64 = shares.iter().sum();
        let mut chances = [Chance::of(0.0); BOUNDS.len()];
        for (chance, share) in chances.iter_mut().zip(shares) {
            *chance = Chance::of(if left > 0.0 { share / left } else { 1.0 });
            left -= share;
        }
        Self(chances)
    }

    /// Draws how many of so many requests fall into each bucket.
    pub(super) fn draw(&self, draw: &mut Draw, total: u64) -> Vec<u64> {
        let mut left = total;
        let mut counts = Vec::with_capacity(BOUNDS.len() + 1);
        for chance in &self.0 {
            let count = draw.binomial(left, chance);
            counts.push(count);
            left -= count;
        }
        counts.push(left);
        counts
    }
}
