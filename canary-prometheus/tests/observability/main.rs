//! The rules, the dashboard and the page of rollout metrics, before promtool and a real Prometheus.
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

mod cases;
mod page;
#[path = "../support/mod.rs"]
#[allow(dead_code, reason = "other tests need more of it")]
mod support;
mod world;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use canary_core::policy::Policy;
use canary_core::value::Side::{Canary, Stable};
use canary_prometheus::dashboard;
use canary_prometheus::rules::{Mesh, Rule, Service, rules};
use serde_json::{Value, json};

use cases::{Cases, Expected};
use support::PrometheusServer;
use world::{MINUTES, World};

const MESHES: [Mesh; 2] = [Mesh::Istio, Mesh::Linkerd];

/// What the users' documents ask for, and what stands in the policies.
const EXPECTED: [Expected; 3] = [
    Expected {
        policy: "orion",
        errors: 0.05,
        success: 0.95,
        p95: 0.5,
        p99: 1.0,
        errors_of_stable: 2.0,
        p95_of_stable: 1.5,
        stagnant: 86_400.0,
        stalled: 1800.0,
    },
    Expected {
        policy: "payment",
        errors: 0.01,
        success: 0.99,
        p95: 0.5,
        p99: 2.0,
        errors_of_stable: 2.0,
        p95_of_stable: 1.5,
        // 26 h 10 min of holds, and 4 h and 5 min of gates, and a tenth.
        stagnant: (26.0 * 60.0 + 10.0 + 4.0 * 60.0 + 5.0) * 66.0,
        stalled: 1800.0,
    },
    Expected {
        policy: "quickstart",
        errors: 0.1,
        success: 0.95,
        p95: 0.5,
        p99: 1.0,
        errors_of_stable: 1.25,
        p95_of_stable: 2.0,
        stagnant: 86_400.0,
        stalled: 1800.0,
    },
];

fn service(mesh: Mesh) -> Service {
    Service::new(mesh, "shop", "checkout").unwrap().runbook("https://runbooks.example.com/canary")
}

fn policies() -> Vec<(PathBuf, Policy)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/policies");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.map(|file| (file.clone(), read(&file))).collect()
}

fn read(file: &Path) -> Policy {
    Policy::from_yaml(&fs::read_to_string(file).unwrap()).unwrap()
}

fn policy(name: &str) -> Policy {
    let (_, policy) = policies().into_iter().find(|(_, policy)| policy.name() == name).unwrap();
    policy
}

/// Runs promtool in a folder, and panics with what it says where it is not content.
fn promtool(folder: &Path, arguments: &[&str]) -> String {
    let binary = std::env::var_os("CANARY_TEST_PROMTOOL").unwrap_or("promtool".into());
    let ran = Command::new(&binary).args(arguments).current_dir(folder).output();
    let ran = ran.unwrap_or_else(|error| {
        panic!(
            "{}: {error}; install Prometheus (apt-get install prometheus), or name promtool in \
             CANARY_TEST_PROMTOOL",
            binary.display()
        )
    });
    let said = String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned();
    assert!(ran.status.success(), "{arguments:?}: {said}");
    said
}

fn write_rules(folder: &Path, policy: &Policy, mesh: Mesh) {
    let file = rules(policy, &service(mesh));
    fs::write(folder.join("rules.yaml"), serde_saphyr::to_string(&file).unwrap()).unwrap();
}

#[test]
#[ignore = "needs promtool: .ci/cluster/prometheus, then cargo test -p canary-prometheus --all-features -- --ignored"]
fn promtool_takes_the_rules_of_every_policy() {
    let folder = tempfile::tempdir().unwrap();
    let policies = policies();
    assert!(policies.len() > 10);
    for (file, policy) in policies {
        for mesh in MESHES {
            write_rules(folder.path(), &policy, mesh);
            let said = promtool(folder.path(), &["check", "rules", "rules.yaml"]);
            assert!(said.contains("29 rules found"), "{}: {said}", file.display());
        }
    }
}

#[test]
#[ignore = "needs promtool: .ci/cluster/prometheus, then cargo test -p canary-prometheus --all-features -- --ignored"]
fn each_alert_fires_beyond_its_limit_and_not_within() {
    for (i, expected) in EXPECTED.iter().enumerate() {
        // The users' figures on both; what else differs by policy does not differ by mesh.
        for mesh in if i == 0 { &MESHES[..] } else { &MESHES[i % 2..=i % 2] } {
            let cases = Cases::of(*mesh, expected);
            for fires in [true, false] {
                let of = cases.iter().filter(|case| case.fires == fires).map(|case| case.alert);
                assert_eq!(of.collect::<BTreeSet<_>>().len(), 19);
            }
            let eval_time = format!("{}m", MINUTES - 10);
            let tests = cases.iter().map(|case| {
                let firing = format!(
                    r#"count(ALERTS{{alertname="{}",alertstate="firing",namespace="shop",service="checkout"}}) or vector(0)"#,
                    case.alert
                );
                let value = u8::from(case.fires);
                json!({
                    "name": format!("{}: {}", case.alert, case.why),
                    "interval": "1m",
                    "input_series": case.world.series(),
                    "promql_expr_test": [
                        { "expr": firing, "eval_time": eval_time, "exp_samples": [{ "labels": "{}", "value": value }] },
                    ],
                })
            });
            test_rules(&policy(expected.policy), *mesh, tests.collect());
        }
    }
}

