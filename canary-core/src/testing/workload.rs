//! A workload that runs nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::policy::How;
use crate::ports::{Call, Capacity, PortError, Progress, Readiness, Workload};
use crate::value::{BySide, Side, Weight};

/// Runs two made-up versions: each thing that is asked of it takes a few asks. Clones share them.
///
/// It begins with stable up and no canary, and notes where both would be down at the same time.
#[derive(Clone, Debug)]
pub struct MemoryWorkload {
    asks: u32,
    versions: Arc<Mutex<Versions>>,
}

#[derive(Debug)]
struct Versions {
    up: BySide<bool>,
    stable_is_new: bool,
    ready_for: Option<Weight>,
    /// How often each thing was asked for that is not done yet.
    asked: BTreeMap<String, u32>,
    calls: Vec<String>,
    outages: Vec<String>,
}

impl Default for MemoryWorkload {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryWorkload {
    /// Makes one that does everything at the first ask.
    #[must_use]
    pub fn new() -> Self {
        Self::done_after(1)
    }

    /// Makes one that has done a thing once it was asked for it so often.
    #[must_use]
    pub fn done_after(asks: u32) -> Self {
        let versions = Versions {
            up: BySide { stable: true, canary: false },
            stable_is_new: false,
            ready_for: None,
            asked: BTreeMap::new(),
            calls: Vec::new(),
            outages: Vec::new(),
        };
        Self { asks, versions: Arc::new(Mutex::new(versions)) }
    }

    /// Returns what it was asked for, in a few words each: `prepare 10%`, `promote in place`, `retire canary`. A row of
    /// the same counts once.
    #[must_use]
    pub fn calls(&self) -> Vec<String> {
        self.versions().calls.clone()
    }

    /// Returns which sides are up.
    #[must_use]
    pub fn up(&self) -> BySide<bool> {
        self.versions().up
    }

    /// Tells whether stable runs the new version, or the canary has taken its place.
    #[must_use]
    pub fn stable_is_new(&self) -> bool {
        self.versions().stable_is_new
    }

    /// Panics if both versions were ever down at the same time.
    ///
    /// # Panics
    /// Then.
    pub fn assert_never_down(&self) {
        let outages = self.versions().outages.clone();
        assert!(outages.is_empty(), "both versions were down: {}", outages.join(", "));
    }

    fn versions(&self) -> MutexGuard<'_, Versions> {
        self.versions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does a thing once it was asked for often enough, or nothing where it is done.
    fn ask(
        &self,
        what: String,
        is_done: impl Fn(&Versions) -> bool,
        begin: impl Fn(&mut Versions),
        end: impl Fn(&mut Versions),
    ) -> Progress {
        let mut versions = self.versions();
        if versions.calls.last() != Some(&what) {
            versions.calls.push(what.clone());
        }
        if is_done(&versions) {
            return Progress::Done;
        }
        begin(&mut versions);
        versions.note_outage(&what);
        let asked = versions.asked.entry(what.clone()).or_default();
        *asked += 1;
        if *asked < self.asks {
            let why = format!("{what}: {asked} of {}", self.asks);
            return Progress::Wait { why };
        }
        versions.asked.remove(&what);
        end(&mut versions);
        versions.note_outage(&what);
        Progress::Done
    }
}

impl Versions {
    fn note_outage(&mut self, what: &str) {
        if !self.up.stable && !self.up.canary {
            self.outages.push(format!("at `{what}`"));
        }
    }
}

#[async_trait]
impl Workload for MemoryWorkload {
    async fn prepare(&self, _: &Call, wanted: &Capacity) -> Result<Readiness, PortError> {
        if self.versions().ready_for.is_some_and(|ready| ready >= wanted.weight) {
            return Ok(Readiness::ready_for(wanted.weight));
        }
        let weight = wanted.weight;
        let grow = |versions: &mut Versions| {
            versions.up.canary = true;
            versions.ready_for = Some(weight);
        };
        Ok(match self.ask(format!("prepare {weight}"), |_| false, |_| {}, grow) {
            Progress::Done => Readiness::ready_for(weight),
            Progress::Wait { why } => Readiness::waiting(why),
        })
    }

    async fn promote(&self, _: &Call, how: How) -> Result<Progress, PortError> {
        if self.versions().stable_is_new {
            return Ok(Progress::Done);
        }
        Ok(match how {
            // Stable restarts with the new version.
            How::InPlace => self.ask(
                "promote in place".to_owned(),
                |_| false,
                |versions| versions.up.stable = false,
                |versions| (versions.up.stable, versions.stable_is_new) = (true, true),
            ),
            How::Swap => {
                let what = "promote by swap".to_owned();
                self.ask(what, |_| false, |_| {}, |versions| versions.stable_is_new = true)
            }
        })
    }

    async fn restore(&self, _: &Call, how: How) -> Result<Progress, PortError> {
        let is_old = |versions: &Versions| versions.up.stable && !versions.stable_is_new;
        let old = |versions: &mut Versions| {
            (versions.up.stable, versions.stable_is_new) = (true, false);
        };
        Ok(match how {
            How::InPlace => self.ask(
                "restore in place".to_owned(),
                is_old,
                |versions| versions.up.stable = false,
                old,
            ),
            How::Swap => self.ask("restore by swap".to_owned(), is_old, |_| {}, old),
        })
    }

    async fn retire(&self, _: &Call, side: Side) -> Result<Progress, PortError> {
        Ok(self.ask(
            format!("retire {side}"),
            |versions| !*versions.up.get(side),
            |_| {},
            |versions| match side {
                Side::Stable => versions.up.stable = false,
                Side::Canary => {
                    versions.up.canary = false;
                    versions.ready_for = None;
                }
            },
        ))
    }
}
