//! One of the two Deployments, as it was seen.

use canary_core::ports::{Call, PortError};
use canary_core::value::FailureKind;
use json_patch::Patch;
use json_patch::jsonptr::PointerBuf;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::change::{add, annotation, remove, test};
use crate::fence::{FENCE, Standing, fence_of, foreign, late};
use crate::split::invalid;

/// Holds what matters of a Deployment: enough to change its size without reading it first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Half {
    pub(super) fence: Option<String>,
    resource_version: String,
    /// Whether there is a map of annotations.
    annotated: bool,
    pub(super) replicas: u32,
    /// How many pods are ready.
    #[serde(skip)]
    pub(super) ready: u32,
}

impl Half {
    /// Notes what matters.
    ///
    /// # Errors
    /// `Invalid` where its size is none.
    pub(super) fn of(object: &Value) -> Result<Self, PortError> {
        let metadata = &object["metadata"];
        Ok(Self {
            fence: fence_of(object).map(str::to_owned),
            resource_version: metadata["resourceVersion"].as_str().unwrap_or("").to_owned(),
            annotated: metadata["annotations"].is_object(),
            // A server writes out what is left out.
            replicas: number(&object["spec"]["replicas"], 1)?,
            ready: number(&object["status"]["readyReplicas"], 0)?,
        })
    }

    /// Refuses a call that comes after a later one of its rollout.
    pub(super) fn check_order(&self, call: &Call) -> Result<(), PortError> {
        match &self.fence {
            Some(found) if Standing::of(call, found) == Standing::Late => Err(late(call, found)),
            _ => Ok(()),
        }
    }

    /// Refuses a raise that comes too late, or that another rollout's fence is in the way of.
    pub(super) fn check_raise(&self, call: &Call) -> Result<(), PortError> {
        self.check_order(call)?;
        match &self.fence {
            Some(found) if Standing::of(call, found) == Standing::Foreign => Err(foreign(found)),
            _ => Ok(()),
        }
    }

    /// Writes the patch that gives it another size and this fence, where nobody moved its fence or its size.
    pub(super) fn resize(&self, replicas: u32, fence: &str) -> Patch {
        let mut operations = self.resize_whatever_its_size(replicas, fence);
        operations.0.insert(0, test(size(), json!(self.replicas)));
        operations
    }

    /// The same, where somebody moved its size too.
    pub(super) fn resize_whatever_its_size(&self, replicas: u32, fence: &str) -> Patch {
        let mark = if self.annotated {
            add(annotation(FENCE), json!(fence))
        } else {
            add(PointerBuf::from_tokens(["metadata", "annotations"]), json!({ FENCE: fence }))
        };
        Patch(vec![self.unmoved(), add(size(), json!(replicas)), mark])
    }

    /// Writes the patch that takes the fence away, where there is one.
    pub(super) fn release(&self) -> Patch {
        Patch(vec![self.unmoved(), remove(annotation(FENCE))])
    }

    /// Tests that no other write of a rollout came in between. That there is no fence cannot be tested: then nothing
    /// at all may have changed.
    fn unmoved(&self) -> json_patch::PatchOperation {
        match &self.fence {
            Some(fence) => test(annotation(FENCE), json!(fence)),
            None => {
                let path = PointerBuf::from_tokens(["metadata", "resourceVersion"]);
                test(path, json!(self.resource_version))
            }
        }
    }
}

fn size() -> PointerBuf {
    PointerBuf::from_tokens(["spec", "replicas"])
}

fn number(value: &Value, absent: u32) -> Result<u32, PortError> {
    if value.is_null() {
        return Ok(absent);
    }
    let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
    number.ok_or_else(|| invalid(format!("{value} is no number of replicas")))
}

/// Says that a version was made elsewhere.
pub(super) fn strange_version(error: serde_json::Error) -> PortError {
    let message = "the version to raise at was not made by this router";
    PortError::new(FailureKind::Invalid, message).with_source(error)
}
