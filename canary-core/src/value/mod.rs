//! The words of the project: times, weights, names, readings, decisions.
//!
//! Everything here is plain data: `Clone`, `PartialEq`, serde. Nothing here
//! knows of a rollout, a policy or the world.

mod audience;
mod buckets;
mod duration;
mod failure;
mod hash;
mod id;
mod reading;
mod split;
mod time;
mod traffic;
mod weight;

pub use audience::{Audience, Member, User};
pub use buckets::Buckets;
pub use duration::IntoDuration;
pub use failure::{Failure, FailureKind};
pub(crate) use hash::fnv;
pub use id::{
    Actor, CommandId, EffectId, Epoch, GateName, InvalidName, Revision, RolloutId, StageRef,
    Target, Version,
};
pub use reading::{
    BySide, Counts, InvalidReading, Measured, PodCounts, Query, Reading, Side, Signal,
};
pub use split::Split;
pub(crate) use time::Span;
pub use time::{Timestamp, Window, millis};
pub use traffic::Traffic;
pub use weight::{InvalidWeight, Weight};
