//! The few fields of containers that are different in the canary, and are changed in stable in place.

use std::collections::BTreeMap;

use canary_core::ports::PortError;
use canary_core::value::FailureKind;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::deployment::Deployment;
use super::variant::Variant;

/// Says what some fields of some containers are, by the containers' names.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Parts(BTreeMap<String, Part>);

/// Says what some fields of one container are; null for one that is not there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Part {
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    fields: BTreeMap<String, Value>,
    /// Whole entries, by the names of the variables.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    env: BTreeMap<String, Value>,
}

impl Parts {
    /// Returns what a variant says, for a Deployment that it is to be a variant of.
    ///
    /// # Errors
    /// `Invalid` where it is not clear which container is meant.
    pub(super) fn of_variant(variant: &Variant, stable: &Deployment) -> Result<Self, PortError> {
        let Variant { image, env, resources, .. } = variant;
        let image = image.iter().map(|image| ("image".to_owned(), json!(image)));
        let resources = resources.iter().map(|all| ("resources".to_owned(), all.clone()));
        let fields = image.chain(resources).collect();
        let entry = |(name, value): (&String, &String)| {
            (name.clone(), json!({ "name": name, "value": value }))
        };
        let part = Part { fields, env: env.iter().map(entry).collect() };
        Ok(Self(BTreeMap::from([(container(variant, stable)?, part)])))
    }

    /// Returns the images of the containers that both have.
    pub(super) fn of_images(canary: &Deployment, stable: &Deployment) -> Self {
        let images = containers(canary.json()).iter().filter_map(|container| {
            let name = container["name"].as_str()?;
            find(containers(stable.json()), name)?;
            let fields = BTreeMap::from([("image".to_owned(), container["image"].clone())]);
            Some((name.to_owned(), Part { fields, env: BTreeMap::new() }))
        });
        Self(images.collect())
    }

    /// Returns what these fields are in a Deployment; `None` where it lacks one of the containers.
    pub(super) fn as_in(&self, deployment: &Deployment) -> Option<Self> {
        let part = |(name, part): (&String, &Part)| {
            let container = find(containers(deployment.json()), name)?;
            let fields = part.fields.keys().map(|key| (key.clone(), container[key].clone()));
            let env = part.env.keys().map(|name| {
                let entry = container["env"].as_array().and_then(|env| find(env, name));
                (name.clone(), entry.cloned().unwrap_or_default())
            });
            Some((name.clone(), Part { fields: fields.collect(), env: env.collect() }))
        };
        self.0.iter().map(part).collect::<Option<_>>().map(Self)
    }

    /// Reads what was written into an annotation.
    pub(super) fn noted(deployment: &Deployment, key: &str) -> Option<Self> {
        serde_json::from_str(deployment.annotation(key)?).ok()
    }

    /// Writes it for an annotation.
    ///
    /// # Errors
    /// `Internal` where it cannot be written.
    pub(super) fn note(&self) -> Result<String, PortError> {
        serde_json::to_string(self).map_err(|error| {
            PortError::new(FailureKind::Internal, "what a container has cannot be written")
                .with_source(error)
        })
    }

    /// Returns the containers of a Deployment with these fields in them, all else as it is.
    pub(super) fn laid_over(&self, deployment: &Deployment) -> Value {
        let mut containers = containers(deployment.json()).to_vec();
        for container in &mut containers {
            let part = container["name"].as_str().and_then(|name| self.0.get(name));
            if let Some(part) = part.cloned() {
                part.lay_over(container);
            }
        }
        Value::Array(containers)
    }
}

impl Part {
    fn lay_over(self, container: &mut Value) {
        let Some(container) = container.as_object_mut() else { return };
        for (key, value) in self.fields {
            if value.is_null() {
                container.remove(&key);
            } else {
                container.insert(key, value);
            }
        }
        if self.env.is_empty() {
            return;
        }
        let env = container.entry("env").or_insert_with(|| json!([]));
        let mut entries = env.as_array_mut().map(std::mem::take).unwrap_or_default();
        for (name, entry) in self.env {
            let at = entries.iter().position(|entry| entry["name"] == *name);
            match (at, entry.is_null()) {
                (Some(at), true) => drop(entries.remove(at)),
                (Some(at), false) => entries[at] = entry,
                (None, true) => {}
                (None, false) => entries.push(entry),
            }
        }
        if entries.is_empty() {
            container.remove("env");
        } else {
            container.insert("env".to_owned(), Value::Array(entries));
        }
    }
}

