//! A client whose writes are only tried.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use http::uri::{PathAndQuery, Uri};
use http::{Method, Request, Response, StatusCode};
use kube::Client;
use kube::client::Body;
use serde_json::{Map, Value, json};

const JSON_PATCH: &str = "application/json-patch+json";
const MERGE_PATCH: &str = "application/merge-patch+json";

/// Asks the server to refuse what its schema does not know.
const STRICT: &str = "fieldValidation=Strict";

/// Makes a client whose writes the API server checks and does not carry out (`dryRun=All`), so that a whole plan can be
/// tried.
///
/// A plan's later steps are based on its earlier ones. So what a write would have come to is remembered, and shown to who
/// reads the object through this client: a JSON patch that tests the weight that the step before has set finds it. The
/// server is asked each time, about the object as it is and what this client would have made of it in total; permissions,
/// admission and schema are the real ones. Who reads through another client sees nothing of it.
///
/// - Only single objects in a namespace are remembered. Lists and watches show what is there, and what writes to a
///   subresource would do is forgotten.
/// - Nothing follows from what is tried: no pod is made, no route moves. So a rollout that is tried needs a workload that
///   does not wait for pods, and a store in memory.
#[must_use]
pub fn dry_run(client: &Client) -> Client {
    let trial = Trial { server: client.clone(), tried: Arc::default() };
    let service = tower::service_fn(move |request| trial.clone().answer(request));
    Client::new(service, client.default_namespace())
}

#[derive(Clone)]
struct Trial {
    server: Client,
    /// By path.
    tried: Arc<Mutex<BTreeMap<String, Tried>>>,
}

/// What would have become of an object.
#[derive(Clone)]
struct Tried {
    /// What it was; null where it was not there.
    was: Value,
    /// What it would be; null where it would be gone.
    is: Value,
}

type Answer = Result<Response<Body>, kube::Error>;

impl Trial {
    async fn answer(self, request: Request<Body>) -> Answer {
        let (head, body) = request.into_parts();
        let body = body.collect_bytes().await?.to_vec();
        let path = head.uri.path().to_owned();
        let watches = head.uri.query().is_some_and(|query| query.contains("watch="));
        match head.method {
            _ if connects(&path) => Ok(failure(405, "MethodNotAllowed", "it cannot be only tried")),
            Method::GET if watches || !is_object(&path) => self.send(head, body).await,
            Method::GET => self.read(head, &path).await,
            Method::POST => self.create(head, body, &path).await,
            _ if !is_object(&path) => self.attempt(head, body).await,
            _ => self.write(head, body, &path).await,
        }
    }

    async fn read(&self, head: Parts, path: &str) -> Answer {
        let Some(tried) = self.tried().get(path).cloned() else {
            return self.send(head, Vec::new()).await;
        };
        let (code, real) = split(self.send(head, Vec::new()).await?).await?;
        match tried.over(code, &real) {
            Some(shown) => Ok(answer(200, &shown)),
            None if code.is_success() => Ok(missing()),
            None => Ok(answer(code.as_u16(), &real)),
        }
    }

    async fn create(&self, head: Parts, body: Vec<u8>, path: &str) -> Answer {
        let (code, created) = split(self.attempt(head, body).await?).await?;
        let name = created["metadata"]["name"].as_str().unwrap_or("");
        let path = format!("{path}/{name}");
        // Nobody reads Events again, and there may be many.
        if code.is_success() && is_object(&path) && created["kind"] != "Event" {
            self.tried().insert(path, Tried { was: Value::Null, is: created.clone() });
        }
        Ok(answer(code.as_u16(), &created))
    }

    /// Patches, replaces or deletes.
    async fn write(&self, head: Parts, body: Vec<u8>, path: &str) -> Answer {
        let (code, real) = split(self.send(get(path), Vec::new()).await?).await?;
        let before = self.tried().get(path).cloned();
        let shown = match &before {
            Some(tried) => tried.over(code, &real),
            None => code.is_success().then(|| real.clone()),
        };
        if before.is_some() && shown.is_none() {
            return Ok(missing());
        }
        let was = if code.is_success() { real } else { Value::Null };
        let media = head.headers.get(CONTENT_TYPE).and_then(|media| media.to_str().ok());
        let deletes = head.method == Method::DELETE;
        let (code, said) = match (before, shown, media) {
            (Some(_), Some(shown), Some(media @ (JSON_PATCH | MERGE_PATCH))) => {
                let Some(is) = patched(shown, media, &body) else { return Ok(refused()) };
                self.check(head, path, &was, is).await?
            }
            (Some(_), Some(shown), _) if was.is_null() && deletes => (StatusCode::OK, shown),
            _ => split(self.attempt(head, body).await?).await?,
        };
        if code.is_success() {
            let is = if deletes { Value::Null } else { said.clone() };
            self.tried().insert(path.to_owned(), Tried { was, is });
        }
        Ok(answer(code.as_u16(), &said))
    }

    /// Asks the server what it says to an object that would be like this.
    async fn check(
        &self,
        mut head: Parts,
        path: &str,
        was: &Value,
        is: Value,
    ) -> Result<(StatusCode, Value), kube::Error> {
        if was.is_null() {
            return Ok((StatusCode::OK, is));
        }
        let change = difference(&bare(was), &bare(&is)).unwrap_or_else(|| json!({}));
        head.method = Method::PATCH;
        let strict = head.uri.query().is_some_and(|query| query.contains(STRICT));
        let query = if strict { format!("{path}?{STRICT}") } else { path.to_owned() };
        head.uri = with_query(&head.uri, &query);
        head.headers.insert(CONTENT_TYPE, HeaderValue::from_static(MERGE_PATCH));
        split(self.attempt(head, change.to_string().into_bytes()).await?).await
    }

