//! What runs the two made-up versions.

use std::time::Duration;

use crate::policy::How;
use crate::ports::{Capacity, Progress, Readiness};
use crate::value::{BySide, Failure, FailureKind, IntoDuration, Side, Timestamp, Weight};

/// How long a pod that crashes again and again is up, and how often it starts.
const UP: Duration = Duration::from_secs(20);
const STARTS_EVERY: Duration = Duration::from_secs(60);

/// Says how soon the versions of a simulated rollout become ready.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct SimulatedWorkload {
    canary: Canary,
    ready_after: Duration,
    replaced_after: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Canary {
    BecomesReady,
    NeverReady,
    CrashLooping,
    Missing,
}

impl SimulatedWorkload {
    /// A canary that is ready for each weight this long after it is asked to be; stable is replaced at once.
    ///
    /// # Panics
    /// If a text is no span of time.
    #[track_caller]
    pub fn ready_after(time: impl IntoDuration) -> Self {
        Self::with(Canary::BecomesReady, time.into_duration())
    }

    /// A canary that never becomes ready.
    pub const fn never_ready() -> Self {
        Self::with(Canary::NeverReady, Duration::ZERO)
    }

    /// A canary that is ready for 20 s of each minute and then crashes.
    pub const fn crash_looping() -> Self {
        Self::with(Canary::CrashLooping, Duration::ZERO)
    }

    /// A canary whose image does not exist.
    pub const fn missing() -> Self {
        Self::with(Canary::Missing, Duration::ZERO)
    }

    const fn with(canary: Canary, ready_after: Duration) -> Self {
        Self { canary, ready_after, replaced_after: Duration::ZERO }
    }

    /// Sets how long it takes to replace stable in place, or to bring the old version back.
    ///
    /// # Panics
    /// If a text is no span of time.
    #[track_caller]
    pub fn replaced_after(mut self, time: impl IntoDuration) -> Self {
        self.replaced_after = time.into_duration();
        self
    }
}

/// Follows what runs.
#[derive(Clone, Debug)]
pub(super) struct Running {
    plan: SimulatedWorkload,
    /// What the canary was asked to be ready for, since when, and what it was ready for before.
    wanted: Option<(Weight, Timestamp, Option<Weight>)>,
    /// The version that stable was last asked to run, and from when on it is ready.
    stable: (Version, Timestamp),
    retired: BySide<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    Old,
    New,
}

impl Running {
    pub(super) const fn new(plan: SimulatedWorkload) -> Self {
        Self {
            plan,
            wanted: None,
            stable: (Version::Old, Timestamp::EPOCH),
            retired: BySide { stable: false, canary: false },
        }
    }

    pub(super) fn prepare(
        &mut self,
        wanted: Capacity,
        now: Timestamp,
    ) -> Result<Readiness, Failure> {
        if self.plan.canary == Canary::Missing {
            return Err(Failure::new(FailureKind::Invalid, "the canary's image does not exist"));
        }
        if self.wanted.is_none_or(|(weight, ..)| weight != wanted.weight) {
            self.wanted = Some((wanted.weight, now, self.ready_for(now)));
        }
        self.retired.canary = false;
        Ok(match self.ready_for(now) {
            Some(weight) if weight >= wanted.weight => Readiness::ready_for(weight),
            ready => {
                let why = match self.plan.canary {
                    Canary::CrashLooping => "the canary crashes again and again",
                    _ => "the canary's pods are starting",
                };
                let mut readiness = Readiness::waiting(why);
                readiness.ready_for = ready;
                readiness
            }
        })
    }

    /// Returns the weight that the canary is ready for now.
    fn ready_for(&self, now: Timestamp) -> Option<Weight> {
        let (wanted, since, before) = self.wanted?;
        let up = match self.plan.canary {
            Canary::BecomesReady => now.since(since) >= self.plan.ready_after,
            Canary::NeverReady | Canary::Missing => false,
            Canary::CrashLooping => {
                now.as_millis() % crate::value::millis(STARTS_EVERY) < crate::value::millis(UP)
            }
        };
        match self.plan.canary {
            _ if self.retired.canary => None,
            _ if up => Some(wanted.max(before.unwrap_or_default())),
            Canary::CrashLooping => None,
            _ => before.map(|before| before.min(wanted)),
        }
    }

