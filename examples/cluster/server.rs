//! The API server: what is asked of it is counted, the VirtualServices are made and deleted, and what is kept of their
//! rollouts is deleted with them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use canary_istio::VIRTUAL_SERVICE;
use canary_kube::RouteKind;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, PostParams};
use kube::client::Body;
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, ResourceExt};
use serde_json::json;
use tower::service_fn;

/// Where the objects are made.
pub(crate) const NAMESPACE: &str = "default";

/// How many objects are made at a time.
const AT_ONCE: usize = 16;

/// Counts calls by what they do: `patch virtualservices`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Calls(Arc<Mutex<BTreeMap<String, u64>>>);

impl Calls {
    fn note(&self, name: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_default() += 1;
    }

    /// Returns how many there were so far.
    pub(crate) fn so_far(&self) -> BTreeMap<String, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Returns how many calls were made between two counts.
pub(crate) fn between(
    before: &BTreeMap<String, u64>,
    after: &BTreeMap<String, u64>,
) -> BTreeMap<String, u64> {
    let since = |(name, count): (&String, &u64)| {
        let count = count - before.get(name).copied().unwrap_or(0);
        (count > 0).then(|| (name.clone(), count))
    };
    after.iter().filter_map(since).collect()
}

/// Says what a request does.
fn name(method: &str, path: &str, query: Option<&str>) -> String {
    let parts: Vec<_> = path.trim_matches('/').split('/').collect();
    let namespace = parts.iter().position(|part| *part == "namespaces");
    let rest =
        namespace.map_or(&parts[parts.len() - 1..], |at| &parts[(at + 2).min(parts.len())..]);
    let watches =
        query.is_some_and(|query| query.split('&').any(|pair| pair.starts_with("watch=")));
    let verb = match method {
        "GET" if watches => "watch",
        "GET" if rest.len() > 1 => "get",
        "GET" => "list",
        "POST" => "create",
        "PUT" => "replace",
        "PATCH" => "patch",
        "DELETE" => "delete",
        other => other,
    };
    format!("{verb} {}", rest.first().unwrap_or(&path))
}

/// Connects to a cluster; each call is counted.
pub(crate) async fn connect(kubeconfig: Option<&Path>) -> anyhow::Result<(Client, Calls)> {
    let client = match kubeconfig {
        Some(path) => canary_istio::client_from(path).await,
        None => canary_istio::client().await,
    }?;
    let calls = Calls::default();
    let counted = calls.clone();
    let service = service_fn(move |request: axum::http::Request<Body>| {
        let uri = request.uri();
        counted.note(name(request.method().as_str(), uri.path(), uri.query()));
        let client = client.clone();
        async move { client.send(request).await }
    });
    Ok((Client::new(service, NAMESPACE), calls))
}

/// Finds the ConfigMaps in which rollouts are kept.
const KEEPS: &str = "canary-rollout/keeps=state";

/// Names the annotation that says of which target.
const TARGET: &str = "canary-rollout/target";

/// Holds the VirtualServices of one run, known by a label.
pub(crate) struct Services {
    api: Api<DynamicObject>,
    maps: Api<ConfigMap>,
    label: String,
}

impl Services {
    /// Begins with none.
    pub(crate) fn new(client: Client) -> Self {
        let RouteKind { group, version, kind, plural, .. } = VIRTUAL_SERVICE;
        let resource =
            ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural);
        let api = Api::namespaced_with(client.clone(), NAMESPACE, &resource);
        let maps = Api::namespaced(client, NAMESPACE);
        Self { api, maps, label: format!("run-{}", std::process::id()) }
    }

    /// Makes so many, each with all of its traffic on `stable`.
    pub(crate) async fn make(&self, number: u32) -> anyhow::Result<()> {
        let made = stream::iter(1..=number).map(|number| self.make_one(number));
        made.buffer_unordered(AT_ONCE).try_for_each(|()| async { Ok(()) }).await
    }

