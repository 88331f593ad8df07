//! Which replica of a program drives which targets.

use std::num::NonZeroU32;

use canary_core::value::Target;

use crate::hash::stable;

/// Divides targets among so many shards, each target always into the same one.
///
/// The number must be the same in every replica, and stay the same while any of them runs: another number is another
/// division, under which two replicas may lead the same target. (The store still lets only one of them raise anything.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shards(NonZeroU32);

impl Shards {
    /// Divides into so many shards, at least one.
    #[must_use]
    pub const fn new(count: u32) -> Self {
        match NonZeroU32::new(count) {
            Some(count) => Self(count),
            None => Self(NonZeroU32::MIN),
        }
    }

    /// Returns how many there are.
    #[must_use]
    pub const fn count(self) -> u32 {
        self.0.get()
    }

    /// Returns the shard of a target, from 0.
    #[must_use]
    pub fn of(self, target: &Target) -> u32 {
        // Less than a `u32`, since the divisor is one.
        (stable(target.as_str()) % u64::from(self.0.get())) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_with_names_that_are_alike_are_spread_evenly() {
        let shards = Shards::new(8);
        let mut held = [0; 8];
        for number in 0..8_000 {
            let target = format!("shop/service-{number}").parse().unwrap();
            held[shards.of(&target) as usize] += 1;
        }
        // 1,000 each with a standard deviation of 30.
        assert!(held.iter().all(|&held| (850..1_150).contains(&held)), "{held:?}");
        assert_eq!(Shards::new(0).of(&"shop/web".parse().unwrap()), 0);
    }

    #[test]
    fn a_target_stays_in_its_shard_whatever_the_version() {
        let shard = Shards::new(16).of(&"shop/checkout".parse().unwrap());
        assert_eq!(shard, 0xbe29_1516_0875_6985_u64 as u32 % 16);
    }
}
