//! A real API server.

use std::env;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::Client;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

use crate::client::client_from;
use crate::httproute::HTTP_ROUTE;
use crate::selector::RouteKind;

/// Names the variable that holds the path of a kubeconfig for a cluster that tests may write to.
const KUBECONFIG: &str = "CANARY_TEST_KUBECONFIG";

/// Names the variable that is set where Istio's control plane runs beside the API server.
const ISTIOD: &str = "CANARY_TEST_ISTIOD";

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

    /// Creates an empty namespace of a name that no other test has, and returns its name.
    ///
    /// It stays: a cluster without a controller manager could not delete it.
    ///
    /// # Panics
    /// Where the server does not take it.
    pub async fn namespace(&self) -> String {
        let api = Api::<Namespace>::all(self.client());
        let mut namespace = Namespace::default();
        namespace.metadata.generate_name = Some("canary-test-".to_owned());
        let created = api.create(&PostParams::default(), &namespace).await;
        let created =
            created.unwrap_or_else(|error| panic!("no namespace can be created: {error}"));
        created.metadata.name.expect("the server has named it")
    }

    /// Creates an object under a name that no other test has, with these fields beside `metadata.name`.
    ///
    /// # Panics
    /// Where the server does not take it.
    pub async fn create(&self, kind: &RouteKind, fields: &Value) -> RouteObject {
        let created = self.send(kind, fields).await;
        created.unwrap_or_else(|error| panic!("{} cannot be created: {error}", kind.kind))
    }

    /// The same for an object that the server may find to be invalid; `None` if it does.
    ///
    /// # Panics
    /// Where the server does not take it for another reason.
    pub async fn try_create(&self, kind: &RouteKind, fields: &Value) -> Option<RouteObject> {
        match self.send(kind, fields).await {
            Ok(created) => Some(created),
            Err(kube::Error::Api(status)) if status.code == 422 => None,
            Err(error) => panic!("{} cannot be created: {error}", kind.kind),
        }
    }

    async fn send(&self, kind: &RouteKind, fields: &Value) -> Result<RouteObject, kube::Error> {
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
        api.create(&PostParams::default(), &typed).await?;
        let created = RouteObject { api, name };
        let heeded = (&*kind.group, &*kind.kind) == (HTTP_ROUTE.group, HTTP_ROUTE.kind);
        if heeded && env::var_os(ISTIOD).is_some() {
            created.gets_a_status().await;
        }
        Ok(created)
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

    /// Waits until the control plane has said something of it: what writes from then on is what the test lets write.
    async fn gets_a_status(&self) {
        for _ in 0..1_000 {
            if !self.read().await["status"].is_null() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!(
            "{ISTIOD} is set, and no control plane has given {} a status within 10 s",
            self.name
        );
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
