//! A real Prometheus and something for it to scrape, both on the loopback interface only.

use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use canary_core::value::Timestamp;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

/// How long anything here may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// Returns the time now.
#[expect(
    clippy::disallowed_methods,
    reason = "a real server has a real clock, which these tests must share"
)]
pub(crate) fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp::EPOCH + since_epoch
}

/// Tries until something is there, and panics when it never comes.
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let found = timeout(PATIENCE, async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            sleep(Duration::from_millis(50)).await;
        }
    });
    match found.await {
        Ok(found) => found,
        Err(_) => panic!("waited {PATIENCE:?} in vain: {what}"),
    }
}

/// Runs a Prometheus of its own, with an empty store; ends it when dropped.
///
/// The binary is `$CANARY_TEST_PROMETHEUS`, or `prometheus` on the path.
#[derive(Debug)]
pub(crate) struct PrometheusServer {
    child: Child,
    address: SocketAddr,
    url: String,
    flags: &'static [&'static str],
    /// Holds the configuration and the samples, for as long as the process runs.
    dir: TempDir,
}

impl PrometheusServer {
    /// Starts a server that scrapes these addresses once a second, and waits until it is ready.
    pub(crate) async fn start(targets: &[SocketAddr]) -> Self {
        Self::start_as(targets, &[], None).await
    }

    /// Starts one with further flags.
    #[allow(dead_code, reason = "not every test has flags")]
    pub(crate) async fn start_with(targets: &[SocketAddr], flags: &'static [&'static str]) -> Self {
        Self::start_as(targets, flags, None).await
    }

    /// Starts one that also evaluates these rules, once a second unless they say otherwise.
    #[allow(dead_code, reason = "not every test has rules")]
    pub(crate) async fn start_with_rules(targets: &[SocketAddr], rules: &str) -> Self {
        Self::start_as(targets, &[], Some(rules)).await
    }

    async fn start_as(
        targets: &[SocketAddr],
        flags: &'static [&'static str],
        rules: Option<&str>,
    ) -> Self {
        // Between looking for a free port and using it, somebody else may take it.
        for _ in 0..5 {
            let dir = tempfile::tempdir().unwrap();
            let mut config = scrape_config(targets);
            if let Some(rules) = rules {
                fs::write(dir.path().join("rules.yml"), rules).unwrap();
                config += "rule_files: [rules.yml]\n";
            }
            fs::write(dir.path().join("prometheus.yml"), config).unwrap();
            let address = free_address();
            let child = launch(&dir, address, flags);
            let mut server = Self { child, address, url: format!("http://{address}"), flags, dir };
            if server.is_running().await {
                return server;
            }
        }
        panic!("Prometheus ended at once, five times");
    }

    /// Asks the process to end and waits until it has. One that is killed loses what it has not written yet.
    #[allow(dead_code, reason = "not every test ends its server")]
    pub(crate) fn end(&mut self) {
        let asked = Command::new("sh").arg("-c").arg(format!("kill {}", self.child.id())).status();
        assert!(asked.unwrap().success());
        self.child.wait().unwrap();
    }

    /// Starts the process again, with the samples that it had, and waits until it is ready.
    #[allow(dead_code, reason = "not every test ends its server")]
    pub(crate) async fn start_again(&mut self) {
        self.child = launch(&self.dir, self.address, self.flags);
        assert!(self.is_running().await, "Prometheus does not start again");
    }

    /// Waits until the process is ready, or has ended.
    async fn is_running(&mut self) -> bool {
        let ready = self.url.clone() + "/-/ready";
        eventually("a ready Prometheus", async || match self.child.try_wait().unwrap() {
            Some(_ended) => Some(false),
            None => get(&ready).map(|_| true),
        })
        .await
    }

    /// Returns the server's address: `http://127.0.0.1:40123`.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for PrometheusServer {
    fn drop(&mut self) {
        // Fails only if the process has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn launch(dir: &TempDir, address: SocketAddr, flags: &[&str]) -> Child {
    let binary = std::env::var_os("CANARY_TEST_PROMETHEUS").unwrap_or("prometheus".into());
    Command::new(&binary)
        .arg(format!("--config.file={}", dir.path().join("prometheus.yml").display()))
        .arg(format!("--storage.tsdb.path={}", dir.path().display()))
        .arg(format!("--web.listen-address={address}"))
        .arg("--log.level=error")
        .args(flags)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| {
            panic!(
                "{}: {error}; install Prometheus (apt-get install prometheus), or name its binary \
                 in CANARY_TEST_PROMETHEUS",
                binary.display()
            )
        })
}

/// Finds an address on which nobody listens now.
pub(crate) fn free_address() -> SocketAddr {
    let probe = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    probe.local_addr().unwrap()
}

fn scrape_config(targets: &[SocketAddr]) -> String {
    let mut config = String::from(
        "global: { scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s }\n\
         scrape_configs:\n- job_name: test\n  static_configs:\n  - targets:\n",
    );
    for target in targets {
        writeln!(config, "    - {target}").unwrap();
    }
    config
}

/// Asks for a page the way any client would, without the code under test; nothing unless the answer is a 200.
pub(crate) fn get(url: &str) -> Option<String> {
    let (address, path) = url.trim_start_matches("http://").split_once('/')?;
    let mut stream = TcpStream::connect(address).ok()?;
    stream.write_all(format!("GET /{path} HTTP/1.0\r\n\r\n").as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.starts_with("HTTP/1.0 200").then(|| body.to_owned())
}

/// Serves metrics that change from scrape to scrape; ends when dropped.
#[derive(Debug)]
pub(crate) struct Exporter {
    address: SocketAddr,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Exporter {
    /// Serves what `metrics` gives for the number of the scrape, 0 for the first; without any, nobody answers.
    pub(crate) fn serve(metrics: impl Fn(u64) -> Option<String> + Send + 'static) -> Self {
        let page = move |scrape| metrics(scrape).map(String::into_bytes);
        Self::serve_as("text/plain; version=0.0.4", page)
    }

    /// Serves pages of another form.
    pub(crate) fn serve_as(
        form: &'static str,
        metrics: impl Fn(u64) -> Option<Vec<u8>> + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let ended = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&ended);
        let thread = thread::spawn(move || {
            let mut scrape = 0;
            for stream in listener.incoming() {
                if flag.load(Ordering::SeqCst) {
                    return;
                }
                // A scrape that broke off shows as a gap, which the counts must bear.
                let answered =
                    stream.ok().zip(metrics(scrape)).map(|(s, page)| answer(s, form, &page));
                if answered.is_some_and(|answered| answered.is_ok()) {
                    scrape += 1;
                }
            }
        });
        Self { address, ended, thread: Some(thread) }
    }

    /// Returns the address to scrape.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // Wakes the thread up, so that it sees that it should end.
        if TcpStream::connect(self.address).is_ok() {
            let _ = self.thread.take().map(JoinHandle::join);
        }
    }
}

fn answer(mut stream: TcpStream, form: &str, page: &[u8]) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        request.push(byte[0]);
    }
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: {form}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        page.len()
    )?;
    stream.write_all(page)
}
