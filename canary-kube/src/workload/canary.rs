//! The canary's Deployment, made from stable's.

use std::collections::BTreeMap;

use canary_core::ports::PortError;
use canary_core::value::{FailureKind, RolloutId};
use kube::core::SelectorExt;
use serde_json::{Value, json};

use super::deployment::{ASKED, Deployment, MADE_FROM, ROLLOUT, SIZE};
use super::parts::Parts;
use super::variant::Variant;

/// How many seconds a Deployment has for progress where it does not say.
const DEADLINE: i64 = 600;

/// Says for which rollout a canary is made, under which name and how large.
pub(super) struct Order<'a> {
    pub(super) rollout: &'a RolloutId,
    pub(super) name: &'a str,
    pub(super) replicas: u32,
    /// How many replicas stable has when it has all of the traffic.
    pub(super) whole: u32,
}

/// Writes the canary's Deployment.
///
/// Stable's own labels and annotations are not copied, nor are those of its selector: by them, tools that deploy and prune
/// know what is theirs.
///
/// # Errors
/// `Invalid` where it cannot be made so that both know their own pods.
pub(super) fn of(
    stable: &Deployment,
    variant: &Variant,
    order: &Order<'_>,
) -> Result<Value, PortError> {
    let Order { rollout, name, replicas, whole } = order;
    let parts = Parts::of_variant(variant, stable)?;
    let mut spec = stable.json()["spec"].clone();
    spec["replicas"] = json!(replicas);
    spec["template"]["spec"]["containers"] = parts.laid_over(stable);
    spec["template"]["metadata"]["labels"] = json!(variant.labels_over(stable.labels()));
    for (key, value) in &variant.labels {
        spec["selector"]["matchLabels"][key] = json!(value);
    }
    if let Some(expressions) =
        spec.pointer_mut("/selector/matchExpressions").and_then(Value::as_array_mut)
    {
        let says = |expression: &Value| {
            expression["key"].as_str().is_some_and(|key| variant.labels.contains_key(key))
        };
        expressions.retain(|expression| !says(expression));
    }
    if let Some(seconds) = variant.min_ready_seconds() {
        spec["minReadySeconds"] = json!(seconds);
        // The server takes no deadline that a pod could not keep.
        let deadline = spec["progressDeadlineSeconds"].as_i64().unwrap_or(DEADLINE);
        if deadline <= i64::from(seconds) {
            spec["progressDeadlineSeconds"] =
                json!(deadline.saturating_add(i64::from(seconds)).min(i64::from(i32::MAX)));
        }
    }
    if let Some(spec) = spec.as_object_mut() {
        spec.remove("paused");
    }
    let made = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": name,
            "namespace": stable.json()["metadata"]["namespace"],
            "labels": variant.labels,
            "annotations": {
                MADE_FROM: stable.name(),
                ASKED: parts.note()?,
                ROLLOUT: rollout.as_str(),
                SIZE: whole.to_string(),
            },
            "ownerReferences": [owner(stable)],
        },
        "spec": spec,
    });
    apart(stable, &Deployment::new(made.clone()))?;
    Ok(made)
}

/// Writes who goes, so that the canary goes too.
pub(super) fn owner(stable: &Deployment) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "name": stable.name(), "uid": stable.uid(),
        "controller": false, "blockOwnerDeletion": false,
    })
}

/// Checks that neither knows the other's pods for its own.
///
/// # Errors
/// `Invalid` otherwise, with what to do about it.
pub(super) fn apart(stable: &Deployment, canary: &Deployment) -> Result<(), PortError> {
    for (one, other) in [(stable, canary), (canary, stable)] {
        let selector = one.selector()?;
        if selector.matches(&other.labels()) {
            return Err(PortError::new(
                FailureKind::Invalid,
                format!(
                    "the selector of {} ({selector}) would match the pods of {} too ({}): let it name a label in \
                     which they differ, such as `version`, in a Deployment that is made anew, or give the canary \
                     another value of one that it names (`Variant::label`)",
                    one.place(),
                    other.place(),
                    written(&other.labels()),
                ),
            ));
        }
    }
    Ok(())
}

