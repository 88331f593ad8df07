//! A router without a mesh: the share of the pods is the share of the traffic.

use std::cmp::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use canary_core::ports::{Applied, Call, Capabilities, Observed, PortError, TrafficRouter};
use canary_core::value::{FailureKind, RolloutId, Traffic, Version, Weight};
use kube::Client;
use serde::{Deserialize, Serialize};

use crate::fence::{Fence, Standing, compare, rollout_of};
use crate::object::{Object, until_deadline};
use crate::route::{TRIES, check_able};
use crate::selector::RouteKind;
use crate::split::invalid;

mod half;

use half::{Half, strange_version};

/// Is what [`ReplicaRatio`] writes to, as [`Permissions::route`](crate::Permissions::route) wants to know it.
pub const DEPLOYMENT: RouteKind = RouteKind {
    group: "apps",
    version: "v1",
    kind: "Deployment",
    plural: "deployments",
    rules: "",
    entries: "",
    default_weight: 0,
};

/// How long it waits before it looks at the pods again.
const PAUSE: Duration = Duration::from_millis(250);

/// Shifts traffic by the sizes of two Deployments whose pods stand behind one Service: no mesh is needed.
///
/// Both are there before the rollout, stable with all replicas and the canary with none; together they have so many
/// all the while. A weight is held exactly or not at all: of four replicas by quarters.
///
/// # What it guarantees
/// - Three quarters of the replicas stay ready while it moves, where so many were: the side that shrinks waits for the
///   other's pods. A raise waits until all of its step can be done, and fails at its deadline, the stable side as it was. A lowering
///   goes as far as it can, which makes room for stable's pods, and waits for the rest.
/// - Each Deployment carries the [fence](crate::FENCE), and each write tests it, and a raise the old size too, as
///   [`RouteWeights`](crate::RouteWeights) does with a route. Where no fence is there yet, it tests the resource version, which the
///   Deployment's own controller moves, too.
/// - Nothing but `spec.replicas` and the fence is written.
///
/// An autoscaler on one of the two would undo what it does.
#[derive(Clone, Debug)]
pub struct ReplicaRatio {
    stable: Object,
    canary: Object,
    replicas: u32,
}

impl ReplicaRatio {
    /// Routes by these two Deployments, with so many replicas together; nothing is read yet.
    #[must_use]
    pub fn new(
        client: Client,
        namespace: &str,
        stable: impl Into<String>,
        canary: impl Into<String>,
        replicas: u32,
    ) -> Self {
        let object = |client, name| Object::new(client, DEPLOYMENT, namespace.to_owned(), name);
        let stable = object(client.clone(), stable.into());
        Self { stable, canary: object(client, canary.into()), replicas }
    }

    async fn look(&self) -> Result<Pair, PortError> {
        let (stable, canary) =
            futures::future::try_join(self.half(&self.stable), self.half(&self.canary)).await?;
        Ok(Pair { stable, canary })
    }

    async fn half(&self, object: &Object) -> Result<Half, PortError> {
        let seen = object.get().await.and_then(|seen| Half::of(&seen));
        seen.map_err(|error| error.about(object))
    }

    /// Changes one, as far as it is as it was seen.
    async fn patch(&self, object: &Object, patch: json_patch::Patch) -> Result<Half, PortError> {
        let patched = object.patch(patch).await.and_then(|now| Half::of(&now));
        patched.map_err(|error| error.about(object))
    }

    /// Returns how many replicas a weight is.
    fn count(&self, weight: Weight) -> Result<u32, PortError> {
        let full = u64::from(Weight::FULL.basis_points());
        let parts = u64::from(weight.basis_points()) * u64::from(self.replicas);
        let count = parts.is_multiple_of(full).then(|| u32::try_from(parts / full).ok()).flatten();
        count.ok_or_else(|| invalid(format!("{weight} of {} replicas is no number", self.replicas)))
    }

    /// Returns how many replicas have to stay ready: three quarters, where so many are.
    fn needed(&self, stable: &Half, canary: &Half) -> u32 {
        (self.replicas - self.replicas / 4).min(stable.ready.saturating_add(canary.ready))
    }

