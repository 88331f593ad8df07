//! Metric sources that come with the library.
//!
//! What asks a server is an adapter of its own, such as `canary-prometheus`; this is for what a program knows itself.

mod function;

pub use function::FnSource;
