//! A weighted split between two versions, as a [`TrafficRouter`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use canary_core::driver::Clock;
use canary_core::ports::{Applied, Call, Capabilities, Observed, PortError, TrafficRouter};
use canary_core::value::{
    BySide, EffectId, Epoch, FailureKind, RolloutId, Side, Timestamp, Traffic, Version, Weight,
};

/// Picks a side for each request, as a rollout says.
///
/// Picking and applying take the same lock, so each pick lies before or after each change of the
/// weight, and its number says which: after [`apply`](TrafficRouter::apply) returned `Ok`, every pick follows
/// the new weight. Clones share one split.
#[derive(Clone, Debug)]
pub struct Split {
    clock: Clock,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    traffic: Traffic,
    /// Moves on with every accepted call, also with one that changes nothing: an abort that finds the
    /// canary at 0 must still turn away the raise that was on its way.
    version: u64,
    /// The newest accepted call of each rollout.
    newest: BTreeMap<RolloutId, (Epoch, EffectId, u32)>,
    /// What the canary is owed, in basis points of a request; below 10 000.
    owed: u16,
    picked: BySide<u64>,
    changed: Change,
}

#[derive(Debug)]
struct Change {
    at: Timestamp,
    picked: BySide<u64>,
}

/// One picked side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pick {
    /// The side that gets the request.
    pub side: Side,
    /// Counts the picks from 1.
    pub number: u64,
}

/// Tells how a split stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Standing {
    /// The weight as last accepted.
    pub weight: Weight,
    /// When that weight was accepted.
    pub since: Timestamp,
    /// The number of the last pick that followed the weight before it.
    pub last_pick_before: u64,
    /// What was picked under this weight.
    pub picked: BySide<u64>,
}

impl Standing {
    /// Returns the share of the canary among the picks under this weight; `None` without any.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a share needs no 53 bits")]
    pub fn canary_share(&self) -> Option<f64> {
        let all = self.picked.stable + self.picked.canary;
        (all > 0).then(|| self.picked.canary as f64 / all as f64)
    }
}

