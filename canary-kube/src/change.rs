//! The one JSON patch by which a route changes, and what it is based on.

use canary_core::ports::PortError;
use canary_core::value::{BySide, FailureKind, Side, Traffic, Version, Weight};
use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, Patch, PatchOperation, RemoveOperation, TestOperation};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::edit::Edit;
use crate::fence::{BEFORE, FENCE, fence_of, same_rollout};
use crate::selector::Selector;
use crate::split::{Place, Slot, Split, weights};

/// What was seen of an object: enough to write weights again without reading it first.
///
/// This is what a [`Version`] of these routers holds, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seen {
    pub(crate) fence: Option<String>,
    resource_version: String,
    /// Whether there is a map of annotations.
    annotated: bool,
    /// One for each rule.
    places: Vec<Place>,
    /// How weights are written, where stable has everything in a way that is not ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    before: Option<String>,
}

impl Seen {
    /// Notes what matters of this object.
    pub(crate) fn of(object: &Value, splits: &[Split]) -> Self {
        let metadata = &object["metadata"];
        Self {
            fence: fence_of(object).map(str::to_owned),
            resource_version: metadata["resourceVersion"].as_str().unwrap_or("").to_owned(),
            annotated: metadata["annotations"].is_object(),
            places: splits.iter().map(|split| split.place.clone()).collect(),
            before: before(splits),
        }
    }

    /// Writes it as a version.
    pub(crate) fn version(&self) -> Result<Version, PortError> {
        let text = serde_json::to_string(self).map_err(|error| {
            PortError::new(FailureKind::Internal, "a version cannot be written").with_source(error)
        })?;
        Ok(Version::new(text))
    }

    /// Reads a version of an object with so many rules that are shifted.
    ///
    /// # Errors
    /// `Invalid` for a text that no router of this crate made.
    pub(crate) fn read(version: &Version, rules: usize) -> Result<Self, PortError> {
        let message = "the version to raise at was not made by this router";
        let seen: Self = serde_json::from_str(version.as_str())
            .map_err(|error| PortError::new(FailureKind::Invalid, message).with_source(error))?;
        if seen.places.len() == rules {
            Ok(seen)
        } else {
            Err(PortError::new(FailureKind::Invalid, message))
        }
    }

    /// Tells whether nothing but weights has to be written for this traffic.
    pub(crate) fn differs_in_weights_only(&self, asked: &Traffic) -> bool {
        self.places.iter().all(|place| place.differs_in_weights_only(asked))
    }

    /// Returns what is to be seen once these were raised to this weight.
    pub(crate) fn raised(&self, canary: Weight, fence: &str) -> Self {
        let mut raised = self.clone();
        (raised.fence, raised.annotated) = (Some(fence.to_owned()), true);
        let BySide { stable, canary } = weights(canary);
        for place in &mut raised.places {
            (place.stable.weight, place.canary.weight) = (Some(json!(stable)), Some(json!(canary)));
        }
        raised
    }

    /// Returns both weights of each rule as they are written.
    pub(crate) fn weights(&self) -> impl Iterator<Item = BySide<Option<Value>>> {
        let written = |side: &Slot| side.weight.clone();
        self.places.iter().map(move |place| BySide {
            stable: written(&place.stable),
            canary: written(&place.canary),
        })
    }

    /// Tells whether a rollout may go on from here where it saw `self`: others may have written, but nothing that
    /// matters to it.
    pub(crate) fn still_holds_in(&self, now: &Self) -> bool {
        let unchanged = self.fence.is_some() || self.resource_version == now.resource_version;
        unchanged && self.fence == now.fence && self.places == now.places
    }
}

/// Says what a patch does, and what must be so for it to do anything.
#[derive(Clone, Debug)]
pub(crate) struct Change<'a> {
    pub(crate) selectors: &'a [Selector],
    pub(crate) seen: &'a Seen,
    /// What else must be as it was seen.
    pub(crate) same: Same,
    /// What to write, for each rule.
    pub(crate) edits: Vec<Edit>,
    /// The fence to leave; none takes away what stands there, and the way weights were written before with it.
    pub(crate) fence: Option<&'a str>,
}

/// Says what must be as it was seen, beside fence and destinations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Same {
    Nothing,
    Weights,
    Object,
}

