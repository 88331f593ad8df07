//! The conformance suite accepts the reference workload, and finds each fault put into one.
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use async_trait::async_trait;
use canary_core::policy::How;
use canary_core::ports::{Call, Capacity, PortError, Progress, Readiness, Workload};
use canary_core::testing::MemoryWorkload;
use canary_core::testing::conformance::{self, workload};
use canary_core::value::{FailureKind, Side, Weight};

mod at_once {
    use super::MemoryWorkload;

    canary_core::workload_conformance!(|| async { MemoryWorkload::new() });
}

mod after_a_while {
    use super::MemoryWorkload;

    canary_core::workload_conformance!(|| async { MemoryWorkload::done_after(3) });
}

#[test]
fn asked_again_after_it_is_done_nothing_goes_down() {
    let versions = MemoryWorkload::done_after(2);
    conformance::run(async {
        workload::what_was_promoted_in_place_is_restored(async || versions.clone()).await;
    });
    versions.assert_never_down();
    assert!(versions.up().stable && !versions.up().canary && !versions.stable_is_new());
}

/// Breaks one promise of the reference workload.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    BeginsAnew,
    CannotRestoreTwice,
    IsNeverThere,
    IsReadyByTurns,
    RemovesOnce,
    Shrinks,
}

#[derive(Debug)]
struct Faulty {
    inner: MemoryWorkload,
    fault: Fault,
    asked: Mutex<u32>,
    largest: Mutex<Weight>,
}

impl Faulty {
    fn new(fault: Fault) -> Self {
        Self {
            inner: MemoryWorkload::new(),
            fault,
            asked: Mutex::default(),
            largest: Mutex::default(),
        }
    }

    /// Counts what was asked, from 1.
    fn count(&self) -> u32 {
        let mut asked = self.asked.lock().unwrap();
        *asked += 1;
        *asked
    }

    /// Returns the largest weight that was asked for.
    fn largest(&self, weight: Weight) -> Weight {
        let mut largest = self.largest.lock().unwrap();
        *largest = weight.max(*largest);
        *largest
    }
}

fn wait() -> Result<Progress, PortError> {
    Ok(Progress::Wait { why: "a fault".to_owned() })
}

#[async_trait]
impl Workload for Faulty {
    async fn prepare(&self, call: &Call, wanted: &Capacity) -> Result<Readiness, PortError> {
        let readiness = self.inner.prepare(call, wanted).await?;
        Ok(match self.fault {
            Fault::IsReadyByTurns if self.count().is_multiple_of(2) => {
                Readiness::waiting("a fault")
            }
            Fault::Shrinks if wanted.weight < self.largest(wanted.weight) => {
                Readiness::waiting("a fault")
            }
            _ => readiness,
        })
    }

    async fn promote(&self, call: &Call, how: How) -> Result<Progress, PortError> {
        match self.fault {
            Fault::BeginsAnew if self.count().is_multiple_of(2) => wait(),
            Fault::IsNeverThere => Err(PortError::new(FailureKind::NotFound, "a fault")),
            _ => self.inner.promote(call, how).await,
        }
    }

    async fn restore(&self, call: &Call, how: How) -> Result<Progress, PortError> {
        if self.fault == Fault::CannotRestoreTwice && self.count() > 3 {
            return Err(PortError::new(FailureKind::NotFound, "a fault"));
        }
        self.inner.restore(call, how).await
    }

    async fn retire(&self, call: &Call, side: Side) -> Result<Progress, PortError> {
        match self.fault {
            Fault::RemovesOnce if self.count() > 1 => wait(),
            _ => self.inner.retire(call, side).await,
        }
    }
}

macro_rules! is_found {
    ($($test:ident: $fault:ident by $check:ident;)*) => { $(
        #[test]
        fn $test() {
            let check = || {
                conformance::run(workload::$check(|| async { Faulty::new(Fault::$fault) }));
            };
            let found = catch_unwind(AssertUnwindSafe(check));
            assert!(found.is_err(), "{:?} passes as correct", Fault::$fault);
        }
    )* };
}

is_found! {
    readiness_that_comes_and_goes: IsReadyByTurns by a_canary_becomes_ready_and_stays_so;
    a_canary_that_shrinks_at_once: Shrinks by a_canary_grows;
    a_removal_that_is_not_done_twice: RemovesOnce by a_canary_is_removed_and_comes_again;
    a_promotion_that_is_not_there: IsNeverThere by what_was_promoted_by_swap_is_restored;
    a_promotion_that_begins_anew: BeginsAnew by what_was_promoted_in_place_loses_its_canary;
    a_removal_of_stable_that_is_not_done_twice: RemovesOnce by what_was_promoted_by_swap_loses_its_stable;
    a_restoration_that_works_once: CannotRestoreTwice by what_was_promoted_in_place_is_restored;
}
