//! What the API server's answers mean for a rollout.

use std::time::Duration;

use canary_core::ports::PortError;
use canary_core::value::FailureKind;
use kube::client::AuthError;
use kube::core::Status;

use crate::client::TookTooLong;

/// Sorts an error of the Kubernetes client by what can be done about it.
///
/// A 422 says one of two things. Without causes, a JSON patch did not apply: a `test` in it failed or a path
/// was missing, that is, the object is no longer what the patch was based on (`Conflict`). With causes, the
/// object that came out broke its schema (`Invalid`).
#[must_use]
pub fn port_error(error: kube::Error) -> PortError {
    use kube::Error;
    if let Some(why) = no_credentials(&error) {
        let message = format!("no credentials for the API server: {why}");
        return PortError::new(FailureKind::Denied, message);
    }
    let kind = match &error {
        Error::Api(status) => return status_error(status, None),
        Error::Service(error) if error.is::<TookTooLong>() => FailureKind::Timeout,
        Error::HyperError(_) | Error::Service(_) | Error::ReadEvents(_) => FailureKind::Unavailable,
        _ => FailureKind::Invalid,
    };
    let what = match kind {
        FailureKind::Timeout => "the API server did not answer in time",
        FailureKind::Unavailable => "the API server cannot be reached",
        _ => "the request could not be made or its answer not be read",
    };
    PortError::new(kind, what).with_source(error)
}

/// Says why there are no credentials to send, without what a program printed that was to give some.
fn no_credentials(error: &kube::Error) -> Option<String> {
    let auth = match error {
        kube::Error::Auth(auth) => auth,
        // Where they are renewed before a request.
        kube::Error::Service(error) => error.downcast_ref()?,
        _ => return None,
    };
    Some(match auth {
        AuthError::AuthExecRun { out, .. } => {
            let said = String::from_utf8_lossy(&out.stderr);
            format!(
                "the program that gives them failed ({}): {}",
                out.status,
                shortened(said.trim())
            )
        }
        AuthError::AuthExecParse(_) | AuthError::ParseTokenKey(_) => {
            "what the program that gives them has printed cannot be read".to_owned()
        }
        other => other.to_string(),
    })
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
    /// What a strict check says comes after the object, which is quoted in full.
    const STRICT: &str = "strict decoding error: ";
    let said = status.message.rsplit_once(STRICT).map_or(&*status.message, |(_, said)| said);
    let words = shortened(said);
    match kind {
        FailureKind::Conflict if status.code == 422 => {
            "the object is no longer what the write was based on".to_owned()
        }
        _ if words.is_empty() => format!("the API server answered {}", status.code),
        _ => format!("the API server answered {}: {words}", status.code),
    }
}

fn shortened(text: &str) -> String {
    const LONGEST: usize = 300;
    let mut words: String = text.chars().take(LONGEST).collect();
    if text.chars().nth(LONGEST).is_some() {
        words.push('…');
    }
    words
}