impl Change<'_> {
    /// Writes the patch: tests first, then what is in the rules, then the list of rules, then the fence.
    pub(crate) fn patch(self) -> Patch {
        let mut operations = self.guards();
        let Self { selectors, seen, same, edits, .. } = &self;
        for (selector, place) in selectors.iter().zip(&seen.places) {
            operations.extend(destinations(selector, place));
            if *same != Same::Nothing {
                operations.extend(old_weights(selector, place));
            }
        }
        operations.extend(edits.iter().flat_map(|edit| edit.tests.clone()));
        for ((edit, selector), place) in edits.iter().zip(*selectors).zip(&seen.places) {
            operations.extend(new_weights(edit, selector, place));
            operations.extend(edit.fields.clone());
        }
        operations.extend(Edit::of_lists(edits));
        operations.extend(self.marks());
        Patch(operations)
    }

    /// Tests that no other write of a rollout came in between.
    ///
    /// JSON patch cannot test that something is absent. Where no fence is there, or a weight that must be the
    /// same is not written out, the object as a whole must be unchanged.
    fn guards(&self) -> Vec<PatchOperation> {
        let fence = self.seen.fence.as_ref();
        let mut guards: Vec<_> =
            fence.map(|fence| test(annotation(FENCE), json!(fence))).into_iter().collect();
        let unwritten = || {
            let mut slots = self.seen.places.iter().flat_map(slots);
            slots.any(|(_, slot)| slot.weight.is_none())
        };
        let whole = match self.same {
            Same::Nothing => false,
            Same::Weights => unwritten(),
            Same::Object => true,
        };
        if fence.is_none() || whole {
            let path = PointerBuf::from_tokens(["metadata", "resourceVersion"]);
            guards.push(test(path, json!(self.seen.resource_version)));
        }
        guards
    }

    /// Moves the fence on; with the first one of a rollout goes how weights are written.
    fn marks(&self) -> Vec<PatchOperation> {
        let Some(fence) = self.fence else {
            return vec![remove(annotation(FENCE))];
        };
        let known = self.seen.fence.as_ref();
        let first = known.is_none_or(|known| !same_rollout(known, fence));
        let before =
            self.seen.before.as_ref().filter(|_| first).map(|before| (BEFORE, json!(before)));
        let marks = [(FENCE, json!(fence))].into_iter().chain(before);
        if self.seen.annotated {
            marks.map(|(name, value)| add(annotation(name), value)).collect()
        } else {
            // Only ever beside the test that the object is unchanged: the map is still absent.
            let path = PointerBuf::from_tokens(["metadata", "annotations"]);
            let map: serde_json::Map<_, _> =
                marks.map(|(name, value)| (name.to_owned(), value)).collect();
            vec![add(path, map.into())]
        }
    }
}

/// Writes down how weights are written, if that is to be written again in the end.
fn before(splits: &[Split]) -> Option<String> {
    let weights: Vec<_> = splits.iter().map(Split::other_empty).collect();
    weights.iter().any(Option::is_some).then(|| serde_json::to_string(&weights).ok())?
}

/// Reads how the weights of so many rules were written before the rollout.
///
/// Somebody else may have written anything there.
pub(crate) fn weights_before(object: &Value, rules: usize) -> Vec<Option<BySide<Option<Value>>>> {
    let text = object["metadata"]["annotations"][BEFORE].as_str().unwrap_or("");
    let mut weights: Vec<_> = serde_json::from_str(text).unwrap_or_default();
    weights.resize(rules, None);
    weights
}

fn slots(place: &Place) -> [(Side, &Slot); 2] {
    Side::BOTH.map(|side| (side, place.slot(side)))
}

/// Tests that the places are still those of the two destinations.
fn destinations(selector: &Selector, place: &Place) -> Vec<PatchOperation> {
    let rule = selector.rule_name().map(|name| {
        let path = selector.rule_path(place.rule);
        test(path.with_trailing_token("name"), json!(name))
    });
    let sides = slots(place).into_iter().flat_map(|(side, slot)| {
        selector.known_at().zip(&slot.known_by).map(move |(at, value)| {
            let mut path = selector.entry_path(place, side);
            at.iter().for_each(|key| path.push_back(*key));
            test(path, value.clone())
        })
    });
    rule.into_iter().chain(sides).collect()
}

fn old_weights(selector: &Selector, place: &Place) -> Vec<PatchOperation> {
    let written = slots(place).into_iter().filter_map(|(side, slot)| {
        let weight = slot.weight.as_ref()?;
        Some(test(weight_path(selector, place, side), weight.clone()))
    });
    written.collect()
}

/// Sets the weights; `add` writes over what is there.
fn new_weights(edit: &Edit, selector: &Selector, place: &Place) -> Vec<PatchOperation> {
    let Some(to) = &edit.weights else {
        return Vec::new();
    };
    let weights = slots(place).into_iter().filter_map(|(side, slot)| {
        let path = weight_path(selector, place, side);
        match to.get(side) {
            Some(weight) => Some(add(path, weight.clone())),
            None => slot.weight.is_some().then(|| remove(path)),
        }
    });
    weights.collect()
}

fn weight_path(selector: &Selector, place: &Place, side: Side) -> PointerBuf {
    selector.entry_path(place, side).with_trailing_token("weight")
}

/// Takes away how weights were written before.
pub(crate) fn forget_before(object: &Value) -> Option<PatchOperation> {
    let there = object["metadata"]["annotations"].get(BEFORE).is_some();
    there.then(|| remove(annotation(BEFORE)))
}

/// Writes the merge patch that leaves a fence whatever is there.
pub(crate) fn claim(fence: &str) -> Value {
    json!({ "metadata": { "annotations": { FENCE: fence } } })
}

pub(crate) fn annotation(name: &str) -> PointerBuf {
    PointerBuf::from_tokens(["metadata", "annotations", name])
}

pub(crate) fn test(path: PointerBuf, value: Value) -> PatchOperation {
    PatchOperation::Test(TestOperation { path, value })
}

pub(crate) fn add(path: PointerBuf, value: Value) -> PatchOperation {
    PatchOperation::Add(AddOperation { path, value })
}

pub(crate) fn remove(path: PointerBuf) -> PatchOperation {
    PatchOperation::Remove(RemoveOperation { path })
}
