//! What to write in one rule, and beside it.

use canary_core::ports::PortError;
use canary_core::value::{BySide, Traffic, Weight};
use json_patch::jsonptr::PointerBuf;
use json_patch::{PatchOperation, ReplaceOperation};
use serde_json::{Value, json};

use crate::change::{add, remove, test};
use crate::form::{Mirror, RuleForm, own_name};
use crate::selector::Selector;
use crate::split::{Place, Split, invalid, weights};

/// Says what to write for one rule.
///
/// Paths are those of the object as it was read: see [`Edit::of_lists`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Edit {
    /// The weights to set, or to take away; `None` leaves them as they are written.
    pub(crate) weights: Option<BySide<Option<Value>>>,
    /// What must be so for the rest to be written.
    pub(crate) tests: Vec<PatchOperation>,
    /// What to write in the rule.
    pub(crate) fields: Vec<PatchOperation>,
    /// Which rules to take away, and to put in front of which.
    list: Vec<InList>,
}

/// Says what to do at one place of the list of rules.
#[derive(Clone, Debug, PartialEq)]
struct InList {
    at: usize,
    operation: PatchOperation,
}

impl Edit {
    /// Sets weights alone.
    pub(crate) fn of_weights(asked: Weight) -> Self {
        Self { weights: Some(written(weights(asked))), ..Self::default() }
    }

    /// Writes weights as they were.
    pub(crate) fn back(weights: BySide<Option<Value>>) -> Self {
        Self { weights: Some(weights), ..Self::default() }
    }

    /// Makes the traffic what is asked for.
    ///
    /// # Errors
    /// `Invalid` where the rule stands in the way of it, never for what only takes away.
    pub(crate) fn to(
        asked: &Traffic,
        weights: Option<BySide<u64>>,
        selector: &Selector,
        object: &Value,
        split: &Split,
    ) -> Result<Self, PortError> {
        let mut edit = Self { weights: weights.map(written), ..Self::default() };
        let Some(form) = selector.form else {
            return Ok(edit);
        };
        let rule = &selector.rules(object)[split.place.rule];
        let canary = &selector.entries(rule)[split.place.canary.entry];
        let site = Site { form, selector, place: &split.place, rule, canary };
        edit.mirror(&site, asked)?;
        if selector.leaves_header_to_user() {
            // What is counted on already was checked when that began, and must not stand in the way of a lowering.
            if !asked.header.is_empty() && asked.header != split.place.header {
                selector.check_users_header(object, split, &asked.header)?;
            }
        } else {
            edit.header(&site, asked)?;
        }
        Ok(edit)
    }

    fn mirror(&mut self, site: &Site<'_>, asked: &Traffic) -> Result<(), PortError> {
        if site.place.mirror.share() == Some(asked.mirror) {
            return Ok(());
        }
        if site.place.mirror == Mirror::Theirs {
            let what =
                "the rule copies its requests to somewhere else already, which is left alone";
            return Err(invalid(what.to_owned()));
        }
        let mut rule = site.rule.clone();
        site.form.set_mirror(&mut rule, site.canary, asked.mirror);
        let root = site.selector.rule_path(site.place.rule);
        for operation in json_patch::diff(site.rule, &rule).0 {
            if !matches!(operation, PatchOperation::Add(_))
                && let Ok(old) = operation.path().resolve(site.rule)
            {
                self.tests.push(test(under(&root, &operation), old.clone()));
            }
            self.fields.push(moved_under(&root, operation));
        }
        Ok(())
    }

    fn header(&mut self, site: &Site<'_>, asked: &Traffic) -> Result<(), PortError> {
        let place = site.place;
        let stray = asked.header.is_empty() && place.own.is_some();
        if place.header == asked.header && !stray {
            return Ok(());
        }
        if let Some(own) = place.own {
            let path = site.selector.rule_path(own);
            self.tests.push(test(path.with_trailing_token("name"), json!(own_name(site.rule))));
            self.list.push(InList { at: own, operation: remove(path) });
        }
        if !asked.header.is_empty() {
            let mut own = site.form.by_header(site.rule, site.canary, &asked.header)?;
            own["name"] = json!(own_name(site.rule));
            let path = site.selector.rule_path(place.rule);
            self.list.push(InList { at: place.rule, operation: add(path, own) });
        }
        Ok(())
    }

    /// Returns what the edits do to the lists of rules, from the end of the lists, so that no step moves what a
    /// later one means.
    pub(crate) fn of_lists(edits: &[Self]) -> Vec<PatchOperation> {
        let mut steps: Vec<InList> = Vec::new();
        for step in edits.iter().flat_map(|edit| &edit.list) {
            // Two rules without a name have one name for what stands in front of them.
            if !steps.contains(step) {
                steps.push(step.clone());
            }
        }
        steps.sort_by_key(|step| std::cmp::Reverse(step.at));
        steps.into_iter().map(|step| step.operation).collect()
    }
}

/// The rule that is edited.
struct Site<'a> {
    form: &'static dyn RuleForm,
    selector: &'a Selector,
    place: &'a Place,
    rule: &'a Value,
    canary: &'a Value,
}

fn written(weights: BySide<u64>) -> BySide<Option<Value>> {
    BySide { stable: Some(json!(weights.stable)), canary: Some(json!(weights.canary)) }
}

fn under(root: &PointerBuf, operation: &PatchOperation) -> PointerBuf {
    let mut path = root.clone();
    path.append(operation.path());
    path
}

/// Moves an operation on a rule to where the rule is.
fn moved_under(root: &PointerBuf, operation: PatchOperation) -> PatchOperation {
    let path = under(root, &operation);
    match operation {
        PatchOperation::Add(operation) => add(path, operation.value),
        PatchOperation::Replace(operation) => {
            PatchOperation::Replace(ReplaceOperation { path, value: operation.value })
        }
        // A difference is made of these three.
        _ => remove(path),
    }
}
