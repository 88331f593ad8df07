//! Snapshots that were written once: they load, go on to an end, and their form does not change unnoticed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use canary_core::policy::{Drift, How, Policy, PolicySpec};
use canary_core::rollout::{Event, Rollout, Snapshot};
use canary_core::value::{Timestamp, Weight};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::moves::moves;
use crate::plans::{Plan, plans};
use crate::world::World;

/// One snapshot for each phase, with the plan that it belongs to.
#[derive(Serialize, Deserialize)]
struct Golden {
    policy: PolicySpec,
    workload: bool,
    snapshot: Value,
}

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/snapshot-v1.json")
}

fn golden() -> BTreeMap<String, Golden> {
    serde_json::from_str(&std::fs::read_to_string(file()).unwrap()).unwrap()
}

/// Returns the richest snapshot of each phase that random runs come to.
fn rich() -> BTreeMap<String, Golden> {
    let mut runner = TestRunner::deterministic();
    let strategy = (plans(), proptest::collection::vec(moves(), 1..40));
    let mut found: BTreeMap<String, (usize, Golden)> = BTreeMap::new();
    for _ in 0..400 {
        let (plan, moves) = strategy.new_tree(&mut runner).unwrap().current();
        let mut world = World::start(&plan);
        for next in moves {
            next.make(&mut world);
            let phase = world.rollout.phase().name().to_owned();
            let snapshot = serde_json::to_value(world.rollout.snapshot()).unwrap();
            let fields = shape(&snapshot).len();
            if found.get(&phase).is_none_or(|(most, _)| fields > *most) {
                let golden =
                    Golden { policy: plan.spec.clone(), workload: plan.workload, snapshot };
                found.insert(phase, (fields, golden));
            }
        }
    }
    found.into_iter().map(|(phase, (_, golden))| (phase, golden)).collect()
}

/// Returns every path of names in a JSON value; lists and maps with names of their own count as one.
fn shape(value: &Value) -> BTreeSet<String> {
    fn walk(value: &Value, path: &str, shape: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                for (name, field) in fields {
                    walk(field, &format!("{path}/{name}"), shape);
                }
            }
            Value::Array(items) => {
                items.iter().for_each(|item| walk(item, &format!("{path}[]"), shape))
            }
            _ => drop(shape.insert(path.to_owned())),
        }
    }
    let mut shape = BTreeSet::new();
    walk(value, "", &mut shape);
    shape
}

#[test]
fn what_was_written_once_loads_and_goes_on_to_its_end() {
    if std::env::var_os("CANARY_WRITE_GOLDEN").is_some() {
        std::fs::write(file(), serde_json::to_string(&rich()).unwrap() + "\n").unwrap();
    }
    let all = golden();
    assert_eq!(all.len(), 10, "one of each phase: {:?}", all.keys());
    for (phase, Golden { policy, workload, snapshot }) in all {
        let stored: Snapshot = serde_json::from_value(snapshot.clone()).unwrap();
        assert_eq!(stored.phase().name(), phase);
        assert_eq!(serde_json::to_value(&stored).unwrap(), snapshot, "{phase}: read and written");
        let plan = Plan { spec: policy, workload, bad_from: None, closed: None };
        let mut world = World::taken_up(&plan, stored);
        world.finish();
        assert!(world.rollout.outcome().is_some(), "{phase}");
    }
}

#[test]
fn a_newer_version_is_refused_by_its_name() {
    let (_, Golden { mut snapshot, .. }) = golden().pop_first().unwrap();
    snapshot["version"] = 2.into();
    let error = serde_json::from_value::<Snapshot>(snapshot).unwrap_err().to_string();
    assert!(error.contains("version 2, and this library knows up to 1"), "{error}");
}

/// A field that comes or goes changes the form: it needs a new version, or a default and a new golden file.
#[test]
fn the_form_changes_only_with_its_version() {
    let mut spec = PolicySpec::new("shop");
    spec.stages.push(canary_core::policy::Stage::new(
        "full",
        Weight::FULL,
        std::time::Duration::ZERO,
    ));
    (spec.drift, spec.promotion.how) = (Drift::Pause, How::Swap);
    let policy = Policy::from_spec(spec).unwrap();
    let (mut rollout, _) = Rollout::start("shop-1".parse().unwrap(), policy, Timestamp::EPOCH);
    let _ = rollout.step(Event::Tick, Timestamp::EPOCH);
    let now = serde_json::to_value(rollout.snapshot()).unwrap();
    let names = |value: &Value| -> BTreeSet<String> {
        let state = value["state"].as_object().unwrap();
        let ledger = state["ledger"].as_object().unwrap();
        let judge = state["judge"].as_object().unwrap();
        let report = state["report"].as_object().unwrap();
        let within = |room: &str, fields: &serde_json::Map<String, Value>| -> Vec<String> {
            fields.keys().map(|name| format!("{room}{name}")).collect()
        };
        [
            within("", state),
            within("ledger/", ledger),
            within("judge/", judge),
            within("report/", report),
        ]
        .concat()
        .into_iter()
        .collect()
    };
    for (phase, Golden { snapshot, .. }) in golden() {
        assert_eq!(snapshot["version"], now["version"]);
        assert_eq!(names(&snapshot), names(&now), "{phase}: the form has changed");
    }
}
