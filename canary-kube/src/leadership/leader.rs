//! The loop that takes, renews and puts down.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use canary_core::ports::PortError;
use canary_core::value::FailureKind;
use futures::future::{AbortHandle, BoxFuture, abortable, join_all};
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::lease::{Leases, Seen};
use super::{Duty, Leadership, now};
use crate::hash::stable;

/// Returns how often Leases are renewed and looked at.
pub(super) fn round(duration: Duration) -> Duration {
    duration / 5
}

/// Returns when a shard is put down whose last renewal was sent at this moment.
fn deadline(sent: Instant, duration: Duration) -> Instant {
    sent + duration * 3 / 4
}

/// Leads for as long as it lives.
pub(super) struct Leader<'a> {
    leadership: &'a Leadership,
    duty: &'a dyn Duty,
    held: BTreeMap<u32, Held>,
    /// The Leases that somebody else has, and since when each has been seen as it is.
    watched: BTreeMap<u32, (Seen, Instant)>,
    taking: BTreeSet<u32>,
    listing: bool,
    calls: FuturesUnordered<BoxFuture<'a, Answered>>,
    /// What is taken up.
    work: FuturesUnordered<BoxFuture<'a, ()>>,
    next_round: Instant,
}

/// A shard that is led.
struct Held {
    seen: Seen,
    until: Instant,
    renewing: bool,
    taking_up: AbortHandle,
}

/// What the API server said.
enum Answered {
    Listed(Result<BTreeMap<u32, Seen>, PortError>),
    Taken { shard: u32, sent: Instant, result: Result<Seen, PortError> },
    Renewed { shard: u32, sent: Instant, result: Result<Seen, PortError> },
}

impl<'a> Leader<'a> {
    pub(super) fn new(leadership: &'a Leadership, duty: &'a dyn Duty) -> Self {
        Self {
            leadership,
            duty,
            held: BTreeMap::new(),
            watched: BTreeMap::new(),
            taking: BTreeSet::new(),
            listing: false,
            calls: FuturesUnordered::new(),
            work: FuturesUnordered::new(),
            next_round: now(),
        }
    }

