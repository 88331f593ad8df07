//! What evidence is made of: both sides' requests in covered windows that share no request.

use serde::{Deserialize, Serialize};

use crate::value::{Counts, InvalidReading, Timestamp, Window};

/// Holds both sides' requests in one covered window.
///
/// A [`Streak`] makes it: overlapping windows would count a request twice, and with requests that count four
/// times one innocent canary in ten is convicted instead of one in a hundred.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tick {
    /// Stable's.
    pub stable: Counts,
    /// The canary's.
    pub canary: Counts,
}

/// Lets each covered window in once, in the order of time.
///
/// It begins before all time; gaps between windows are well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Streak {
    /// Up to where all was counted.
    until: Timestamp,
}

impl Streak {
    /// Makes a tick of what both sides served in a window.
    ///
    /// # Errors
    /// [`Refused`]; then nothing changes.
    pub fn admit(
        &mut self,
        covered: Window,
        stable: Counts,
        canary: Counts,
    ) -> Result<Tick, Refused> {
        for Counts { total, bad, .. } in [stable, canary] {
            Counts::new(total, bad)?;
        }
        self.pass(covered)?;
        Ok(Tick { stable, canary })
    }

    /// Moves to the end of a window that shares nothing with the earlier ones.
    pub(super) fn pass(&mut self, covered: Window) -> Result<(), Refused> {
        if covered.is_empty() {
            return Err(Refused::Empty { at: covered.after });
        }
        if covered.after < self.until {
            return Err(Refused::Overlap { covered, until: self.until });
        }
        self.until = covered.until;
        Ok(())
    }

    /// Returns the end of the last window.
    #[must_use]
    pub const fn until(self) -> Timestamp {
        self.until
    }
}

/// Tells why a window cannot be evidence.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// No time lies in it.
    #[error("the window at {at} covers no time")]
    Empty {
        /// Where it lies.
        at: Timestamp,
    },
    /// A part of it was counted before.
    #[error(
        "the window from {} to {} begins before {until}, up to where requests were counted already",
        covered.after, covered.until
    )]
    Overlap {
        /// The window.
        covered: Window,
        /// Up to where requests were counted.
        until: Timestamp,
    },
    /// Its numbers cannot be.
    #[error(transparent)]
    Invalid(#[from] InvalidReading),
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn window(after: u64, until: u64) -> Window {
        Window::new(Timestamp::from_millis(after), Timestamp::from_millis(until))
    }

    fn counts(total: u64, bad: u64) -> Counts {
        Counts::new(total, bad).unwrap()
    }

    #[test]
    fn what_cannot_be_is_refused_and_changes_nothing() {
        let mut streak = Streak::default();
        let some = counts(10, 1);
        assert!(streak.admit(window(0, 15), some, some).is_ok());
        let before = streak;
        assert_eq!(
            streak.admit(window(15, 15), some, some),
            Err(Refused::Empty { at: Timestamp::from_millis(15) })
        );
        let (covered, until) = (window(14, 30), Timestamp::from_millis(15));
        assert_eq!(streak.admit(covered, some, some), Err(Refused::Overlap { covered, until }));
        let mut impossible = some;
        impossible.bad = 11;
        let invalid = Refused::Invalid(InvalidReading::MoreBadThanTotal { total: 10, bad: 11 });
        assert_eq!(streak.admit(window(15, 30), impossible, some), Err(invalid.clone()));
        assert_eq!(streak.admit(window(15, 30), some, impossible), Err(invalid));
        assert_eq!(streak, before);
    }

    proptest! {
        #[test]
        fn no_instant_is_ever_counted_twice(
            windows in prop::collection::vec((0_u64..100, 0_u64..20), 1..40),
        ) {
            let mut streak = Streak::default();
            let mut counted = [0_u8; 120];
            for (after, length) in windows {
                let covered = window(after, after + length);
                if streak.admit(covered, counts(1, 0), counts(1, 0)).is_ok() {
                    counted[after as usize..(after + length) as usize].iter_mut().for_each(|n| *n += 1);
                    prop_assert_eq!(streak.until(), covered.until);
                }
            }
            prop_assert!(counted.iter().all(|n| *n <= 1), "{:?}", counted);
        }
    }
}
