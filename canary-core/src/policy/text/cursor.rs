//! Walks a map of the tree and notes what cannot be read.

use std::collections::BTreeMap;

use super::node::{Node, Value};
use super::scalar::{self, Expected};
use crate::policy::{Problem, nearest, slips_of};
use crate::value::millis;

/// Reads the keys of one map; whatever was not asked for is a problem at the end.
pub(super) struct Fields<'a> {
    path: String,
    entries: &'a [(Node, Node)],
    asked: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    /// Opens a map; anything else is a problem and reads as an empty map.
    pub(super) fn open(
        node: &'a Node,
        path: impl Into<String>,
        what: &str,
        problems: &mut Vec<Problem>,
    ) -> Self {
        let path = path.into();
        let entries = match &node.value {
            Value::Map(entries) => entries.as_slice(),
            Value::Null => &[],
            _ => {
                let message = format!("{what} is {}, not a map", node.describe());
                let help = "write `key: value` pairs, or `{}` for none";
                problems.push(Problem::new(path.clone(), message, help));
                &[]
            }
        };
        Self { path, entries, asked: Vec::new() }
    }

    /// Returns the path of the map itself.
    pub(super) fn here(&self) -> &str {
        &self.path
    }

    /// Returns the path of one of its fields.
    pub(super) fn path(&self, field: &str) -> String {
        if self.path.is_empty() { field.to_owned() } else { format!("{}.{field}", self.path) }
    }

    /// Returns the field's node if it is there.
    pub(super) fn node(&mut self, field: &'static str) -> Option<&'a Node> {
        if !self.asked.contains(&field) {
            self.asked.push(field);
        }
        self.entries.iter().find(|(key, _)| key.key() == field).map(|(_, value)| value)
    }

    /// Tells whether the field is there, without offering it to whoever has misspelt another.
    pub(super) fn shows(&self, field: &str) -> bool {
        self.entries.iter().any(|(key, _)| key.key() == field)
    }

    /// Tells whether the field is there.
    pub(super) fn has(&mut self, field: &'static str) -> bool {
        self.node(field).is_some()
    }

    /// Opens a field that is a map itself.
    pub(super) fn map(
        &mut self,
        field: &'static str,
        problems: &mut Vec<Problem>,
    ) -> Option<Fields<'a>> {
        let node = self.node(field)?;
        Some(Self::open(node, self.path(field), &format!("`{field}`"), problems))
    }

    /// Reads a duration into its place, which keeps what it holds where there is none.
    pub(super) fn millis(
        &mut self,
        field: &'static str,
        place: &mut u64,
        problems: &mut Vec<Problem>,
    ) {
        if let Some(time) = self.read(field, scalar::duration, problems) {
            *place = millis(time);
        }
    }

    /// Returns every entry as text under its name, noting those that are no text.
    pub(super) fn texts(self, problems: &mut Vec<Problem>) -> BTreeMap<String, String> {
        let mut texts = BTreeMap::new();
        for (key, value) in self.entries {
            let name = key.key();
            if let Err(expected) = scalar::text(key) {
                let message = format!("a name is {}", key.describe());
                problems.push(Problem::new(self.here(), message, format!("expected {expected}")));
                continue;
            }
            match scalar::text(value) {
                Ok(text) => _ = texts.insert(name, text),
                Err(expected) => problems.push(Problem::new(
                    self.path(&name),
                    format!("`{name}` is {}", value.describe()),
                    format!("expected {expected}, such as `\"true\"`"),
                )),
            }
        }
        texts
    }

    /// Reads a field; `None` if it is missing or cannot be read, which is noted.
    pub(super) fn read<T>(
        &mut self,
        field: &'static str,
        read: impl FnOnce(&Node) -> Result<T, Expected>,
        problems: &mut Vec<Problem>,
    ) -> Option<T> {
        let node = self.node(field)?;
        match read(node) {
            Ok(value) => Some(value),
            Err(expected) => {
                let message = format!("`{field}` is {}", node.describe());
                problems.push(Problem::new(
                    self.path(field),
                    message,
                    format!("expected {expected}"),
                ));
                None
            }
        }
    }

    /// Reads a field that must be there.
    pub(super) fn require<T>(
        &mut self,
        field: &'static str,
        example: &str,
        read: impl FnOnce(&Node) -> Result<T, Expected>,
        problems: &mut Vec<Problem>,
    ) -> Option<T> {
        if self.node(field).is_none() {
            let message = format!("`{field}` is missing");
            problems.push(Problem::new(
                self.path(field),
                message,
                format!("write `{field}: {example}`"),
            ));
            return None;
        }
        self.read(field, read, problems)
    }

    /// Returns the field's list, empty if it is missing or no list.
    pub(super) fn list(&mut self, field: &'static str, problems: &mut Vec<Problem>) -> &'a [Node] {
        match self.node(field).map(|node| (&node.value, node)) {
            Some((Value::List(items), _)) => items,
            Some((Value::Null, _)) | None => &[],
            Some((_, node)) => {
                let message = format!("`{field}` is {}, not a list", node.describe());
                problems.push(Problem::new(
                    self.path(field),
                    message,
                    "write one `- …` for each entry",
                ));
                &[]
            }
        }
    }

    /// Notes every field that was not asked for.
    pub(super) fn close(self, problems: &mut Vec<Problem>) {
        for (key, _) in self.entries {
            let name = key.key();
            if self.asked.iter().any(|field| *field == name) {
                continue;
            }
            // A slip of three letters is another word.
            let slips = if name.len() > 4 { 2.max(slips_of(&name)) } else { 1 };
            let help = match nearest(&name, self.asked.iter().copied(), slips) {
                Some(field) => format!("did you mean `{field}`?"),
                None => format!("expected one of {}", self.asked.join(", ")),
            };
            let message = format!("`{name}` is not known here");
            problems.push(Problem::new(self.path(&name), message, help).standing(key.at));
        }
    }
}