    /// Leads without end.
    pub(super) async fn run(&mut self) {
        loop {
            let ends = self.held.values().map(|held| held.until).min();
            let ends = async {
                match ends {
                    Some(ends) => sleep_until(ends).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = ends => self.put_down_what_ended(),
                Some(answered) = self.calls.next() => self.take_in(answered),
                () = sleep_until(self.next_round) => self.begin_round(),
                Some(()) = self.work.next() => {}
            }
        }
    }

    fn put_down_what_ended(&mut self) {
        let now = now();
        let ended = self.held.iter().filter(|(_, held)| held.until <= now);
        for shard in ended.map(|(shard, _)| *shard).collect::<Vec<_>>() {
            self.put_down(shard);
        }
    }

    fn begin_round(&mut self) {
        self.next_round = now() + round(self.leadership.duration);
        for (&shard, held) in self.held.iter_mut().filter(|(_, held)| !held.renewing) {
            held.renewing = true;
            let (leases, seen, sent) = (&self.leadership.leases, held.seen.clone(), now());
            self.calls.push(
                async move {
                    let result = renew(leases, shard, seen).await;
                    Answered::Renewed { shard, sent, result }
                }
                .boxed(),
            );
        }
        let all = self.held.len() == self.leadership.shards.count() as usize;
        if !self.listing && !all {
            self.listing = true;
            let listed = self.leadership.leases.list();
            self.calls.push(listed.map(Answered::Listed).boxed());
        }
    }

    fn take_in(&mut self, answered: Answered) {
        match answered {
            Answered::Listed(listed) => {
                self.listing = false;
                match listed {
                    Ok(leases) => self.take_what_is_free(leases),
                    Err(error) => tracing::warn!(%error, "the Leases cannot be read"),
                }
            }
            Answered::Taken { shard, sent, result } => {
                self.taking.remove(&shard);
                match result {
                    Ok(seen) => self.take_up(shard, sent, seen),
                    // Somebody came first, which the next look shows.
                    Err(error) if error.kind() == FailureKind::Conflict => {}
                    Err(error) => {
                        tracing::warn!(shard, %error, "the shard's Lease cannot be taken")
                    }
                }
            }
            Answered::Renewed { shard, sent, result } => self.renewed(shard, sent, result),
        }
    }

    fn take_what_is_free(&mut self, leases: BTreeMap<u32, Seen>) {
        let now = now();
        let count = self.leadership.shards.count();
        let (mut vacant, mut ended) = (Vec::new(), Vec::new());
        // Not all replicas begin at the same place.
        let first = stable(self.leadership.leases.holder()) % u64::from(count);
        for shard in (0..count).map(|place| ((first + u64::from(place)) % u64::from(count)) as u32)
        {
            if self.held.contains_key(&shard) || self.taking.contains(&shard) {
                continue;
            }
            let Some(seen) = leases.get(&shard) else {
                self.watched.remove(&shard);
                vacant.push(shard);
                continue;
            };
            let (_, since) = match self.watched.remove(&shard) {
                Some(before) if before.0 == *seen => before,
                _ => (seen.clone(), now),
            };
            match &seen.holder {
                // One that was put down here, after a renewal that was answered too late.
                Some(holder) if holder == self.leadership.leases.holder() => ended.push(shard),
                Some(_) if now < since + seen.duration => {}
                Some(_) => ended.push(shard),
                None => vacant.push(shard),
            }
            self.watched.insert(shard, (seen.clone(), since));
        }
        vacant.truncate(vacant.len().div_ceil(2));
        for shard in ended.into_iter().chain(vacant) {
            self.take(shard, leases.get(&shard).cloned());
        }
    }

    fn take(&mut self, shard: u32, at: Option<Seen>) {
        self.taking.insert(shard);
        let (leases, sent) = (&self.leadership.leases, now());
        self.calls.push(
            async move {
                let result = leases.take(shard, at.as_ref()).await;
                Answered::Taken { shard, sent, result }
            }
            .boxed(),
        );
    }

    fn take_up(&mut self, shard: u32, sent: Instant, seen: Seen) {
        let until = deadline(sent, self.leadership.duration);
        if until <= now() {
            return;
        }
        tracing::info!(shard, "the shard is led here");
        self.watched.remove(&shard);
        let (work, taking_up) = abortable(self.duty.take_up(shard));
        self.held.insert(shard, Held { seen, until, renewing: false, taking_up });
        self.leadership.led.send_modify(|led| _ = led.insert(shard, until));
        self.work.push(work.map(drop).boxed());
    }

    fn renewed(&mut self, shard: u32, sent: Instant, result: Result<Seen, PortError>) {
        // It may have been put down meanwhile.
        let Some(held) = self.held.get_mut(&shard) else { return };
        held.renewing = false;
        match result {
            Ok(seen) => {
                held.seen = seen;
                held.until = deadline(sent, self.leadership.duration);
                let until = held.until;
                self.leadership.led.send_modify(|led| _ = led.insert(shard, until));
            }
            Err(error) if matches!(error.kind(), FailureKind::Conflict | FailureKind::NotFound) => {
                self.put_down(shard);
            }
            Err(error) => tracing::warn!(shard, %error, "the shard's Lease cannot be renewed"),
        }
    }

    fn put_down(&mut self, shard: u32) {
        let Some(held) = self.held.remove(&shard) else { return };
        // First, so that nothing is begun that was not there to be stopped.
        self.leadership.led.send_modify(|led| _ = led.remove(&shard));
        held.taking_up.abort();
        tracing::warn!(shard, "the shard is not led here any more");
        self.duty.put_down(shard);
    }

    /// Hands everything over for as long as the Leases last, and gives them back.
    pub(super) async fn give_back(mut self) {
        self.calls.clear();
        self.work.clear();
        self.leadership.led.send_modify(BTreeMap::clear);
        if let Some(ends) = self.held.values().map(|held| held.until).min() {
            let handed_over = join_all(self.held.keys().map(|shard| self.duty.hand_over(*shard)));
            // Whether all were handed over or not: what is left is put down below.
            let _ = timeout_at(ends, handed_over).await;
        }
        let held = std::mem::take(&mut self.held);
        held.keys().for_each(|shard| self.duty.put_down(*shard));
        let leases = &self.leadership.leases;
        let released = held.iter().map(|(shard, held)| leases.release(*shard, &held.seen));
        for error in join_all(released).await.into_iter().filter_map(Result::err) {
            tracing::warn!(%error, "a Lease cannot be given back: others wait until it ends");
        }
    }
}

impl Drop for Leader<'_> {
    fn drop(&mut self) {
        for shard in self.held.keys().copied().collect::<Vec<_>>() {
            self.put_down(shard);
        }
    }
}

/// Renews a Lease; `Conflict` where it is somebody else's.
async fn renew(leases: &Leases, shard: u32, seen: Seen) -> Result<Seen, PortError> {
    let error = match leases.take(shard, Some(&seen)).await {
        Err(error) if error.kind() == FailureKind::Conflict => error,
        renewed => return renewed,
    };
    // A renewal of ours whose answer was lost has changed it, too; so has whoever put a label on it.
    match leases.ours(shard).await? {
        Some(now) => leases.take(shard, Some(&now)).await,
        None => Err(error),
    }
}
