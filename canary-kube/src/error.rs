//! What the API server's answers mean for a rollout.

use std::time::Duration;

use canary_core::ports::PortError;
use canary_core::value::FailureKind;
use kube::core::Status;

/// Sorts an error of the Kubernetes client by what can be done about it.
///
/// A 422 says one of two things. Without causes, a JSON patch did not apply: a `test` in it failed or a path
/// was missing, that is, the object is no longer what the patch was based on (`Conflict`). With causes, the
/// object that came out broke its schema (`Invalid`).
#[must_use]
pub fn port_error(error: kube::Error) -> PortError {
    use kube::Error;
    let kind = match &error {
        Error::Api(status) => return status_error(status, None),
        Error::HyperError(_) | Error::Service(_) | Error::ReadEvents(_) => FailureKind::Unavailable,
        Error::Auth(_) => FailureKind::Denied,
        _ => FailureKind::Invalid,
    };
    let what = match kind {
        FailureKind::Unavailable => "the API server cannot be reached",
        FailureKind::Denied => "no credentials for the API server",
        _ => "the request could not be made or its answer not be read",
    };
    PortError::new(kind, what).with_source(error)
}

/// Sorts an answer of the API server; `retry_after` is what its header asks for.
pub(crate) fn status_error(status: &Status, retry_after: Option<Duration>) -> PortError {
    let kind = match status.code {
        401 | 403 => FailureKind::Denied,
        404 => FailureKind::NotFound,
        409 => FailureKind::Conflict,
        422 if causes(status).is_empty() => FailureKind::Conflict,
        429 => FailureKind::RateLimited,
        408 | 504 => FailureKind::Timeout,
        500.. => FailureKind::Unavailable,
        _ => FailureKind::Invalid,
    };
    let error = PortError::new(kind, describe(status, kind));
    let asked = status.details.as_ref().map(|d| d.retry_after_seconds);
    let wait = retry_after.or(asked
        .filter(|&seconds| seconds > 0)
        .map(|seconds| Duration::from_secs(seconds.into())));
    match wait {
        Some(wait) => error.with_retry_after(wait),
        None => error,
    }
}

fn causes(status: &Status) -> &[kube::core::response::StatusCause] {
    status.details.as_ref().map_or(&[], |d| &d.causes)
}

/// Writes the sentence for people: the server's own words, shortened where a proxy answered with a page.
fn describe(status: &Status, kind: FailureKind) -> String {
    const LONGEST: usize = 300;
    let mut words: String = status.message.chars().take(LONGEST).collect();
    if status.message.chars().nth(LONGEST).is_some() {
        words.push('…');
    }
    match kind {
        FailureKind::Conflict if status.code == 422 => {
            "the object is no longer what the write was based on".to_owned()
        }
        _ if words.is_empty() => format!("the API server answered {}", status.code),
        _ => format!("the API server answered {}: {words}", status.code),
    }
}