/// Returns the name of the container that is meant.
fn container(variant: &Variant, stable: &Deployment) -> Result<String, PortError> {
    let names: Vec<_> = containers(stable.json())
        .iter()
        .filter_map(|container| container["name"].as_str())
        .collect();
    let meant = variant.container.as_deref();
    match (meant, names.as_slice()) {
        (Some(meant), names) if names.contains(&meant) => Ok(meant.to_owned()),
        (None, [only]) => Ok((*only).to_owned()),
        _ => {
            let (place, names) = (stable.place(), names.join(", "));
            let message = match meant {
                Some(meant) => format!("{place} has no container {meant}, but {names}"),
                None => format!(
                    "{place} has the containers {names}: say which one is meant \
                     (`Variant::container`)"
                ),
            };
            Err(PortError::new(FailureKind::Invalid, message))
        }
    }
}

/// Returns the containers of a Deployment's pods.
fn containers(deployment: &Value) -> &[Value] {
    deployment["spec"]["template"]["spec"]["containers"].as_array().map_or(&[], Vec::as_slice)
}

fn find<'a>(list: &'a [Value], name: &str) -> Option<&'a Value> {
    list.iter().find(|entry| entry["name"] == *name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn deployment(containers: &Value) -> Deployment {
        Deployment::new(json!({
            "metadata": { "name": "web", "namespace": "shop" },
            "spec": { "template": { "spec": { "containers": containers } } },
        }))
    }

    fn env() -> impl Strategy<Value = Option<Vec<(String, u8)>>> {
        let entries = prop::collection::btree_map("[A-D]", 0..9_u8, 1..4);
        prop::option::of(entries.prop_map(|env| env.into_iter().collect()))
    }

    proptest! {
        #[test]
        fn what_was_laid_over_is_taken_away_again_without_a_trace(
            env in env(), resources in prop::option::of(0..9_u8), image in prop::option::of("[a-z]{1,3}"),
            changes in prop::collection::vec(("[A-D]", 0..9_u8), 0..4), limits in prop::option::of(0..9_u8),
        ) {
            let mut web = json!({ "name": "web", "image": "web:v1", "ports": [{ "containerPort": 80 }] });
            if let Some(env) = env {
                web["env"] = env.iter().map(|(name, value)| {
                    json!({ "name": name, "valueFrom": { "configMapKeyRef": { "key": value.to_string() } } })
                }).collect();
            }
            if let Some(cpu) = resources {
                web["resources"] = json!({ "requests": { "cpu": cpu } });
            }
            let before = json!([{ "name": "proxy", "image": "proxy:v1" }, web]);
            let stable = deployment(&before);
            let mut variant = Variant::same_image().container("web");
            variant.image = image;
            variant.resources = limits.map(|cpu| json!({ "limits": { "cpu": cpu } }));
            for (name, value) in changes {
                variant = variant.env(name, value.to_string());
            }

            let parts = Parts::of_variant(&variant, &stable).unwrap();
            let had = parts.as_in(&stable).unwrap();
            let new = deployment(&parts.laid_over(&stable));
            prop_assert_eq!(parts.as_in(&new).unwrap(), parts);
            let kept = serde_json::to_string(&had).unwrap();
            let kept: Parts = serde_json::from_str(&kept).unwrap();
            prop_assert_eq!(kept.laid_over(&new), before);
        }
    }

    #[test]
    fn a_container_that_is_not_clear_is_asked_for_by_name() {
        let two = deployment(&json!([{ "name": "web" }, { "name": "proxy" }]));
        let error = Parts::of_variant(&Variant::image("web:v2"), &two).unwrap_err();
        assert_eq!(error.kind(), FailureKind::Invalid);
        let text = "Deployment shop/web has the containers web, proxy: say which one is meant (`Variant::container`)";
        assert_eq!(error.to_string(), text);
        let error =
            Parts::of_variant(&Variant::image("web:v2").container("wep"), &two).unwrap_err();
        assert_eq!(error.to_string(), "Deployment shop/web has no container wep, but web, proxy");
    }
}
