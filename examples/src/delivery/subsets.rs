//! Whether Istio knows which pods are which.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use canary_core::driver::Clock;
use canary_core::ports::{Call, PortError};
use canary_core::value::{EffectId, Epoch, RolloutId};
use canary_istio::{DestinationRuleCheck, Subsets, VIRTUAL_SERVICE};
use canary_kube::{Check, Deployments, Finding, Object};
use kube::Client;
use serde_json::Value;

use super::Job;

/// How long the cluster may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Looks whether the DestinationRule with the route's name is for the route's host, and its subsets for the pods that
/// there are and will be.
pub(super) struct BothSubsets {
    route: Object,
    versions: Deployments,
    /// The host, where the route does not say.
    service: String,
    subsets: Subsets,
}

impl fmt::Debug for BothSubsets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BothSubsets").field("subsets", &self.subsets).finish_non_exhaustive()
    }
}

impl BothSubsets {
    pub(super) fn of(job: &Job, client: &Client) -> Self {
        let (namespace, name, names) = (&job.namespace, job.route(), job.destinations());
        Self {
            route: Object::new(client.clone(), VIRTUAL_SERVICE, namespace.clone(), name.to_owned()),
            versions: job.versions(client.clone()),
            service: job.service.clone(),
            subsets: Subsets::new(client.clone(), namespace, name, names.stable, names.canary),
        }
    }

    async fn look(&self) -> Result<Vec<Finding>, PortError> {
        let (now, rollout) = (Clock::system().now(), RolloutId::new("preflight.canary"));
        let Ok(rollout) = rollout else { return Ok(Vec::new()) };
        let call = Call::new(rollout, Epoch::new(1), EffectId::new(1), 1, now, now + PATIENCE);
        let route = self.route.get().await?;
        let host = host(&route).unwrap_or(&self.service);
        let check = DestinationRuleCheck::new(self.subsets.clone(), host)
            .pods(self.versions.pod_labels(&call).await?)
            .if_there();
        Ok(check.findings().await)
    }
}

/// Returns the host of the first way that leads to a subset.
fn host(route: &Value) -> Option<&str> {
    let rules = route["spec"]["http"].as_array().into_iter().flatten();
    let ways = rules.flat_map(|rule| rule["route"].as_array().into_iter().flatten());
    let mut places = ways.map(|way| &way["destination"]);
    places.find(|place| place["subset"].is_string())?["host"].as_str()
}

#[async_trait]
impl Check for BothSubsets {
    fn about(&self) -> String {
        format!("{} has both subsets, each for its pods", self.subsets)
    }

    async fn findings(&self) -> Vec<Finding> {
        self.look().await.unwrap_or_else(|error| {
            // What is wrong there is found by those who look at it.
            vec![Finding::note(self.subsets.to_string(), format!("it was not looked at: {error}"))]
        })
    }
}

#[cfg(test)]
mod tests {
    use canary_istio::DESTINATION_RULE;
    use canary_kube::DEPLOYMENT;
    use canary_kube::testing::MemoryApi;
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn subsets_that_are_missing_or_mean_other_pods_are_found() {
        let api = MemoryApi::new();
        let job = json!({ "service": "web", "image": "web:v2", "namespace": "shop", "mesh": "istio", "prometheus": "" });
        let job: Job = serde_json::from_value(job).unwrap();
        let look = async || {
            let found = BothSubsets::of(&job, &api.client()).findings().await;
            found.into_iter().map(|finding| finding.to_string()).collect::<Vec<_>>()
        };
        let found = look().await;
        assert!(found[0].starts_with("note: DestinationRule shop/web: it was not"), "{found:?}");

        let way = |subset| json!({ "destination": { "host": "web.test", "subset": subset } });
        let route = json!({ "spec": { "http": [{ "route": [way("stable"), way("canary")] }] } });
        api.put(&VIRTUAL_SERVICE, "shop", "web", &route);
        let labels = json!({ "app": "web", "version": "v1" });
        let pods = json!({ "metadata": { "labels": labels }, "spec": { "containers": [{ "name": "web" }] } });
        let stable = json!({ "spec": { "selector": { "matchLabels": labels }, "template": pods } });
        api.put(&DEPLOYMENT, "shop", "web", &stable);
        let found = look().await;
        assert!(found[0].contains("note: DestinationRule shop/web: it is not there"), "{found:?}");

        let put = |host: &str, [stable, canary]: [Value; 2]| {
            let subset = |name: &str, labels| json!({ "name": name, "labels": labels });
            let subsets = [subset("stable", stable), subset("canary", canary)];
            let rule = json!({ "spec": { "host": host, "subsets": subsets } });
            api.put(&DESTINATION_RULE, "shop", "web", &rule);
        };
        let [v1, v2, canary] = ["v1", "v2", "canary"].map(|version| json!({ "version": version }));
        put("web.test", [v1.clone(), v2]);
        let found = look().await;
        assert!(found[0].contains("`canary` means pods with version=v2, and none"), "{found:?}");
        put("web", [v1.clone(), canary.clone()]);
        let found = look().await;
        assert!(found[0].contains("is for the host `web`, not `web.test`"), "{found:?}");
        put("web.test", [v1, canary]);
        assert_eq!(look().await, [""; 0]);
    }
}
