//! Who decides better: our rule and those of other tools, on the same made-up requests.
//!
//! A [`Stream`] says what happens to a service during thirty minutes, a [`World`] draws its requests tick by tick,
//! and every [`Judge`] sees the same ticks. [`compare`] runs them and counts what each came to.

mod compare;
mod deal;
mod judges;
mod row;
mod stream;
mod world;

use canary_core::value::{BySide, Counts};

pub use compare::compare;
pub use judges::{Contender, Judge, contenders};
pub use row::{Row, wilson};
pub use stream::{BASE, Kind, Stream, Trouble, streams};
pub use world::{TICK, TICKS, World};

/// Holds what both sides served in one tick.
pub type Requests = BySide<Counts>;

/// How many ticks a minute has.
pub const TICKS_A_MINUTE: usize = 4;

#[cfg(test)]
mod tests;
