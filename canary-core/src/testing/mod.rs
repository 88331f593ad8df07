//! What tests need: mocks and fakes of the ports, and suites that check an implementation of one.
//!
//! The mocks are [mockall]'s, one for each port; the fakes keep their promises:
//! [`MemoryRouter`] routes in memory, [`MemoryWorkload`] runs made-up versions, [`WorldPorts`] lets the driver run against the simulator's
//! world, [`Recorder`] keeps the records it hears.
//!
//! [mockall]: https://docs.rs/mockall

pub mod conformance;
mod memory;
mod recorder;
mod workload;
mod world;

pub use memory::MemoryRouter;
pub use recorder::Recorder;
pub use workload::MemoryWorkload;
pub use world::WorldPorts;

pub use crate::ports::{
    MockGate, MockMetricSource, MockStateStore, MockTrafficRouter, MockWorkload,
};
