//! What the examples share: a service in two versions on loopback, a proxy that
//! splits the requests between them, a load, a view of a rollout on the terminal, and what
//! it takes to deliver to a cluster.

pub mod counters;
#[cfg(feature = "mesh")]
pub mod delivery;
pub mod faults;
pub mod load;
pub mod loopback;
pub mod proxy;
pub mod server;
pub mod service;
pub mod split;
pub mod stopwatch;
pub mod terminal;

/// Compiles and runs what docs/testing-policies.md shows.
#[cfg(doctest)]
#[doc = include_str!("../../docs/testing-policies.md")]
mod testing_policies {}
