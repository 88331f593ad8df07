//! A real API server.

use std::env;
use std::sync::atomic::{AtomicU64, Ordering};

use kube::Client;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

use crate::client::client_from;
use crate::selector::RouteKind;

/// Names the variable that holds the path of a kubeconfig for a cluster that tests may write to.
const KUBECONFIG: &str = "CANARY_TEST_KUBECONFIG";

const NAMESPACE: &str = "default";

/// Makes objects on a real API server.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").finish_non_exhaustive()
    }
}

impl Cluster {
    /// Connects to the server that `CANARY_TEST_KUBECONFIG` points at.
    ///
    /// # Panics
    /// Where the variable is not set, or the file that it names cannot be used.
    pub async fn connect() -> Self {
        let path = env::var(KUBECONFIG).unwrap_or_else(|_| {
            panic!("{KUBECONFIG} must hold the path of a kubeconfig for a cluster that tests may write to")
        });
        let client = client_from(&path).await;
        let client = client.unwrap_or_else(|error| panic!("{KUBECONFIG}={path}: {error:?}"));
        Self { client }
    }

    /// Returns the client.
    #[must_use]
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Creates an object under a name that no other test has, with these fields beside `metadata.name`.
    ///
    /// # Panics
    /// Where the server does not take it.
    pub async fn create(&self, kind: &RouteKind, fields: &Value) -> RouteObject {
        static CREATED: AtomicU64 = AtomicU64::new(0);
        let number = CREATED.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{}-{number}", kind.plural, std::process::id());
        let kind = ApiResource::from_gvk_with_plural(
            &GroupVersionKind::gvk(kind.group, kind.version, kind.kind),
            kind.plural,
        );
        let mut object =
            json!({ "apiVersion": kind.api_version, "kind": kind.kind, "metadata": {} });
        json_patch::merge(&mut object, fields);
        object["metadata"]["name"] = json!(name);
        let api = Api::namespaced_with(self.client(), NAMESPACE, &kind);
        // A cluster may be used more than once, and process ids come again.
        let _ = api.delete(&name, &DeleteParams::default()).await;
        let typed: DynamicObject = serde_json::from_value(object).expect("an object");
        let created = api.create(&PostParams::default(), &typed).await;
        created.unwrap_or_else(|error| panic!("{name} cannot be created: {error}"));
        RouteObject { api, name }
    }
}

/// One object on the server; the test deletes it.
#[derive(Clone, Debug)]
pub struct RouteObject {
    api: Api<DynamicObject>,
    name: String,
}

impl RouteObject {
    /// Returns its namespace.
    #[must_use]
    pub const fn namespace(&self) -> &str {
        NAMESPACE
    }

    /// Returns its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Reads it.
    ///
    /// # Panics
    /// Where it cannot be read.
    pub async fn read(&self) -> Value {
        let object = self.api.get(&self.name).await.expect("the object is there");
        serde_json::to_value(object).expect("an object is JSON")
    }

    /// Changes it as another writer: lays these fields over it.
    ///
    /// # Panics
    /// Where the server does not take them.
    pub async fn merge(&self, fields: &Value) {
        let (params, patch) = (PatchParams::default(), Patch::Merge(fields));
        let merged = self.api.patch(&self.name, &params, &patch).await;
        merged.expect("the fields are taken");
    }

    /// Deletes it.
    ///
    /// # Panics
    /// Where it cannot be deleted.
    pub async fn delete(&self) {
        let deleted = self.api.delete(&self.name, &DeleteParams::default()).await;
        deleted.expect("the object is deleted");
    }
}
