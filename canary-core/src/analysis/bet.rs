//! The bets on one tick that the processes are made of.

use crate::value::Counts;

/// The correlation of errors within a tick that the tick process expects.
const RHO: f64 = 0.02;

/// Holds one tick's counts as a bet that one side fails more than a multiple of the other needs them.
pub(super) struct Bet {
    /// How many times the other side's error rate is still well.
    r0: f64,
    /// The measured share of the requests of the side that is bet against, and the other's.
    w: f64,
    rest: f64,
    bad_here: f64,
    bad: f64,
    /// What of the tick process does not depend on the alternative: the null's share of the errors, how much
    /// larger than it theirs is, and the variance of a share.
    null: f64,
    excess: f64,
    spread: f64,
}

impl Bet {
    /// Takes the counts of the side that is bet against and of the other in; `None` where they say nothing: a
    /// side without requests, or no error.
    #[expect(
        clippy::cast_precision_loss,
        reason = "counts up to 2^53 are exact, beyond that the tolerance is relative"
    )]
    pub(super) fn new(r0: f64, against: Counts, other: Counts) -> Option<Self> {
        let (here, there) = (against.total as f64, other.total as f64);
        let bad_here = against.bad as f64;
        let bad = bad_here + other.bad as f64;
        if here == 0.0 || there == 0.0 || bad == 0.0 {
            return None;
        }
        let n = here + there;
        Some(Self::of(r0, (here / n, there / n), (bad_here, bad)))
    }

    pub(super) fn of(r0: f64, (w, rest): (f64, f64), (bad_here, bad): (f64, f64)) -> Self {
        let null = w * r0 / (rest + w * r0);
        Self {
            r0,
            w,
            rest,
            bad_here,
            bad,
            null,
            excess: (bad_here / bad) / null - 1.0,
            spread: 1.0 / bad + RHO * (1.0 - 1.0 / bad),
        }
    }

    /// Returns the ratio process' gain for the alternative `multiple` times the null.
    pub(super) fn ratio(&self, multiple: f64, ln_multiple: f64) -> f64 {
        self.bad_here * ln_multiple - self.bad * libm::log1p(self.null * (multiple - 1.0))
    }

    /// Returns the tick process' gain for the alternative `multiple` times the null.
    pub(super) fn tick(&self, multiple: f64) -> f64 {
        let r = self.w * self.r0 * multiple;
        let alternative = r / (self.rest + r);
        let more = alternative - self.null;
        let low = more / (1.0 - self.null);
        let stake = if self.bad <= 1.0 {
            low
        } else {
            let variance = alternative * (1.0 - alternative) * self.spread;
            low.max(more * self.null / variance).min(0.99)
        };
        libm::log1p(stake * self.excess)
    }
}
