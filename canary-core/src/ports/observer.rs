//! What hears of everything that is decided.

use std::fmt;

use crate::record::Record;
use crate::value::RolloutId;

/// Hears every record of a rollout, or of several.
///
/// Of one rollout each record comes at least once, always the same under the same number, in
/// the order of their numbers; after a crash some come again.
pub trait Observer: fmt::Debug + Send + Sync + 'static {
    /// Takes note of a record of a rollout.
    ///
    /// To be correct: it returns soon, for instance by handing the record to a channel. The driver calls it on a
    /// thread that may block, inside the tokio runtime that drives the rollout. One that is slow, or panics, harms no
    /// rollout; observers of one type share 16 threads, so those may wait for each other.
    fn notice(&self, rollout: &RolloutId, record: &Record);
}
