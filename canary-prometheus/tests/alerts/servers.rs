//! The gate before a real Prometheus that evaluates rules, and a real Alertmanager.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use canary_core::ports::Decision;
use canary_prometheus::{AlertGate, AlertGateBuilder};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::support::{Exporter, PrometheusServer, eventually, free_address, get};
use super::{PATIENT, decide};

const RULES: &str = r#"
groups:
- name: checkout
  rules:
  - alert: Failing
    expr: errors > 0
    labels: { severity: critical, service: checkout }
  - alert: Lasting
    expr: errors >= 0
    for: 1h
    labels: { severity: critical, service: cart }
"#;

/// Waits until the gate opens, or until it is closed for a reason in which this stands; returns the reason.
async fn until(gate: &AlertGateBuilder, expected: Option<&str>) -> String {
    let gate = gate.clone().build().unwrap();
    eventually(&format!("a gate closed by {expected:?}"), async || {
        match (decide(&gate, PATIENT).await.unwrap(), expected) {
            (Decision::Open, None) => Some(String::new()),
            (Decision::Reject { why }, Some(expected)) if why.contains(expected) => Some(why),
            _ => None,
        }
    })
    .await
}

#[tokio::test]
#[ignore = "needs the prometheus binary: .ci/cluster/prometheus, then cargo test -p canary-prometheus -- --ignored"]
async fn an_alert_of_a_real_prometheus_closes_the_gate_until_it_is_over() {
    let errors = Arc::new(AtomicU64::new(1));
    let exported = Arc::clone(&errors);
    let exporter = Exporter::serve(move |_| {
        Some(format!("errors{{pod=\"a\"}} {}\n", exported.load(Ordering::SeqCst)))
    });
    let server = PrometheusServer::start_with_rules(&[exporter.address()], RULES).await;
    let of = |service| {
        AlertGate::prometheus(server.url()).severity("critical").label("service", service)
    };

    let why = until(&of("checkout"), Some("1 alert fires: Failing")).await;
    assert!(why.contains(r#"pod="a""#) && why.contains(" since 20") && why.ends_with('Z'), "{why}");
    until(&of("cart").or_pending(), Some("1 alert is pending: Lasting")).await;
    until(&of("cart"), None).await;

    errors.store(0, Ordering::SeqCst);
    until(&of("checkout"), None).await;
}

#[tokio::test]
#[ignore = "needs the prometheus-alertmanager binary: .ci/cluster/prometheus, then cargo test -p canary-prometheus -- --ignored"]
async fn an_alert_that_is_silenced_or_inhibited_in_a_real_alertmanager_opens_the_gate() {
    let server = Alertmanager::start().await;
    let odd = "a\"b\\c\nd, e=~\"f\"";
    let alert = |name: &str, severity: &str| json!({ "labels": { "alertname": name, "severity": severity, "service": odd, "pod": "a" } });
    let gate = |severity| {
        AlertGate::alertmanager(&*server.url)
            .severity(severity)
            .label("service", "{{ service }}")
            .variable("service", odd)
    };
    until(&gate("critical"), None).await;

    server.post("alerts", &json!([alert("Slow", "warning")]));
    until(&gate("warning"), Some("1 alert fires: Slow")).await;
    // The server's configuration: what is critical inhibits warnings of the same service.
    server.post("alerts", &json!([alert("Down", "critical")]));
    let why = until(&gate("critical"), Some("1 alert fires: Down")).await;
    assert!(why.contains(r#"{pod="a", severity="critical"} since 20"#), "{why}");
    until(&gate("warning"), None).await;
    until(&AlertGate::alertmanager(&*server.url).label("service", "other"), None).await;

    let matcher = json!({ "name": "alertname", "value": "Down", "isRegex": false });
    let silence = server.post(
        "silences",
        &json!({
            "matchers": [matcher], "createdBy": "ana", "comment": "known",
            "startsAt": "2020-01-01T00:00:00Z", "endsAt": "2120-01-01T00:00:00Z",
        }),
    );
    until(&gate("critical"), None).await;
    server.request("DELETE", &format!("silence/{}", silence["silenceID"].as_str().unwrap()), "");
    until(&gate("critical"), Some("1 alert fires: Down")).await;
}

/// Runs an Alertmanager of its own that tells nobody; ends it when dropped.
///
/// The binary is `$CANARY_TEST_ALERTMANAGER`, or `prometheus-alertmanager` on the path.
struct Alertmanager {
    child: Child,
    address: SocketAddr,
    url: String,
    /// Holds the configuration, for as long as the process runs.
    _dir: TempDir,
}

const CONFIG: &str = r#"
route: { receiver: nobody }
receivers: [{ name: nobody }]
inhibit_rules:
- source_matchers: ['severity="critical"']
  target_matchers: ['severity="warning"']
  equal: [service]
"#;

impl Alertmanager {
    async fn start() -> Self {
        // Between looking for a free port and using it, somebody else may take it.
        for _ in 0..5 {
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join("alertmanager.yml"), CONFIG).unwrap();
            let address = free_address();
            let child = launch(&dir, address);
            let mut server =
                Self { child, address, url: format!("http://{address}/am"), _dir: dir };
            let ready = format!("{}/-/ready", server.url);
            let running = eventually("a ready Alertmanager", async || {
                match server.child.try_wait().unwrap() {
                    Some(_ended) => Some(false),
                    None => get(&ready).map(|_| true),
                }
            });
            if running.await {
                return server;
            }
        }
        panic!("the Alertmanager ended at once, five times");
    }

    fn post(&self, what: &str, body: &Value) -> Value {
        let answer = self.request("POST", what, &body.to_string());
        serde_json::from_str(&answer).unwrap_or_default()
    }

    fn request(&self, method: &str, path: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        write!(
            stream,
            "{method} /am/api/v2/{path} HTTP/1.0\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.0 200"), "{answer}");
        body.to_owned()
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        // Fails only if the process has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn launch(dir: &TempDir, address: SocketAddr) -> Child {
    let binary =
        std::env::var_os("CANARY_TEST_ALERTMANAGER").unwrap_or("prometheus-alertmanager".into());
    Command::new(&binary)
        .arg(format!("--config.file={}", dir.path().join("alertmanager.yml").display()))
        .arg(format!("--storage.path={}", dir.path().display()))
        .arg(format!("--web.listen-address={address}"))
        .arg("--web.route-prefix=/am")
        .arg("--cluster.listen-address=")
        .arg("--log.level=error")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| {
            panic!(
                "{}: {error}; install it (apt-get install prometheus-alertmanager), or name its \
                 binary in CANARY_TEST_ALERTMANAGER",
                binary.display()
            )
        })
}
