//! Drives many rollouts in one process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::StreamExt;
use futures::future::join_all;
use futures::stream;
use tokio::sync::Semaphore;

use super::sources::{Slots, SourceName};
use super::{DriverBuilder, DriverError, Finished, Handle, Kept, Shutdown, StartError};
use crate::rollout::Status;
use crate::value::{RolloutId, Target};

/// How many rollouts are taken up at a time.
const AT_ONCE: usize = 32;

/// How many rollouts may raise their canary at a time: more would make a busy server slower for all, until no answer
/// came in time.
const RAISES: usize = 32;

/// Drives many rollouts, each in a task of its own, and keeps them from asking a metric source all at once.
///
/// Rollouts of one fleet that name the same source, or none, are taken to ask the same server: of each such source no
/// more than so many queries are under way. Of rollouts that begin or are taken up together each looks at the metrics at
/// a moment of its own: its first raise here, and looks that come before it, wait for up to half the time that they may
/// take. No more than 32 raise their canary at a time; nothing holds up one that is taken back.
///
/// The last rollout of each target is remembered until the next one of that target begins. Clones share the fleet.
///
/// ```
/// # use canary_core::testing::MemoryRouter;
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
/// use std::time::Duration;
/// use canary_core::driver::{Driver, Fleet};
/// use canary_core::policy::Policy;
/// use canary_core::value::Weight;
///
/// let policy = Policy::builder("any")
///     .stage("full", Weight::FULL, Duration::from_secs(30))
///     .without_hard_limit()
///     .build()?;
/// let policy = Arc::new(policy);
/// let fleet = Fleet::new(16);
/// for service in ["shop", "cart", "search"] {
///     let builder = Driver::builder(policy.clone())
///         .target(format!("prod/{service}").parse()?)
///         .router(MemoryRouter::new());
///     fleet.start(builder, format!("{service}-7").parse()?).await?;
/// }
/// for rollout in fleet.handles() {
///     assert!(rollout.finished().await?.outcome().is_promoted());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Fleet {
    share: Share,
    rollouts: Arc<Mutex<BTreeMap<Target, Handle>>>,
}

impl Fleet {
    /// Makes an empty fleet that asks each metric source no more than so many queries at a time, at least one.
    #[must_use]
    pub fn new(queries_at_once: u32) -> Self {
        let raises = Arc::new(Semaphore::new(RAISES));
        let share = Share { queries: queries_at_once.max(1), slots: Arc::default(), raises };
        Self { share, rollouts: Arc::default() }
    }

    /// Starts a rollout as [`DriverBuilder::start`] does.
    ///
    /// # Errors
    /// As there.
    pub async fn start(&self, builder: DriverBuilder, id: RolloutId) -> Result<Handle, StartError> {
        let handle = self.joined(builder).start(id).await?;
        Ok(self.remember(handle))
    }

    /// Takes a rollout up or starts it, as [`DriverBuilder::start_or_resume`] does.
    ///
    /// # Errors
    /// As there.
    pub async fn start_or_resume(
        &self,
        builder: DriverBuilder,
        id: RolloutId,
    ) -> Result<Handle, StartError> {
        let handle = self.joined(builder).start_or_resume(id).await?;
        Ok(self.remember(handle))
    }

    /// Takes up the rollout of a target, `None` if there is none under way.
    ///
    /// # Errors
    /// As for [`DriverBuilder::resume`].
    pub async fn resume(&self, resumer: DriverBuilder<Kept>) -> Result<Option<Handle>, StartError> {
        let handle = self.joined(resumer).resume().await?;
        Ok(handle.map(|handle| self.remember(handle)))
    }

    /// Takes up whatever is under way of these targets, for instance all that a [store
    /// lists](crate::ports::StateStore::targets), and tells of each what came of it.
    ///
    /// One that cannot be taken up keeps no other from it.
    pub async fn resume_all(
        &self,
        targets: impl IntoIterator<Item = Target>,
        resumer: impl Fn(&Target) -> DriverBuilder<Kept>,
    ) -> Vec<(Target, Result<Option<Handle>, StartError>)> {
        let resumed = targets.into_iter().map(|target| {
            let resumer = resumer(&target).target(target.clone());
            async move { (target, self.resume(resumer).await) }
        });
        stream::iter(resumed).buffer_unordered(AT_ONCE).collect().await
    }

    /// Returns the last rollout of a target.
    #[must_use]
    pub fn handle(&self, target: &Target) -> Option<Handle> {
        self.rollouts().get(target).cloned()
    }

    /// Returns the last rollout of each target, by target.
    #[must_use]
    pub fn handles(&self) -> Vec<Handle> {
        self.rollouts().values().cloned().collect()
    }

    /// Returns where the last rollout of each target stands, by target.
    #[must_use]
    pub fn statuses(&self) -> Vec<(Target, Status)> {
        let status = |handle: &Handle| handle.status().borrow().clone();
        self.rollouts().iter().map(|(target, handle)| (target.clone(), status(handle))).collect()
    }

    /// Stops driving all of them in order, at the same time, and waits as [`Handle::shutdown`] does.
    pub async fn shutdown(
        &self,
        how: Shutdown,
    ) -> Vec<(Target, Result<Option<Finished>, DriverError>)> {
        let ended = self.handles().into_iter().map(|handle| {
            let how = how.clone();
            async move { (handle.target().clone(), handle.shutdown(how).await) }
        });
        join_all(ended).await
    }

    fn joined<P>(&self, mut builder: DriverBuilder<P>) -> DriverBuilder<P> {
        builder.parts.share = Some(self.share.clone());
        builder
    }

    fn remember(&self, handle: Handle) -> Handle {
        self.rollouts().insert(handle.target().clone(), handle.clone());
        handle
    }

    fn rollouts(&self) -> MutexGuard<'_, BTreeMap<Target, Handle>> {
        // Every change is one insertion: a panic leaves nothing half done.
        self.rollouts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Holds what the rollouts of a fleet share.
#[derive(Clone, Debug)]
pub(super) struct Share {
    queries: u32,
    slots: Arc<Mutex<BTreeMap<SourceName, Slots>>>,
    /// How many raises may be under way.
    pub(super) raises: Arc<Semaphore>,
}

impl Share {
    pub(super) fn slots(&self, source: &SourceName) -> Slots {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.entry(source.clone()).or_insert_with(|| Slots::new(self.queries)).clone()
    }
}
