use std::time::Duration;

use canary_core::value::Weight;

use super::*;
use crate::rules::{Mesh, Rule, rules};

fn policy() -> Policy {
    let hour = Duration::from_secs(3600);
    Policy::builder("check \"out\" {{ x }}").stage("full", Weight::FULL, hour).build().unwrap()
}

fn service(mesh: Mesh) -> Service {
    Service::new(mesh, "shop", "checkout").unwrap()
}

/// Returns every query of a value, wherever it stands.
fn queries(value: &Value) -> Vec<&str> {
    let own = value.get("expr").and_then(Value::as_str);
    let inner: Vec<&Value> = match value {
        Value::Object(fields) => fields.values().collect(),
        Value::Array(items) => items.iter().collect(),
        _ => Vec::new(),
    };
    own.into_iter().chain(inner.into_iter().flat_map(queries)).collect()
}

#[test]
fn panels_lie_beside_each_other() {
    let dashboard = dashboard(&policy(), &service(Mesh::Istio));
    let panels = dashboard["panels"].as_array().unwrap();
    let mut taken = std::collections::BTreeSet::new();
    for (i, panel) in panels.iter().enumerate() {
        assert_eq!(panel["id"], i + 1);
        let [x, y, w, h] =
            ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().unwrap());
        assert!(x + w <= 24, "{panel}");
        for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            assert!(taken.insert(cell), "{panel}");
        }
    }
}

#[test]
fn what_is_recorded_is_read_and_not_asked_again() {
    for mesh in [Mesh::Istio, Mesh::Linkerd] {
        let dashboard = dashboard(&policy(), &service(mesh));
        let shown = service(mesh).as_variables();
        let queries = queries(&dashboard);
        for rule in Recorded::ALL {
            assert!(queries.contains(&shown.recorded(rule).as_str()), "{}", rule.name());
            assert!(!queries.contains(&shown.records(rule).as_str()), "{}", rule.name());
        }
    }
}

#[test]
fn it_is_for_any_service() {
    let dashboard = dashboard(&policy(), &service(Mesh::Istio)).to_string();
    let variables = dashboard.matches(r#""current":{"text":"shop","value":"shop"}"#).count();
    assert_eq!(variables, 1);
    assert_eq!(dashboard.matches("shop").count(), 2);
    assert!(!dashboard.contains("workload=\\\"checkout"), "{dashboard}");
}

#[test]
fn a_later_version_takes_the_place_of_an_earlier_one() {
    let dashboard = dashboard(&policy(), &service(Mesh::Istio));
    assert_eq!(dashboard["uid"], "canary-check--out-----x---");
    assert_eq!(uid(&"x".repeat(100)).len(), 40);
}

#[cfg(feature = "promql")]
#[test]
fn every_query_is_promql() {
    let parse = |query: &str| {
        if let Err(error) = promql_parser::parser::parse(query) {
            panic!("{query}: {error}");
        }
    };
    for mesh in [Mesh::Istio, Mesh::Linkerd] {
        let service = service(mesh).deployments("checkout.v1", "checkout.v2").unwrap();
        queries(&dashboard(&policy(), &service)).into_iter().for_each(parse);
        for rule in &rules(&policy(), &service).groups[0].rules {
            let (Rule::Alert { expr, .. } | Rule::Recording { expr, .. }) = rule;
            parse(expr);
        }
    }
}
