//! All that can be known of one simulated rollout.

use super::World;
use crate::record::Record;
use crate::report::Report;
use crate::rollout::Status;
use crate::value::{IntoDuration, Timestamp, Weight};

/// Holds what became of a simulated rollout: what it said, and what really was.
#[derive(Clone, Debug)]
pub struct Trace {
    report: Report,
    records: Vec<Record>,
    world: World,
    status: Option<Status>,
}

impl Trace {
    pub(super) const fn new(
        report: Report,
        records: Vec<Record>,
        world: World,
        status: Option<Status>,
    ) -> Self {
        Self { report, records, world, status }
    }

    /// Returns the report.
    #[must_use]
    pub const fn report(&self) -> &Report {
        &self.report
    }

    /// Returns the records as observers were told them: after a crash some come again.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// Returns where the rollout stood when the simulation stopped, and what it waited for; `None` where the process had
    /// died and nobody had taken the rollout over.
    #[must_use]
    pub const fn status(&self) -> Option<&Status> {
        self.status.as_ref()
    }

    /// Returns the weight that the route really had this long after the begin, whoever set it.
    ///
    /// # Panics
    /// If a text is no span of time.
    #[must_use]
    #[track_caller]
    pub fn weight_at(&self, time: impl IntoDuration) -> Weight {
        self.world.weight_at(self.world.begin + time.into_duration())
    }

    /// Returns every weight that the route really had, with the time from which it had it.
    #[must_use]
    pub fn weights(&self) -> Vec<(Timestamp, Weight)> {
        self.world.weights()
    }

    /// Returns what happened that must never happen, each with its time: a side with traffic that was down, more weight
    /// than there was ready capacity, a raise by a process that had been replaced.
    #[must_use]
    pub fn violations(&self) -> &[String] {
        self.world.violations()
    }
}
