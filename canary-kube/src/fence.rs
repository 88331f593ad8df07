//! The mark by which a route knows the latest write of a rollout.

use std::cmp::Ordering;
use std::fmt;

use canary_core::ports::{Call, PortError};
use canary_core::value::{EffectId, Epoch, FailureKind, RolloutId};
use serde_json::Value;

/// Names the annotation that a rollout keeps on a route object while it runs.
///
/// Its value is `{rollout}/{epoch}.{effect}.{attempt}` of the latest write. Every write moves it, and every
/// write is conditional on the value it knows, so a request that arrives late finds another value and is
/// refused by the API server itself. So a rollout's id must not be used a second time. Writers who change other
/// things on the object never touch it, and so are never in the way.
///
/// Where the user's own rule sends requests to the canary by their headers, `+header` behind it says that the
/// rollout counts on it.
pub const FENCE: &str = "canary-rollout/fence";

/// Names the annotation that holds how weights were written before the rollout.
///
/// It is there only where stable had everything, and not as `100` and `0`, and goes with the fence.
pub const BEFORE: &str = "canary-rollout/before";

/// Says which call wrote last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fence {
    rollout: RolloutId,
    order: (Epoch, EffectId, u32),
    /// Whether the rollout counts on the user's own rule.
    header: bool,
}

/// Says that the rollout counts on the user's own rule.
const HEADER: &str = "+header";

impl Fence {
    /// Returns the fence that this call leaves.
    pub(crate) fn of(call: &Call) -> Self {
        Self { rollout: call.rollout.clone(), order: call.order(), header: false }
    }

    /// Counts on the user's own rule, or not.
    pub(crate) fn with_header(self, header: bool) -> Self {
        Self { header, ..self }
    }

    /// Reads an annotation's value; `None` if nobody here wrote it.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (text, header) = text.strip_suffix(HEADER).map_or((text, false), |text| (text, true));
        let (rollout, order) = text.split_once('/')?;
        let mut numbers = order.split('.');
        let epoch = numbers.next()?.parse().ok()?;
        let effect = numbers.next()?.parse().ok()?;
        let attempt = numbers.next()?.parse().ok()?;
        if numbers.next().is_some() {
            return None;
        }
        Some(Self {
            rollout: rollout.parse().ok()?,
            order: (Epoch::new(epoch), EffectId::new(effect), attempt),
            header,
        })
    }
}

/// Returns the fence that an object holds.
pub(crate) fn fence_of(object: &Value) -> Option<&str> {
    object["metadata"]["annotations"][FENCE].as_str()
}

/// Compares when two fences were left; nothing where they are not of one rollout.
pub(crate) fn compare(one: &str, other: &str) -> Option<Ordering> {
    let (one, other) = (Fence::parse(one)?, Fence::parse(other)?);
    (one.rollout == other.rollout).then(|| one.order.cmp(&other.order))
}

/// Returns the rollout that left a fence.
pub(crate) fn rollout_of(fence: &str) -> Option<RolloutId> {
    Fence::parse(fence).map(|fence| fence.rollout)
}

/// Tells whether both fences are of one rollout.
pub(crate) fn same_rollout(one: &str, other: &str) -> bool {
    rollout_of(one).is_some() && rollout_of(one) == rollout_of(other)
}

/// Tells whether the rollout that wrote the object last counts on the user's own rule.
pub(crate) fn counts_header(object: &Value) -> bool {
    fence_of(object).and_then(Fence::parse).is_some_and(|fence| fence.header)
}

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (epoch, effect, attempt) = self.order;
        let header = if self.header { HEADER } else { "" };
        write!(f, "{}/{epoch}.{effect}.{attempt}{header}", self.rollout)
    }
}

/// Tells how a call stands to the fence it meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The fence is the rollout's own, and not of a later call.
    Ours,
    /// Another rollout, or somebody else, left it.
    Foreign,
    /// A later call of the same rollout was accepted: this one must not act any more.
    Late,
}

impl Standing {
    /// Compares a call with the fence found on the object.
    pub(crate) fn of(call: &Call, found: &str) -> Self {
        match Fence::parse(found) {
            Some(fence) if fence.rollout != call.rollout => Self::Foreign,
            Some(fence) if call.order() < fence.order => Self::Late,
            Some(_) => Self::Ours,
            None => Self::Foreign,
        }
    }
}

/// Refuses a call because a later one was accepted.
pub(crate) fn late(call: &Call, found: &str) -> PortError {
    let epoch = Fence::parse(found).map_or(call.epoch, |fence| fence.order.0);
    PortError::late(
        epoch,
        format!(
            "call {} comes after the later call {found} (if no such rollout runs, remove the annotation `{FENCE}`)",
            Fence::of(call)
        ),
    )
}

/// Refuses a raise because another rollout has the route.
pub(crate) fn foreign(found: &str) -> PortError {
    PortError::new(
        FailureKind::Conflict,
        format!("the route is held by `{found}`; lowering takes it over, raising does not"),
    )
}

#[cfg(test)]
mod tests {
    use canary_core::value::Timestamp;
    use proptest::prelude::*;

    use super::*;

    fn call(rollout: &str, epoch: u64, effect: u64, attempt: u32) -> Call {
        Call::new(
            rollout.parse().unwrap(),
            Epoch::new(epoch),
            EffectId::new(effect),
            attempt,
            Timestamp::EPOCH,
            Timestamp::EPOCH,
        )
    }

    proptest! {
        #[test]
        fn a_fence_is_read_as_it_was_written(
            rollout in "[a-z0-9][A-Za-z0-9._-]{0,40}",
            order: (u64, u64, u32),
            header: bool,
        ) {
            let fence = Fence::of(&call(&rollout, order.0, order.1, order.2)).with_header(header);
            prop_assert_eq!(Fence::parse(&fence.to_string()), Some(fence));
        }

        #[test]
        fn a_call_is_late_exactly_if_the_fence_is_of_a_later_one(
            mine in (0_u64..3, 0_u64..3, 0_u32..3),
            other in (0_u64..3, 0_u64..3, 0_u32..3),
        ) {
            let found = Fence::of(&call("a", other.0, other.1, other.2)).to_string();
            let late = Standing::of(&call("a", mine.0, mine.1, mine.2), &found) == Standing::Late;
            prop_assert_eq!(late, mine < other);
            prop_assert_eq!(
                Standing::of(&call("b", mine.0, mine.1, mine.2), &found),
                Standing::Foreign
            );
        }
    }

    #[test]
    fn what_nobody_here_wrote_is_foreign() {
        for text in ["", "a", "a/1.2", "a/1.2.3.4", "a/1.2.x", "a b/1.2.3", "/1.2.3", "a/1.2.3+x"] {
            assert_eq!(Fence::parse(text), None, "{text}");
            assert_eq!(Standing::of(&call("a", 1, 2, 3), text), Standing::Foreign);
        }
    }
}
