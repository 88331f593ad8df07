//! The error of all ports.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::value::{Epoch, Failure, FailureKind, millis};

/// Says why a port could not do what it was asked.
///
/// The [`kind`](Self::kind) decides what happens next; the message is for
/// people, and holds no secret.
#[derive(Debug)]
pub struct PortError {
    kind: FailureKind,
    message: String,
    retry_after: Option<Duration>,
    later: Option<Epoch>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl PortError {
    /// Puts a kind and a sentence together.
    #[must_use]
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), retry_after: None, later: None, source: None }
    }

    /// Refuses a router's call because one of this holder, made later, was accepted: a `Conflict`.
    #[must_use]
    pub fn late(later: Epoch, message: impl Into<String>) -> Self {
        Self { later: Some(later), ..Self::new(FailureKind::Conflict, message) }
    }

    /// Keeps the error below this one.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Says in front of the message what it is about: `VirtualService shop/checkout: …`.
    #[must_use]
    pub fn about(mut self, what: impl fmt::Display) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }

    /// Notes how long the other side asks to be left alone.
    #[must_use]
    pub const fn with_retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// Returns what can be done about it.
    #[must_use]
    pub const fn kind(&self) -> FailureKind {
        self.kind
    }

    /// Tells whether the same call may work a little later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        self.kind.is_retryable()
    }

    /// Returns how long the other side asked to be left alone.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Returns the holder whose call was accepted last, where a router says that this one comes too late.
    #[must_use]
    pub const fn later(&self) -> Option<Epoch> {
        self.later
    }

    /// Turns it into plain data, its sources written behind it.
    #[must_use]
    pub fn into_failure(self) -> Failure {
        let mut message = self.message;
        let mut source = self.source.as_deref().map(|e| e as &dyn Error);
        while let Some(error) = source {
            let text = error.to_string();
            if !message.contains(&text) {
                message.push_str(": ");
                message.push_str(&text);
            }
            source = error.source();
        }
        let mut failure = Failure::new(self.kind, message);
        failure.retry_after_ms = self.retry_after.map(millis);
        failure.later = self.later;
        failure
    }
}

impl fmt::Display for PortError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for PortError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|e| e as &(dyn Error + 'static))
    }
}

impl From<Failure> for PortError {
    fn from(failure: Failure) -> Self {
        let Failure { kind, message, retry_after_ms, later } = failure;
        let retry_after = retry_after_ms.map(Duration::from_millis);
        Self { retry_after, later, ..Self::new(kind, message) }
    }
}
