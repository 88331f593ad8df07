//! Looks at the route every now and then, so that what others do to it is noticed.

use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};

use super::Clock;
use crate::ports::{Call, TrafficRouter};
use crate::rollout::{Event, Rollout};
use crate::value::EffectId;

/// How long the router may take for a look.
const PATIENCE: Duration = Duration::from_secs(10);

/// Says when the route is next looked at.
#[derive(Debug)]
pub(super) struct Looks {
    every: Duration,
    /// `None` while one is under way.
    next: Option<Instant>,
}

impl Looks {
    pub(super) const fn every(every: Duration) -> Self {
        Self { every, next: None }
    }

    /// Plans the next look.
    pub(super) fn plan(&mut self, now: Instant) {
        self.next = Some(now + self.every);
    }

    /// Waits until it is time for a look, which is then under way.
    ///
    /// # Cancel safety
    /// The future may be dropped at any time; the look is still due.
    pub(super) async fn due(&mut self) {
        match self.next {
            Some(next) => sleep_until(next).await,
            None => std::future::pending().await,
        }
        self.next = None;
    }
}

/// Makes the call of a look, which is none of the machine's.
pub(super) fn call(rollout: &Rollout, clock: Clock) -> Call {
    let now = clock.now();
    let id = EffectId::new(0);
    Call::new(rollout.id().clone(), rollout.epoch(), id, 1, now, now + PATIENCE)
}

/// Looks at the route; `None` where that fails, since the next look comes soon.
pub(super) async fn look(router: &dyn TrafficRouter, call: &Call) -> Option<Event> {
    let observed = timeout(PATIENCE, router.observe(call)).await.ok()?.ok()?;
    Some(Event::Observed { observed, began: call.made })
}
