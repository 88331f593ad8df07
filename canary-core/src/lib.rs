//! Progressive delivery as a library.

pub mod ports;
#[cfg(feature = "test-util")]
pub mod testing;
pub mod value;