    /// Grows the canary, waits for its pods, and shrinks stable.
    async fn raise(&self, call: &Call, asked: u32, seen: Pair) -> Result<Pair, PortError> {
        seen.stable.check_raise(call)?;
        seen.canary.check_raise(call)?;
        let fence = Fence::of(call).to_string();
        self.patch(&self.canary, seen.canary.resize(asked, &fence)).await?;
        let rest = self.replicas.saturating_sub(asked);
        let mut looks = looks(call);
        loop {
            let Pair { stable, canary } = self.look().await?;
            canary.check_raise(call)?;
            if stable.ready.min(rest) + canary.ready.min(asked) >= self.needed(&stable, &canary) {
                let stable = self.patch(&self.stable, seen.stable.resize(rest, &fence)).await?;
                return Ok(Pair { stable, canary });
            }
            if !looks.next().await {
                return Err(waits("the canary", canary.ready, asked, "stable"));
            }
        }
    }

    /// Grows stable, and shrinks the canary as stable's pods get ready.
    async fn lower(&self, call: &Call, asked: u32) -> Result<Pair, PortError> {
        let fence = Fence::of(call).to_string();
        let rest = self.replicas.saturating_sub(asked);
        // More than that is somebody's who wants it so.
        let grown = |stable: &Half| if asked == 0 { stable.replicas.max(rest) } else { rest };
        let mut looks = looks(call);
        loop {
            let stable = self.move_on(&self.stable, call, &fence, grown).await?;
            let shrunk = |canary: &Half| {
                let needed = self.needed(&stable, canary).saturating_sub(stable.ready.min(rest));
                canary.replicas.min(needed.max(asked))
            };
            let canary = self.move_on(&self.canary, call, &fence, shrunk).await?;
            if canary.replicas <= asked {
                return Ok(Pair { stable, canary });
            }
            if !looks.next().await {
                return Err(waits("stable", stable.ready, rest, "the canary"));
            }
        }
    }

    /// Gives one a size that depends on the size it has, against whoever writes in between.
    async fn move_on(
        &self,
        object: &Object,
        call: &Call,
        fence: &str,
        size: impl Fn(&Half) -> u32,
    ) -> Result<Half, PortError> {
        let moved = |seen: &Half| {
            let size = size(seen);
            let is_so = size == seen.replicas && seen.fence.as_deref() == Some(fence);
            (!is_so).then(|| seen.resize_whatever_its_size(size, fence))
        };
        self.change(object, call, moved).await
    }

    async fn remove_fence(&self, object: &Object, call: &Call) -> Result<(), PortError> {
        let ours = |fence: &String| Standing::of(call, fence) == Standing::Ours;
        let released = |seen: &Half| seen.fence.as_ref().is_some_and(ours).then(|| seen.release());
        self.change(object, call, released).await.map(drop)
    }

    /// Changes one as it is, unless nothing is left to change; tried a few times against whoever writes in between.
    async fn change(
        &self,
        object: &Object,
        call: &Call,
        patch: impl Fn(&Half) -> Option<json_patch::Patch>,
    ) -> Result<Half, PortError> {
        let mut tries = TRIES;
        loop {
            tries -= 1;
            let seen = self.half(object).await?;
            seen.check_order(call)?;
            let Some(patch) = patch(&seen) else { return Ok(seen) };
            match self.patch(object, patch).await {
                Err(error) if error.kind() == FailureKind::Conflict && tries > 0 => {}
                answer => return answer,
            }
        }
    }
}

#[async_trait]
impl TrafficRouter for ReplicaRatio {
    fn capabilities(&self) -> Capabilities {
        let full = u32::from(Weight::FULL.basis_points());
        let parts = greatest_common_divisor(full, self.replicas);
        let step = u16::try_from(full / parts).ok();
        let mut can = Capabilities::default();
        can.resolution =
            step.and_then(|step| Weight::from_basis_points(step).ok()).unwrap_or(Weight::FULL);
        can
    }

