//! Where rollouts are kept over a crash: in memory (not over a crash, that is), or in files.

#[cfg(feature = "json")]
mod file;
mod memory;

#[cfg(feature = "json")]
pub use file::FileStore;
pub use memory::MemoryStore;
