//! An observer that keeps what it hears.

use std::sync::{Arc, Mutex, PoisonError};

use crate::ports::Observer;
use crate::record::Record;
use crate::value::RolloutId;

/// Keeps the records it hears; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Recorder {
    records: Arc<Mutex<Vec<Record>>>,
}

impl Recorder {
    /// Makes one that has heard nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns what it has heard so far.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Observer for Recorder {
    fn notice(&self, _: &RolloutId, record: &Record) {
        self.records.lock().unwrap_or_else(PoisonError::into_inner).push(record.clone());
    }
}
