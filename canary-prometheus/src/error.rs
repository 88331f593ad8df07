//! What can go wrong, before a rollout and during one.

use canary_core::ports::PortError;
use canary_core::value::FailureKind;

/// Tells why a source or a gate could not be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The server's address is of no use.
    #[error("the server's address {0}; expected one such as `http://prometheus:9090`")]
    Address(String),
    /// A variable bears a name that is filled in for each rollout.
    #[error("the variable `{0}` is filled in for each rollout; choose another name for yours")]
    ReservedVariable(String),
    /// One signal was given two queries.
    #[error("{0} is asked for by two queries; keep one")]
    Twice(String),
    /// A query makes no sense.
    #[error("{query}: {problem}")]
    Query {
        /// Which query: `requests (bad)`.
        query: String,
        /// What is wrong with it.
        problem: QueryProblem,
    },
    /// A label has a name that is none.
    #[error("`{0}` is no name of a label: letters, digits and `_`, no digit at its begin")]
    Label(String),
    /// An Alertmanager was to be asked for alerts that are pending.
    #[error(
        "an Alertmanager hears of an alert when it fires: ask Prometheus for those that are pending"
    )]
    Pending,
    /// A header has a name or a value that is none.
    #[error("the header `{0}` has a name or a value that is none")]
    Header(String),
    /// The HTTP client could not be set up.
    #[error("no HTTP client: {0}")]
    Client(String),
}

/// Stands below the error of an answer that is beyond one of our limits: a shorter window may do.
#[derive(Debug, thiserror::Error)]
#[error("the answer is beyond a limit")]
pub(crate) struct TooMuch;

/// Tells what is wrong with a query.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QueryProblem {
    /// The template names a variable that nobody set.
    #[error("there is no variable `{name}`; there are {known}")]
    UnknownVariable {
        /// The name in the template.
        name: String,
        /// The names that would do.
        known: String,
    },
    /// The template has a mistake of its own.
    #[error("the template cannot be rendered: {0}")]
    Template(String),
    /// A value stands outside quotes and has characters that could change the query.
    #[error(
        "the value `{value}` stands outside quotes, where only letters, digits, `_`, `:` and `.` may"
    )]
    Bare {
        /// The value.
        value: String,
    },
    /// A value with a backquote stands between backquotes.
    #[error("a value with a backquote stands between backquotes; use double quotes there")]
    Backquote,
    /// A variable stands right behind a backslash.
    #[error("a variable stands right behind a backslash")]
    BehindBackslash,
    /// The query or a value holds a code point that Unicode sets aside as no character.
    #[error("U+FDD0 and U+FDD1 are no characters and cannot stand in a query")]
    Marker,
    /// The query is not PromQL of the kind that is needed.
    #[error("{expected} is needed, but `{query}` is none: {why}")]
    Promql {
        /// What kind is needed.
        expected: &'static str,
        /// The rendered query.
        query: String,
        /// What is wrong with it.
        why: String,
    },
    /// The query asks for the same numbers on both sides.
    #[error("it asks for the same series on both sides; tell them apart by `{{{{ variant }}}}`")]
    SameOnBothSides,
}

/// Says what was being asked for when an error happened.
pub(crate) fn in_context(what: &str, error: PortError) -> PortError {
    let wait = error.retry_after();
    let outer = PortError::new(error.kind(), format!("{what}: {error}")).with_source(error);
    match wait {
        Some(wait) => outer.with_retry_after(wait),
        None => outer,
    }
}

/// Refuses an answer that makes no sense.
pub(crate) fn invalid(why: String) -> PortError {
    PortError::new(FailureKind::Invalid, why)
}
