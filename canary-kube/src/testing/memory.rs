//! An API server in memory.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

use crate::selector::RouteKind;

/// Answers to reads and patches of route objects as a real API server was seen to answer, and to what the store and the
/// Leases ask.
///
/// It checks no schema, and lists in one page. Clones share their objects.
#[derive(Clone, Debug, Default)]
pub struct MemoryApi {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    /// By the path that requests name them by.
    pub(super) objects: BTreeMap<String, Value>,
    pub(super) resource_version: u64,
    /// What the next requests are answered, whatever they ask.
    canned: VecDeque<Canned>,
    requests: Vec<String>,
}

#[derive(Debug)]
struct Canned {
    code: u16,
    retry_after: Option<u32>,
    body: String,
}

impl MemoryApi {
    /// Starts with no objects.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a client of it; needs a tokio runtime.
    #[must_use]
    pub fn client(&self) -> Client {
        let server = self.clone();
        let service = tower::service_fn(move |request| server.clone().answer(request));
        Client::new(service, "default")
    }

    /// Stores an object with these fields, in place of one of the same name.
    pub fn put(&self, kind: &RouteKind, namespace: &str, name: &str, fields: &Value) {
        let mut object = json!({
            "apiVersion": format!("{}/{}", kind.group, kind.version),
            "kind": kind.kind,
        });
        json_patch::merge(&mut object, fields);
        object["metadata"]["name"] = json!(name);
        object["metadata"]["namespace"] = json!(namespace);
        object["metadata"]["generation"] = json!(1);
        self.state().store(path(kind, namespace, name), object);
    }

    /// Returns an object as it is now.
    #[must_use]
    pub fn get(&self, kind: &RouteKind, namespace: &str, name: &str) -> Option<Value> {
        let path = path(kind, namespace, name);
        self.state().objects.get(&path).cloned()
    }

    /// Deletes what is kept under a name in a namespace, whatever its kind.
    pub fn delete(&self, namespace: &str, name: &str) {
        let place = |path: &str| {
            let mut parts = path.rsplit('/');
            parts.next() == Some(name) && parts.nth(1) == Some(namespace)
        };
        self.state().objects.retain(|path, _| !place(path));
    }

    /// Answers the next request with this code and body, whatever it asks, and then the next with the next.
    pub fn answer_next(&self, code: u16, retry_after: Option<u32>, body: impl Into<String>) {
        let canned = Canned { code, retry_after, body: body.into() };
        self.state().canned.push_back(canned);
    }

