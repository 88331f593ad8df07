//! The router that both meshes share: two weights, and what goes with them, in rules of one object.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use canary_core::ports::{Applied, Call, Capabilities, Observed, PortError, TrafficRouter};
use canary_core::value::{BySide, FailureKind, RolloutId, Traffic, Version, Weight};
use kube::Client;
use serde_json::Value;

use crate::change::{Change, Same, Seen};
use crate::edit::Edit;
use crate::fence::{Fence, Standing, fence_of, foreign, late, rollout_of};
use crate::form::own_name;
use crate::object::{Object, until_deadline};
use crate::selector::Selector;
use crate::split::{Split, greatest, invalid, weights};
use crate::watch::RouteWatch;

/// How often one call lowers, or releases, against writers who come in between.
///
/// Of a rollout's own requests only one can still be on its way and land, so that with a fence the second try
/// works. The others are for a route without a fence on an object that somebody writes without pause.
pub(crate) const TRIES: u32 = 6;

/// Shifts the traffic between two destinations in one rule of a route object, or in several of its rules together.
///
/// # What it guarantees
/// - A raise is one JSON patch which tests the [fence](crate::FENCE), both destinations and both old weights
///   as they were observed. Where no fence is there yet, or an old weight is not written out, it tests the
///   resource version too. A raise at another rollout's fence is refused.
/// - A raise that writes more than weights (it sends requests by their headers, or copies them) reads the object
///   first. It is refused where anything that matters was observed otherwise, tests the resource version, and
///   tries a few times where others write in between.
/// - A lowering reads the object and sends one JSON patch which tests the fence that was read, both
///   destinations and what it takes away, nothing else. Where that fails, it reads again; after a few tries
///   against somebody who writes without pause to an object without a fence, it takes the fence with no condition
///   and goes on. It takes another rollout's fence over.
/// - So once a call was accepted, no earlier call of its rollout changes the traffic, whenever its request
///   arrives. The one exception is a lowering that found no fence through all its tries: its unconditional
///   claim may arrive late and move the fence back, after which it can only lower, and the next raise
///   observes again.
/// - Only the weights, the fence, a rule of our own and the canary's mirror are written, never the whole object, and
///   what the server's schema does not know of the latter two is refused rather than dropped.
#[derive(Clone, Debug)]
pub struct RouteWeights {
    pub(crate) object: Object,
    pub(crate) selectors: Vec<Selector>,
    mirrors: bool,
    /// Whether controllers write in the object's status what they make of it.
    status: bool,
}

#[async_trait]
impl TrafficRouter for RouteWeights {
    fn capabilities(&self) -> Capabilities {
        let mut can = Capabilities::default();
        let able = self.selectors.iter().all(|selector| selector.form.is_some());
        (can.headers, can.mirror) = (able, able && self.mirrors);
        can
    }

    async fn observe(&self, call: &Call) -> Result<Observed, PortError> {
        self.about(call, async {
            let object = self.object.look().await?;
            let splits = self.find(&object)?;
            let traffic = greatest(splits.iter().map(Split::traffic))?;
            Ok(Observed::new(traffic, Seen::of(&object, &splits).version()?))
        })
        .await
    }

    async fn holder(&self, call: &Call) -> Result<Option<RolloutId>, PortError> {
        self.about(call, async {
            let object = self.object.look().await?;
            Ok(fence_of(&object).and_then(rollout_of))
        })
        .await
    }

