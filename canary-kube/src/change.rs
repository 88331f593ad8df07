//! The one JSON patch by which weights change, and what it is based on.

use canary_core::ports::PortError;
use canary_core::value::{BySide, FailureKind, Side, Version};
use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, Patch, PatchOperation, RemoveOperation, TestOperation};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::fence::FENCE;
use crate::selector::Selector;
use crate::split::{Place, Slot};

/// What was seen of an object: enough to write again without reading it first.
///
/// This is what a [`Version`] of these routers holds, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seen {
    pub(crate) fence: Option<String>,
    resource_version: String,
    /// Whether there is a map of annotations.
    annotated: bool,
    place: Place,
}

impl Seen {
    /// Notes what matters of this object.
    pub(crate) fn of(object: &Value, place: Place) -> Self {
        let metadata = &object["metadata"];
        Self {
            fence: fence_of(object).map(str::to_owned),
            resource_version: metadata["resourceVersion"].as_str().unwrap_or("").to_owned(),
            annotated: metadata["annotations"].is_object(),
            place,
        }
    }

    /// Writes it as a version.
    pub(crate) fn version(&self) -> Result<Version, PortError> {
        let text = serde_json::to_string(self).map_err(|error| {
            PortError::new(FailureKind::Internal, "a version cannot be written").with_source(error)
        })?;
        Ok(Version::new(text))
    }

    /// Reads a version.
    ///
    /// # Errors
    /// `Invalid` for a text that no router of this crate made.
    pub(crate) fn read(version: &Version) -> Result<Self, PortError> {
        serde_json::from_str(version.as_str()).map_err(|error| {
            let message = "the version to raise at was not made by this router";
            PortError::new(FailureKind::Invalid, message).with_source(error)
        })
    }

    fn slots(&self) -> [(Side, &Slot); 2] {
        Side::BOTH.map(|side| (side, self.place.slot(side)))
    }
}

/// Returns the fence that an object holds.
pub(crate) fn fence_of(object: &Value) -> Option<&str> {
    object["metadata"]["annotations"][FENCE].as_str()
}

/// Says what a patch does, and what must be so for it to do anything.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change<'a> {
    pub(crate) selector: &'a Selector,
    pub(crate) seen: &'a Seen,
    /// Whether the weights must be as they were seen, too.
    pub(crate) same_weights: bool,
    /// The weights to set; `None` leaves them as they are written.
    pub(crate) to: Option<BySide<u64>>,
    /// The fence to leave.
    pub(crate) fence: &'a str,
}

impl Change<'_> {
    /// Writes the patch: tests first, then the weights, then the fence.
    pub(crate) fn patch(&self) -> Patch {
        let mut operations = self.guards();
        operations.extend(self.destinations());
        if self.same_weights {
            operations.extend(self.old_weights());
        }
        operations.extend(self.new_weights());
        operations.push(self.new_fence());
        Patch(operations)
    }

    /// Tests that no other write of a rollout came in between.
    ///
    /// JSON patch cannot test that something is absent. Where no fence is there, or a weight that must be the
    /// same is not written out, the object as a whole must be unchanged.
    fn guards(&self) -> Vec<PatchOperation> {
        let absent = |(_, slot): &(Side, &Slot)| slot.weight.is_none();
        let unwritten = self.same_weights && self.seen.slots().iter().any(absent);
        let fence = self.seen.fence.as_ref();
        let mut guards: Vec<_> =
            fence.map(|fence| test(fence_path(), json!(fence))).into_iter().collect();
        if fence.is_none() || unwritten {
            let path = PointerBuf::from_tokens(["metadata", "resourceVersion"]);
            guards.push(test(path, json!(self.seen.resource_version)));
        }
        guards
    }

    /// Tests that the places are still those of the two destinations.
    fn destinations(&self) -> Vec<PatchOperation> {
        let Self { selector, seen, .. } = self;
        let rule = selector.rule_name().map(|name| {
            let path = selector.rule_path(&seen.place);
            test(path.with_trailing_token("name"), json!(name))
        });
        let sides = Side::BOTH.map(|side| {
            let mut path = selector.entry_path(&seen.place, side);
            selector.named_at.iter().for_each(|key| path.push_back(*key));
            test(path, json!(selector.names.get(side)))
        });
        rule.into_iter().chain(sides).collect()
    }

    fn old_weights(&self) -> Vec<PatchOperation> {
        let written = self.seen.slots().into_iter().filter_map(|(side, slot)| {
            let weight = slot.weight.as_ref()?;
            Some(test(self.weight_path(side), weight.clone()))
        });
        written.collect()
    }

    /// Sets the weights; `add` writes over what is there.
    fn new_weights(&self) -> Vec<PatchOperation> {
        let Some(to) = self.to else {
            return Vec::new();
        };
        Side::BOTH.map(|side| add(self.weight_path(side), json!(to.get(side)))).into()
    }

    fn new_fence(&self) -> PatchOperation {
        if self.seen.annotated {
            add(fence_path(), json!(self.fence))
        } else {
            // Only ever beside the test that the object is unchanged: the map is still absent.
            let path = PointerBuf::from_tokens(["metadata", "annotations"]);
            add(path, json!({ FENCE: self.fence }))
        }
    }

    fn weight_path(&self, side: Side) -> PointerBuf {
        let entry = self.selector.entry_path(&self.seen.place, side);
        entry.with_trailing_token("weight")
    }
}

/// Writes the patch that takes this fence away.
pub(crate) fn removal(fence: &str) -> Patch {
    let remove = RemoveOperation { path: fence_path() };
    Patch(vec![test(fence_path(), json!(fence)), PatchOperation::Remove(remove)])
}

/// Writes the merge patch that leaves a fence whatever is there.
pub(crate) fn claim(fence: &str) -> Value {
    json!({ "metadata": { "annotations": { FENCE: fence } } })
}

fn fence_path() -> PointerBuf {
    PointerBuf::from_tokens(["metadata", "annotations", FENCE])
}

fn test(path: PointerBuf, value: Value) -> PatchOperation {
    PatchOperation::Test(TestOperation { path, value })
}

fn add(path: PointerBuf, value: Value) -> PatchOperation {
    PatchOperation::Add(AddOperation { path, value })
}