fn written(labels: &BTreeMap<String, String>) -> String {
    labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stable(selector: &Value, labels: &Value) -> Deployment {
        Deployment::new(json!({
            "metadata": {
                "name": "web", "namespace": "shop", "uid": "1", "generation": 7,
                "labels": { "app.kubernetes.io/instance": "shop" },
                "annotations": { "deployment.kubernetes.io/revision": "7" },
            },
            "spec": {
                "replicas": 10, "paused": true, "selector": selector,
                "strategy": { "rollingUpdate": { "maxSurge": 1 }, "type": "RollingUpdate" },
                "template": {
                    "metadata": { "labels": labels, "annotations": { "sidecar": "yes" } },
                    "spec": { "containers": [{ "name": "web", "image": "web:v1" }], "unknownField": [1] },
                },
            },
            "status": { "replicas": 10 },
        }))
    }

    fn made(stable: &Deployment, variant: &Variant) -> Result<Value, PortError> {
        let rollout = "shop-1".parse().unwrap();
        let order = Order { rollout: &rollout, name: "web-canary", replicas: 2, whole: 10 };
        of(stable, variant, &order)
    }

    #[test]
    fn all_but_what_is_different_is_stables() {
        let labels = json!({ "app": "web", "version": "v1", "team": "shop" });
        let stable = stable(&json!({ "matchLabels": { "app": "web", "version": "v1" } }), &labels);
        let variant = Variant::image("web:v2").ready_for(std::time::Duration::from_millis(1_500));
        let mut wanted = stable.json()["spec"].clone();
        let differences = json!({
            "replicas": 2, "paused": null, "minReadySeconds": 2,
            "selector": { "matchLabels": { "version": "canary" } },
            "template": {
                "metadata": { "labels": { "version": "canary" } },
                "spec": { "containers": [{ "name": "web", "image": "web:v2" }] },
            },
        });
        json_patch::merge(&mut wanted, &differences);
        assert_eq!(
            made(&stable, &variant).unwrap(),
            json!({
                "apiVersion": "apps/v1", "kind": "Deployment", "spec": wanted,
                "metadata": {
                    "name": "web-canary", "namespace": "shop",
                    "labels": { "version": "canary" },
                    "annotations": {
                        MADE_FROM: "web", ROLLOUT: "shop-1", SIZE: "10",
                        ASKED: r#"{"web":{"fields":{"image":"web:v2"}}}"#,
                    },
                    "ownerReferences": [{
                        "apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "1",
                        "controller": false, "blockOwnerDeletion": false,
                    }],
                },
            })
        );
    }

    #[test]
    fn pods_that_both_would_know_for_their_own_are_refused() {
        let selector = json!({ "matchLabels": { "app": "web" } });
        let plain = stable(&selector, &json!({ "app": "web" }));
        let error = made(&plain, &Variant::image("web:v2")).unwrap_err();
        assert_eq!(error.kind(), FailureKind::Invalid);
        let text = error.to_string();
        assert!(
            text.starts_with(
                "the selector of Deployment shop/web (app=web) would match the pods of Deployment shop/web-canary too \
                 (app=web,version=canary): let it name a label in which they differ, such as `version`"
            ),
            "{text}"
        );
        let renamed = Variant::image("web:v2").label("app", "web-canary");
        assert!(made(&plain, &renamed).is_ok());

        let versions = [json!("canary"), json!("v1")];
        let not_new = json!({ "matchLabels": { "app": "web" }, "matchExpressions": [
            { "key": "version", "operator": "In", "values": versions },
        ]});
        let loose = stable(&not_new, &json!({ "app": "web", "version": "v1" }));
        assert!(made(&loose, &Variant::image("web:v2")).is_err());
        assert!(made(&loose, &Variant::image("web:v2").label("version", "v2")).is_ok());
    }
}
