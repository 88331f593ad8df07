//! A stand-in for Prometheus, in a process of its own: what it computes is not counted with the rollouts.

use std::collections::HashMap;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Method, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use canary_core::value::Timestamp;
use http_body_util::BodyExt as _;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// How many requests a second each side answers.
const STABLE: u64 = 100;
const CANARY: u64 = 50;

/// Answers no metric turned bad yet.
const NEVER: u64 = u64::MAX;

/// Runs the stand-in until standard input ends, which is when the process that started it does.
pub(crate) async fn serve(scrape: Duration) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    writeln!(io::stdout(), "{}", listener.local_addr()?)?;
    let state = Arc::new(Metrics {
        scrape: scrape.as_secs(),
        bad_since: NEVER.into(),
        asked: AtomicU64::new(0),
    });
    let router = Router::new()
        .route("/api/v1/query", post(query))
        .route("/bad", post(turn_bad))
        .route("/asked", get(asked))
        .with_state(state);
    let server = async { axum::serve(listener, router).await.context("the stand-in") };
    tokio::select! {
        served = server => served,
        _ = tokio::task::spawn_blocking(|| io::stdin().read_to_end(&mut Vec::new())) => Ok(()),
    }
}

struct Metrics {
    /// Every so many seconds, at whole multiples.
    scrape: u64,
    /// Since when half of the canary's requests fail, in seconds.
    bad_since: AtomicU64,
    asked: AtomicU64,
}

async fn query(State(metrics): State<Arc<Metrics>>, body: String) -> Response {
    metrics.asked.fetch_add(1, Ordering::Relaxed);
    let form = form(&body);
    let field = |name| form.get(name).map_or("", String::as_str);
    match metrics.answer(field("query"), field("time")) {
        Some(json) => ([(header::CONTENT_TYPE, "application/json")], json).into_response(),
        None => StatusCode::BAD_REQUEST.into_response(),
    }
}

async fn turn_bad(State(metrics): State<Arc<Metrics>>, since: String) -> StatusCode {
    match since.parse() {
        Ok(since) => metrics.bad_since.store(since, Ordering::Relaxed),
        Err(_) => return StatusCode::BAD_REQUEST,
    }
    StatusCode::OK
}

async fn asked(State(metrics): State<Arc<Metrics>>) -> String {
    metrics.asked.load(Ordering::Relaxed).to_string()
}

