//! The subsets that a DestinationRule defines.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use canary_core::ports::{Call, PortError};
use canary_core::value::{BySide, FailureKind, Side};
use canary_kube::{Finding, Object, Severity, until_deadline};
use json_patch::Patch;
use kube::Client;
use serde_json::{Value, json};

use crate::host::other_spellings;
use crate::resource::DESTINATION_RULE;

/// Names the annotation that says which rollout has added a subset: `canary-rollout/subset.{subset}`.
const MARK: &str = "canary-rollout/subset.";

/// The same for a name that is too long for that: Kubernetes takes 63 characters behind the `/`.
const LONG_MARK: &str = "subset.canary-rollout/";

/// How long a name may be for the first.
const SHORT: usize = 56;

/// Says in a mark that the list of subsets was there and empty.
const EMPTY: &str = " []";

/// How often a write is tried against others who write in between.
const TRIES: u32 = 6;

/// Looks after the two subsets of a DestinationRule: tells what is wrong with them, adds the canary's and takes it
/// away again.
///
/// A subset of the user's is never changed. One that was added is marked by an annotation with the rollout's name, and
/// only that rollout takes it away, or another one that has taken it over.
#[derive(Clone)]
pub struct Subsets {
    object: Object,
    namespace: String,
    names: BySide<String>,
}

impl fmt::Debug for Subsets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { object, names, .. } = self;
        f.debug_struct("Subsets").field("object", object).field("names", names).finish()
    }
}

/// Writes `DestinationRule shop/checkout`.
impl fmt::Display for Subsets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.object.fmt(f)
    }
}

/// Tells how a DestinationRule suits a rollout.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SubsetReport {
    /// What keeps a rollout from working, in words; empty where all is well.
    pub problems: Vec<String>,
    /// What changes how a rollout is to be read, in words. Nothing of it is ever written.
    pub notes: Vec<String>,
}

impl Subsets {
    /// Knows both subsets of the DestinationRule of this name; nothing is read yet.
    #[must_use]
    pub fn new(
        client: Client,
        namespace: impl Into<String>,
        name: impl Into<String>,
        stable: impl Into<String>,
        canary: impl Into<String>,
    ) -> Self {
        let (namespace, name) = (namespace.into(), name.into());
        let object = Object::new(client, DESTINATION_RULE, namespace.clone(), name);
        let names = BySide { stable: stable.into(), canary: canary.into() };
        Self { object, namespace, names }
    }

    /// Looks whether both subsets are there for this host, and at what else bears on a rollout.
    ///
    /// # Errors
    /// `NotFound` without the DestinationRule, or where the API server cannot be asked.
    pub async fn report(&self, call: &Call, host: &str) -> Result<SubsetReport, PortError> {
        let rule = self.read(call).await?;
        let notes = self.notes(&rule).into_iter().map(|(_, note)| note).collect();
        Ok(SubsetReport { problems: self.problems(&rule, host, false), notes })
    }

    /// Says the same as findings, of what was [read](Self::read); `added` does not miss the canary's subset.
    pub(crate) fn findings(&self, rule: &Value, host: &str, added: bool) -> Vec<Finding> {
        let about = self.to_string();
        let problems = self.problems(rule, host, added).into_iter();
        let problems = problems.map(|problem| Finding::error(&about, problem));
        let notes = self.notes(rule).into_iter().map(|(severity, note)| match severity {
            Severity::Warning => Finding::warning(&about, note)
                .advice("judge by what senders see, or by the canary's readiness, too"),
            _ => Finding::note(&about, note),
        });
        problems.chain(notes).collect()
    }