    /// Returns the methods of the requests since the last look.
    #[must_use]
    pub fn take_requests(&self) -> Vec<String> {
        std::mem::take(&mut self.state().requests)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(self, request: Request<Body>) -> Result<Response<Body>, kube::Error> {
        let (head, body) = request.into_parts();
        let body = body.collect_bytes().await?;
        let media = head.headers.get(CONTENT_TYPE);
        let media = media.and_then(|media| media.to_str().ok()).unwrap_or("");
        let mut state = self.state();
        state.requests.push(format!("{} {media}", head.method).trim_end().to_owned());
        let canned = state.canned.pop_front().unwrap_or_else(|| {
            let tried = is_only_tried(&head, &body);
            let before = tried.then(|| (state.objects.clone(), state.resource_version));
            let many = state.act_on_many(&head.method, &head.uri, &body);
            let done =
                many.unwrap_or_else(|| state.act(&head.method, head.uri.path(), media, &body));
            if let Some((objects, resource_version)) = before {
                (state.objects, state.resource_version) = (objects, resource_version);
            }
            let (code, body) = done.map_or_else(Refusal::status, |object| (200, object));
            Canned { code, retry_after: None, body: body.to_string() }
        });
        Ok(canned.response())
    }
}

/// Tells whether a write is not to be carried out; a deletion says so in its body, where there is one.
fn is_only_tried(head: &Parts, body: &[u8]) -> bool {
    if head.method == Method::DELETE && !body.is_empty() {
        let options = serde_json::from_slice::<Value>(body).unwrap_or_default();
        return options["dryRun"] == json!(["All"]);
    }
    head.uri.query().is_some_and(|query| query.contains("dryRun=All"))
}

impl Canned {
    fn response(self) -> Response<Body> {
        let mut response = Response::new(Body::from(self.body.into_bytes()));
        *response.status_mut() = StatusCode::from_u16(self.code).expect("a status code");
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        response
    }
}

/// Says why a request was not done.
#[derive(Debug)]
pub(super) enum Refusal {
    /// There is such an object already.
    Exists,
    /// There is no such object.
    Missing,
    /// A test of a JSON patch failed, or a path in it is missing.
    Untrue,
    /// The resource version is not the object's.
    Stale,
    /// The request is none that this server knows.
    Unknown,
}

impl Refusal {
    /// Returns what a real server (1.34 and 1.36) was seen to answer.
    fn status(self) -> (u16, Value) {
        let (code, reason, message) = match self {
            Self::Exists => (409, "AlreadyExists", "the object already exists"),
            Self::Missing => (404, "NotFound", "the object was not found"),
            Self::Untrue => {
                (422, "Invalid", "the server rejected our request due to an error in our request")
            }
            Self::Stale => (
                409,
                "Conflict",
                "the object has been modified; please apply your changes to the latest version and try again",
            ),
            Self::Unknown => (415, "UnsupportedMediaType", "the request is not known here"),
        };
        let status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": message, "reason": reason, "details": {}, "code": code,
        });
        (code, status)
    }
}

impl State {
    fn act(
        &mut self,
        method: &Method,
        path: &str,
        media: &str,
        body: &[u8],
    ) -> Result<Value, Refusal> {
        let old = self.objects.get(path).ok_or(Refusal::Missing)?;
        let mut new = old.clone();
        match (method, media) {
            (&Method::GET, _) => return Ok(new),
            (&Method::PATCH, "application/json-patch+json") => {
                let patch: json_patch::Patch =
                    serde_json::from_slice(body).map_err(|_| Refusal::Unknown)?;
                json_patch::patch(&mut new, &patch).map_err(|_| Refusal::Untrue)?;
            }
            (&Method::PATCH, "application/merge-patch+json") => {
                let fields = serde_json::from_slice(body).map_err(|_| Refusal::Unknown)?;
                json_patch::merge(&mut new, &fields);
            }
            _ => return Err(Refusal::Unknown),
        }
        let version = &new["metadata"]["resourceVersion"];
        // A version of 0 is taken for none.
        if version != "0" && *version != old["metadata"]["resourceVersion"] {
            return Err(Refusal::Stale);
        }
        Ok(self.store(path.to_owned(), new))
    }

    /// Stores an object as a server does: without empty maps, and with a version that moves if anything did.
    pub(super) fn store(&mut self, path: String, mut object: Value) -> Value {
        let old = self.objects.get(&path);
        let metadata = object["metadata"].as_object_mut().expect("metadata is a map");
        metadata.retain(|_, value| *value != json!({}));
        if old == Some(&object) {
            return object;
        }
        self.resource_version += 1;
        object["metadata"]["resourceVersion"] = json!(self.resource_version.to_string());
        if let Some(old) = old.filter(|old| old["spec"] != object["spec"]) {
            let generation = old["metadata"]["generation"].as_u64().unwrap_or(0) + 1;
            object["metadata"]["generation"] = json!(generation);
        }
        self.objects.insert(path, object.clone());
        object
    }
}

/// Writes the path that requests name an object by.
fn path(kind: &RouteKind, namespace: &str, name: &str) -> String {
    let RouteKind { group, version, plural, .. } = kind;
    format!("/apis/{group}/{version}/namespaces/{namespace}/{plural}/{name}")
}
