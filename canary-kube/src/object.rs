//! One object on the API server.

use std::fmt;
use std::time::Duration;

use canary_core::ports::{Call, PortError};
use canary_core::value::FailureKind;
use http::Response;
use http::header::RETRY_AFTER;
use json_patch::Patch as JsonPatch;
use kube::Client;
use kube::api::{GetParams, Patch, PatchParams};
use kube::client::Body;
use kube::core::{Request, Status};
use serde_json::Value;

use crate::error::{port_error, status_error};
use crate::selector::RouteKind;

/// Manages the fields that are written, as `kubectl get --show-managed-fields` tells.
const FIELD_MANAGER: &str = "canary";

/// Reads and patches one object as plain JSON, so that what is not known here stays as it is.
///
/// Each method makes one request.
#[derive(Clone)]
pub(crate) struct Object {
    client: Client,
    kind: RouteKind,
    namespace: String,
    name: String,
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Object({self})")
    }
}

/// Writes `VirtualService shop/checkout`.
impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind.kind, self.namespace, self.name)
    }
}

impl Object {
    pub(crate) const fn new(
        client: Client,
        kind: RouteKind,
        namespace: String,
        name: String,
    ) -> Self {
        Self { client, kind, namespace, name }
    }

    /// Reads it.
    pub(crate) async fn get(&self) -> Result<Value, PortError> {
        self.send(self.request().get(&self.name, &GetParams::default())).await
    }

    /// Applies a JSON patch: all of it or, if a test fails, nothing (`Conflict`). Returns what came out.
    pub(crate) async fn patch(&self, patch: JsonPatch) -> Result<Value, PortError> {
        self.write(&Patch::<()>::Json(patch)).await
    }

    /// Lays these fields over it. Returns what came out.
    pub(crate) async fn merge(&self, fields: Value) -> Result<Value, PortError> {
        self.write(&Patch::Merge(fields)).await
    }

    async fn write<P: serde::Serialize>(&self, patch: &Patch<P>) -> Result<Value, PortError> {
        let manager =
            PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        self.send(self.request().patch(&self.name, &manager, patch)).await
    }

    fn request(&self) -> Request {
        let RouteKind { group, version, plural, .. } = self.kind;
        let namespace = &self.namespace;
        Request::new(format!("/apis/{group}/{version}/namespaces/{namespace}/{plural}"))
    }

    async fn send(
        &self,
        request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
    ) -> Result<Value, PortError> {
        let request = request.map_err(|error| port_error(kube::Error::BuildRequest(error)))?;
        let answer = self.client.send(request.map(Body::from)).await;
        read(answer.map_err(port_error)?).await
    }
}

/// Reads an answer by hand, because the client's own reading drops the `Retry-After` header.
async fn read(answer: Response<Body>) -> Result<Value, PortError> {
    let code = answer.status();
    let retry_after = answer.headers().get(RETRY_AFTER).and_then(seconds);
    let body = answer.into_body().collect_bytes().await.map_err(port_error)?;
    if code.is_success() {
        return serde_json::from_slice(&body)
            .map_err(|error| port_error(kube::Error::SerdeError(error)));
    }
    let status = serde_json::from_slice(&body).unwrap_or_else(|_| {
        // A proxy answers with a page of its own.
        Status::failure(String::from_utf8_lossy(&body).trim(), "")
    });
    Err(status_error(&status.with_code(code.as_u16()), retry_after))
}

/// Reads the header's form in seconds; the form with a date would need a clock.
fn seconds(header: &http::HeaderValue) -> Option<Duration> {
    let seconds = header.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// Waits no longer than the caller does.
pub(crate) async fn until_deadline<T>(
    call: &Call,
    work: impl Future<Output = Result<T, PortError>>,
) -> Result<T, PortError> {
    let patience = call.deadline.since(call.made);
    tokio::time::timeout(patience, work).await.unwrap_or_else(|_| {
        Err(PortError::new(
            FailureKind::Timeout,
            format!("the API server did not answer within {patience:?}"),
        ))
    })
}
