//! The rules that pool all requests of the rollout, and look at them after every tick.

use canary_core::analysis::worse_by_chance;

use super::super::Requests;
use super::{Judge, add, both};

/// What the probability of taking back an innocent canary is meant to be, as for our rule.
const ALPHA: f64 = 0.01;

/// A guarded rollout: a one-sided asymptotic confidence sequence for the difference of the pooled error rates
/// (Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas, "Time-uniform central limit theory and asymptotic confidence
/// sequences"); the canary is taken back once the difference is surely above 0.
#[derive(Debug)]
pub(super) struct Guarded {
    sum: Requests,
    /// The square of the mixture's parameter.
    rho2: f64,
}

impl Guarded {
    /// Makes the sequence narrowest for ten minutes of requests.
    pub(super) fn new(rps: f64) -> Self {
        let ln = -2.0 * (2.0 * ALPHA).ln();
        Self { sum: Requests::default(), rho2: (ln + ln.ln() + 1.0) / (rps * 600.0) }
    }
}

impl Judge for Guarded {
    fn look(&mut self, tick: Requests) -> bool {
        add(&mut self.sum, tick);
        let ((n_c, k_c), (n_b, k_b)) = (both(self.sum.canary), both(self.sum.stable));
        if n_c == 0.0 || n_b == 0.0 {
            return false;
        }
        let (p_c, p_b) = (k_c / n_c, k_b / n_b);
        let variance = p_c * (1.0 - p_c) / n_c + p_b * (1.0 - p_b) / n_b;
        let spread = (n_c + n_b) * self.rho2;
        // In standard errors: the sequence's half width at this many requests.
        let width = 2.0 * (1.0 + 1.0 / spread) * ((1.0 + spread).sqrt() / (2.0 * ALPHA)).ln_1p();
        p_c - p_b > (variance * width).sqrt()
    }
}

/// The plain test of two proportions, looked at after every tick as if it were the only time.
#[derive(Debug, Default)]
pub(super) struct ZTest {
    sum: Requests,
}

impl Judge for ZTest {
    fn look(&mut self, tick: Requests) -> bool {
        add(&mut self.sum, tick);
        worse_by_chance(self.sum.stable, self.sum.canary).is_some_and(|chance| chance < ALPHA)
    }
}
