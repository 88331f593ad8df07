//! The world around the holders: a route, a store, and what may still go wrong.

use canary_core::ports::{Applied, Call, Observed};
use canary_core::rollout::{Action, Rollout, Snapshot};
use canary_core::value::{EffectId, Epoch, Failure, FailureKind, Traffic, Version};

/// Says how often each trouble may happen on one path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Budget {
    /// Processes that die.
    pub crashes: u8,
    /// Aborts.
    pub aborts: u8,
    /// Holders that freeze, are replaced, and wake up.
    pub freezes: u8,
    /// Calls and saves that fail or hang.
    pub faults: u8,
    /// Looks at which the canary is bad.
    pub bad: u8,
    /// Looks that show nothing.
    pub nothing: u8,
}

impl Budget {
    /// A path without trouble.
    pub const NONE: Self =
        Self { crashes: 0, aborts: 0, freezes: 0, faults: 0, bad: 0, nothing: 0 };

    /// Takes one of these, if there is one left.
    pub(crate) fn take(of: &mut u8) -> bool {
        let left = of.checked_sub(1);
        *of = left.unwrap_or(0);
        left.is_some()
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Route {
    pub(crate) traffic: Traffic,
    writes: u64,
    pub(crate) latest: (Epoch, EffectId, u32),
}

impl Route {
    pub(crate) fn version(&self) -> Version {
        Version::new(self.writes.to_string())
    }

    pub(crate) fn observed(&self) -> Observed {
        Observed::new(self.traffic.clone(), self.version())
    }

    pub(crate) fn apply(
        &mut self,
        call: &Call,
        traffic: &Traffic,
        at: Option<&Version>,
    ) -> Result<Applied, Failure> {
        let stale = at.is_some_and(|at| *at != self.version());
        let unbased = at.is_none() && !traffic.is_within(&self.traffic);
        if call.order() < self.latest {
            return Err(Failure::late(self.latest.0, "a later call was accepted"));
        }
        if stale || unbased {
            return Err(Failure::new(FailureKind::Conflict, "the route is not so any more"));
        }
        self.latest = call.order();
        self.traffic = traffic.clone();
        self.writes += 1;
        Ok(Applied::accepted(self.traffic.clone(), self.version()))
    }
}

/// What the store holds of the rollout.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) revision: u64,
    /// The name of the holder that saved it.
    pub(crate) by: u8,
    pub(crate) snapshot: Snapshot,
}

/// A process that holds the rollout, or believes so.
#[derive(Clone, Debug)]
pub(crate) struct Holder {
    /// No other holder is called so, though two may begin in the same millisecond from the same state.
    pub(crate) name: u8,
    pub(crate) rollout: Rollout,
    pub(crate) saving: Option<(u64, Snapshot)>,
    pub(crate) open: Vec<(Call, Action)>,
    /// The store's revision that it wrote or loaded last.
    pub(crate) revision: u64,
    /// The highest effect that a durable state of its knows of.
    pub(crate) durable: u64,
    /// Whether the last look at the weight that stands was good.
    pub(crate) good: bool,
    /// Whether an abort reached it.
    pub(crate) aborted: bool,
    pub(crate) frozen: bool,
    pub(crate) fenced: bool,
}
