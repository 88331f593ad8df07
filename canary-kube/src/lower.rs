//! How traffic is taken away from the canary, whatever is there.

use canary_core::ports::{Applied, Call, PortError};
use canary_core::value::{FailureKind, Traffic, Weight};
use serde_json::Value;

use crate::change::{Change, Same, Seen, claim};
use crate::fence::{Standing, fence_of, late};
use crate::route::{RouteWeights, TRIES};
use crate::split::{Place, weights};

impl RouteWeights {
    /// Changes what is there now to less, or makes it ours.
    pub(crate) async fn lower(&self, call: &Call, asked: &Traffic) -> Result<Applied, PortError> {
        let fence = self.fence(call, asked);
        // What a watch knows may be old: then this fails, and the object is read.
        if let Some(object) = self.object.known()
            && self.check_lowering(call, asked, &object).is_ok()
            && let Ok(applied) = self.lower_from(&object, asked, &fence).await
        {
            return Ok(applied);
        }
        let mut tries = TRIES;
        loop {
            tries -= 1;
            let mut object = self.object.get().await?;
            self.check_lowering(call, asked, &object)?;
            if tries == 0 && fence_of(&object).is_none() {
                object = self.object.merge(claim(&fence)).await?;
            }
            let found = self.find(&object);
            let there = if found.is_ok() { self.clone() } else { self.there(&object)? };
            match there.lower_from(&object, asked, &fence).await {
                Err(error) if error.kind() == FailureKind::Conflict && tries > 0 => {}
                Err(error) => return Err(error),
                Ok(lowered) if found.is_ok() => return Ok(lowered),
                // Whatever could be meant gives the canary nothing. Nobody can raise from there: no place is in it.
                Ok(_) if self.selectors.iter().all(|one| !one.candidates(&object).is_empty()) => {
                    let nowhere = Seen::of(&object, &[]).version()?;
                    return Ok(Applied::accepted(asked.clone(), nowhere));
                }
                // A rule that is missing holds up the others as little as an object does.
                Ok(_) => found.map(drop)?,
            }
        }
    }

    /// Refuses a lowering that comes too late or would be a raise.
    fn check_lowering(
        &self,
        call: &Call,
        asked: &Traffic,
        object: &Value,
    ) -> Result<(), PortError> {
        if let Some(found) = fence_of(object)
            && Standing::of(call, found) == Standing::Late
        {
            return Err(late(call, found));
        }
        if !asked.reaches_canary() {
            return Ok(());
        }
        for split in self.find(object)? {
            let now = split.traffic()?;
            if !asked.is_within(&now) {
                return Err(PortError::new(
                    FailureKind::Conflict,
                    format!(
                        "the canary has {now}: to give it {asked} is a raise, and needs a version"
                    ),
                ));
            }
        }
        Ok(())
    }

    async fn lower_from(
        &self,
        object: &Value,
        asked: &Traffic,
        fence: &str,
    ) -> Result<Applied, PortError> {
        let splits = self.find(object)?;
        let edits = self.edits(object, &splits, asked, |split| {
            if split.is(asked.canary) {
                None
            } else if asked.canary == Weight::ZERO {
                Some(split.starving(&splits))
            } else {
                Some(weights(asked.canary))
            }
        })?;
        let change = Change {
            selectors: &self.selectors,
            seen: &Seen::of(object, &splits),
            same: Same::Nothing,
            edits,
            fence: Some(fence),
        };
        let object = self.object.patch(change.patch()).await?;
        self.read_back(&object, asked)
    }

    /// Returns a router of those rules that are there, and of all that could be meant where that is not clear.
    ///
    /// # Errors
    /// As [`Selector::find`], where there is none.
    fn there(&self, object: &Value) -> Result<Self, PortError> {
        let mut there = self.clone();
        there.selectors.clear();
        let mut known = Vec::new();
        for selector in self.selectors.iter().flat_map(|selector| selector.candidates(object)) {
            let Place { rule, stable, canary, .. } = selector.find(object)?.place;
            let pair = (rule, stable.entry, canary.entry);
            if !known.contains(&pair) {
                known.push(pair);
                there.selectors.push(selector);
            }
        }
        if there.selectors.is_empty() {
            self.find(object)?;
        }
        Ok(there)
    }
}
