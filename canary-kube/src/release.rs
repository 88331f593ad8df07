//! What a rollout takes with it when it ends.

use canary_core::ports::{Call, PortError};
use canary_core::value::FailureKind;
use json_patch::Patch;
use serde_json::Value;

use crate::change::{Change, Same, Seen, forget_before, weights_before};
use crate::edit::Edit;
use crate::fence::{Standing, fence_of, late};
use crate::route::{RouteWeights, TRIES};

impl RouteWeights {
    /// Takes our marks away where the route is still ours.
    pub(crate) async fn remove_fence(&self, call: &Call) -> Result<(), PortError> {
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
            match self.object.patch(self.removal(&object)).await {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == FailureKind::Conflict && tries > 0 => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Writes the patch that takes our marks away, and weights back to how they were written where stable has
    /// everything again.
    fn removal(&self, object: &Value) -> Patch {
        let before = weights_before(object, self.selectors.len());
        let splits = self.find(object).unwrap_or_default();
        let back = splits.iter().zip(before).map(|(split, before)| {
            let neutral = |before: &_| {
                split.starves_canary() && split.traffic().is_ok() && split.is_empty_as(before)
            };
            before.filter(neutral).map(Edit::back).unwrap_or_default()
        });
        let edits: Vec<_> = back.collect();
        // Without a rule, or with weights that stay, nothing but the fence has to be as it was.
        let plain = edits.iter().all(|edit| edit.weights.is_none());
        let selectors = if plain { &[] } else { &self.selectors[..] };
        let same = if plain { Same::Nothing } else { Same::Weights };
        let seen = Seen::of(object, &splits);
        let change = Change { selectors, seen: &seen, same, edits, fence: None };
        let mut patch = change.patch();
        patch.0.extend(forget_before(object));
        patch
    }
}