    async fn apply(
        &self,
        call: &Call,
        traffic: &Traffic,
        at: Option<&Version>,
    ) -> Result<Applied, PortError> {
        self.about(call, async {
            check_able(traffic, &self.capabilities())?;
            match at {
                Some(version) => self.raise(call, traffic, version).await,
                None => self.lower(call, traffic).await,
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
        Self { object, selectors: vec![selector], mirrors: true, status: false }
    }

    /// Copies no requests: for a mesh that does not do what the object's schema knows.
    #[must_use]
    pub const fn without_mirror(mut self) -> Self {
        self.mirrors = false;
        self
    }

    /// Waits after a raise until the controllers that write the object's status, as the Gateway API has it, have taken
    /// it, and makes their no an error.
    pub(crate) const fn heeding_status(mut self) -> Self {
        self.status = true;
        self
    }

    /// Shifts this rule of the same object, too, in the same request.
    #[must_use]
    pub fn and(mut self, selector: Selector) -> Self {
        self.selectors.push(selector);
        self
    }

    /// Looks at the object with this watch, which costs no request.
    #[must_use]
    pub fn watched(mut self, watch: &RouteWatch) -> Self {
        self.object.watched(watch);
        self
    }

    pub(crate) fn is_same_object(&self, other: &Self) -> bool {
        self.object.is_same(&other.object)
    }

    /// Shifts the other's rules, which are the same object's, too.
    pub(crate) fn take_along(&mut self, other: Self) {
        self.selectors.extend(other.selectors);
        self.mirrors &= other.mirrors;
        self.status |= other.status;
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

    /// Changes what was observed.
    async fn raise(
        &self,
        call: &Call,
        asked: &Traffic,
        at: &Version,
    ) -> Result<Applied, PortError> {
        let seen = Seen::read(at, self.selectors.len())?;
        if let Some(found) = &seen.fence {
            match Standing::of(call, found) {
                Standing::Ours => {}
                Standing::Late => return Err(late(call, found)),
                Standing::Foreign => return Err(foreign(found)),
            }
        }
        let told = self.selectors.iter().all(Selector::is_told_by_place);
        if told && seen.differs_in_weights_only(asked) {
            self.raise_weights(call, asked, &seen).await
        } else {
            self.raise_all(call, asked, &seen).await
        }
    }

    /// Sets weights, in one request.
    async fn raise_weights(
        &self,
        call: &Call,
        asked: &Traffic,
        seen: &Seen,
    ) -> Result<Applied, PortError> {
        let fence = self.fence(call, asked);
        let change = Change {
            selectors: &self.selectors,
            seen,
            same: Same::Weights,
            edits: vec![Edit::of_weights(asked.canary); self.selectors.len()],
            fence: Some(&fence),
        };
        let object = self.object.patch(change.patch()).await?;
        // The patch cannot test that no other rule came in between, of which nobody can say whether it is meant.
        if let Err(unclear) = self.find(&object) {
            // Where this fails, too, the abort that follows takes everything away.
            let _ = self.take_back(seen.raised(asked.canary, &fence), seen, &fence).await;
            return Err(unclear);
        }
        self.raised(call, object, asked).await
    }

    /// Writes the weights again that were seen before a raise.
    async fn take_back(&self, now: Seen, before: &Seen, fence: &str) -> Result<(), PortError> {
        let change = Change {
            selectors: &self.selectors,
            seen: &now,
            same: Same::Weights,
            edits: before.weights().map(Edit::back).collect(),
            fence: Some(fence),
        };
        self.object.patch(change.patch()).await.map(drop)
    }

    /// Reads the object and sets what is asked for, as long as nothing that matters to the rollout has changed.
    async fn raise_all(
        &self,
        call: &Call,
        asked: &Traffic,
        seen: &Seen,
    ) -> Result<Applied, PortError> {
        let mut tries = TRIES;
        loop {
            tries -= 1;
            let object = self.object.get().await?;
            let splits = self.find(&object)?;
            let now = Seen::of(&object, &splits);
            if !seen.still_holds_in(&now) {
                let what = "the route is no longer what was observed";
                return Err(PortError::new(FailureKind::Conflict, what));
            }
            self.check_names(&object, &splits, asked)?;
            let edits = self.edits(&object, &splits, asked, |_| Some(weights(asked.canary)))?;
            let change = Change {
                selectors: &self.selectors,
                seen: &now,
                same: Same::Object,
                edits,
                fence: Some(&self.fence(call, asked)),
            };
            match self.object.patch_whole(change.patch()).await {
                Ok(object) => return self.raised(call, object, asked).await,
                Err(error) if error.kind() == FailureKind::Conflict && tries > 0 => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Checks what a raise came to.
    async fn raised(
        &self,
        call: &Call,
        object: Arc<Value>,
        asked: &Traffic,
    ) -> Result<Applied, PortError> {
        let applied = self.read_back(&object, asked)?;
        if self.status {
            self.heard(call, object).await?;
        }
        Ok(applied)
    }

    pub(crate) fn edits(
        &self,
        object: &Value,
        splits: &[Split],
        asked: &Traffic,
        weights: impl Fn(&Split) -> Option<BySide<u64>>,
    ) -> Result<Vec<Edit>, PortError> {
        let rules = self.selectors.iter().zip(splits);
        rules.map(|(rule, split)| Edit::to(asked, weights(split), rule, object, split)).collect()
    }

    /// Finds every rule.
    pub(crate) fn find(&self, object: &Value) -> Result<Vec<Split>, PortError> {
        self.selectors.iter().map(|selector| selector.find(object)).collect()
    }

    /// Refuses to put rules in front of two rules which could not be told apart by their names.
    fn check_names(
        &self,
        object: &Value,
        splits: &[Split],
        asked: &Traffic,
    ) -> Result<(), PortError> {
        if asked.header.is_empty() {
            return Ok(());
        }
        let mut names = BTreeSet::new();
        for (selector, split) in self.selectors.iter().zip(splits) {
            let name = own_name(&selector.rules(object)[split.place.rule]);
            if !selector.leaves_header_to_user() && !names.insert(name) {
                let what =
                    "requests can be sent by their headers only for rules with a name of their own";
                return Err(invalid(what.to_owned()));
            }
        }
        Ok(())
    }

    /// Checks that what came out is what was asked for.
    pub(crate) fn read_back(&self, object: &Value, asked: &Traffic) -> Result<Applied, PortError> {
        let splits = self.find(object)?;
        // To a canary that gets nothing, it does not matter what else has a share.
        let empty = !asked.reaches_canary() && splits.iter().all(Split::starves_canary);
        for split in &splits {
            let accepted = if empty { Traffic::all_stable() } else { split.traffic()? };
            if accepted != *asked {
                return Err(PortError::new(
                    FailureKind::Conflict,
                    format!("the canary was to have {asked}, and has {accepted}"),
                ));
            }
        }
        Ok(Applied::accepted(asked.clone(), Seen::of(object, &splits).version()?))
    }

    /// Returns the fence to leave.
    pub(crate) fn fence(&self, call: &Call, asked: &Traffic) -> String {
        let users = self.selectors.iter().any(Selector::leaves_header_to_user);
        Fence::of(call).with_header(users && !asked.header.is_empty()).to_string()
    }
}

/// Refuses what a plan for this router does not ask for.
pub(crate) fn check_able(asked: &Traffic, can: &Capabilities) -> Result<(), PortError> {
    let lacks = [
        ("send requests by their headers", !asked.header.is_empty() && !can.headers),
        ("copy requests", asked.mirror != Weight::ZERO && !can.mirror),
        ("choose the canary's share by user", asked.audience.is_some() && !can.audience),
    ];
    match lacks.into_iter().find(|(_, lacks)| *lacks) {
        Some((what, _)) => Err(invalid(format!("this route cannot {what}"))),
        None => Ok(()),
    }
}
