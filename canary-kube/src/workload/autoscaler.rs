//! Autoscalers of stable, kept from making it smaller.

use canary_core::ports::{Call, PortError};
use serde_json::{Value, json};

use super::Deployments;

/// Holds which rollout holds an autoscaler, and what its policy was: `ROLLOUT Max`, or the rollout alone where it said nothing
/// of how it behaves.
const HELD: &str = "canary-rollout/held";

impl Deployments {
    /// Keeps the autoscalers of stable from making it smaller, where that was asked for.
    pub(super) async fn hold(&self, call: &Call) -> Result<(), PortError> {
        if !self.holds_autoscalers {
            return Ok(());
        }
        for autoscaler in self.autoscalers().await? {
            if autoscaler["metadata"]["annotations"][HELD].is_string() {
                continue;
            }
            let scale_down = &autoscaler["spec"]["behavior"]["scaleDown"];
            let held = match scale_down["selectPolicy"].as_str() {
                Some(policy) => format!("{} {policy}", call.rollout),
                None => call.rollout.to_string(),
            };
            let spec = json!({ "behavior": down(&json!("Disabled")) });
            self.set(&autoscaler, &json!(held), &spec).await?;
        }
        Ok(())
    }

    /// Lets autoscalers do again what they did before; what somebody says of them meanwhile stays.
    pub(super) async fn let_go(&self) -> Result<(), PortError> {
        if !self.holds_autoscalers {
            return Ok(());
        }
        for autoscaler in self.autoscalers().await? {
            let Some(held) = autoscaler["metadata"]["annotations"][HELD].as_str() else { continue };
            let behavior = &autoscaler["spec"]["behavior"];
            let spec = match held.split_once(' ') {
                _ if behavior["scaleDown"]["selectPolicy"] != "Disabled" => json!({}),
                Some((_, policy)) => json!({ "behavior": down(&json!(policy)) }),
                // The server has filled in all the rest of it, which goes too where nothing was said.
                None if *behavior == filled_in() => json!({ "behavior": null }),
                None => json!({ "behavior": down(&Value::Null) }),
            };
            self.set(&autoscaler, &Value::Null, &spec).await?;
        }
        Ok(())
    }

    async fn set(&self, autoscaler: &Value, held: &Value, spec: &Value) -> Result<(), PortError> {
        let metadata = &autoscaler["metadata"];
        let name = metadata["name"].as_str().unwrap_or_default();
        let fields = json!({
            "metadata": {
                "resourceVersion": metadata["resourceVersion"], "annotations": { HELD: held },
            },
            "spec": spec,
        });
        self.server.change_autoscaler(name, &fields).await
    }

    /// Returns the autoscalers of stable.
    async fn autoscalers(&self) -> Result<Vec<Value>, PortError> {
        let mut all = self.server.autoscalers().await?;
        all.retain(|autoscaler| {
            let target = &autoscaler["spec"]["scaleTargetRef"];
            target["kind"] == "Deployment" && target["name"] == *self.names.stable
        });
        Ok(all)
    }
}

fn down(policy: &Value) -> Value {
    json!({ "scaleDown": { "selectPolicy": policy } })
}

/// Returns what the server makes of an autoscaler of which no more is said than that it is held.
fn filled_in() -> Value {
    let percent = json!({ "type": "Percent", "value": 100, "periodSeconds": 15 });
    let pods = json!({ "type": "Pods", "value": 4, "periodSeconds": 15 });
    json!({
        "scaleDown": { "selectPolicy": "Disabled", "policies": [percent] },
        "scaleUp": {
            "stabilizationWindowSeconds": 0, "selectPolicy": "Max", "policies": [pods, percent],
        },
    })
}
