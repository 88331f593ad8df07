//! Whatever is awaited of the driver may be awaited in a task of its own.

use std::sync::Arc;

use canary_core::driver::{Driver, DriverBuilder, DriverError, Fleet, Handle, Kept, Shutdown};
use canary_core::policy::Policy;
use canary_core::rollout::Command;
use canary_core::testing::MemoryRouter;
use canary_core::value::{Actor, RolloutId, StageRef, Target};

use crate::support::{builder, id, plain};

fn sent<F: Future + Send + 'static>(_: F) {}

/// Is never run: that it compiles is the test.
#[expect(dead_code, reason = "what it shows is shown by the compiler")]
fn futures_are_sent(
    begin: fn() -> (DriverBuilder, RolloutId),
    resume: fn() -> DriverBuilder<Kept>,
) {
    sent(async move { begin().0.start(id("shop-1")).await });
    sent(async move { begin().0.start_or_resume(begin().1).await });
    sent(async move { begin().0.resume().await });
    sent(async move { resume().resume().await });
}

#[expect(dead_code, reason = "what it shows is shown by the compiler")]
fn a_fleet_is_sent(fleet: &'static Fleet, targets: Vec<Target>, how: Shutdown) {
    sent(async move { fleet.start(builder(), id("shop-1")).await });
    sent(async move { fleet.start_or_resume(builder(), id("shop-1")).await });
    sent(async move { fleet.resume(resumer(&"shop".parse().unwrap())).await });
    sent(async move { fleet.resume_all(targets, resumer).await });
    sent(async move { fleet.shutdown(how).await });
}

#[expect(dead_code, reason = "what it shows is shown by the compiler")]
fn commands_are_sent(
    handle: &'static Handle,
    ana: &'static Actor,
    stage: fn() -> StageRef,
    command: Command,
    how: Shutdown,
) {
    sent(handle.pause(ana));
    sent(handle.resume(ana));
    sent(handle.approve("oncall", ana));
    sent(handle.approve_at(stage(), "oncall", ana));
    sent(handle.reject("oncall", "bad", ana));
    sent(handle.advance(stage(), ana));
    sent(handle.promote_full(ana));
    sent(handle.retry(ana));
    sent(handle.abort("bad", ana));
    sent(handle.command(command));
    sent(handle.finished());
    sent(handle.shutdown(how));
}

fn resumer(target: &Target) -> DriverBuilder<Kept> {
    Driver::resumer(target.clone()).router(MemoryRouter::new())
}

#[tokio::test(start_paused = true)]
async fn a_fleet_is_driven_from_tasks() -> Result<(), DriverError> {
    let (fleet, policy) = (Fleet::new(4), Arc::<Policy>::new(plain()));
    let mut tasks = tokio::task::JoinSet::new();
    for name in ["shop-1", "cart-1", "search-1"] {
        let (fleet, policy) = (fleet.clone(), Arc::clone(&policy));
        tasks.spawn(async move {
            let target = name.parse().unwrap();
            let builder = Driver::builder(policy).target(target).router(MemoryRouter::new());
            let handle = fleet.start(builder, id(name)).await.unwrap();
            handle.finished().await
        });
    }
    for finished in tasks.join_all().await {
        assert!(finished?.outcome().is_promoted());
    }
    Ok(())
}
