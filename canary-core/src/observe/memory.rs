//! An observer that keeps the latest records.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::ports::Observer;
use crate::record::Record;
use crate::value::RolloutId;

/// Keeps the latest records it hears, so many and no more; clones share them.
#[derive(Clone, Debug)]
pub struct Memory {
    most: usize,
    kept: Arc<Mutex<Kept>>,
}

#[derive(Debug, Default)]
struct Kept {
    records: VecDeque<(RolloutId, Record)>,
    forgotten: u64,
}

impl Memory {
    /// Makes one that keeps this many records, of all rollouts together.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { most, kept: Arc::default() }
    }

    /// Returns what it keeps, each record with its rollout, in the order in which it heard them.
    #[must_use]
    pub fn records(&self) -> Vec<(RolloutId, Record)> {
        self.kept().records.iter().cloned().collect()
    }

    /// Returns what it keeps of one rollout.
    #[must_use]
    pub fn of(&self, rollout: &RolloutId) -> Vec<Record> {
        let kept = self.kept();
        let own = kept.records.iter().filter(|(of, _)| of == rollout);
        own.map(|(_, record)| record.clone()).collect()
    }

    /// Returns how many records it has heard and no longer keeps.
    #[must_use]
    pub fn forgotten(&self) -> u64 {
        self.kept().forgotten
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // A panic cannot leave it half changed in a way that matters: at worst one record is missing.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Memory {
    fn notice(&self, rollout: &RolloutId, record: &Record) {
        let mut kept = self.kept();
        kept.records.push_back((rollout.clone(), record.clone()));
        while kept.records.len() > self.most {
            kept.records.pop_front();
            kept.forgotten += 1;
        }
    }
}
