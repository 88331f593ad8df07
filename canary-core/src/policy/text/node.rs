//! A YAML tree whose nodes know where they stand.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

/// Holds a value and its place.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) value: Value,
    /// Line and column, from 1.
    pub(super) at: (usize, usize),
}

/// Holds what YAML can say.
#[derive(Debug)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
}

/// How deep a document may nest: enough for the deepest check, and for the smallest stack.
const MAX_DEPTH: usize = 32;

/// Parses a whole document.
pub(super) fn parse(text: &str) -> Result<Node, serde_saphyr::Error> {
    let budget = serde_saphyr::budget! { max_depth: MAX_DEPTH };
    serde_saphyr::from_str_with_options(text, serde_saphyr::options! { budget: budget })
}

impl Node {
    /// Says what kind of thing it is, for messages.
    pub(super) fn describe(&self) -> String {
        match &self.value {
            Value::Null => "nothing".to_owned(),
            Value::Bool(value) => format!("`{value}`"),
            Value::Number(value) => format!("the number {value}"),
            Value::Text(text) => format!("`{text}`"),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a map".to_owned(),
        }
    }

    /// Returns a map's key as text.
    pub(super) fn key(&self) -> String {
        match &self.value {
            Value::Text(text) => text.clone(),
            Value::Bool(value) => value.to_string(),
            Value::Number(value) => value.to_string(),
            _ => String::new(),
        }
    }

    /// Returns where `stages[2].weight` stands, or the innermost thing around it that exists.
    pub(super) fn nearest(&self, path: &str) -> (usize, usize) {
        let mut node = self;
        let mut at = node.at;
        for step in path.split(['.', '[']).filter(|step| !step.is_empty()) {
            let next = match (&node.value, step.strip_suffix(']')) {
                (Value::List(items), Some(index)) => {
                    index.parse().ok().and_then(|i: usize| items.get(i))
                }
                (Value::Map(entries), None) => {
                    entries.iter().find(|(key, _)| key.key() == step).map(|(_, value)| value)
                }
                _ => None,
            };
            let Some(next) = next else { return at };
            node = next;
            at = node.at;
        }
        at
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        let at = (spanned.referenced.line() as usize, spanned.referenced.column() as usize);
        Ok(Self { value: spanned.value, at })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    #[expect(clippy::cast_precision_loss, reason = "no policy holds an integer beyond 2^53")]
    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value as f64))
    }

    #[expect(clippy::cast_precision_loss, reason = "no policy holds an integer beyond 2^53")]
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Number(value))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_entry()? {
            entries.push(entry);
        }
        Ok(Value::Map(entries))
    }
}
