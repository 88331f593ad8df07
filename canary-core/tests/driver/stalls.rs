//! What stands still says so.

use async_trait::async_trait;
use canary_core::driver::Driver;
use canary_core::policy::How;
use canary_core::ports::{Call, Capacity, PortError, Progress, Readiness, Workload};
use canary_core::record::Content;
use canary_core::rollout::Waiting;
use canary_core::testing::{MemoryRouter, Recorder};
use canary_core::value::Side;

use crate::support::{ana, id, plain, s, until};

/// Versions of which one cannot be changed any more.
#[derive(Debug)]
struct Wedged {
    promotes: bool,
    retires: bool,
}

const WHY: &str = "the image cannot be pulled";

fn done(it: bool) -> Progress {
    if it { Progress::Done } else { Progress::Wait { why: WHY.to_owned() } }
}

#[async_trait]
impl Workload for Wedged {
    async fn prepare(&self, _: &Call, wanted: &Capacity) -> Result<Readiness, PortError> {
        Ok(Readiness::ready_for(wanted.weight))
    }

    async fn promote(&self, _: &Call, _: How) -> Result<Progress, PortError> {
        Ok(done(self.promotes))
    }

    async fn restore(&self, _: &Call, _: How) -> Result<Progress, PortError> {
        Ok(Progress::Done)
    }

    async fn retire(&self, _: &Call, _: Side) -> Result<Progress, PortError> {
        Ok(done(self.retires))
    }
}

#[tokio::test(start_paused = true)]
async fn a_promotion_or_a_retirement_that_is_never_done_is_told_once() {
    for promotes in [false, true] {
        let recorder = Recorder::new();
        let builder = Driver::builder(plain()).router(MemoryRouter::new());
        let builder = builder.workload(Wedged { promotes, retires: false });
        let handle = builder.observer(recorder.clone()).start(id("shop-1")).await.unwrap();
        let stands = if promotes { "retiring" } else { "promoting" };
        until(&handle, |status| status.phase == stands).await;
        tokio::time::sleep(s(7_200)).await;
        assert_eq!(handle.status().borrow().phase, stands);
        let told: Vec<_> = recorder
            .records()
            .into_iter()
            .filter_map(|record| match record.content {
                Content::Stalled { for_ms, why, .. } => Some((for_ms, why)),
                _ => None,
            })
            .collect();
        assert_eq!(told, [(300_000, WHY.to_owned())], "{stands}");
        assert_eq!(handle.status().borrow().waiting, Waiting::Workload(WHY.to_owned()));
        if !promotes {
            handle.abort("it hangs", &ana()).await.unwrap();
        }
    }
}
