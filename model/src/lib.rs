//! Every state of a small rollout, checked: the machine, a store with compare-and-set, a router with order and
//! versions, and two holders, one of which freezes and wakes up.
//!
//! What the world answers is left open: a measurement is good, bad or nothing, a call fails or hangs, a process dies
//! at any point, somebody aborts at any point. Time jumps to the machine's deadline. How often each may happen is
//! bounded by a [`Budget`], so that every path has an end, and all paths are walked.

mod key;
mod state;
mod world;

pub use state::{Move, Rollouts, Saved, State};
pub use world::Budget;
