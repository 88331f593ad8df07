//! One request, one answer, and every way in which that can fail.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use canary_core::ports::PortError;
use canary_core::value::FailureKind;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, LOCATION};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;

mod endpoint;
mod page;
mod rest;
mod tls;

pub use endpoint::Endpoint;
use page::Secrets;

use crate::error::TooMuch;
pub(crate) use page::{Page, beginning};

/// How many requests one source has under way at a time, however many rollouts share it.
const AT_ONCE: usize = 8;

/// Speaks to one server.
#[derive(Clone)]
pub(crate) struct Http {
    client: Client,
    base: Url,
    /// The address without anything secret.
    shown: String,
    headers: HeaderMap,
    token_file: Option<PathBuf>,
    basic: Option<(String, String)>,
    get: bool,
    slots: Arc<Semaphore>,
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Http").field(&self.shown).finish()
    }
}

impl Http {
    fn new(
        client: Client,
        base: Url,
        headers: HeaderMap,
        token_file: Option<PathBuf>,
        basic: Option<(String, String)>,
        get: bool,
    ) -> Self {
        let slots = Arc::new(Semaphore::new(AT_ONCE));
        Self { client, shown: shown(&base), base, headers, token_file, basic, get, slots }
    }

    /// Asks a query once, which may be too long for an address; the answer comes within `time` and has at most
    /// `longest` bytes.
    pub(crate) async fn ask(
        &self,
        path: &str,
        form: &[(&str, &str)],
        time: Duration,
        longest: usize,
    ) -> Result<Page, PortError> {
        if self.get {
            return self.get(path, form, time, longest).await;
        }
        self.send(self.client.post(self.url(path)).form(form), time, longest).await
    }

    /// Gets a page, whichever way queries are asked; within the same bounds.
    pub(crate) async fn get(
        &self,
        path: &str,
        query: &[(&str, &str)],
        time: Duration,
        longest: usize,
    ) -> Result<Page, PortError> {
        self.send(self.client.get(self.url(path)).query(query), time, longest).await
    }

    fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", url.path().trim_end_matches('/')));
        url
    }

    async fn send(
        &self,
        request: RequestBuilder,
        time: Duration,
        longest: usize,
    ) -> Result<Page, PortError> {
        // The semaphore is never closed; if it were, the query would merely not wait.
        let _slot = self.slots.acquire().await;
        let mut request = request.headers(self.headers.clone()).timeout(time);
        if let Some((name, password)) = &self.basic {
            request = request.basic_auth(name, Some(password));
        }
        if let Some(token) = self.token()? {
            request = request.bearer_auth(token);
        }
        let request = request.build().map_err(|error| self.not_reached(error))?;
        let passwords = self.basic.iter().map(|(_, password)| &**password);
        let secrets = Secrets::of(&request, passwords.chain(self.base.password()));
        let response = self.client.execute(request).await;
        let response = response.map_err(|error| self.not_reached(error))?;
        let status = response.status();
        let location = header(&response, LOCATION).filter(|_| status.is_redirection());
        let retry_after = rest::asked_for(response.headers());
        let kind = header(&response, CONTENT_TYPE);
        let body = self.read(response, longest).await?;
        if let Some(target) = location {
            let why = format!("redirects to {}; give the final address", redacted(&target));
            return Err(self.error(FailureKind::Invalid, &why));
        }
        Ok(Page { status, kind, retry_after, body, secrets })
    }

    /// Reads the token anew: what is in the file changes before the old one expires.
    fn token(&self) -> Result<Option<String>, PortError> {
        let Some(file) = &self.token_file else { return Ok(None) };
        let failed = |why: &dyn fmt::Display| {
            self.error(
                FailureKind::Unavailable,
                &format!("cannot be asked: the token file {} {why}", file.display()),
            )
        };
        let text = fs::read_to_string(file)
            .map_err(|error| failed(&format_args!("cannot be read: {error}")))?;
        let token = text.trim();
        if token.is_empty() || !token.chars().all(|c| c.is_ascii_graphic()) {
            return Err(failed(&"has no token in it"));
        }
        Ok(Some(token.to_owned()))
    }

    async fn read(&self, mut response: Response, longest: usize) -> Result<Vec<u8>, PortError> {
        let announced = response.content_length().unwrap_or(0);
        if usize::try_from(announced).is_ok_and(|announced| announced > longest) {
            return Err(self.too_much(&format!("{longest} bytes")));
        }
        let mut body = Vec::new();
        while let Some(chunk) = (response.chunk().await).map_err(|error| self.not_reached(error))? {
            if body.len() + chunk.len() > longest {
                return Err(self.too_much(&format!("{longest} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// Refuses an answer that is beyond a limit of ours.
    pub(crate) fn too_much(&self, limit: &str) -> PortError {
        let why = format!("answers with more than {limit}: select less, or raise the limits");
        self.error(FailureKind::Invalid, &why).with_source(TooMuch)
    }

    /// Reads an answer's JSON; `api` says whose it should be.
    pub(crate) fn json<T: DeserializeOwned>(&self, page: &Page, api: &str) -> Result<T, PortError> {
        let Page { status, body, .. } = page;
        serde_json::from_slice(body).map_err(|error| {
            if error.is_eof() && status.is_success() {
                let why = "broke its answer off";
                return self.error(FailureKind::Unavailable, why).with_source(error);
            }
            let text = page.quote(&String::from_utf8_lossy(body));
            let kind = page.kind.as_deref().map(|kind| page.quote(kind));
            let kind = kind.as_deref().unwrap_or("of no type");
            // It may quote the body too.
            let error = page.quote(&error.to_string());
            let why =
                format!("answers {status}, no JSON of the {api} API ({kind}): {text}: {error}");
            self.error(kind_of(*status), &why)
        })
    }

    fn not_reached(&self, error: reqwest::Error) -> PortError {
        let (kind, why) = if error.is_timeout() {
            (FailureKind::Timeout, "did not answer in time")
        } else if error.is_builder() {
            (FailureKind::Invalid, "cannot be asked")
        } else if error.is_body() || error.is_decode() {
            (FailureKind::Unavailable, "broke its answer off")
        } else {
            (FailureKind::Unavailable, "cannot be reached")
        };
        self.error(kind, why).with_source(error.without_url())
    }

    pub(crate) fn error(&self, kind: FailureKind, what: &str) -> PortError {
        PortError::new(kind, format!("{} {what}", self.shown))
    }
}

/// Sorts an HTTP status by what can be done about it.
pub(crate) fn kind_of(status: StatusCode) -> FailureKind {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => FailureKind::Denied,
        StatusCode::NOT_FOUND => FailureKind::NotFound,
        StatusCode::REQUEST_TIMEOUT => FailureKind::Timeout,
        StatusCode::TOO_MANY_REQUESTS => FailureKind::RateLimited,
        status if status.is_server_error() => FailureKind::Unavailable,
        _ => FailureKind::Invalid,
    }
}

fn header(response: &Response, name: HeaderName) -> Option<String> {
    let value = response.headers().get(name)?;
    value.to_str().ok().map(str::to_owned)
}

/// Shows an address without anything secret.
fn shown(url: &Url) -> String {
    let mut shown = url.clone();
    // Both fail only for addresses without a host, which are refused.
    let _ = shown.set_username("");
    let _ = shown.set_password(None);
    shown.to_string().trim_end_matches('/').to_owned()
}

/// Shows where a redirect goes to, without what may be secret in it.
fn redacted(target: &str) -> String {
    match Url::parse(target) {
        Ok(url) => url.origin().ascii_serialization(),
        Err(_) => "another path".to_owned(),
    }
}
