//! The HTTP API: one query, one answer, and every way in which that can fail.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use canary_core::ports::PortError;
use canary_core::value::{FailureKind, Timestamp, millis};
use reqwest::header::{LOCATION, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, Url, redirect};
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::sync::Semaphore;

use crate::error::BuildError;
use crate::limits::Limits;

pub(crate) mod answer;

use answer::{Answer, Envelope};

/// How many queries one source has under way at a time, however many rollouts share it.
const AT_ONCE: usize = 8;

/// Speaks to one server.
#[derive(Clone)]
pub(crate) struct Api {
    client: Client,
    query: Url,
    /// The address without anything secret.
    shown: String,
    limits: Limits,
    slots: Arc<Semaphore>,
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Api").field(&self.shown).finish()
    }
}

impl Api {
    /// Takes the server's address, and a client where the caller has one.
    pub(crate) fn new(
        address: &str,
        client: Option<Client>,
        limits: Limits,
    ) -> Result<Self, BuildError> {
        let base = parse_address(address)?;
        let mut shown = base.clone();
        // Both fail only for addresses without a host, which are refused above.
        let _ = shown.set_username("");
        let _ = shown.set_password(None);
        let mut query = base;
        let path = format!("{}/api/v1/query", query.path().trim_end_matches('/'));
        query.set_path(&path);
        let client = match client {
            Some(client) => client,
            None => new_client(query.scheme() == "https")?,
        };
        Ok(Self {
            client,
            query,
            shown: shown.to_string().trim_end_matches('/').to_owned(),
            limits,
            slots: Arc::new(Semaphore::new(AT_ONCE)),
        })
    }

    /// Evaluates a query as of an instant. The server is told not to work on it for longer than anybody waits.
    pub(crate) async fn query(
        &self,
        promql: &str,
        at: Timestamp,
        patience: Duration,
    ) -> Result<Answer, PortError> {
        // The semaphore is never closed; if it were, the query would merely not wait.
        let _slot = self.slots.acquire().await;
        let time = format!("{}.{:03}", at.as_millis() / 1000, at.as_millis() % 1000);
        let most = patience.min(self.limits.time);
        let sent = (self.client)
            .post(self.query.clone())
            .form(&[
                ("query", promql),
                ("time", &time),
                ("timeout", &format!("{}ms", millis(most))),
            ])
            .timeout(most)
            .send()
            .await;
        let response = sent.map_err(|error| self.not_reached(error))?;
        let status = response.status();
        let redirect = header(&response, LOCATION).filter(|_| status.is_redirection());
        let wait = header(&response, RETRY_AFTER).and_then(|text| text.trim().parse().ok());
        let body = self.read(response).await?;
        if let Some(target) = redirect {
            let why = format!("redirects to {}; give the final address", redacted(&target));
            return Err(self.error(FailureKind::Invalid, &why));
        }
        let answer = self.understand(status, &body, promql);
        match wait {
            Some(seconds) => {
                answer.map_err(|error| error.with_retry_after(Duration::from_secs(seconds)))
            }
            None => answer,
        }
    }