    /// Returns the name of a version's subset and, where it is there, the subset.
    pub(crate) fn subset<'a>(&self, rule: &'a Value, side: Side) -> (&str, Option<&'a Value>) {
        let name = self.names.get(side);
        (name, index_of(rule, name).map(|index| &rule["spec"]["subsets"][index]))
    }

    /// Reads the DestinationRule.
    pub(crate) async fn read(&self, call: &Call) -> Result<Arc<Value>, PortError> {
        let rule = until_deadline(call, self.object.get()).await;
        rule.map_err(|error| error.about(&self.object))
    }

    fn problems(&self, rule: &Value, host: &str, added: bool) -> Vec<String> {
        let mut problems = Vec::new();
        let found = rule["spec"]["host"].as_str().unwrap_or("");
        let same = other_spellings(host, &self.namespace).iter().any(|other| other == found);
        if found != host && !same {
            problems.push(format!("{} is for the host `{found}`, not `{host}`", self.object));
        }
        let there = names(rule).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let there = if there.is_empty() { "none" } else { &there };
        let BySide { stable, canary } = &self.names;
        for name in [stable].into_iter().chain((!added).then_some(canary)) {
            if index_of(rule, name).is_none() {
                problems.push(format!("{} has no subset `{name}`; there is {there}", self.object));
            }
        }
        problems
    }

    fn notes(&self, rule: &Value) -> Vec<(Severity, String)> {
        let of_subset = |side| {
            let (name, subset) = self.subset(rule, side);
            (format!("subset `{name}`"), subset.map_or(&Value::Null, |s| &s["trafficPolicy"]))
        };
        let all = ("it".to_owned(), &rule["spec"]["trafficPolicy"]);
        let policies = [all].into_iter().chain(Side::BOTH.map(of_subset));
        policies.flat_map(|(who, policy)| notes_on(&who, policy)).collect()
    }

    /// Adds the canary's subset with these labels where there is none of its name, or takes over the one that another
    /// rollout has left; `true` if something was written.
    ///
    /// # Errors
    /// `Invalid` where the user has a subset of this name that asks for none or others of these labels, `Conflict`
    /// where others write without pause, or where the API server cannot be asked.
    pub async fn add(
        &self,
        call: &Call,
        labels: &BTreeMap<String, String>,
    ) -> Result<bool, PortError> {
        let subset = json!({ "name": self.names.canary, "labels": labels });
        let patch = |rule: &Value| {
            let list = &rule["spec"]["subsets"];
            if let Some(index) = index_of(rule, &self.names.canary) {
                return self.take_over(call, rule, index, labels);
            }
            let add = if list.is_array() {
                json!({ "op": "add", "path": "/spec/subsets/-", "value": subset })
            } else {
                json!({ "op": "add", "path": "/spec/subsets", "value": [subset] })
            };
            let rollout = mark_of(call, *list == json!([]));
            let mark = if rule["metadata"]["annotations"].is_object() {
                json!({ "op": "add", "path": self.mark_path(), "value": rollout })
            } else {
                let map = json!({ self.mark(): rollout });
                json!({ "op": "add", "path": "/metadata/annotations", "value": map })
            };
            Ok(Some(json!([unchanged(rule), add, mark])))
        };
        self.write(call, patch).await
    }

    /// Makes a subset that is there pick the pods with these labels, where it is a rollout's.
    fn take_over(
        &self,
        call: &Call,
        rule: &Value,
        index: usize,
        labels: &BTreeMap<String, String>,
    ) -> Result<Option<Value>, PortError> {
        let found = &rule["spec"]["subsets"][index]["labels"];
        let Some(mark) = rule["metadata"]["annotations"][self.mark()].as_str() else {
            let lacks = labels.iter().find(|(name, value)| found[name.as_str()] != value.as_str());
            return lacks.map_or(Ok(None), |(name, value)| {
                let name = format!("{name}={value}");
                Err(PortError::new(
                    FailureKind::Invalid,
                    format!(
                        "the subset `{}` is there already and does not ask for {name}",
                        self.names.canary
                    ),
                ))
            });
        };
        let ours = mark_of(call, mark.ends_with(EMPTY));
        if *found == json!(labels) && mark == ours {
            return Ok(None);
        }
        let path = format!("/spec/subsets/{index}/labels");
        let labels = json!({ "op": "add", "path": path, "value": labels });
        let mark = json!({ "op": "add", "path": self.mark_path(), "value": ours });
        Ok(Some(json!([unchanged(rule), labels, mark])))
    }

    /// Takes the canary's subset away if this rollout has added it; `true` if it did so now.
    ///
    /// To be called once nothing is sent to it any more.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub async fn remove(&self, call: &Call) -> Result<bool, PortError> {
        let patch = |rule: &Value| {
            let found = &rule["metadata"]["annotations"][self.mark()];
            let is = |empty| *found == mark_of(call, empty).as_str();
            let was_empty = is(true);
            if !was_empty && !is(false) {
                return Ok(None);
            }
            let unmark = json!({ "op": "remove", "path": self.mark_path() });
            let mut patch = vec![unchanged(rule), unmark];
            if let Some(index) = index_of(rule, &self.names.canary) {
                let last = names(rule).count() == 1 && !was_empty;
                let path = if last {
                    "/spec/subsets".to_owned()
                } else {
                    format!("/spec/subsets/{index}")
                };
                patch.push(json!({ "op": "remove", "path": path }));
            }
            Ok(Some(json!(patch)))
        };
        self.write(call, patch).await
    }

    /// Reads and patches until nobody wrote in between; `None` says that there is nothing to do.
    async fn write(
        &self,
        call: &Call,
        patch: impl Fn(&Value) -> Result<Option<Value>, PortError> + Send + Sync,
    ) -> Result<bool, PortError> {
        let work = async {
            let mut tries = TRIES;
            loop {
                tries -= 1;
                let Some(operations) = patch(&*self.object.get().await?)? else {
                    return Ok(false);
                };
                match self.object.patch(read(operations)?).await {
                    Ok(_) => return Ok(true),
                    Err(error) if error.kind() == FailureKind::Conflict && tries > 0 => {}
                    Err(error) => return Err(error),
                }
            }
        };
        until_deadline(call, work).await.map_err(|error| error.about(&self.object))
    }

    fn mark(&self) -> String {
        let name = &self.names.canary;
        let mark = if name.len() > SHORT { LONG_MARK } else { MARK };
        format!("{mark}{name}")
    }

    /// Writes the mark as a part of a path.
    fn mark_path(&self) -> String {
        format!("/metadata/annotations/{}", self.mark().replace('~', "~0").replace('/', "~1"))
    }
}