    async fn make_one(&self, number: u32) -> anyhow::Result<()> {
        let name = self.name(number);
        let to = |version, weight| json!({ "destination": { "host": name, "subset": version }, "weight": weight });
        let service = json!({
            "apiVersion": format!("{}/{}", VIRTUAL_SERVICE.group, VIRTUAL_SERVICE.version),
            "kind": VIRTUAL_SERVICE.kind,
            "metadata": { "name": name, "labels": { "canary-example": self.label } },
            "spec": { "hosts": [name], "http": [{ "name": "primary", "route": [to("stable", 100), to("canary", 0)] }] },
        });
        let service = serde_json::from_value(service)?;
        self.api.create(&PostParams::default(), &service).await.with_context(|| name)?;
        Ok(())
    }

    /// Returns one's name.
    pub(crate) fn name(&self, number: u32) -> String {
        format!("{}{number}", self.names())
    }

    /// Returns what all names begin with.
    fn names(&self) -> String {
        format!("canary-{}-", self.label)
    }

    /// Deletes all of them.
    pub(crate) async fn delete(&self) -> anyhow::Result<()> {
        let ours = ListParams::default().labels(&format!("canary-example={}", self.label));
        let deleted = self.api.delete_collection(&DeleteParams::default(), &ours).await;
        deleted.map(drop).context("the VirtualServices are left behind")
    }

    /// Deletes the ConfigMaps in which their rollouts are kept, and no other rollout's.
    pub(crate) async fn forget(&self) -> anyhow::Result<()> {
        let kept = self.maps.list_metadata(&ListParams::default().labels(KEEPS)).await;
        let targets = format!("{NAMESPACE}/{}", self.names());
        let ours =
            kept.context("the ConfigMaps are left behind")?.items.into_iter().filter(|map| {
                map.annotations().get(TARGET).is_some_and(|target| target.starts_with(&targets))
            });
        let deleted = stream::iter(ours).map(async |map| {
            let name = map.name_any();
            let deleted = self.maps.delete(&name, &DeleteParams::default()).await;
            deleted.map(drop).with_context(|| format!("the ConfigMap {name} is left behind"))
        });
        deleted.buffer_unordered(AT_ONCE).try_for_each(|()| async { Ok(()) }).await
    }
}

#[cfg(test)]
mod tests {
    use canary_kube::testing::MemoryApi;

    use super::*;

    #[tokio::test]
    async fn what_is_kept_of_this_runs_rollouts_is_deleted_and_nothing_else() {
        let client = MemoryApi::new().client();
        let services = Services::new(client);
        let make = async |name: &str, keeps: &str, target: String| {
            let map = json!({
                "metadata": {
                    "name": name, "labels": { "canary-rollout/keeps": keeps },
                    "annotations": { TARGET: target },
                },
            });
            let map = serde_json::from_value(map).unwrap();
            services.maps.create(&PostParams::default(), &map).await.unwrap();
        };
        make("first", "state", format!("default/{}", services.name(1))).await;
        make("last", "state", format!("default/{}", services.name(10_000))).await;
        make("other-run", "state", "default/canary-run-0-1".to_owned()).await;
        make("checkout", "state", "default/checkout".to_owned()).await;
        make("no-store", "notes", format!("default/{}", services.name(2))).await;
        services.forget().await.unwrap();
        let left = services.maps.list_metadata(&ListParams::default()).await.unwrap();
        let left: Vec<_> = left.items.iter().map(ResourceExt::name_any).collect();
        assert_eq!(left, ["checkout", "no-store", "other-run"]);
    }

    #[test]
    fn a_call_is_named_by_verb_and_resource() {
        let all = "/apis/networking.istio.io/v1/namespaces/default/virtualservices";
        assert_eq!(name("GET", all, Some("limit=500")), "list virtualservices");
        assert_eq!(name("GET", all, Some("a=b&watch=true")), "watch virtualservices");
        let one = format!("{all}/checkout");
        assert_eq!(name("GET", &one, None), "get virtualservices");
        assert_eq!(name("PATCH", &one, Some("fieldManager=canary")), "patch virtualservices");
        assert_eq!(
            name("GET", "/apis/networking.istio.io/v1/virtualservices", None),
            "list virtualservices"
        );
    }

    #[test]
    fn only_the_calls_since_are_counted() {
        let calls = Calls::default();
        calls.note("get pods".to_owned());
        let before = calls.so_far();
        calls.note("patch pods".to_owned());
        calls.note("patch pods".to_owned());
        assert_eq!(
            between(&before, &calls.so_far()),
            BTreeMap::from([("patch pods".to_owned(), 2)])
        );
    }
}
