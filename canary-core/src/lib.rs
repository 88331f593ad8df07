//! Progressive delivery as a library.

pub mod analysis;
#[cfg(feature = "driver")]
pub mod driver;
#[cfg(feature = "json")]
pub mod journal;
pub mod policy;
pub mod ports;
pub mod record;
pub mod report;
pub mod rollout;
#[cfg(feature = "simulate")]
pub mod simulate;
#[cfg(feature = "driver")]
pub mod store;
#[cfg(feature = "test-util")]
pub mod testing;
pub mod value;
