//! Where rollouts are kept over a crash: in memory (not over a crash, that is), or in files.

#[cfg(feature = "json")]
mod file;
mod memory;
#[cfg(feature = "json")]
mod slots;

#[cfg(feature = "json")]
pub use file::FileStore;
pub use memory::MemoryStore;

use crate::ports::Claim;
use crate::value::Revision;

/// Returns what the first revision of an entry follows: later than those of an entry that was deleted, so that an older
/// holder never takes it for its own.
const fn first(claim: &Claim) -> Revision {
    Revision::new(claim.state.epoch().get())
}
