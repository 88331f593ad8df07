//! What was found before a start.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Says how bad a finding is, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// A rollout may start, and should not go unwatched.
    Warning,
    /// A rollout would fail, or harm.
    Error,
}

/// Says what is wrong and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What it is about: `Service shop/web-v2`.
    pub about: String,
    /// What is wrong.
    pub what: String,
    /// What to do, empty where nobody knows.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub advice: String,
}

impl Finding {
    /// Finds something that keeps a rollout from a start.
    #[must_use]
    pub fn error(about: impl Into<String>, what: impl Into<String>) -> Self {
        Self::new(Severity::Error, about, what)
    }

    /// Finds something that should be looked at.
    #[must_use]
    pub fn warning(about: impl Into<String>, what: impl Into<String>) -> Self {
        Self::new(Severity::Warning, about, what)
    }

    /// Finds something worth knowing.
    #[must_use]
    pub fn note(about: impl Into<String>, what: impl Into<String>) -> Self {
        Self::new(Severity::Note, about, what)
    }

    fn new(severity: Severity, about: impl Into<String>, what: impl Into<String>) -> Self {
        Self { severity, about: about.into(), what: what.into(), advice: String::new() }
    }

    /// Says what to do about it.
    #[must_use]
    pub fn advice(mut self, advice: impl Into<String>) -> Self {
        self.advice = advice.into();
        self
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.severity, self.about, self.what)?;
        if self.advice.is_empty() { Ok(()) } else { write!(f, "\n  {}", self.advice) }
    }
}

/// Holds all that was found before a start, the worst first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Findings {
    /// What was found.
    pub findings: Vec<Finding>,
    /// What was looked at and is well.
    pub well: Vec<String>,
}

impl Findings {
    /// Tells whether nothing keeps a rollout from a start.
    #[must_use]
    pub fn is_clear(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity < Severity::Error)
    }
}

/// Writes a line for each finding and each thing that is well.
impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.findings.iter().try_for_each(|finding| writeln!(f, "{finding}"))?;
        self.well.iter().try_for_each(|well| writeln!(f, "ok: {well}"))
    }
}
