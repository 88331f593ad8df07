//! Progressive delivery as a library.

pub mod ports;
pub mod value;