    /// Sends a write that is only tried.
    async fn attempt(&self, head: Parts, body: Vec<u8>) -> Answer {
        let (head, body) = tried(head, body);
        self.send(head, body).await
    }

    async fn send(&self, mut head: Parts, body: Vec<u8>) -> Answer {
        head.headers.remove(CONTENT_LENGTH);
        self.server.send(Request::from_parts(head, Body::from(body))).await
    }

    fn tried(&self) -> MutexGuard<'_, BTreeMap<String, Tried>> {
        self.tried.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tried {
    /// Lays what was tried over what is there now, `None` where it would not be there.
    fn over(&self, code: StatusCode, real: &Value) -> Option<Value> {
        if self.is.is_null() {
            return None;
        }
        if self.was.is_null() && code == StatusCode::NOT_FOUND {
            return Some(self.is.clone());
        }
        if !code.is_success() {
            return None;
        }
        let mut shown = real.clone();
        if let Some(change) = difference(&bare(&self.was), &bare(&self.is)) {
            json_patch::merge(&mut shown, &change);
        }
        Some(shown)
    }
}

/// Returns the merge patch that makes one value of another, `None` where they are equal.
fn difference(from: &Value, to: &Value) -> Option<Value> {
    if from == to {
        return None;
    }
    let (Value::Object(from), Value::Object(to)) = (from, to) else {
        return Some(to.clone());
    };
    let gone = from.keys().filter(|key| !to.contains_key(*key)).map(|key| (key, Value::Null));
    let changed = to.iter().filter_map(|(key, value)| {
        let before = from.get(key).unwrap_or(&Value::Null);
        difference(before, value).map(|change| (key, change))
    });
    let change: Map<_, _> = gone.chain(changed).map(|(key, value)| (key.clone(), value)).collect();
    Some(Value::Object(change))
}

/// Leaves out what only the server writes.
fn bare(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object["metadata"].as_object_mut() {
        for key in ["creationTimestamp", "generation", "managedFields", "resourceVersion", "uid"] {
            metadata.remove(key);
        }
    }
    object
}

/// Applies a patch as a server would, `None` where it does not apply.
fn patched(mut object: Value, media: &str, patch: &[u8]) -> Option<Value> {
    let version = object["metadata"]["resourceVersion"].clone();
    if media == JSON_PATCH {
        json_patch::patch(&mut object, &serde_json::from_slice::<json_patch::Patch>(patch).ok()?)
            .ok()?;
    } else {
        json_patch::merge(&mut object, &serde_json::from_slice(patch).ok()?);
    }
    (object["metadata"]["resourceVersion"] == version).then_some(object)
}

/// Tells a path of one object in a namespace: `…/namespaces/NAMESPACE/PLURAL/NAME`.
fn is_object(path: &str) -> bool {
    let rest = path.split_once("/namespaces/").map_or("", |(_, rest)| rest);
    rest.split('/').count() == 3 && !rest.ends_with('/')
}

/// Tells what reaches through to a pod or a node, where nothing can be only tried.
fn connects(path: &str) -> bool {
    path.split('/').any(|part| matches!(part, "attach" | "exec" | "portforward" | "proxy"))
}

/// Makes a request one that is only tried.
fn tried(mut head: Parts, mut body: Vec<u8>) -> (Parts, Vec<u8>) {
    let query = head.uri.query().unwrap_or("");
    let mut pairs: Vec<_> = query.split('&').filter(|pair| !pair.is_empty()).collect();
    pairs.retain(|pair| !pair.starts_with("dryRun="));
    pairs.push("dryRun=All");
    head.uri = with_query(&head.uri, &format!("{}?{}", head.uri.path(), pairs.join("&")));
    if head.method == Method::DELETE {
        // The API server reads the options of a deletion off its body, and where there is one, not off the query.
        let options = serde_json::from_slice(&body).ok().filter(Value::is_object);
        let mut options = options.unwrap_or_else(|| json!({}));
        options["dryRun"] = json!(["All"]);
        body = options.to_string().into_bytes();
        head.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    (head, body)
}

fn with_query(uri: &Uri, path_and_query: &str) -> Uri {
    let mut parts = uri.clone().into_parts();
    // What comes from a URI is one again.
    parts.path_and_query = PathAndQuery::try_from(path_and_query).ok();
    Uri::from_parts(parts).unwrap_or_else(|_| uri.clone())
}

fn get(path: &str) -> Parts {
    let mut request = Request::new(());
    *request.uri_mut() = with_query(&Uri::default(), path);
    request.into_parts().0
}

async fn split(answer: Response<Body>) -> Result<(StatusCode, Value), kube::Error> {
    let (head, body) = answer.into_parts();
    let body = body.collect_bytes().await?;
    let value = serde_json::from_slice(&body);
    Ok((head.status, value.unwrap_or_else(|_| json!(String::from_utf8_lossy(&body)))))
}

fn answer(code: u16, body: &Value) -> Response<Body> {
    let mut answer = Response::new(Body::from(body.to_string().into_bytes()));
    *answer.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    answer
}

fn missing() -> Response<Body> {
    failure(404, "NotFound", "the object would not be there")
}

fn refused() -> Response<Body> {
    failure(422, "Invalid", "the server rejected our request due to an error in our request")
}

fn failure(code: u16, reason: &str, message: &str) -> Response<Body> {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "details": {}, "code": code,
    });
    answer(code, &status)
}
