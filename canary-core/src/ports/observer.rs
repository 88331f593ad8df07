//! What hears of everything that is decided.

use std::fmt;

use crate::record::Record;

/// Hears every record of a rollout.
///
/// Each record comes at least once, always the same under the same number, in
/// the order of their numbers; after a crash some come again.
pub trait Observer: fmt::Debug + Send + Sync + 'static {
    /// Takes note of a record.
    ///
    /// To be correct: it returns soon, for instance by handing the record to a channel. A panic in it
    /// harms nothing but itself.
    fn notice(&self, record: &Record);
}
