//! What tests need: fakes of the ports, and suites that check an implementation of one.

pub mod conformance;
mod memory;

pub use memory::MemoryRouter;
