//! What each version gets to answer.

use super::{BySide, Weight};

/// Says what of the requests each version gets to answer: its share of them, and copies of stable's.
///
/// Requests that reach the canary for a header they bear are in neither: the plan does not say how many there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Split {
    canary: Weight,
    mirror: Weight,
}

impl Split {
    /// Splits the requests: the canary answers this share of them, and gets copies of this share of stable's.
    #[must_use]
    pub const fn new(canary: Weight, mirror: Weight) -> Self {
        Self { canary, mirror }
    }

    /// Returns the share of the requests that the canary answers to users.
    #[must_use]
    pub const fn weight(self) -> Weight {
        self.canary
    }

    /// Tells whether the canary has anything to answer, if only copies.
    #[must_use]
    pub fn reaches_canary(self) -> bool {
        self != Self::default()
    }

    /// Tells whether both versions have something to answer.
    #[must_use]
    pub fn is_mixed(self) -> bool {
        self.reaches_canary() && self.canary != Weight::FULL
    }

    /// Returns how much each version answers for each request of a user, 0 to 1; with copies more than 1 together.
    #[must_use]
    pub fn shares(self) -> BySide<f64> {
        let (canary, stable) = (self.canary.fraction(), 1.0 - self.canary.fraction());
        BySide { stable, canary: canary + self.mirror.fraction() * stable }
    }

    /// Returns the canary's part of all that is answered, copies included, 0 to 1.
    #[must_use]
    pub fn canary_share(self) -> f64 {
        let BySide { stable, canary } = self.shares();
        canary / (canary + stable)
    }

    /// Returns the more of both, in each respect.
    pub(crate) fn max(self, other: Self) -> Self {
        Self { canary: self.canary.max(other.canary), mirror: self.mirror.max(other.mirror) }
    }
}

/// Splits without copies.
impl From<Weight> for Split {
    fn from(canary: Weight) -> Self {
        Self { canary, mirror: Weight::ZERO }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_answered_beside_what_stable_answers() {
        let shadow = Split::new(Weight::ZERO, Weight::percent(25));
        assert!(shadow.is_mixed());
        assert_eq!(shadow.shares(), BySide { stable: 1.0, canary: 0.25 });
        assert_eq!(shadow.canary_share(), 0.2);
        let both = Split::new(Weight::percent(50), Weight::percent(50));
        assert_eq!(both.shares(), BySide { stable: 0.5, canary: 0.75 });
        assert_eq!(both.canary_share(), 0.6);
    }

    #[test]
    fn one_version_alone_is_no_mix() {
        let [none, all] = [Weight::ZERO, Weight::FULL].map(Split::from);
        assert!(!none.is_mixed() && !none.reaches_canary());
        assert!(!all.is_mixed() && all.reaches_canary());
        assert!(Split::from(Weight::percent(1)).is_mixed());
    }
}
