//! Several replicas of a program share what there is to do.

#[cfg(feature = "driver")]
mod fleet;
mod leader;
mod lease;
mod shards;

use std::collections::BTreeMap;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

use async_trait::async_trait;
use canary_core::value::Target;
use kube::Client;
use tokio::sync::watch;
use tokio::time::Instant;

use self::leader::Leader;
use self::lease::Leases;

#[cfg(feature = "driver")]
pub use fleet::FleetDuty;
pub use shards::Shards;

/// Says what it means to lead a shard.
#[async_trait]
pub trait Duty: Send + Sync {
    /// Takes up what there is to do in a shard that is led from now on.
    ///
    /// It is dropped midway when the shard is lost. It runs in the task that renews the Leases: whatever it does between
    /// two `.await` must be short.
    async fn take_up(&self, shard: u32);

    /// Stops everything that is done in a shard, at once and without waiting, since somebody else may do it soon.
    ///
    /// To be correct: when it returns, nothing more is begun.
    fn put_down(&self, shard: u32);

    /// Stops in order what is done in a shard, whose Lease is given back afterwards; unless said, as
    /// [`put_down`](Self::put_down) does.
    ///
    /// It is dropped midway if it takes longer than the Lease still lasts; [`put_down`](Self::put_down) follows in any
    /// case.
    async fn hand_over(&self, shard: u32) {
        self.put_down(shard);
    }
}

/// Leads shards of what there is to do, each held by one replica at a time with a Lease (`coordination.k8s.io/v1`).
///
/// # What it guarantees
/// - Of two replicas that want a shard the API server lets one write itself down: every write is conditional on the
///   Lease's resource version.
/// - A holder renews each fifth of the Lease's duration. It puts a shard down, with [`Duty::put_down`], when three
///   quarters of the duration have passed on its own monotonic clock since *before* it sent the last renewal that was
///   answered. Another replica takes a shard only when it has itself seen the Lease unchanged for the whole duration, on
///   its own clock. So clocks may differ by any amount, and need only run about equally fast: a quarter of the duration
///   lies between the two.
/// - A shard is put down at once where its Lease is seen to be somebody else's or gone.
/// - Dropping what [`lead`](Self::lead) returns puts everything down, too.
///
/// What no Lease can guarantee: a process that is frozen past its Lease's end learns of that only when it wakes, and a
/// request may be on its way for any time. That is what the rollout's own marks are for: it asks its store before each
/// raise, and the [fence](crate::FENCE) refuses what comes too late.
///
/// Each replica takes up half of the free shards at a time, beginning at a place of its own, so that replicas that start
/// together share about equally; those of a replica that has died are taken at once. What is held is not given away to
/// one that comes later.
pub struct Leadership {
    leases: Leases,
    shards: Shards,
    duration: Duration,
    /// Until when each shard is led, as long as nothing is renewed.
    led: watch::Sender<BTreeMap<u32, Instant>>,
}

impl fmt::Debug for Leadership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { shards, duration, .. } = self;
        let mut shown = f.debug_struct("Leadership");
        shown.field("holder", &self.leases.holder()).field("shards", shards);
        shown.field("duration", duration).finish_non_exhaustive()
    }
}

impl Leadership {
    /// Joins a group of replicas, whose Leases `GROUP-shard-N` are in this namespace.
    ///
    /// `replica` names this process in the Leases for people to read, such as its pod's name; something random is added,
    /// so it need not be unique. A Lease lasts for 15 seconds.
    #[must_use]
    pub fn new(
        client: Client,
        namespace: &str,
        group: impl Into<String>,
        replica: &str,
        shards: Shards,
    ) -> Self {
        Self::lasting(client, namespace, group, replica, shards, 15)
    }

    /// Joins as [`new`](Self::new) does, with Leases that last for so many seconds, at least one.
    ///
    /// The shorter, the sooner somebody goes on with what a dead replica did, and the more calls: five renewals for each
    /// shard in each duration.
    #[must_use]
    pub fn lasting(
        client: Client,
        namespace: &str,
        group: impl Into<String>,
        replica: &str,
        shards: Shards,
        seconds: u16,
    ) -> Self {
        let duration = Duration::from_secs(seconds.max(1).into());
        let holder = format!("{replica}_{:016x}", RandomState::new().build_hasher().finish());
        // No call outlasts a round, so that another try comes before the shard must be put down.
        let patience = leader::round(duration);
        let leases = Leases::new(client, namespace, group.into(), holder, duration, patience);
        Self { leases, shards, duration, led: watch::Sender::default() }
    }

    /// Returns how targets are divided.
    #[must_use]
    pub const fn shards(&self) -> Shards {
        self.shards
    }

    /// Tells whether this replica leads the shard of a target now, and by its own clock may go on to.
    #[must_use]
    pub fn leads(&self, target: &Target) -> bool {
        self.led.borrow().get(&self.shards.of(target)).is_some_and(|until| now() < *until)
    }

    /// Returns the shards that are led, each with the moment until which that holds if nothing is renewed.
    #[must_use]
    pub fn led(&self) -> watch::Receiver<BTreeMap<u32, Instant>> {
        self.led.subscribe()
    }

    /// Leads whatever shards it can until this is done, then hands them over and gives the Leases back.
    ///
    /// # Cancel safety
    /// Dropped, it puts every shard down and gives nothing back: others wait until the Leases end.
    pub async fn lead(&self, duty: &dyn Duty, until: impl Future<Output = ()>) {
        let mut leader = Leader::new(self, duty);
        tokio::select! {
            biased;
            () = until => {}
            () = leader.run() => {}
        }
        leader.give_back().await;
    }
}

/// Reads the clock that Leases are measured by.
#[expect(clippy::disallowed_methods, reason = "a Lease ends on its holder's own clock")]
fn now() -> Instant {
    Instant::now()
}
