//! Checks that a store keeps the promises of [`StateStore`].
//!
//! [`store_conformance!`](crate::store_conformance) writes one test for each function here. Each gets a place of its own,
//! opened twice, and panics where a promise is broken.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use futures::future::join_all;

use super::route::{ok, refused};
use crate::policy::Policy;
use crate::ports::{Claim, Past, PortError, StateStore, Stored};
use crate::rollout::{Rollout, Snapshot};
use crate::value::{FailureKind, Revision, Target, Timestamp, Weight};

/// Writes one test for each promise of [`StateStore`](crate::ports::StateStore).
///
/// The argument makes a place in which nothing is kept and that no other test uses, and opens it twice, as two processes
/// would: with nothing shared but the place. A second argument, where one can be given, deletes what is kept for a target
/// behind the store's back. An attribute in front goes to each test.
///
/// ```
/// # use canary_core::store::MemoryStore;
/// mod in_memory {
///     # use super::MemoryStore;
///     canary_core::store_conformance!(|| async {
///         let store = MemoryStore::new();
///         [store.clone(), store]
///     });
/// }
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! store_conformance {
    (#[$attribute:meta] $make:expr $(, $delete:expr)?) => {
        $crate::store_conformance!(@all [#[$attribute]] [$make] [$($delete)?]);
    };
    (@all $attributes:tt $make:tt $delete:tt) => {
        $crate::store_conformance!(@each $attributes $make
            nothing_is_kept_at_first
            what_was_written_is_read
            of_claims_at_once_one_wins
            of_saves_at_once_one_wins
            a_stale_write_is_refused
            every_read_sees_the_last_write
            a_new_holder_puts_the_old_one_out
            targets_are_apart
            every_target_is_listed
            a_dropped_write_never_lands_over_a_later_one
        );
        $crate::store_conformance!(@deleted $attributes $make $delete);
    };
    (@each $attributes:tt $make:tt $($promise:ident)*) => {
        $($crate::store_conformance!(@one $attributes $make $promise);)*
    };
    (@one [$(#[$attribute:meta])?] [$make:expr] $promise:ident) => {
        #[test]
        $(#[$attribute])?
        fn $promise() {
            $crate::testing::conformance::run($crate::testing::conformance::store::$promise($make));
        }
    };
    (@deleted $attributes:tt $make:tt []) => {};
    (@deleted [$(#[$attribute:meta])?] [$make:expr] [$delete:expr]) => {
        #[test]
        $(#[$attribute])?
        fn what_was_deleted_is_nobodys() {
            $crate::testing::conformance::run(
                $crate::testing::conformance::store::what_was_deleted_is_nobodys($make, $delete),
            );
        }
    };
    ($make:expr $(, $delete:expr)?) => {
        $crate::store_conformance!(@all [] [$make] [$($delete)?]);
    };
}

/// How many writers there are at once, and how often things are done that may go well by chance.
const OFTEN: u64 = 8;

/// A target of which nothing is kept is no error to load, and nobody's to write.
pub async fn nothing_is_kept_at_first<S: StateStore>(make: impl AsyncFnOnce() -> [S; 2]) {
    let [store, _] = make().await;
    assert_eq!(load(&store, &shop()).await, None, "loaded at first");
    for revision in [Revision::default(), Revision::new(1)] {
        refused(store.confirm(&shop(), revision).await, "a confirmation of nothing");
        refused(store.save(&shop(), &state(1), revision).await, "a save without a claim");
        refused(store.claim(&shop(), &claim(1), Some(revision)).await, "a claim after nobody");
    }
    assert_eq!(load(&store, &shop()).await, None, "loaded after refused writes");
}

/// Whatever was written is read, whole and by everybody, and each revision is higher than the one before.
pub async fn what_was_written_is_read<S: StateStore>(make: impl AsyncFnOnce() -> [S; 2]) {
    let stores = make().await;
    let mut expected = claim(1).of_version(Some("v1".to_owned()));
    let mut at = ok(stores[0].claim(&shop(), &expected, None).await, "the first claim");
    for step in 2..2 + OFTEN {
        for store in &stores {
            let stored = load(store, &shop()).await;
            assert_eq!(stored, Some(Stored::new(expected.clone(), at)), "loaded");
        }
        let before = at;
        if step % 4 == 0 {
            expected = claim(step).of_version(Some(format!("v{step}"))).after(vec![past()]);
            at = ok(stores[0].claim(&shop(), &expected, Some(at)).await, "a later claim");
        } else {
            expected.state = state(step);
            at = ok(stores[0].save(&shop(), &expected.state, at).await, "a save");
        }
        assert!(at > before, "revision {at} follows {before}");
    }
}

/// Of several claims that expect the same, at the same time, one gets the target, and it is kept.
pub async fn of_claims_at_once_one_wins<S: StateStore>(make: impl AsyncFnOnce() -> [S; 2]) {
    let stores = make().await;
    let mut expect = None;
    for round in 0..OFTEN {
        let claims = (0..OFTEN).map(|n| claim(round * OFTEN + n)).collect::<Vec<_>>();
        let tries = claims.iter().zip(stores.iter().cycle());
        let tries = tries.map(|(claim, store)| async { store.claim(&shop(), claim, expect).await });
        let (winner, revision) = one_of(join_all(tries).await, "claims at the same time");
        let stored = load(&stores[0], &shop()).await;
        assert_eq!(stored, Some(Stored::new(claims[winner].clone(), revision)), "loaded");
        refused(stores[1].claim(&shop(), &claim(0), expect).await, "a claim that came too late");
        expect = Some(revision);
    }
}

/// Of several saves that expect the same, at the same time, one is written.
pub async fn of_saves_at_once_one_wins<S: StateStore>(make: impl AsyncFnOnce() -> [S; 2]) {
    let stores = make().await;
    let mut at = ok(stores[0].claim(&shop(), &claim(1), None).await, "the first claim");
    for round in 1..=OFTEN {
        let states = (0..OFTEN).map(|n| state(round * OFTEN + n)).collect::<Vec<_>>();
        let tries = states.iter().zip(stores.iter().cycle());
        let tries = tries.map(|(state, store)| async { store.save(&shop(), state, at).await });
        let (winner, revision) = one_of(join_all(tries).await, "saves at the same time");
        at = revision;
        let stored = load(&stores[1], &shop()).await.map(|stored| stored.claim.state);
        assert_eq!(stored.as_ref(), Some(&states[winner]), "loaded");
    }
}

/// What expects an older revision is refused and changes nothing.
pub async fn a_stale_write_is_refused<S: StateStore>(make: impl AsyncFnOnce() -> [S; 2]) {
    let [store, other] = make().await;
    let first = ok(store.claim(&shop(), &claim(1), None).await, "the first claim");
    let second = ok(other.save(&shop(), &state(2), first).await, "a save");
    for store in [&store, &other] {
        refused(store.save(&shop(), &state(3), first).await, "a save that expects the past");
        refused(store.save(&shop(), &state(3), second.next()).await, "one that expects the future");
        refused(
            store.claim(&shop(), &claim(3), Some(first)).await,
            "a claim that expects the past",
        );
        refused(store.claim(&shop(), &claim(3), None).await, "a claim that expects nobody");
        let stored = load(store, &shop()).await.map(|stored| (stored.claim.state, stored.revision));
        assert_eq!(stored, Some((state(2), second)), "loaded after refused writes");
    }
}

/// As soon as a write has returned, everybody reads and confirms that one and no older one: nothing is remembered
/// beside the place itself.
pub async fn every_read_sees_the_last_write<S: StateStore>(make: impl AsyncFnOnce() -> [S; 2]) {
    let stores = make().await;
    let mut at = ok(stores[0].claim(&shop(), &claim(1), None).await, "the first claim");
    for step in 0..OFTEN {
        let [writer, reader] = if step % 2 == 0 { [0, 1] } else { [1, 0] };
        ok(stores[reader].confirm(&shop(), at).await, "a confirmation before a write");
        let next = state(2 + step);
        let before = at;
        at = ok(stores[writer].save(&shop(), &next, before).await, "a save");
        refused(stores[reader].confirm(&shop(), before).await, "a confirmation of the past");
        ok(stores[reader].confirm(&shop(), at).await, "a confirmation after a write");
        let stored = load(&stores[reader], &shop()).await.map(|stored| stored.claim.state);
        assert_eq!(stored, Some(next), "loaded by the other one");
    }
}

/// Once somebody else has claimed the target, the one before writes and confirms nothing any more.
pub async fn a_new_holder_puts_the_old_one_out<S: StateStore>(make: impl AsyncFnOnce() -> [S; 2]) {
    let [old, new] = make().await;
    let before = ok(old.claim(&shop(), &claim(1), None).await, "the first claim");
    let after = ok(new.claim(&shop(), &claim(2), Some(before)).await, "a claim after it");
    assert!(after > before, "revision {after} follows {before}");
    refused(old.save(&shop(), &state(3), before).await, "a save of the holder before");
    refused(old.confirm(&shop(), before).await, "a confirmation of the holder before");
    ok(new.confirm(&shop(), after).await, "a confirmation of the new holder");
    assert_eq!(load(&old, &shop()).await, Some(Stored::new(claim(2), after)), "loaded");
}

/// Targets with names that are alike are different ones.
pub async fn targets_are_apart<S: StateStore>(make: impl AsyncFnOnce() -> [S; 2]) {
    let [store, other] = make().await;
    let targets = alike();
    for (n, target) in (1..).zip(&targets) {
        assert_eq!(load(&store, target).await, None, "{target} loaded at first");
        ok(store.claim(target, &claim(n), None).await, "the first claim");
    }
    for (n, target) in (1..).zip(&targets) {
        let stored = load(&other, target).await.map(|stored| stored.claim);
        assert_eq!(stored, Some(claim(n)), "{target} loaded");
    }
}

/// Every target is listed, and each once, where the store can list them.
pub async fn every_target_is_listed<S: StateStore>(make: impl AsyncFnOnce() -> [S; 2]) {
    let [store, other] = make().await;
    let mut listed = match store.targets().await {
        Err(error) if error.kind() == FailureKind::Unsupported => return,
        listed => ok(listed, "listing"),
    };
    assert_eq!(listed, [], "listed at first");
    let mut targets = alike();
    for target in &targets {
        let at = ok(store.claim(target, &claim(1), None).await, "the first claim");
        ok(store.save(target, &state(2), at).await, "a save");
    }
    listed = ok(other.targets().await, "listing");
    listed.sort();
    targets.sort();
    assert_eq!(listed, targets, "listed");
}

/// A write that nobody waits for any more lands whole or not at all, and never over one that came later.
pub async fn a_dropped_write_never_lands_over_a_later_one<S: StateStore>(
    make: impl AsyncFnOnce() -> [S; 2],
) {
    let ([store, other], target) = (make().await, shop());
    let mut at = ok(store.claim(&target, &claim(1), None).await, "the first claim");
    for step in 1..=OFTEN {
        let (late, next) = (state(2 * step), state(2 * step + 1));
        {
            let mut save = pin!(store.save(&target, &late, at));
            poll_fn(|context| Poll::Ready(save.as_mut().poll(context).is_ready())).await;
        }
        let before = at;
        at = match other.save(&shop(), &next, before).await {
            Ok(revision) => revision,
            Err(error) => {
                assert_eq!(error.kind(), FailureKind::Conflict, "a save at the same time: {error}");
                let landed = load(&other, &shop()).await.expect("it was claimed");
                assert_eq!(landed.claim.state, late, "what was dropped has landed");
                assert!(landed.revision > before, "and has a revision of its own");
                ok(other.save(&shop(), &next, landed.revision).await, "a save after it")
            }
        };
        for _ in 0..OFTEN {
            ok(store.confirm(&shop(), at).await, "a confirmation of the later one");
            let stored = load(&store, &shop()).await.map(|stored| stored.claim.state);
            assert_eq!(stored.as_ref(), Some(&next), "loaded after the later one");
        }
    }
}

/// Nobody holds what was deleted, and who claims it then is not taken for who held it before.
pub async fn what_was_deleted_is_nobodys<S: StateStore>(
    make: impl AsyncFnOnce() -> [S; 2],
    delete: impl AsyncFnOnce(&S, &Target),
) {
    let [store, other] = make().await;
    let first = ok(store.claim(&shop(), &claim(1), None).await, "the first claim");
    let at = ok(store.save(&shop(), &state(2), first).await, "a save");
    delete(&store, &shop()).await;
    for store in [&store, &other] {
        assert_eq!(load(store, &shop()).await, None, "loaded after it was deleted");
        refused(store.confirm(&shop(), at).await, "a confirmation of what was deleted");
        refused(store.save(&shop(), &state(3), at).await, "a save of what was deleted");
        refused(store.claim(&shop(), &claim(3), Some(at)).await, "a claim after what was deleted");
    }
    let anew = ok(other.claim(&shop(), &claim(4), None).await, "a claim of what was deleted");
    assert_eq!(load(&store, &shop()).await, Some(Stored::new(claim(4), anew)), "loaded");
}

fn shop() -> Target {
    "conformance/shop".parse().expect("a plain name")
}

/// Names targets that a store could take for each other.
fn alike() -> Vec<Target> {
    let long = |last: &str| format!("{}{last}", "a".repeat(127));
    let names = ["a", "a/b", "a.b", "a-b", "a_b", "a/b/c", &long("a"), &long("b")];
    names.into_iter().map(|name| name.parse().expect("a plain name")).collect()
}

fn policy() -> Arc<Policy> {
    let stage = std::time::Duration::from_secs(60);
    let policy = Policy::builder("shop").stage("full", Weight::FULL, stage).build();
    Arc::new(policy.expect("a valid policy"))
}

/// Returns a state that differs from those of other numbers.
fn state(number: u64) -> Snapshot {
    let id = format!("shop-{number}").parse().expect("a plain name");
    Rollout::start(id, policy(), Timestamp::from_millis(1_000 + number)).0.snapshot()
}

fn claim(number: u64) -> Claim {
    Claim::new(policy().spec().clone(), state(number))
}

fn past() -> Past {
    Past {
        rollout: "shop-0".parse().expect("a plain name"),
        version: Some("v0".to_owned()),
        promoted: true,
        outcome: "promoted".to_owned(),
        ended: Timestamp::from_millis(3),
    }
}

async fn load(store: &impl StateStore, target: &Target) -> Option<Stored> {
    ok(store.load(target).await, "loading")
}

/// Returns which one was accepted, all others being refused.
fn one_of(answers: Vec<Result<Revision, PortError>>, what: &str) -> (usize, Revision) {
    let mut accepted = Vec::new();
    for (place, answer) in answers.into_iter().enumerate() {
        match answer {
            Ok(revision) => accepted.push((place, revision)),
            Err(error) => refused(Err::<(), _>(error), what),
        }
    }
    assert_eq!(accepted.len(), 1, "accepted of {what}");
    accepted[0]
}
