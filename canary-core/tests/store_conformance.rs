//! The conformance suite accepts the stores that come with the library, and finds each fault put into one.
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use canary_core::ports::{Claim, PortError, StateStore, Stored};
use canary_core::rollout::Snapshot;
use canary_core::store::MemoryStore;
use canary_core::testing::conformance::{self, store};
use canary_core::value::{Revision, Target};

mod in_memory {
    use super::MemoryStore;

    canary_core::store_conformance!(|| async {
        let store = MemoryStore::new();
        [store.clone(), store]
    });
}

mod in_files {
    use std::cell::RefCell;

    use canary_core::store::FileStore;
    use tempfile::TempDir;

    thread_local! {
        /// Where the files of this thread's test are.
        static FOLDER: RefCell<Option<TempDir>> = const { RefCell::new(None) };
    }

    canary_core::store_conformance!(
        || async {
            let folder = tempfile::tempdir().unwrap();
            let stores = [FileStore::new(folder.path()), FileStore::new(folder.path())];
            FOLDER.set(Some(folder));
            stores
        },
        async |_: &FileStore, target| {
            let name = target.as_str().replace('/', "~");
            FOLDER.with_borrow(|folder| {
                std::fs::remove_dir_all(folder.as_ref().unwrap().path().join(name)).unwrap();
            });
        }
    );
}

/// Breaks one promise of the store in memory.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    AnswersBeforeItWrites,
    ClaimsBlindly,
    ClaimsWhatIsGone,
    ConfirmsFromMemory,
    ForgetsThePast,
    LandsLate,
    LetsTheOldHolderSave,
    ListsOne,
    LoadsFromMemory,
    MixesTargetsUp,
    SavesBlindly,
}

/// One process's opening of a store.
#[derive(Debug)]
struct Faulty {
    place: Arc<Place>,
    fault: Fault,
    seen: Mutex<Option<Stored>>,
}

#[derive(Debug, Default)]
struct Place {
    inner: MemoryStore,
    on_its_way: Mutex<Vec<Snapshot>>,
}

impl Faulty {
    fn twice(fault: Fault) -> [Self; 2] {
        let place = Arc::<Place>::default();
        [(); 2].map(|()| Self { place: Arc::clone(&place), fault, seen: Mutex::default() })
    }

    async fn now(&self, target: &Target) -> Option<Stored> {
        self.place.inner.load(target).await.unwrap()
    }

    fn name(&self, target: &Target) -> Target {
        match self.fault {
            Fault::MixesTargetsUp => target.as_str().replace('/', ".").parse().unwrap(),
            _ => target.clone(),
        }
    }

    async fn land(&self, target: &Target) {
        let landing = self.place.on_its_way.lock().unwrap().pop();
        if let (Some(state), Some(now)) = (landing, self.now(target).await) {
            self.place.inner.save(target, &state, now.revision).await.unwrap();
        }
    }
}

#[async_trait]
impl StateStore for Faulty {
    async fn load(&self, target: &Target) -> Result<Option<Stored>, PortError> {
        let target = self.name(target);
        self.land(&target).await;
        let now = self.now(&target).await;
        if self.fault == Fault::LoadsFromMemory {
            return Ok(self.seen.lock().unwrap().get_or_insert(now.unwrap()).clone().into());
        }
        Ok(now)
    }

    async fn claim(
        &self,
        target: &Target,
        claim: &Claim,
        expect: Option<Revision>,
    ) -> Result<Revision, PortError> {
        let (target, mut claim) = (self.name(target), claim.clone());
        let now = self.now(&target).await.map(|stored| stored.revision);
        let expect = match self.fault {
            Fault::ClaimsBlindly => now,
            Fault::ClaimsWhatIsGone if now.is_none() => None,
            _ => expect,
        };
        if self.fault == Fault::AnswersBeforeItWrites {
            tokio::task::yield_now().await;
            return self.place.inner.claim(&target, &claim, now).await;
        }
        if self.fault == Fault::ForgetsThePast {
            claim.past.clear();
        }
        self.place.inner.claim(&target, &claim, expect).await
    }

    async fn save(
        &self,
        target: &Target,
        state: &Snapshot,
        expect: Revision,
    ) -> Result<Revision, PortError> {
        let target = self.name(target);
        let now = self.now(&target).await.map_or(expect, |stored| stored.revision);
        match self.fault {
            Fault::SavesBlindly => {
                tokio::task::yield_now().await;
                let now = self.now(&target).await.map_or(expect, |stored| stored.revision);
                return self.place.inner.save(&target, state, now).await;
            }
            Fault::LetsTheOldHolderSave if now == expect.next() => {
                return self.place.inner.save(&target, state, now).await;
            }
            Fault::LandsLate => {
                self.place.on_its_way.lock().unwrap().push(state.clone());
                tokio::task::yield_now().await;
                self.place.on_its_way.lock().unwrap().pop();
            }
            _ => {}
        }
        self.place.inner.save(&target, state, expect).await
    }

    async fn confirm(&self, target: &Target, expect: Revision) -> Result<(), PortError> {
        if self.fault == Fault::ConfirmsFromMemory && self.now(target).await.is_some() {
            return Ok(());
        }
        self.place.inner.confirm(&self.name(target), expect).await
    }

    async fn targets(&self) -> Result<Vec<Target>, PortError> {
        let mut targets = self.place.inner.targets().await?;
        if self.fault == Fault::ListsOne {
            targets.truncate(1);
        }
        Ok(targets)
    }
}

macro_rules! is_found {
    ($($test:ident: $fault:ident by $check:ident;)*) => { $(
        #[test]
        fn $test() {
            let check = || {
                conformance::run(store::$check(|| async { Faulty::twice(Fault::$fault) }));
            };
            let found = catch_unwind(AssertUnwindSafe(check));
            assert!(found.is_err(), "{:?} passes as correct", Fault::$fault);
        }
    )* };
}

is_found! {
    a_claim_of_what_is_not_there: ClaimsWhatIsGone by nothing_is_kept_at_first;
    a_past_that_is_lost: ForgetsThePast by what_was_written_is_read;
    claims_that_all_win: AnswersBeforeItWrites by of_claims_at_once_one_wins;
    saves_that_all_win: SavesBlindly by of_saves_at_once_one_wins;
    a_claim_that_looks_at_nothing: ClaimsBlindly by a_stale_write_is_refused;
    a_load_from_memory: LoadsFromMemory by every_read_sees_the_last_write;
    a_confirmation_from_memory: ConfirmsFromMemory by every_read_sees_the_last_write;
    an_old_holder_that_saves: LetsTheOldHolderSave by a_new_holder_puts_the_old_one_out;
    targets_that_are_one: MixesTargetsUp by targets_are_apart;
    a_list_with_gaps: ListsOne by every_target_is_listed;
    a_late_landing: LandsLate by a_dropped_write_never_lands_over_a_later_one;
}

#[test]
fn a_deletion_that_deletes_nothing_is_found() {
    let make = || async { [MemoryStore::new(), MemoryStore::new()] };
    let check = || conformance::run(store::what_was_deleted_is_nobodys(make, async |_, _| {}));
    assert!(catch_unwind(AssertUnwindSafe(check)).is_err());
}
