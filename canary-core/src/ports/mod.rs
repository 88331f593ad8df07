//! The few traits through which a rollout touches the world.
//!
//! Each is object-safe and small; each method says what an implementor must
//! guarantee. The machine owns retries, so a port tries once and says with its
//! [`FailureKind`](crate::value::FailureKind) whether another try makes sense.
//! A port must not block its thread, and must survive being dropped midway:
//! its caller has a deadline and may cancel at any `.await`.

mod error;
mod gate;
mod metrics;
mod observer;
mod router;
mod store;
mod workload;

pub use error::PortError;
pub use gate::{Decision, Gate, GateContext};
pub use metrics::MetricSource;
pub use observer::Observer;
pub use router::{Applied, Capabilities, Observed, TrafficRouter};
pub use store::{Claim, Past, StateStore, Stored};
pub use workload::{Capacity, Progress, Readiness, Workload};

#[cfg(feature = "test-util")]
pub use gate::MockGate;
#[cfg(feature = "test-util")]
pub use metrics::MockMetricSource;
#[cfg(feature = "test-util")]
pub use router::MockTrafficRouter;
#[cfg(feature = "test-util")]
pub use store::MockStateStore;
#[cfg(feature = "test-util")]
pub use workload::MockWorkload;

use serde::{Deserialize, Serialize};

use crate::value::{EffectId, Epoch, RolloutId, Timestamp};

/// Tells a port on whose behalf it is called, which call this is, and until when an answer helps.
///
/// Calls of one rollout are ordered by `(epoch, id, attempt)`: see [`Call::order`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Call {
    /// The rollout.
    pub rollout: RolloutId,
    /// Its holder's number; higher after each take-over.
    pub epoch: Epoch,
    /// The effect that this call carries out; higher for later ones.
    pub id: EffectId,
    /// 1 for the first try of this effect.
    pub attempt: u32,
    /// When the call was made.
    pub made: Timestamp,
    /// When the caller stops waiting.
    pub deadline: Timestamp,
}

impl Call {
    /// Puts a call together; tests and people who step the machine by hand need it.
    #[must_use]
    pub const fn new(
        rollout: RolloutId,
        epoch: Epoch,
        id: EffectId,
        attempt: u32,
        made: Timestamp,
        deadline: Timestamp,
    ) -> Self {
        Self { rollout, epoch, id, attempt, made, deadline }
    }

    /// Returns what orders the calls of one rollout: a later call has a greater one.
    #[must_use]
    pub const fn order(&self) -> (Epoch, EffectId, u32) {
        (self.epoch, self.id, self.attempt)
    }
}
