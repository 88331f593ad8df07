//! What is asked of the API server, each a single request.

use canary_core::ports::PortError;
use canary_core::value::FailureKind;
use json_patch::jsonptr::PointerBuf;
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::{DeleteParams, GetParams, ListParams, Patch, Preconditions};
use kube::client::Body;
use kube::core::Request;
use serde_json::Value;

use super::deployment::Deployment;
use crate::calls::{creating, patching};
use crate::change::test;
use crate::error::port_error;
use crate::object;

/// Reads and writes the objects of one namespace as plain JSON, so that what is not known here stays as it is.
#[derive(Clone)]
pub(super) struct Server {
    client: Client,
    namespace: String,
}

type Asked = Result<http::Request<Vec<u8>>, kube::core::request::Error>;

impl Server {
    pub(super) const fn new(client: Client, namespace: String) -> Self {
        Self { client, namespace }
    }

    pub(super) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Reads a Deployment; `None` where it is not there.
    pub(super) async fn deployment(&self, name: &str) -> Result<Option<Deployment>, PortError> {
        match self.send(self.deployments().get(name, &GetParams::default())).await {
            Ok(object) => Ok(Some(Deployment::new(object))),
            Err(error) if error.kind() == FailureKind::NotFound => Ok(None),
            Err(error) => Err(error.about(self.place(name))),
        }
    }

    /// Makes a Deployment.
    pub(super) async fn create(&self, name: &str, object: &Value) -> Result<(), PortError> {
        let made = self.send(self.deployments().create(&creating(), object.to_string().into()));
        made.await.map(drop).map_err(|error| error.about(self.place(name)))
    }

    /// Lays these fields over a Deployment, unless it has changed since it was read: `Conflict` then.
    ///
    /// What it is told by is its generation, which its status does not move: its controller writes that all the time.
    pub(super) async fn change(
        &self,
        deployment: &Deployment,
        fields: &Value,
    ) -> Result<Deployment, PortError> {
        let name = deployment.name();
        let patch = Patch::<()>::Json(difference(deployment.json(), fields));
        let changed = self.send(self.deployments().patch(name, &patching(), &patch)).await;
        changed.map(Deployment::new).map_err(|error| error.about(self.place(name)))
    }

    /// Deletes a Deployment, its pods after it, unless anything of it has changed since it was read.
    ///
    /// That may be no more than its status. So it is no failure: who asks again looks again.
    pub(super) async fn delete(&self, deployment: &Deployment) -> Result<(), PortError> {
        let read = Preconditions {
            resource_version: Some(deployment.resource_version().to_owned()),
            uid: deployment.uid().map(str::to_owned),
        };
        let delete = DeleteParams::background().preconditions(read);
        let name = deployment.name();
        match self.send(self.deployments().delete(name, &delete)).await {
            Ok(_) => Ok(()),
            Err(error) if matches!(error.kind(), FailureKind::NotFound | FailureKind::Conflict) => {
                Ok(())
            }
            Err(error) => Err(error.about(self.place(name))),
        }
    }

    /// Lists the pods that a label selector finds.
    pub(super) async fn pods(&self, labels: &str) -> Result<Vec<Pod>, PortError> {
        let found = self.list(&self.kind("/api/v1", "pods"), labels).await;
        let found = found.map_err(|error| error.about(format_args!("pods with {labels}")))?;
        let read = |pod| serde_json::from_value(pod).map_err(kube::Error::SerdeError);
        found.into_iter().map(read).collect::<Result<_, _>>().map_err(port_error)
    }

    pub(super) async fn autoscalers(&self) -> Result<Vec<Value>, PortError> {
        let found = self.list(&self.autoscaling(), "").await;
        found.map_err(|error| error.about("HorizontalPodAutoscalers"))
    }

    /// Lays these fields over an autoscaler.
    pub(super) async fn change_autoscaler(
        &self,
        name: &str,
        fields: &Value,
    ) -> Result<(), PortError> {
        let patch = Patch::Merge(fields);
        let changed = self.send(self.autoscaling().patch(name, &patching(), &patch)).await;
        let place = || format!("HorizontalPodAutoscaler {}/{name}", self.namespace);
        changed.map(drop).map_err(|error| error.about(place()))
    }

    async fn list(&self, kind: &Request, labels: &str) -> Result<Vec<Value>, PortError> {
        let asked = ListParams::default().labels(labels);
        let mut found = self.send(kind.list(&asked)).await?;
        Ok(found["items"].as_array_mut().map(std::mem::take).unwrap_or_default())
    }

    fn deployments(&self) -> Request {
        self.kind("/apis/apps/v1", "deployments")
    }

    fn autoscaling(&self) -> Request {
        self.kind("/apis/autoscaling/v2", "horizontalpodautoscalers")
    }

    fn kind(&self, group: &str, plural: &str) -> Request {
        Request::new(format!("{group}/namespaces/{}/{plural}", self.namespace))
    }

    fn place(&self, name: &str) -> String {
        format!("Deployment {}/{name}", self.namespace)
    }

    async fn send(&self, asked: Asked) -> Result<Value, PortError> {
        let asked = asked.map_err(|error| port_error(kube::Error::BuildRequest(error)))?;
        let answer = self.client.send(asked.map(Body::from)).await;
        object::read(answer.map_err(port_error)?).await
    }
}

/// Writes the patch that lays these fields over an object, with tests that it is the same one and as it was.
fn difference(object: &Value, fields: &Value) -> json_patch::Patch {
    let mut new = object.clone();
    json_patch::merge(&mut new, fields);
    let seen = ["uid", "generation"].into_iter().filter_map(|key| {
        let value = object["metadata"].get(key)?.clone();
        Some(test(PointerBuf::from_tokens(["metadata", key]), value))
    });
    let mut operations: Vec<_> = seen.collect();
    operations.extend(json_patch::diff(object, &new).0);
    json_patch::Patch(operations)
}