    async fn read(&self, mut response: Response) -> Result<Vec<u8>, PortError> {
        let mut body = Vec::new();
        while let Some(chunk) = (response.chunk().await).map_err(|error| self.not_reached(error))? {
            if body.len() + chunk.len() > self.limits.bytes {
                let most = self.limits.bytes;
                return Err(self.too_much(&format!("{most} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn understand(
        &self,
        status: StatusCode,
        body: &[u8],
        promql: &str,
    ) -> Result<Answer, PortError> {
        let envelope = match serde_json::from_slice::<Envelope>(body) {
            Ok(envelope) => envelope,
            Err(error) => {
                let text = beginning(&String::from_utf8_lossy(body));
                let why = format!("answers {status}, no JSON of the query API: {text}");
                return Err(self.error(kind_of(status), &why).with_source(error));
            }
        };
        match envelope.into_answer() {
            Ok(answer) if status.is_success() => self.within_limits(answer),
            Ok(_) => Err(self.error(kind_of(status), &format!("answers {status}"))),
            Err(said) => {
                let (said, promql) = (beginning(&said), beginning(promql));
                let why = format!("answers {status}: {said}; the query was `{promql}`");
                Err(self.error(kind_of(status), &why))
            }
        }
    }

    fn within_limits(&self, answer: Answer) -> Result<Answer, PortError> {
        let (series, samples) = answer.data.size();
        if series > self.limits.series {
            return Err(self.too_much(&format!("{} series ({series})", self.limits.series)));
        }
        if samples > self.limits.samples {
            return Err(self.too_much(&format!("{} samples ({samples})", self.limits.samples)));
        }
        Ok(answer)
    }

    fn too_much(&self, limit: &str) -> PortError {
        let why = format!(
            "answers with more than {limit}: select fewer series, or raise the source's limits"
        );
        self.error(FailureKind::Invalid, &why)
    }

    fn not_reached(&self, error: reqwest::Error) -> PortError {
        let (kind, why) = if error.is_timeout() {
            (FailureKind::Timeout, "did not answer in time")
        } else if error.is_builder() {
            (FailureKind::Invalid, "cannot be asked")
        } else {
            (FailureKind::Unavailable, "cannot be reached")
        };
        self.error(kind, why).with_source(error.without_url())
    }

    fn error(&self, kind: FailureKind, what: &str) -> PortError {
        PortError::new(kind, format!("{} {what}", self.shown))
    }
}

fn parse_address(address: &str) -> Result<Url, BuildError> {
    let refuse = |why: String| Err(BuildError::Address(why));
    // What does not parse is not shown: there may be a password in it.
    let url = match Url::parse(address) {
        Ok(url) => url,
        Err(error) => return refuse(format!("cannot be read: {error}")),
    };
    if !matches!(url.scheme(), "http" | "https") {
        return refuse(format!("has the scheme `{}`", url.scheme()));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return refuse("has a `?` or `#` part".to_owned());
    }
    Ok(url)
}

/// Builds a client whose TLS is ring's, whatever else the process has installed.
fn new_client(https: bool) -> Result<Client, BuildError> {
    let failed = |error: &dyn fmt::Display| BuildError::Client(error.to_string());
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(&error))?;
    // A container without certificates can still reach a server over plain HTTP.
    let config = if https {
        config.with_platform_verifier().map_err(|error| failed(&error))?
    } else {
        config.with_root_certificates(RootCertStore::empty())
    };
    Client::builder()
        .tls_backend_preconfigured(config.with_no_client_auth())
        .redirect(redirect::Policy::none())
        .user_agent(concat!("canary-prometheus/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| failed(&error))
}

/// Sorts an HTTP status by what can be done about it.
fn kind_of(status: StatusCode) -> FailureKind {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => FailureKind::Denied,
        StatusCode::NOT_FOUND => FailureKind::NotFound,
        StatusCode::REQUEST_TIMEOUT => FailureKind::Timeout,
        StatusCode::TOO_MANY_REQUESTS => FailureKind::RateLimited,
        status if status.is_server_error() => FailureKind::Unavailable,
        _ => FailureKind::Invalid,
    }
}

fn header(response: &Response, name: reqwest::header::HeaderName) -> Option<String> {
    let value = response.headers().get(name)?;
    value.to_str().ok().map(str::to_owned)
}

/// Shows where a redirect goes to, without what may be secret in it.
fn redacted(target: &str) -> String {
    match Url::parse(target) {
        Ok(url) => url.origin().ascii_serialization(),
        Err(_) => "another path".to_owned(),
    }
}

/// Returns the beginning of a text on one line.
fn beginning(text: &str) -> String {
    const LONGEST: usize = 300;
    let mut line: String =
        (text.chars().take(LONGEST)).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(LONGEST).is_some() {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_password() {
        let api =
            Api::new("http://ana:secret@127.0.0.1:9090/prom/", None, Limits::default()).unwrap();
        assert_eq!(api.shown, "http://127.0.0.1:9090/prom");
        assert_eq!(api.query.path(), "/prom/api/v1/query");
        assert!(!format!("{api:?}").contains("secret"));
    }

    #[test]
    fn an_address_that_is_none_is_refused_without_being_shown() {
        for address in [
            "",
            "prometheus:9090",
            "ftp://ana:secret@prometheus",
            "http://ana:secret@",
            "http://ana:secret@x/?token=secret",
            "http://ana:secret@x:99999",
        ] {
            let error = Api::new(address, None, Limits::default()).unwrap_err().to_string();
            assert!(error.contains("expected one such as"), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn https_uses_the_certificates_of_the_machine_or_says_that_there_are_none() {
        if let Err(error) = Api::new("https://127.0.0.1", None, Limits::default()) {
            assert!(error.to_string().starts_with("no HTTPS client"), "{error}");
        }
    }
}
