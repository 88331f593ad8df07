//! One object on the API server.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use canary_core::ports::{Call, PortError};
use canary_core::value::FailureKind;
use http::Response;
use http::header::RETRY_AFTER;
use json_patch::Patch as JsonPatch;
use kube::Client;
use kube::api::{GetParams, Patch, ValidationDirective};
use kube::client::Body;
use kube::core::{Request, Status};
use serde_json::Value;

use crate::calls::patching;
use crate::error::{port_error, status_error};
use crate::selector::RouteKind;
use crate::watch::RouteWatch;

/// Manages the fields that are written, as `kubectl get --show-managed-fields` tells.
pub(crate) const FIELD_MANAGER: &str = "canary";

/// Reads and patches one object as plain JSON, so that what is not known here stays as it is.
///
/// Each method makes one request at most.
#[derive(Clone)]
pub struct Object {
    client: Client,
    kind: RouteKind,
    namespace: String,
    name: String,
    watch: Option<RouteWatch>,
}

/// What becomes of fields that the server's schema does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unknown {
    Dropped,
    Refused,
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
    /// Names an object of this kind; nothing is read yet.
    #[must_use]
    pub const fn new(client: Client, kind: RouteKind, namespace: String, name: String) -> Self {
        Self { client, kind, namespace, name, watch: None }
    }

    /// Tells whether both are one object, of whichever part of it they speak.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.kind.is_same_resource(&other.kind)
            && self.namespace == other.namespace
            && self.name == other.name
    }

    /// Looks at it with this watch from now on.
    pub(crate) fn watched(&mut self, watch: &RouteWatch) {
        self.watch = Some(watch.clone());
    }

    /// Returns what the watch knows of it.
    pub(crate) fn known(&self) -> Option<Arc<Value>> {
        self.watch.as_ref()?.get(&self.kind, &self.namespace, &self.name)
    }

    /// Returns what the watch knows of it, or else reads it.
    pub(crate) async fn look(&self) -> Result<Arc<Value>, PortError> {
        match self.known() {
            Some(known) => Ok(known),
            None => self.get().await,
        }
    }

    /// Reads it.
    ///
    /// # Errors
    /// As [`port_error`](crate::port_error) sorts them.
    pub async fn get(&self) -> Result<Arc<Value>, PortError> {
        let answer = self.send(self.request().get(&self.name, &GetParams::default())).await;
        answer.map(|object| self.noted(object))
    }

    /// Applies a JSON patch: all of it or, if a test fails, nothing (`Conflict`). Returns what came out.
    ///
    /// # Errors
    /// As [`port_error`](crate::port_error) sorts them.
    pub async fn patch(&self, patch: JsonPatch) -> Result<Arc<Value>, PortError> {
        self.write(&Patch::<()>::Json(patch), Unknown::Dropped).await
    }

    /// The same, where nothing of it may be a field that the server's schema does not know and would drop (`Invalid`).
    pub(crate) async fn patch_whole(&self, patch: JsonPatch) -> Result<Arc<Value>, PortError> {
        self.write(&Patch::<()>::Json(patch), Unknown::Refused).await
    }

    /// Lays these fields over it. Returns what came out.
    pub(crate) async fn merge(&self, fields: Value) -> Result<Arc<Value>, PortError> {
        self.write(&Patch::Merge(fields), Unknown::Dropped).await
    }

    async fn write<P: serde::Serialize>(
        &self,
        patch: &Patch<P>,
        unknown: Unknown,
    ) -> Result<Arc<Value>, PortError> {
        let mut params = patching();
        if unknown == Unknown::Refused {
            params.field_validation = Some(ValidationDirective::Strict);
        }
        // Before it is sent, since nobody may be left to take the answer.
        if let Some(watch) = &self.watch {
            watch.forget(&self.kind, &self.namespace, &self.name);
        }
        let answer = self.send(self.request().patch(&self.name, &params, patch)).await;
        answer.map(|object| self.noted(object))
    }

    fn noted(&self, mut object: Value) -> Arc<Value> {
        // Nobody here reads them, and they take most of the room.
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("managedFields");
        }
        let object = Arc::new(object);
        if let Some(watch) = &self.watch {
            watch.note(&self.kind, &object);
        }
        object
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
pub(crate) async fn read(answer: Response<Body>) -> Result<Value, PortError> {
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
///
/// # Errors
/// `Timeout` after that, or that of the work.
pub async fn until_deadline<T>(
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
