//! Observers that come with the library.
//!
//! [`Tracing`] writes events, [`JsonLines`] a file, [`Memory`] keeps the latest records for a page that shows them. Each
//! may be given to many rollouts: clone it.

#[cfg(feature = "json")]
mod json_lines;
mod memory;
mod tracing;

#[cfg(feature = "json")]
pub use json_lines::JsonLines;
pub use memory::Memory;
pub use tracing::Tracing;
