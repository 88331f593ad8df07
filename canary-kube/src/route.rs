//! The router that both meshes share: two weights of one rule of one object.

use async_trait::async_trait;
use canary_core::ports::{Applied, Call, Capabilities, Observed, PortError, TrafficRouter};
use canary_core::value::{FailureKind, Traffic, Version, Weight};
use kube::Client;
use serde_json::Value;

use crate::change::{Change, Seen, claim, fence_of, removal};
use crate::fence::{Fence, Standing, foreign, late};
use crate::object::{Object, until_deadline};
use crate::selector::Selector;
use crate::split::weights;

/// How often one call lowers, or releases, against writers who come in between.
///
/// Of a rollout's own requests only one can still be on its way and land, so that with a fence the second try
/// works. The others are for a route without a fence on an object that somebody writes without pause.
const TRIES: u32 = 6;

/// Shifts the weights of two destinations in one rule of a route object.
///
/// # What it guarantees
/// - A raise is one JSON patch which tests the [fence](crate::FENCE), both destinations and both old weights
///   as they were observed. Where no fence is there yet, or an old weight is not written out, it tests the
///   resource version too. A raise at another rollout's fence is refused.
/// - A lowering reads the object and sends one JSON patch which tests the fence that was read and both
///   destinations, nothing else. Where that fails, it reads again; after a few tries against somebody who
///   writes without pause to an object without a fence, it takes the fence with no condition and goes on. It
///   takes another rollout's fence over.
/// - So once a call was accepted, no earlier call of its rollout changes a weight, whenever its request
///   arrives. The one exception is a lowering that found no fence through all its tries: its unconditional
///   claim may arrive late and move the fence back, after which it can only lower, and the next raise
///   observes again.
/// - Only the two weights and the fence are written, never the whole object.
#[derive(Clone, Debug)]
pub struct RouteWeights {
    object: Object,
    selector: Selector,
}

#[async_trait]
impl TrafficRouter for RouteWeights {
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    async fn observe(&self, call: &Call) -> Result<Observed, PortError> {
        self.about(call, async {
            let object = self.object.get().await?;
            let split = self.selector.find(&object)?;
            let traffic = split.traffic()?;
            Ok(Observed::new(traffic, Seen::of(&object, split.place).version()?))
        })
        .await
    }

    async fn apply(
        &self,
        call: &Call,
        traffic: &Traffic,
        at: Option<&Version>,
    ) -> Result<Applied, PortError> {
        let asked = traffic.canary;
        self.about(call, async {
            match at {
                Some(version) => self.raise(call, asked, version).await,
                None => self.lower(call, asked).await,
            }
        })
        .await
    }

    async fn release(&self, call: &Call) -> Result<(), PortError> {
        self.about(call, self.remove_fence(call)).await
    }
}

impl RouteWeights {
    /// Routes by this object; nothing is read yet.
    #[must_use]
    pub fn new(
        client: Client,
        namespace: impl Into<String>,
        name: impl Into<String>,
        selector: Selector,
    ) -> Self {
        let object = Object::new(client, selector.kind, namespace.into(), name.into());
        Self { object, selector }
    }

    /// Waits until the call's deadline, and says in an error which object it is about.
    async fn about<T>(
        &self,
        call: &Call,
        work: impl Future<Output = Result<T, PortError>> + Send,
    ) -> Result<T, PortError> {
        let answer = until_deadline(call, work).await;
        answer.map_err(|error| error.about(&self.object))
    }

    /// Sets weights on what was observed, in one request.
    async fn raise(&self, call: &Call, asked: Weight, at: &Version) -> Result<Applied, PortError> {
        let seen = Seen::read(at)?;
        if let Some(found) = &seen.fence {
            match Standing::of(call, found) {
                Standing::Ours => {}
                Standing::Late => return Err(late(call, found)),
                Standing::Foreign => return Err(foreign(found)),
            }
        }
        let change = Change {
            selector: &self.selector,
            seen: &seen,
            same_weights: true,
            to: Some(weights(asked)),
            fence: &Fence::of(call).to_string(),
        };
        let object = self.object.patch(change.patch()).await?;
        self.read_back(&object, asked)
    }

    /// Sets weights on what is there now.
    async fn lower(&self, call: &Call, asked: Weight) -> Result<Applied, PortError> {
        let fence = Fence::of(call).to_string();
        let mut tries = TRIES;
        loop {
            tries -= 1;
            let mut object = self.object.get().await?;
            self.check_lowering(call, asked, &object)?;
            if tries == 0 && fence_of(&object).is_none() {
                object = self.object.merge(claim(&fence)).await?;
            }
            match self.lower_from(&object, asked, &fence).await {
                Err(error) if error.kind() == FailureKind::Conflict && tries > 0 => {}
                answer => return answer,
            }
        }
    }

    /// Refuses a lowering that comes too late or would be a raise.
    fn check_lowering(&self, call: &Call, asked: Weight, object: &Value) -> Result<(), PortError> {
        if let Some(found) = fence_of(object)
            && Standing::of(call, found) == Standing::Late
        {
            return Err(late(call, found));
        }
        if asked == Weight::ZERO {
            return Ok(());
        }
        let now = self.selector.find(object)?.traffic()?.canary;
        if now < asked {
            return Err(PortError::new(
                FailureKind::Conflict,
                format!("the canary has {now}: to give it {asked} is a raise, and needs a version"),
            ));
        }
        Ok(())
    }

    async fn lower_from(
        &self,
        object: &Value,
        asked: Weight,
        fence: &str,
    ) -> Result<Applied, PortError> {
        let split = self.selector.find(object)?;
        let to = if split.is(asked) {
            None
        } else if asked == Weight::ZERO {
            Some(split.starving())
        } else {
            Some(weights(asked))
        };
        let change = Change {
            selector: &self.selector,
            seen: &Seen::of(object, split.place),
            same_weights: false,
            to,
            fence,
        };
        let object = self.object.patch(change.patch()).await?;
        self.read_back(&object, asked)
    }

    /// Checks that what came out is what was asked for.
    fn read_back(&self, object: &Value, asked: Weight) -> Result<Applied, PortError> {
        let split = self.selector.find(object)?;
        // To a canary that gets nothing, it does not matter what else has a share.
        let accepted = if asked == Weight::ZERO && split.starves_canary() {
            Traffic::all_stable()
        } else {
            split.traffic()?
        };
        if accepted.canary != asked {
            return Err(PortError::new(
                FailureKind::Conflict,
                format!("the canary was to have {asked}, and has {}", accepted.canary),
            ));
        }
        let version = Seen::of(object, split.place).version()?;
        Ok(Applied::accepted(accepted, version))
    }

    async fn remove_fence(&self, call: &Call) -> Result<(), PortError> {
        let mut tries = TRIES;
        loop {
            tries -= 1;
            let object = self.object.get().await?;
            let Some(found) = fence_of(&object) else {
                return Ok(());
            };
            match Standing::of(call, found) {
                Standing::Ours => {}
                Standing::Late => return Err(late(call, found)),
                // Whoever took the route over moves its own fence.
                Standing::Foreign => return Ok(()),
            }
            match self.object.patch(removal(found)).await {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == FailureKind::Conflict && tries > 0 => {}
                Err(error) => return Err(error),
            }
        }
    }
}