    /// Makes stable run the new version, or the old one again.
    pub(super) fn replace(&mut self, how: How, back: bool, now: Timestamp) -> Progress {
        let version = if back { Version::Old } else { Version::New };
        if how == How::Swap || self.stable.0 == version {
            self.stable.0 = version;
        } else {
            self.stable = (version, now + self.plan.replaced_after);
            self.retired.stable = false;
        }
        if self.stable.1 <= now {
            Progress::Done
        } else {
            Progress::Wait { why: "stable's pods are being replaced".to_owned() }
        }
    }

    pub(super) const fn retire(&mut self, side: Side) -> Progress {
        match side {
            Side::Stable => self.retired.stable = true,
            Side::Canary => self.retired.canary = true,
        }
        Progress::Done
    }

    /// Says what is wrong with giving the canary this share of the traffic now, if anything is.
    pub(super) fn objection(&self, weight: Weight, now: Timestamp) -> Option<String> {
        let stable_up = !self.retired.stable && self.stable.1 <= now;
        let ready = self.ready_for(now);
        if !stable_up && ready.is_none() {
            return Some("both versions are down".to_owned());
        }
        if !stable_up && weight != Weight::FULL {
            return Some(format!("stable has {} of the traffic and is down", rest(weight)));
        }
        match ready {
            Some(ready) if ready < weight => {
                Some(format!("the canary has {weight} and is ready for {ready}"))
            }
            None if weight > Weight::ZERO => {
                Some(format!("the canary has {weight} and is not ready"))
            }
            _ => None,
        }
    }
}

fn rest(weight: Weight) -> Weight {
    Weight::from_basis_points(weight.rest()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(1_000 * seconds)
    }

    fn percent(percent: u8) -> Capacity {
        Capacity::new(Weight::percent(percent), None)
    }

    #[test]
    fn a_canary_says_what_it_is_ready_for() {
        let mut running = Running::new(SimulatedWorkload::ready_after("90s"));
        let waits = running.prepare(percent(10), at(0)).unwrap();
        assert_eq!(waits, Readiness::waiting("the canary's pods are starting"));
        let ready = Readiness::ready_for(Weight::percent(10));
        assert_eq!(running.prepare(percent(10), at(90)).unwrap(), ready);
        // While it grows it is ready for what it was ready for.
        let grows = running.prepare(percent(50), at(100)).unwrap();
        assert_eq!(
            (grows.ready_for, &*grows.why),
            (ready.ready_for, "the canary's pods are starting")
        );
    }

    #[test]
    fn a_canary_that_crashes_is_up_for_a_third_of_each_minute() {
        let mut running = Running::new(SimulatedWorkload::crash_looping());
        let mut up = |ms| {
            let ready = running.prepare(percent(10), Timestamp::from_millis(ms)).unwrap();
            ready.ready_for.is_some()
        };
        assert_eq!(
            [0, 19_999, 20_000, 59_999, 60_000].map(&mut up),
            [true, true, false, false, true]
        );
    }

    #[test]
    fn stable_is_down_while_it_is_replaced() {
        let plan = SimulatedWorkload::ready_after("0s").replaced_after("2m");
        let mut running = Running::new(plan);
        running.prepare(Capacity::new(Weight::FULL, None), at(0)).unwrap();
        for (now, done, objects) in [(200, false, true), (319, false, true), (320, true, false)] {
            let progress = running.replace(How::InPlace, false, at(now));
            assert_eq!(progress == Progress::Done, done, "{now}");
            assert_eq!(running.objection(Weight::percent(50), at(now)).is_some(), objects, "{now}");
            assert_eq!(running.objection(Weight::FULL, at(now)), None, "{now}");
        }
    }
}