impl Split {
    /// Starts with everything on stable.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        let state = State {
            traffic: Traffic::all_stable(),
            version: 0,
            newest: BTreeMap::new(),
            owed: 0,
            picked: BySide::default(),
            changed: Change { at: clock.now(), picked: BySide::default() },
        };
        Self { clock, state: Arc::new(Mutex::new(state)) }
    }

    /// Picks a side for one request.
    ///
    /// The canary's picks are spread as evenly as whole requests allow: after any number of picks it has
    /// had what the weights gave it, less than one request aside.
    pub fn pick(&self) -> Pick {
        let mut state = self.lock();
        state.owed += state.traffic.canary.basis_points();
        let side = if state.owed >= Weight::FULL.basis_points() {
            state.owed -= Weight::FULL.basis_points();
            state.picked.canary += 1;
            Side::Canary
        } else {
            state.picked.stable += 1;
            Side::Stable
        };
        Pick { side, number: state.picks() }
    }

    /// Returns how the split stands.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let state = self.lock();
        let before = state.changed.picked;
        Standing {
            weight: state.traffic.canary,
            since: state.changed.at,
            last_pick_before: before.stable + before.canary,
            picked: BySide::from_fn(|side| state.picked.get(side) - before.get(side)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code under the lock leaves a half-made change behind.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    const fn picks(&self) -> u64 {
        self.picked.stable + self.picked.canary
    }

    fn version(&self) -> Version {
        Version::new(self.version.to_string())
    }

    /// Refuses what is no longer based on how things stand.
    fn check(&self, call: &Call, traffic: &Traffic, at: Option<&Version>) -> Result<(), PortError> {
        let conflict = |message: String| Err(PortError::new(FailureKind::Conflict, message));
        if let Some(newest) = self.newest.get(&call.rollout)
            && call.order() < *newest
        {
            let why = format!("a later call of {} was accepted", call.rollout);
            return Err(PortError::late(newest.0, why));
        }
        match at {
            Some(at) if *at != self.version() => conflict(format!(
                "based on version {at} of the split, which is at {}",
                self.version
            )),
            None if traffic.canary > self.traffic.canary => conflict(format!(
                "raises the canary from {} to {} without the version that this is based on",
                self.traffic.canary, traffic.canary
            )),
            _ => Ok(()),
        }
    }

    fn accept(&mut self, call: &Call, traffic: &Traffic, now: Timestamp) {
        self.version += 1;
        self.newest.insert(call.rollout.clone(), call.order());
        if self.traffic != *traffic {
            self.traffic = traffic.clone();
            self.changed = Change { at: now, picked: self.picked };
        }
    }
}

#[async_trait]
impl TrafficRouter for Split {
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    async fn observe(&self, _call: &Call) -> Result<Observed, PortError> {
        let state = self.lock();
        Ok(Observed::new(state.traffic.clone(), state.version()))
    }

    async fn apply(
        &self,
        call: &Call,
        traffic: &Traffic,
        at: Option<&Version>,
    ) -> Result<Applied, PortError> {
        let mut state = self.lock();
        state.check(call, traffic, at)?;
        state.accept(call, traffic, self.clock.now());
        Ok(Applied::effective(state.traffic.clone(), state.version()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn split() -> Split {
        Split::new(Clock::system())
    }

    fn call(id: u64) -> Call {
        let made = Timestamp::EPOCH;
        Call::new(
            "test".parse().unwrap(),
            Epoch::new(1),
            EffectId::new(id),
            1,
            made,
            made + Duration::from_secs(1),
        )
    }

    fn run<T>(future: impl Future<Output = T>) -> T {
        futures::executor::block_on(future)
    }

    fn raise(split: &Split, id: u64, weight: Weight) -> Result<Applied, PortError> {
        run(async {
            let at = split.observe(&call(id)).await?.version;
            let traffic = Traffic::to_canary(weight);
            split.apply(&call(id), &traffic, Some(&at)).await
        })
    }

    fn pick(split: &Split, times: u64) {
        for _ in 0..times {
            split.pick();
        }
    }

    fn lower(split: &Split, id: u64, weight: Weight) -> Result<Applied, PortError> {
        run(split.apply(&call(id), &Traffic::to_canary(weight), None))
    }

    proptest! {
        #[test]
        fn the_canary_gets_what_the_weights_give_it_less_than_one_request_aside(
            plan in prop::collection::vec((0_u16..=10_000, 0_u64..400), 1..8),
        ) {
            let split = split();
            let (mut due, mut had) = (0.0, 0.0);
            for (id, (basis_points, picks)) in (1..).zip(plan) {
                let weight = Weight::from_basis_points(basis_points).unwrap();
                raise(&split, id, weight).unwrap();
                for _ in 0..picks {
                    due += weight.fraction();
                    had += if split.pick().side == Side::Canary { 1.0 } else { 0.0 };
                    prop_assert!((due - had).abs() < 1.0 + 1e-6, "due {due}, had {had}");
                }
            }
        }

        #[test]
        fn no_pick_goes_to_the_canary_at_zero_and_none_to_stable_at_full(
            before in 0_u16..=10_000, picks in 0_u64..50,
        ) {
            let split = split();
            raise(&split, 1, Weight::from_basis_points(before).unwrap()).unwrap();
            pick(&split, picks);
            lower(&split, 2, Weight::ZERO).unwrap();
            (0..200).for_each(|_| assert_eq!(split.pick().side, Side::Stable));
            raise(&split, 3, Weight::FULL).unwrap();
            (0..200).for_each(|_| assert_eq!(split.pick().side, Side::Canary));
        }
    }

    #[test]
    fn the_standing_counts_from_the_last_change() {
        let split = split();
        pick(&split, 7);
        raise(&split, 1, Weight::percent(50)).unwrap();
        pick(&split, 10);
        raise(&split, 2, Weight::percent(50)).unwrap();
        let standing = split.standing();
        assert_eq!(standing.last_pick_before, 7);
        assert_eq!(standing.picked, BySide { stable: 5, canary: 5 });
        assert_eq!(standing.canary_share(), Some(0.5));
        assert_eq!(split.pick().number, 18);
    }
}

#[cfg(test)]
mod conformance {
    use super::*;

    canary_core::router_conformance!(|| async { Split::new(Clock::system()) });
}
