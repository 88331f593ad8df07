//! How a rule is told from others.

use serde_json::Value;

/// Chooses one rule of a route object; those that a rollout has put there do not count.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rule {
    /// The only one that has both destinations.
    Only,
    /// The one with this name.
    Named(String),
    /// The one at this place, counted from 0.
    At(usize),
    /// The one with a `match` that has all of these fields, and maybe more.
    Matching(Value),
}

/// Tells whether a rule has a match with these fields.
pub(crate) fn has_match(rule: &Value, wanted: &Value) -> bool {
    let matches = rule.get("match").or_else(|| rule.get("matches")).and_then(Value::as_array);
    matches.is_some_and(|matches| matches.iter().any(|found| includes(found, wanted)))
}

/// Tells whether a value has all that another has: fields of a map, items of a list.
fn includes(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::Object(found), Value::Object(wanted)) => wanted
            .iter()
            .all(|(key, wanted)| found.get(key).is_some_and(|found| includes(found, wanted))),
        (Value::Array(found), Value::Array(wanted)) => {
            wanted.iter().all(|wanted| found.iter().any(|found| includes(found, wanted)))
        }
        _ => found == wanted,
    }
}

/// Returns the namespace and name of the object that a rule hands its requests to.
pub(crate) fn delegate(rule: &Value) -> Option<String> {
    let delegate = rule.get("delegate")?;
    let name = delegate.get("name")?.as_str()?;
    let namespace = delegate.get("namespace").and_then(Value::as_str);
    Some(namespace.map_or_else(|| name.to_owned(), |namespace| format!("{namespace}/{name}")))
}

pub(crate) fn label(index: usize, rule: &Value) -> String {
    match rule.get("name").and_then(Value::as_str) {
        Some(name) => format!("rule {index} (`{name}`)"),
        None => format!("rule {index}"),
    }
}

pub(crate) fn list_or(items: Vec<String>, none: &str) -> String {
    if items.is_empty() { none.to_owned() } else { items.join(", ") }
}
