//! What is different about the canary.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

/// Says what is different about a canary that is made from stable.
///
/// ```
/// use canary_kube::Variant;
/// use std::time::Duration;
///
/// let variant = Variant::image("registry.example/web:v2")
///     .container("web")
///     .env("NEW_CHECKOUT", "on")
///     .resources(serde_json::json!({ "limits": { "memory": "1Gi" } }))
///     .ready_for(Duration::from_secs(30));
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Variant {
    pub(super) container: Option<String>,
    pub(super) image: Option<String>,
    pub(super) env: BTreeMap<String, String>,
    pub(super) resources: Option<Value>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) ready_for: Option<Duration>,
}

impl Variant {
    /// Runs this image.
    pub fn image(image: impl Into<String>) -> Self {
        Self { image: Some(image.into()), ..Self::same_image() }
    }

    /// Runs stable's own image: what is different is said next.
    pub fn same_image() -> Self {
        let labels = BTreeMap::from([("version".to_owned(), "canary".to_owned())]);
        let (env, resources) = (BTreeMap::new(), None);
        Self { container: None, image: None, env, resources, labels, ready_for: None }
    }

    /// Changes the container of this name; needed where stable's pods have more than one.
    pub fn container(mut self, name: impl Into<String>) -> Self {
        self.container = Some(name.into());
        self
    }

    /// Sets an environment variable of the container, which stable takes over when it is promoted in place.
    ///
    /// It stands in the Deployment for all to read who may read that: no place for a secret.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// Gives the container these `resources` in place of stable's; stable takes them over when it is promoted in place.
    pub fn resources(mut self, resources: Value) -> Self {
        self.resources = Some(resources);
        self
    }

    /// Gives the canary's pods this label, and makes it part of what its Deployment knows them by.
    ///
    /// `version: canary` is given unless said otherwise. Stable's selector must not match the canary's pods. Where it names
    /// no `version`, give another value to a label that it does name.
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(key.into(), value.into());
        self
    }

    /// Counts a pod of the canary once it has been ready for so long: its `minReadySeconds`, rounded up; stable's unless
    /// said.
    pub const fn ready_for(mut self, time: Duration) -> Self {
        self.ready_for = Some(time);
        self
    }

    /// Returns the labels that the canary's pods have where stable's have these.
    pub(super) fn labels_over(
        &self,
        mut stable: BTreeMap<String, String>,
    ) -> BTreeMap<String, String> {
        stable.extend(self.labels.clone());
        stable
    }

    /// Returns whole seconds for `minReadySeconds`.
    pub(super) fn min_ready_seconds(&self) -> Option<i32> {
        let time = self.ready_for?;
        let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
        Some(i32::try_from(seconds).unwrap_or(i32::MAX))
    }
}
