//! How fast Events are written.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Lets so many pass at once, and one in each interval in the long run.
pub(super) struct Rate {
    each: Duration,
    burst: Duration,
    /// When all that has passed would have, one in each interval.
    paid: Instant,
}

impl Rate {
    pub(super) fn new(burst: u32, each: Duration) -> Self {
        Self { each, burst: each * burst.saturating_sub(1), paid: now() }
    }

    /// Waits until the next one may pass.
    pub(super) async fn wait(&mut self) {
        self.paid = self.paid.max(now());
        sleep_until(self.paid.checked_sub(self.burst).unwrap_or(self.paid)).await;
        self.paid += self.each;
    }
}

#[expect(clippy::disallowed_methods, reason = "a rate is a matter of real time")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn so_many_pass_at_once_and_then_one_in_each_interval() {
        let second = Duration::from_secs(1);
        let mut rate = Rate::new(3, second);
        let start = now();
        let mut passed = Vec::new();
        for _ in 0..5 {
            rate.wait().await;
            passed.push((now() - start).as_secs());
        }
        assert_eq!(passed, [0, 0, 0, 1, 2]);
        tokio::time::advance(10 * second).await;
        let start = now();
        for _ in 0..3 {
            rate.wait().await;
        }
        assert_eq!(now() - start, Duration::ZERO, "what was saved up is no more than so many");
        rate.wait().await;
        assert_eq!((now() - start).as_secs(), 1);
    }
}
