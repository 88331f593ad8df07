//! What every store promises, in memory and in files.
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::time::Duration;

use canary_core::policy::Policy;
use canary_core::ports::{Claim, Past, StateStore};
use canary_core::rollout::{Event, Rollout, Snapshot};
use canary_core::store::{FileStore, MemoryStore};
use canary_core::value::{FailureKind, Target, Timestamp, Weight};

fn policy(name: &str) -> Policy {
    Policy::builder(name).stage("full", Weight::FULL, Duration::from_secs(60)).build().unwrap()
}

fn rollout(name: &str) -> Rollout {
    Rollout::start(format!("{name}-1").parse().unwrap(), policy(name), Timestamp::from_millis(5)).0
}

fn claim(name: &str) -> Claim {
    Claim::new(policy(name).spec().clone(), rollout(name).snapshot())
}

/// Returns a later state of the same rollout.
fn later(name: &str) -> Snapshot {
    let mut rollout = rollout(name);
    let _ = rollout.step(Event::Persisted { rev: 1, result: Ok(()) }, Timestamp::from_millis(9));
    rollout.snapshot()
}

async fn promises(store: &dyn StateStore) {
    let (target, other): (Target, Target) = ("shop/a".parse().unwrap(), "shop/b".parse().unwrap());
    assert_eq!(store.load(&target).await.unwrap(), None);
    assert!(store.confirm(&target, canary_core::value::Revision::new(1)).await.is_err());

    let first = store.claim(&target, &claim("a"), None).await.unwrap();
    let second_claim = store.claim(&target, &claim("a"), None).await;
    assert_eq!(
        second_claim.unwrap_err().kind(),
        FailureKind::Conflict,
        "two claims cannot both win"
    );
    assert_eq!(store.load(&other).await.unwrap(), None, "targets are apart");

    store.confirm(&target, first).await.unwrap();
    let second = store.save(&target, &later("a"), first).await.unwrap();
    assert!(second > first);
    for stale in [
        store.confirm(&target, first).await,
        store.save(&target, &later("a"), first).await.map(drop),
    ] {
        assert_eq!(stale.unwrap_err().kind(), FailureKind::Conflict);
    }
    let stored = store.load(&target).await.unwrap().unwrap();
    assert_eq!(stored.revision, second);
    assert_eq!(stored.claim.state, later("a"));
    assert_eq!(stored.claim.policy, policy("a").shared_spec());

    // A new holder takes over: the old one is out.
    let next = claim("b").of_version(Some("v2".to_owned())).after(vec![past()]);
    let third = store.claim(&target, &next, Some(second)).await.unwrap();
    assert!(third > second);
    assert_eq!(
        store.save(&target, &later("a"), second).await.unwrap_err().kind(),
        FailureKind::Conflict
    );
    assert_eq!(store.load(&target).await.unwrap().unwrap().claim, next);

    assert_eq!(store.targets().await.unwrap(), std::slice::from_ref(&target));
    store.claim(&other, &claim("b"), None).await.unwrap();
    assert_eq!(store.targets().await.unwrap(), [target, other]);
}

fn past() -> Past {
    let past = serde_json::json!({
        "rollout": "a-0", "version": "v1", "promoted": true, "outcome": "promoted", "ended_ms": 3
    });
    serde_json::from_value(past).unwrap()
}

#[tokio::test]
async fn the_memory_store_keeps_its_promises() {
    promises(&MemoryStore::new()).await;
}

#[tokio::test]
async fn the_file_store_keeps_its_promises() {
    let folder = tempfile::tempdir().unwrap();
    promises(&FileStore::new(folder.path().join("rollouts"))).await;
}

#[tokio::test]
async fn what_is_no_rollout_is_not_listed() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(FileStore::new(folder.path().join("none")).targets().await.unwrap(), []);
    for other in ["lost+found", "never-claimed"] {
        std::fs::create_dir(folder.path().join(other)).unwrap();
    }
    std::fs::write(folder.path().join("notes"), "").unwrap();
    assert_eq!(FileStore::new(folder.path()).targets().await.unwrap(), []);
    let nobody: Target = "nobody".parse().unwrap();
    assert_eq!(FileStore::new(folder.path()).load(&nobody).await.unwrap(), None);
    assert!(!folder.path().join("nobody").exists());
}

#[tokio::test]
async fn files_outlive_the_store_that_wrote_them_and_old_policies_are_removed() {
    let folder = tempfile::tempdir().unwrap();
    let target: Target = "shop/a".parse().unwrap();
    let first = FileStore::new(folder.path()).claim(&target, &claim("a"), None).await.unwrap();
    let second = FileStore::new(folder.path()).claim(&target, &claim("b"), Some(first)).await;
    let policy = format!("policy-{}.json", second.unwrap());
    assert_eq!(
        FileStore::new(folder.path()).load(&target).await.unwrap().unwrap().claim,
        claim("b")
    );
    let mut names: Vec<String> = std::fs::read_dir(folder.path().join("shop~a"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    assert_eq!(names, ["lock", policy.as_str(), "state-0.jsonl", "state-1.jsonl"]);
}

#[tokio::test]
async fn a_broken_file_is_an_error_that_names_it_and_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let store = FileStore::new(folder.path());
    let target: Target = "shop/a".parse().unwrap();
    let revision = store.claim(&target, &claim("a"), None).await.unwrap();
    let [even, odd] =
        ["state-0.jsonl", "state-1.jsonl"].map(|name| folder.path().join("shop~a").join(name));
    let file = if even.exists() { even } else { odd };
    std::fs::write(&file, "{\"revision\": 1,").unwrap();
    for error in [
        store.load(&target).await.unwrap_err(),
        store.save(&target, &later("a"), revision).await.unwrap_err(),
        store.claim(&target, &claim("a"), None).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), FailureKind::Invalid);
        assert!(error.to_string().contains("state-"), "{error}");
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "{\"revision\": 1,");
}

#[tokio::test]
async fn of_many_writers_at_once_one_wins_each_time() {
    let folder = tempfile::tempdir().unwrap();
    let target: Target = "shop/a".parse().unwrap();
    let mut revision =
        FileStore::new(folder.path()).claim(&target, &claim("a"), None).await.unwrap();
    for _ in 0..5 {
        let mut writers = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let (store, target) = (FileStore::new(folder.path()), target.clone());
            writers.spawn(async move { store.save(&target, &later("a"), revision).await });
        }
        let won: Vec<_> = writers.join_all().await.into_iter().filter_map(Result::ok).collect();
        assert_eq!(won.len(), 1);
        revision = won[0];
    }
}

#[test]
fn waiting_for_a_lock_blocks_no_thread() {
    let folder = tempfile::tempdir().unwrap();
    let (store, target): (_, Target) = (FileStore::new(folder.path()), "a".parse().unwrap());
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.max_blocking_threads(2).enable_all().build().unwrap();
    runtime.block_on(store.claim(&target, &claim("a"), None)).unwrap();
    let lock = std::fs::File::create(folder.path().join("a/lock")).unwrap();
    lock.lock().unwrap();
    let other = runtime.block_on(async {
        for _ in 0..20 {
            let load = store.load(&target);
            tokio::time::timeout(Duration::from_millis(5), load).await.unwrap_err();
        }
        tokio::time::timeout(Duration::from_secs(60), store.load(&"b".parse().unwrap())).await
    });
    drop(lock);
    assert_eq!(other.expect("there is a thread").unwrap(), None);
    assert_eq!(runtime.block_on(store.load(&target)).unwrap().unwrap().claim, claim("a"));
}
