//! What a server in memory does with many objects: makes, lists and deletes them.

use http::{Method, Uri};
use serde_json::{Value, json};

use super::memory::{Refusal, State};

impl State {
    /// Makes an object, lists objects or deletes one; `None` for any other request.
    pub(super) fn act_on_many(
        &mut self,
        method: &Method,
        uri: &Uri,
        body: &[u8],
    ) -> Option<Result<Value, Refusal>> {
        let path = uri.path();
        match *method {
            Method::POST => Some(self.create(path, body)),
            Method::GET if is_collection(path) => Some(Ok(self.list(path, uri.query()))),
            Method::DELETE => Some(self.objects.remove(path).ok_or(Refusal::Missing)),
            _ => None,
        }
    }

    fn create(&mut self, path: &str, body: &[u8]) -> Result<Value, Refusal> {
        let object: Value = serde_json::from_slice(body).map_err(|_| Refusal::Unknown)?;
        let name = object["metadata"]["name"].as_str().ok_or(Refusal::Unknown)?;
        let path = format!("{path}/{name}");
        if self.objects.contains_key(&path) {
            return Err(Refusal::Exists);
        }
        Ok(self.store(path, object))
    }

    fn list(&self, path: &str, query: Option<&str>) -> Value {
        let selected = query.into_iter().flat_map(|query| query.split('&'));
        let selected = selected.filter_map(|pair| pair.strip_prefix("labelSelector=")).next();
        let selected = selected.unwrap_or("").replace("%3D", "=").replace("%2F", "/");
        let labels: Vec<_> =
            selected.split("%2C").filter_map(|label| label.split_once('=')).collect();
        let is_in = |(at, object): &(&String, &Value)| {
            let has = |(key, value): &(&str, &str)| object["metadata"]["labels"][*key] == *value;
            (collection(at) == path || everywhere(at) == path) && labels.iter().all(has)
        };
        let items: Vec<_> = self.objects.iter().filter(is_in).map(|(_, object)| object).collect();
        json!({
            "apiVersion": "v1", "kind": "List", "items": items,
            "metadata": { "resourceVersion": self.resource_version.to_string() },
        })
    }
}

/// Tells a collection's path, `…/namespaces/NAMESPACE/PLURAL` or `/apis/GROUP/VERSION/PLURAL`, from an object's.
fn is_collection(path: &str) -> bool {
    match path.split_once("/namespaces/") {
        Some((_, rest)) => rest.split('/').count() == 2,
        None => path.starts_with("/apis/") && path.split('/').count() == 5,
    }
}

/// Returns the path of the collection that an object is in.
fn collection(object: &str) -> &str {
    object.rsplit_once('/').map_or("", |(collection, _)| collection)
}

/// Returns the path of the collection of all namespaces that an object is in.
fn everywhere(object: &str) -> String {
    let Some((group, rest)) = object.split_once("/namespaces/") else {
        return String::new();
    };
    format!("{group}/{}", rest.split('/').nth(1).unwrap_or(""))
}