impl Metrics {
    /// Answers a range selector at an instant: the requests that succeeded, and those that failed.
    fn answer(&self, query: &str, time: &str) -> Option<String> {
        let (selector, range) = query.strip_suffix("ms]")?.rsplit_once('[')?;
        let range = range.parse::<u64>().ok()?;
        let at = time.replace('.', "").parse::<u64>().ok()?;
        let canary = selector.contains(r#"variant="canary""#);
        let (variant, rate) = if canary { ("canary", CANARY) } else { ("stable", STABLE) };
        let bad_since = if canary { self.bad_since.load(Ordering::Relaxed) } else { NEVER };
        let failed = |second: u64| second.saturating_sub(bad_since) * rate / 2;
        let series = |code, count: &dyn Fn(u64) -> u64| {
            let samples: Vec<_> = scrapes(at, range, self.scrape)
                .map(|second| format!(r#"[{second}.000,"{}"]"#, count(second)))
                .collect();
            let labels = format!(
                r#""__name__":"requests_total","instance":"10.0.0.1:8080","job":"load","variant":"{variant}","code":"{code}""#
            );
            format!(r#"{{"metric":{{{labels}}},"values":[{}]}}"#, samples.join(","))
        };
        let all = [series(200, &|second| second * rate - failed(second)), series(500, &failed)];
        let all = all.join(",");
        Some(format!(r#"{{"status":"success","data":{{"resultType":"matrix","result":[{all}]}}}}"#))
    }
}

/// Returns when was scraped in the milliseconds before an instant, in seconds.
fn scrapes(at: u64, range: u64, every: u64) -> impl Iterator<Item = u64> {
    let (newest, after) = (at / 1000 / every, at.saturating_sub(range));
    let first = after / 1000 / every + 1;
    (first..=newest).map(move |number| number * every)
}

/// Reads a form; what is no form reads as nothing.
fn form(body: &str) -> HashMap<String, String> {
    let pairs = body.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), decoded(value))).collect()
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
                let (high, low) = (digit(rest.next()), digit(rest.next()));
                u8::try_from(high.unwrap_or(0) * 16 + low.unwrap_or(0)).unwrap_or(b'?')
            }
            other => other,
        });
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Holds a stand-in that runs; it ends with this.
pub(crate) struct StandIn {
    child: Child,
    address: SocketAddr,
    client: Client<HttpConnector, Body>,
}

impl StandIn {
    /// Starts this program anew as the stand-in.
    pub(crate) fn start(scrape: Duration) -> anyhow::Result<Self> {
        let program = std::env::current_exe()?;
        let mut child = Command::new(program)
            .args(["--stand-in", "--scrape", &scrape.as_secs().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("the stand-in does not start")?;
        let mut said = String::new();
        BufReader::new(child.stdout.take().context("the stand-in's output")?)
            .read_line(&mut said)?;
        let address = said.trim().parse().context("the stand-in did not say where it is")?;
        Ok(Self { child, address, client: Client::builder(TokioExecutor::new()).build_http() })
    }

    /// Returns where it is.
    pub(crate) fn address(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Lets half of the canaries' requests fail, as if they had done so since then.
    pub(crate) async fn turn_bad(&self, since: Timestamp) -> anyhow::Result<()> {
        self.ask(Method::POST, "bad", (since.as_millis() / 1000).to_string()).await.map(drop)
    }

    /// Returns how many queries it was asked.
    pub(crate) async fn asked(&self) -> anyhow::Result<u64> {
        Ok(self.ask(Method::GET, "asked", String::new()).await?.parse()?)
    }

    async fn ask(&self, method: Method, path: &str, body: String) -> anyhow::Result<String> {
        let uri = format!("{}/{path}", self.address());
        let request = Request::builder().method(method).uri(uri).body(Body::from(body))?;
        let answer = self.client.request(request).await.context("the stand-in")?;
        anyhow::ensure!(answer.status().is_success(), "the stand-in answers {}", answer.status());
        Ok(String::from_utf8_lossy(&answer.into_body().collect().await?.to_bytes()).into_owned())
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        // One that has ended by itself cannot be ended again.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

    use super::*;

    #[test]
    fn samples_lie_in_the_range_that_ends_at_the_instant() {
        let of = |at, range| scrapes(at, range, 5).collect::<Vec<_>>();
        assert_eq!(of(20_000, 10_000), [15, 20]);
        assert_eq!(of(19_999, 10_000), [10, 15]);
        assert!(of(21_000, 500).is_empty());
    }

    #[test]
    fn half_of_the_canarys_requests_fail_since_it_turned_bad() {
        let metrics = Metrics { scrape: 5, bad_since: 10.into(), asked: AtomicU64::new(0) };
        let form = form(
            "query=requests_total%7Bvariant%3D%22canary%22%7D%5B10000ms%5D&time=20.000&timeout=1s",
        );
        let canary = metrics.answer(&form["query"], &form["time"]).unwrap();
        assert!(canary.contains(r#""values":[[15.000,"625"],[20.000,"750"]]"#), "{canary}");
        assert!(canary.contains(r#""values":[[15.000,"125"],[20.000,"250"]]"#), "{canary}");
        let stable = metrics.answer(r#"x{variant="stable"}[5000ms]"#, "20.000").unwrap();
        assert!(
            stable.contains(r#"[[20.000,"2000"]]"#) && stable.contains(r#"[[20.000,"0"]]"#),
            "{stable}"
        );
        assert_eq!(metrics.answer("up", "20.000"), None);
    }
}