    async fn observe(&self, call: &Call) -> Result<Observed, PortError> {
        until_deadline(call, async {
            let seen = self.look().await?;
            Ok(Observed::new(Traffic::to_canary(seen.weight(self.replicas)), seen.version()?))
        })
        .await
    }

    async fn holder(&self, call: &Call) -> Result<Option<RolloutId>, PortError> {
        let seen = until_deadline(call, self.look()).await?;
        let fences = [seen.stable.fence, seen.canary.fence];
        Ok(fences.into_iter().flatten().find_map(|fence| rollout_of(&fence)))
    }

    async fn apply(
        &self,
        call: &Call,
        traffic: &Traffic,
        at: Option<&Version>,
    ) -> Result<Applied, PortError> {
        check_able(traffic, &self.capabilities())?;
        let asked = self.count(traffic.canary)?;
        until_deadline(call, async {
            let pair = match at {
                Some(version) => {
                    let seen = serde_json::from_str(version.as_str()).map_err(strange_version)?;
                    self.raise(call, asked, seen).await?
                }
                None => {
                    let seen = self.look().await?;
                    seen.stable.check_order(call)?;
                    seen.canary.check_order(call)?;
                    let now = seen.weight(self.replicas);
                    if now < traffic.canary {
                        let asked = traffic.canary;
                        let what = format!(
                            "the canary has {now}: to give it {asked} is a raise, and needs a version"
                        );
                        return Err(PortError::new(FailureKind::Conflict, what));
                    }
                    self.lower(call, asked).await?
                }
            };
            Ok(Applied::accepted(traffic.clone(), pair.version()?))
        })
        .await
    }

    async fn release(&self, call: &Call) -> Result<(), PortError> {
        until_deadline(call, async {
            self.remove_fence(&self.canary, call).await?;
            self.remove_fence(&self.stable, call).await
        })
        .await
    }
}

/// Holds both as they were seen; as JSON it is a [`Version`] of this router.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Pair {
    stable: Half,
    canary: Half,
}

impl Pair {
    /// Returns the canary's share of the pods.
    ///
    /// Where a write has changed one side only, it is what it was before: the other side's pods are not there yet, or still are.
    fn weight(&self, replicas: u32) -> Weight {
        let (stable, canary) = (self.stable.replicas, self.canary.replicas);
        let fences = self.canary.fence.as_deref().zip(self.stable.fence.as_deref());
        match fences.and_then(|(canary, stable)| compare(canary, stable)) {
            Some(Ordering::Greater) => share(replicas.saturating_sub(stable), replicas),
            Some(Ordering::Less) => share(canary, replicas),
            Some(Ordering::Equal) | None => share(canary, stable.saturating_add(canary)),
        }
    }

    fn version(&self) -> Result<Version, PortError> {
        let text = serde_json::to_string(self).map_err(|error| {
            PortError::new(FailureKind::Internal, "a version cannot be written").with_source(error)
        })?;
        Ok(Version::new(text))
    }
}

fn share(part: u32, whole: u32) -> Weight {
    let full = u64::from(Weight::FULL.basis_points());
    let points = (u64::from(part) * full).checked_div(u64::from(whole)).unwrap_or(0);
    let points = u16::try_from(points).ok();
    points.and_then(|points| Weight::from_basis_points(points).ok()).unwrap_or(Weight::FULL)
}

const fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

fn waits(grows: &str, ready: u32, of: u32, shrinks: &str) -> PortError {
    let what =
        format!("{ready} of {of} pods of {grows} are ready: {shrinks} keeps some of its own");
    PortError::new(FailureKind::Unavailable, what)
}

/// Counts looks at the pods, a pause before each, until the caller will not wait much longer.
struct Looks(u128);

fn looks(call: &Call) -> Looks {
    let patience = call.deadline.since(call.made);
    // The last fifth is for the requests themselves.
    Looks(patience.as_millis() * 4 / 5 / PAUSE.as_millis())
}

impl Looks {
    async fn next(&mut self) -> bool {
        let more = self.0 > 0;
        if more {
            self.0 -= 1;
            tokio::time::sleep(PAUSE).await;
        }
        more
    }
}
