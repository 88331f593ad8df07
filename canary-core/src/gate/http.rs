//! A gate that asks for a page.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Response, Url, redirect};
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;
use serde_json::Value;

use crate::policy::Moment;
use crate::ports::{Call, Decision, Gate, GateContext, PortError};
use crate::value::{FailureKind, RolloutId};

/// How often in a row a wrong answer is borne before the gate rejects.
const WRONG_ANSWERS: u32 = 3;

/// How soon it asks again after a wrong answer.
const AGAIN: Duration = Duration::from_secs(5);

/// How much of an answer is read where something in it must be right.
const LONGEST_ANSWER: usize = 1024 * 1024;

/// Of how many rollouts and moments it remembers wrong answers.
const REMEMBERED: usize = 256;

/// Opens when a page answers as expected: a smoke test.
///
/// A wrong answer is waited on twice and rejected the third time in a row, so that one hiccup takes no canary back. A
/// server that cannot be reached gives no answer at all: the gate is asked again until its timeout. Redirects are not
/// followed; they are answers.
///
/// ```
/// use canary_core::gate::HttpGate;
///
/// let smoke = HttpGate::get("https://shop.example/healthz")
///     .header("x-canary", "true")
///     .expect_json("/status", "ready");
/// # drop(smoke);
/// ```
#[derive(Clone)]
pub struct HttpGate {
    page: Result<Page, String>,
    status: u16,
    /// What must stand where in the answer.
    content: Option<(String, Value)>,
    wrong: Arc<Mutex<VecDeque<Wrong>>>,
}

#[derive(Clone)]
struct Page {
    client: Client,
    url: Url,
    headers: HeaderMap,
}

/// Counts the wrong answers in a row at one moment of a rollout.
struct Wrong {
    rollout: RolloutId,
    moment: Moment,
    stage: String,
    times: u32,
}

impl fmt::Debug for HttpGate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.page {
            Ok(page) => f.debug_tuple("HttpGate").field(&page.shown()).finish(),
            Err(why) => f.debug_tuple("HttpGate").field(why).finish(),
        }
    }
}

impl HttpGate {
    /// Asks for a page that must answer with 200.
    ///
    /// An address that is none is told when the rollout starts, where the policy names it, and else by every answer.
    #[must_use]
    pub fn get(url: impl AsRef<str>) -> Self {
        Self { page: Page::new(url.as_ref()), status: 200, content: None, wrong: Arc::default() }
    }

    /// Sends a header along.
    #[must_use]
    pub fn header(mut self, name: impl AsRef<str>, value: impl AsRef<str>) -> Self {
        let (name, value) = (name.as_ref(), value.as_ref());
        self.page = self.page.and_then(|mut page| {
            // The value may be secret, so it is not shown.
            let bad = || format!("the header `{name}` has a name or a value that is none");
            let header = HeaderName::try_from(name).map_err(|_| bad())?;
            let mut value = HeaderValue::try_from(value).map_err(|_| bad())?;
            value.set_sensitive(true);
            page.headers.insert(header, value);
            Ok(page)
        });
        self
    }

    /// Expects this status instead of 200.
    #[must_use]
    pub const fn expect_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// Expects JSON with this value at a place, written as a JSON pointer: `/status`.
    #[must_use]
    pub fn expect_json(mut self, pointer: impl Into<String>, value: impl Into<Value>) -> Self {
        self.content = Some((pointer.into(), value.into()));
        self
    }

    /// Tells what is wrong with the address or a header.
    ///
    /// # Errors
    /// `Invalid`.
    pub fn check(&self) -> Result<(), PortError> {
        self.page().map(drop)
    }

    fn page(&self) -> Result<&Page, PortError> {
        self.page.as_ref().map_err(|why| PortError::new(FailureKind::Invalid, why))
    }

    /// Asks once; says what is wrong with the answer, if anything is.
    async fn ask(&self, page: &Page, time: Duration) -> Result<Option<String>, PortError> {
        let request = page.client.get(page.url.clone()).headers(page.headers.clone()).timeout(time);
        let response = request.send().await.map_err(|error| page.not_reached(error))?;
        let status = response.status().as_u16();
        if status != self.status {
            let expected = self.status;
            return Ok(Some(format!("{} answers {status}, not {expected}", page.shown())));
        }
        let Some((pointer, expected)) = &self.content else { return Ok(None) };
        let body = page.read(response).await?;
        let found: Option<Value> = serde_json::from_slice(&body).ok();
        Ok(match found.as_ref().map(|json| json.pointer(pointer)) {
            None => Some(format!("{} answers with no JSON", page.shown())),
            Some(Some(value)) if value == expected => None,
            Some(_) => Some(format!("{} does not answer {expected} at {pointer}", page.shown())),
        })
    }

    /// Counts an answer and returns how often it was wrong in a row.
    fn count(&self, rollout: &RolloutId, context: &GateContext, wrong: bool) -> u32 {
        let same = |known: &Wrong| {
            known.rollout == *rollout
                && known.moment == context.moment
                && known.stage == context.stage
        };
        // A panic cannot leave it half changed.
        let mut counts = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        let before = counts.iter().position(same).and_then(|at| counts.remove(at));
        if !wrong {
            return 0;
        }
        let times = before.map_or(0, |known| known.times).saturating_add(1);
        if counts.len() == REMEMBERED {
            counts.pop_front();
        }
        let (rollout, stage) = (rollout.clone(), context.stage.clone());
        counts.push_back(Wrong { rollout, moment: context.moment, stage, times });
        times
    }
}

#[async_trait]
impl Gate for HttpGate {
    async fn decide(&self, call: &Call, context: &GateContext) -> Result<Decision, PortError> {
        let page = self.page()?;
        let wrong = self.ask(page, call.deadline.since(call.made)).await?;
        let times = self.count(&call.rollout, context, wrong.is_some());
        Ok(match wrong {
            None => Decision::Open,
            Some(why) if times < WRONG_ANSWERS => Decision::wait(AGAIN, why),
            Some(why) => Decision::reject(format!("{why}, {times} times in a row")),
        })
    }
}

impl Page {
    fn new(url: &str) -> Result<Self, String> {
        // What does not parse is not shown: there may be a password in it.
        let url =
            Url::parse(url).map_err(|error| format!("the address cannot be read: {error}"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(format!(
                "the address has the scheme `{}`, not http or https",
                url.scheme()
            ));
        }
        let client = client(url.scheme() == "https")?;
        Ok(Self { client, url, headers: HeaderMap::new() })
    }

    /// Returns the address without anything secret.
    fn shown(&self) -> String {
        format!("{}{}", self.url.origin().ascii_serialization(), self.url.path())
    }

    async fn read(&self, mut response: Response) -> Result<Vec<u8>, PortError> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.not_reached(error))? {
            if body.len() + chunk.len() > LONGEST_ANSWER {
                let message = format!("{} answers with more than 1 MiB", self.shown());
                return Err(PortError::new(FailureKind::Invalid, message));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn not_reached(&self, error: reqwest::Error) -> PortError {
        let (kind, what) = if error.is_timeout() {
            (FailureKind::Timeout, "did not answer in time")
        } else {
            (FailureKind::Unavailable, "cannot be reached")
        };
        PortError::new(kind, format!("{} {what}", self.shown())).with_source(error.without_url())
    }
}

fn client(https: bool) -> Result<Client, String> {
    let failed = |error: &dyn fmt::Display| format!("the HTTP client cannot be built: {error}");
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
        .user_agent(concat!("canary/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| failed(&error))
}
