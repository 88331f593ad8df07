//! Progressive delivery as a library.

pub mod analysis;
pub mod policy;
pub mod ports;
pub mod record;
pub mod report;
pub mod rollout;
pub mod value;
