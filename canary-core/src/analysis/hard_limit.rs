//! The limit at which nobody waits for statistics.

use crate::value::Counts;

/// The fewest requests of a side that say anything.
const ENOUGH: u64 = 20;

/// Tells whether the canary is plainly broken: half or more of at least twenty requests failed in one
/// covered window, while stable failed less than a tenth of at least twenty.
///
/// `None` where there were too few requests on a side to say.
#[must_use]
pub fn hard_limit(stable: Counts, canary: Counts) -> Option<bool> {
    if canary.total < ENOUGH || stable.total < ENOUGH {
        return None;
    }
    let half_failed = canary.bad >= canary.total.saturating_sub(canary.bad);
    let stable_is_well = stable.bad.saturating_mul(10) < stable.total;
    Some(half_failed && stable_is_well)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_half_of_twenty_and_a_healthy_stable() {
        let counts = |total, bad| Counts::new(total, bad).unwrap();
        assert_eq!(hard_limit(counts(100, 1), counts(20, 10)), Some(true));
        assert_eq!(hard_limit(counts(100, 1), counts(20, 9)), Some(false));
        assert_eq!(hard_limit(counts(100, 10), counts(20, 20)), Some(false));
        assert_eq!(hard_limit(counts(100, 1), counts(19, 19)), None);
        assert_eq!(hard_limit(counts(0, 0), counts(20, 20)), None);
    }
}
