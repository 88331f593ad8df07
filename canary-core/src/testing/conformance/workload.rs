//! Checks that what runs the versions keeps the promises of [`Workload`].
//!
//! [`workload_conformance!`](crate::workload_conformance) writes one test for each function here. Each gets a workload of
//! its own and panics where a promise is broken. Whether both versions are ever down cannot be seen from here.

use std::time::Duration;

use super::route::{Holder, ok};
use crate::policy::How;
use crate::ports::{Capacity, PortError, Progress, Readiness, Workload};
use crate::value::{Epoch, FailureKind, Side, Weight};

/// Writes one test for each promise of [`Workload`](crate::ports::Workload).
///
/// The argument makes one whose stable version is up and whose canary is not, and that no other test uses. What it does
/// not support, such as a swap, it says with `Unsupported`. An attribute in front goes to each test.
///
/// ```
/// # use canary_core::testing::MemoryWorkload;
/// mod in_memory {
///     # use super::MemoryWorkload;
///     canary_core::workload_conformance!(|| async { MemoryWorkload::done_after(3) });
/// }
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! workload_conformance {
    (#[$attribute:meta] $make:expr) => {
        $crate::workload_conformance!(@all [#[$attribute]] [$make]);
    };
    (@all $attributes:tt $make:tt) => {
        $crate::workload_conformance!(@each $attributes $make
            a_canary_becomes_ready_and_stays_so
            a_canary_grows
            a_canary_is_removed_and_comes_again
            what_was_promoted_in_place_is_restored
            what_was_promoted_by_swap_is_restored
            what_was_promoted_in_place_loses_its_canary
            what_was_promoted_by_swap_loses_its_stable
        );
    };
    (@each $attributes:tt $make:tt $($promise:ident)*) => {
        $($crate::workload_conformance!(@one $attributes $make $promise);)*
    };
    (@one [$(#[$attribute:meta])?] [$make:expr] $promise:ident) => {
        #[test]
        $(#[$attribute])?
        fn $promise() {
            $crate::testing::conformance::run($crate::testing::conformance::workload::$promise($make));
        }
    };
    ($make:expr) => {
        $crate::workload_conformance!(@all [] [$make]);
    };
}

/// How often a thing is asked for until it has to be done.
const ASKS: u32 = 600;

/// The longest time between two asks.
const PAUSE: Duration = Duration::from_secs(1);

/// Asked often enough, the canary is ready, and asked again it is ready at once.
pub async fn a_canary_becomes_ready_and_stays_so<W: Workload>(make: impl AsyncFnOnce() -> W) {
    let mut versions = Versions::of(make().await);
    versions.ready(Weight::percent(10)).await;
    versions.still_ready(Weight::percent(10)).await;
}

/// A canary that is ready for a little becomes ready for more, and is still ready for less.
pub async fn a_canary_grows<W: Workload>(make: impl AsyncFnOnce() -> W) {
    let mut versions = Versions::of(make().await);
    for weight in [Weight::ZERO, Weight::percent(10), Weight::percent(50), Weight::FULL] {
        versions.ready(weight).await;
    }
    versions.still_ready(Weight::FULL).await;
    versions.still_ready(Weight::percent(10)).await;
}

/// A canary that was removed is not ready any more, and can be made ready again.
pub async fn a_canary_is_removed_and_comes_again<W: Workload>(make: impl AsyncFnOnce() -> W) {
    let mut versions = Versions::of(make().await);
    versions.ready(Weight::percent(10)).await;
    versions.done_twice(What::Retire(Side::Canary)).await;
    versions.ready(Weight::percent(50)).await;
    versions.still_ready(Weight::percent(50)).await;
}

/// In place: the new version becomes stable, stable becomes what it was, and that may go round again.
pub async fn what_was_promoted_in_place_is_restored<W: Workload>(make: impl AsyncFnOnce() -> W) {
    promoted_and_restored(make().await, How::InPlace).await;
}

/// By swap: the new version becomes stable, stable becomes what it was, and that may go round again.
pub async fn what_was_promoted_by_swap_is_restored<W: Workload>(make: impl AsyncFnOnce() -> W) {
    promoted_and_restored(make().await, How::Swap).await;
}

/// In place: once stable has the new version, the canary is removed.
pub async fn what_was_promoted_in_place_loses_its_canary<W: Workload>(
    make: impl AsyncFnOnce() -> W,
) {
    promoted_for_good(make().await, How::InPlace, Side::Canary).await;
}

/// By swap: once the canary is the stable one, what was stable before is removed.
pub async fn what_was_promoted_by_swap_loses_its_stable<W: Workload>(
    make: impl AsyncFnOnce() -> W,
) {
    promoted_for_good(make().await, How::Swap, Side::Stable).await;
}

async fn promoted_and_restored(workload: impl Workload, how: How) {
    let mut versions = Versions::of(workload);
    versions.ready(Weight::FULL).await;
    for _ in 0..2 {
        if !versions.done_twice(What::Promote(how)).await {
            return;
        }
        versions.done_twice(What::Restore(how)).await;
        versions.still_ready(Weight::FULL).await;
    }
    versions.done_twice(What::Retire(Side::Canary)).await;
}

async fn promoted_for_good(workload: impl Workload, how: How, goes: Side) {
    let mut versions = Versions::of(workload);
    versions.ready(Weight::FULL).await;
    if versions.done_twice(What::Promote(how)).await {
        versions.done_twice(What::Retire(goes)).await;
    }
}

/// A workload and who asks it.
#[derive(Debug)]
struct Versions<W> {
    workload: W,
    holder: Holder,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Promote(How),
    Restore(How),
    Retire(Side),
}

impl<W: Workload> Versions<W> {
    const fn of(workload: W) -> Self {
        Self { workload, holder: Holder::new(Epoch::new(1)) }
    }

    async fn prepare(&mut self, weight: Weight) -> Readiness {
        let (call, wanted) = (self.holder.call(), Capacity::new(weight, None));
        ok(self.workload.prepare(&call, &wanted).await, "preparing")
    }

    async fn ready(&mut self, weight: Weight) {
        let mut why = String::new();
        for ask in 0..ASKS {
            let readiness = self.prepare(weight).await;
            if readiness.ready_for.is_some_and(|ready| ready >= weight) {
                return;
            }
            why = readiness.why;
            pause(ask).await;
        }
        panic!("the canary is not ready for {weight} after {ASKS} asks; it waits for {why}");
    }

    async fn still_ready(&mut self, weight: Weight) {
        let readiness = self.prepare(weight).await;
        let is_ready = readiness.ready_for.is_some_and(|ready| ready >= weight);
        assert!(is_ready, "asked again, the canary is not ready for {weight}: {}", readiness.why);
    }

    async fn ask(&mut self, what: What) -> Result<Progress, PortError> {
        let call = self.holder.call();
        match what {
            What::Promote(how) => self.workload.promote(&call, how).await,
            What::Restore(how) => self.workload.restore(&call, how).await,
            What::Retire(side) => self.workload.retire(&call, side).await,
        }
    }

    /// Asks until it is done, and twice more; tells whether it can be done at all.
    async fn done_twice(&mut self, what: What) -> bool {
        let mut waits = String::new();
        for ask in 0..ASKS {
            match self.ask(what).await {
                Err(error) if ask == 0 && error.kind() == FailureKind::Unsupported => return false,
                answer => match ok(answer, "asking") {
                    Progress::Wait { why } => waits = why,
                    Progress::Done => {
                        for _ in 0..2 {
                            let again = ok(self.ask(what).await, "asking again");
                            assert_eq!(again, Progress::Done, "{what:?}, asked again");
                        }
                        return true;
                    }
                },
            }
            pause(ask).await;
        }
        panic!("{what:?} is not done after {ASKS} asks; it waits for {waits}");
    }
}

/// Waits a little, and longer with each ask.
async fn pause(ask: u32) {
    tokio::time::sleep(PAUSE.min(Duration::from_millis(1) * ask)).await;
}
