//! Keeps the looks of many rollouts apart that begin together.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::value::RolloutId;

/// Gives a rollout's looks at the metrics a moment of their own among those of its fleet; clones are the same one.
///
/// The next look is counted from the raise before it, so one wait sets a rollout apart for good, and what turns bad
/// later is seen without any: the first raise waits, or the looks that come before it.
#[derive(Clone, Debug, Default)]
pub(super) struct Apart {
    /// How long is waited, in thousandths of the time that there is.
    share: u32,
    looked: Arc<AtomicBool>,
    raised: Arc<AtomicBool>,
}

impl Apart {
    /// Gives a rollout up to half the time that a call may take.
    pub(super) fn of(rollout: &RolloutId) -> Self {
        let mut hasher = DefaultHasher::new();
        rollout.hash(&mut hasher);
        let share = u32::try_from(hasher.finish() % 500).unwrap_or(0);
        Self { share, ..Self::default() }
    }

    /// Waits, unless a raise did.
    pub(super) async fn before_a_look(&self, time: Duration) {
        if self.raised.load(Ordering::Relaxed) {
            return;
        }
        self.looked.store(true, Ordering::Relaxed);
        self.wait(time).await;
    }

    /// Waits where this is the first raise, and no look did.
    pub(super) async fn before_a_raise(&self, time: Duration) {
        let first = !self.raised.swap(true, Ordering::Relaxed);
        if first && !self.looked.load(Ordering::Relaxed) {
            self.wait(time).await;
        }
    }

    async fn wait(&self, time: Duration) {
        if self.share > 0 {
            tokio::time::sleep(time * self.share / 1000).await;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

    use tokio::time::Instant;

    use super::*;

    const TIME: Duration = Duration::from_secs(10);

    /// Returns one of a fleet that waits, and for how long.
    fn waiting() -> (Apart, Duration) {
        let apart = Apart::of(&"shop-42".parse().unwrap());
        let waits = TIME * apart.share / 1000;
        assert!(Duration::ZERO < waits && waits < TIME / 2);
        (apart, waits)
    }

    async fn took(work: impl Future<Output = ()>) -> Duration {
        #[expect(clippy::disallowed_methods, reason = "the clock is paused")]
        let begin = Instant::now();
        work.await;
        begin.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_raise_waits_and_nothing_after_it() {
        let (apart, waits) = waiting();
        assert_eq!(took(apart.before_a_raise(TIME)).await, waits);
        assert_eq!(took(apart.before_a_look(TIME)).await, Duration::ZERO);
        assert_eq!(took(apart.clone().before_a_raise(TIME)).await, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn looks_wait_until_a_raise_which_need_not() {
        let (apart, waits) = waiting();
        assert_eq!(took(apart.before_a_look(TIME)).await, waits);
        assert_eq!(took(apart.before_a_look(TIME)).await, waits);
        assert_eq!(took(apart.before_a_raise(TIME)).await, Duration::ZERO);
        assert_eq!(took(apart.before_a_look(TIME)).await, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn one_without_a_fleet_waits_for_nobody() {
        let apart = Apart::default();
        assert_eq!(took(apart.before_a_look(TIME)).await, Duration::ZERO);
        assert_eq!(took(apart.before_a_raise(TIME)).await, Duration::ZERO);
    }
}