/// Writes whose subset it is, and whether the list it was added to was there and empty.
fn mark_of(call: &Call, empty: bool) -> String {
    format!("{}{}", call.rollout, if empty { EMPTY } else { "" })
}

fn read(operations: Value) -> Result<Patch, PortError> {
    serde_json::from_value(operations).map_err(|error| {
        PortError::new(FailureKind::Internal, "a patch cannot be written").with_source(error)
    })
}

/// Tests that the list of subsets, and all else, is as it was read: JSON patch cannot test that a name is absent.
fn unchanged(rule: &Value) -> Value {
    let version = &rule["metadata"]["resourceVersion"];
    json!({ "op": "test", "path": "/metadata/resourceVersion", "value": version })
}

fn names(rule: &Value) -> impl Iterator<Item = &str> {
    let subsets = rule["spec"]["subsets"].as_array().into_iter().flatten();
    subsets.map(|subset| subset["name"].as_str().unwrap_or(""))
}

fn index_of(rule: &Value, name: &str) -> Option<usize> {
    names(rule).position(|found| found == name)
}

/// Says what a traffic policy means for a rollout.
fn notes_on(who: &str, policy: &Value) -> Vec<(Severity, String)> {
    let policies =
        [policy].into_iter().chain(policy["portLevelSettings"].as_array().into_iter().flatten());
    let mut notes = Vec::new();
    for policy in policies {
        let hash = &policy["loadBalancer"]["consistentHash"];
        if let Some(by) = hash["httpCookie"]["name"].as_str() {
            let note = format!(
                "{who} keeps a user at one pod by the cookie `{by}`: within a version only, each request's version is drawn anew"
            );
            notes.push((Severity::Note, note));
        } else if hash.is_object() {
            let note =
                format!("{who} keeps a user at one pod by consistent hash: within a version only");
            notes.push((Severity::Note, note));
        }
        if policy["outlierDetection"].is_object() {
            let note = format!(
                "{who} ejects pods that fail (outlierDetection): a bad canary may fail less often than it would without"
            );
            notes.push((Severity::Warning, note));
        }
    }
    notes.dedup();
    notes
}