/// Runs promtool's unit tests on the rules of a policy.
fn test_rules(policy: &Policy, mesh: Mesh, tests: Vec<Value>) {
    let folder = tempfile::tempdir().unwrap();
    write_rules(folder.path(), policy, mesh);
    let file = json!({ "rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": tests });
    fs::write(folder.path().join("tests.yaml"), file.to_string()).unwrap();
    promtool(folder.path(), &["test", "rules", "tests.yaml"]);
}

#[test]
#[ignore = "needs promtool: .ci/cluster/prometheus, then cargo test -p canary-prometheus --all-features -- --ignored"]
fn what_is_recorded_is_in_base_units() {
    for mesh in MESHES {
        let world = World::new(mesh)
            .latency(Stable, 540.0, [0.1, 0.2])
            .latency(Canary, 57.0, [0.2, 0.3])
            .failures(Canary, 3.0)
            .container(Canary, 0.25, 0.5);
        let recorded = [
            ("canary:error_rate:5m", 0.05),
            ("stable:error_rate:5m", 0.0),
            ("canary:request_rate:5m", 1.0),
            ("canary:latency_p50:5m", 0.25),
            ("canary:latency_p95:5m", 0.295),
            ("canary:latency_p99:5m", 0.299),
            ("canary:success_rate:5m", 0.95),
            ("canary:traffic_percentage:5m", 0.1),
            ("canary:cpu_usage:5m", 0.25),
            ("canary:memory_usage:5m", 0.5),
        ];
        // Rounded, since sums of rates are not exact.
        let expressions = recorded.map(|(name, value)| {
            let labels = r#"{namespace="shop",service="checkout"}"#;
            json!({
                "expr": format!("round({name} * 1e6) / 1e6"),
                "eval_time": "30m",
                "exp_samples": [{ "labels": labels, "value": value }],
            })
        });
        let test = json!({ "interval": "1m", "input_series": world.series(), "promql_expr_test": expressions });
        test_rules(&policy("orion"), mesh, vec![test]);
    }
}

#[test]
#[ignore = "needs promtool: .ci/cluster/prometheus, then cargo test -p canary-prometheus --all-features -- --ignored"]
fn people_read_the_value_and_what_to_do() {
    let world = World::new(Mesh::Istio).requests(Canary, 935.0, 65.0);
    let test = json!({
        "interval": "1m",
        "input_series": world.series(),
        "alert_rule_test": [{
            "eval_time": "30m",
            "alertname": "CanaryHighErrorRate",
            "exp_alerts": [{
                "exp_labels": { "severity": "critical", "namespace": "shop", "service": "checkout" },
                "exp_annotations": {
                    "summary": "shop/checkout: the canary fails 6.5% of its requests; 5.00 % is well",
                    "description": "See whether the rollout is taking the canary back; if not, abort it. Then look at \
                                    the canary's logs.",
                    "runbook_url": "https://runbooks.example.com/canary#canaryhigherrorrate",
                },
            }],
        }],
    });
    test_rules(&policy("orion"), Mesh::Istio, vec![test]);
}

/// Returns every query of a dashboard, for the service that its variables stand for.
fn queries(dashboard: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut see = vec![dashboard];
    while let Some(value) = see.pop() {
        match value {
            Value::Object(fields) => {
                for (name, field) in fields {
                    match field.as_str().filter(|_| name == "expr" || name == "definition") {
                        Some(query) => found.push(query),
                        None => see.push(field),
                    }
                }
            }
            Value::Array(items) => see.extend(items),
            _ => {}
        }
    }
    let of_variable = |query: &str| match query.strip_prefix("label_values(") {
        Some(rest) => rest.rsplit_once(", ").unwrap().0.to_owned(),
        None => query.to_owned(),
    };
    let set =
        |query: String| query.replace("${namespace}", "shop").replace("${service}", "checkout");
    found.into_iter().map(of_variable).map(set).collect()
}

#[tokio::test]
#[ignore = "needs Prometheus: .ci/cluster/prometheus, then cargo test -p canary-prometheus --all-features -- --ignored"]
async fn a_prometheus_answers_every_query_of_the_dashboards() {
    let server = PrometheusServer::start(&[]).await;
    for (_, policy) in policies() {
        for mesh in MESHES {
            let queries = queries(&dashboard(&policy, &service(mesh)));
            assert!(queries.len() > 40, "{}", queries.len());
            for query in queries {
                assert!(!query.contains('$'), "{query}");
                let answer = page::ask(server.url(), &query);
                assert_eq!(answer["status"], "success", "{query}: {answer}");
            }
        }
    }
}

#[test]
fn every_alert_links_the_runbook_and_says_what_to_do() {
    let file = rules(&policy("orion"), &service(Mesh::Istio));
    let alerts = file.groups[0].rules.iter().filter_map(|rule| match rule {
        Rule::Alert { alert, labels, annotations, .. } => Some((alert, labels, annotations)),
        _ => None,
    });
    let mut names = BTreeSet::new();
    for (alert, labels, annotations) in alerts {
        names.insert(*alert);
        assert_eq!(
            labels.keys().copied().collect::<Vec<_>>(),
            ["namespace", "service", "severity"]
        );
        assert!(annotations["summary"].contains("$value"), "{alert}");
        assert!(annotations["description"].len() > 20, "{alert}");
        assert!(annotations["runbook_url"].ends_with(&alert.to_lowercase()), "{alert}");
    }
    assert_eq!(names.len(), 19);
}
