//! What `deploy` and `resume` share: a new image delivered to a cluster with a mesh.

mod address;
mod follow;
mod freed;
mod job;
mod kept;
mod look;
mod people;
mod plan;
mod ports;
mod stop;
mod subsets;

use std::io::{self, Write as _};

pub use follow::{Begun, End, follow};
pub use job::{Job, Mesh, Reporter};
pub use look::looks;
pub use people::People;
pub use plan::{Plan, in_words, minutes};
pub use stop::Stop;

/// Writes a line to standard error, and goes on where that is gone: a rollout does not end because nobody reads.
pub fn complain(line: &str) {
    let _: io::Result<()> = writeln!(io::stderr(), "{line}");
}

/// Writes an error with what is below it, unless that says the same again.
#[must_use]
pub fn in_full(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |told, next| match &*told {
        "" => next,
        before if before.contains(&next) => told,
        before => format!("{before}: {next}"),
    })
}
