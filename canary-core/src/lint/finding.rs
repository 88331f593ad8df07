//! One thing that is unwise.

use std::fmt;

use crate::policy::{Place, shown};

/// Says one thing that is legal in a policy and unwise: where, what, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// Its name, which never changes: `no-hard-limit`.
    pub name: &'static str,
    /// Where it stands in the policy: `stages[0].weight`.
    pub path: String,
    /// Where it stands in the text, if that was looked up.
    pub place: Option<Place>,
    /// What is unwise.
    pub message: String,
    /// What to do about it.
    pub help: String,
    /// Whether the policy says that it was read and accepted.
    pub accepted: bool,
}

impl Finding {
    pub(super) fn new(
        name: &'static str,
        path: impl Into<String>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self {
            name,
            path: path.into(),
            place: None,
            message: message.into(),
            help: help.into(),
            accepted: false,
        }
    }

    /// Looks up where it stands in the text of the policy; `file` is shown as its name.
    #[cfg(feature = "yaml")]
    #[must_use]
    pub fn in_text(mut self, file: &str, text: &str) -> Self {
        self.place = Place::find(file, text, &self.path);
        self
    }
}

/// Writes it as errors of a policy are written.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = if self.accepted { "accepted" } else { "warning" };
        let head = format!("{level}[{}]: {}", self.name, self.message);
        shown(f, &head, self.place.as_ref(), &self.path, &self.help)
    }
}
