//! The words of the project: times, weights, names, readings, decisions.
//!
//! Everything here is plain data: `Clone`, `PartialEq`, serde. Nothing here
//! knows of a rollout, a policy or the world.

mod buckets;
mod failure;
mod id;
mod reading;
mod time;
mod weight;

pub use buckets::Buckets;
pub use failure::{Failure, FailureKind};
pub use id::{
    Actor, CommandId, EffectId, Epoch, GateName, InvalidName, Revision, RolloutId, Target, Version,
};
pub use reading::{BySide, Counts, InvalidReading, Measured, Query, Reading, Side, Signal};
pub(crate) use time::Span;
pub use time::{Timestamp, Window, millis};
pub use weight::{InvalidWeight, Traffic, Weight};
