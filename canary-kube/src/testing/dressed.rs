//! The conformance suite's weights, with headers and copies beside them.

use async_trait::async_trait;
use canary_core::ports::{Applied, Call, Capabilities, Observed, PortError, TrafficRouter};
use canary_core::value::{RolloutId, Traffic, Version, Weight};

/// Puts headers and copies beside every weight above 0 %, and takes them off what is read.
///
/// So the conformance suite, which speaks of weights, holds for them too.
#[derive(Clone, Debug)]
pub struct Dressed<R> {
    router: R,
    dress: Traffic,
}

impl<R> Dressed<R> {
    /// Puts the headers and the mirror of `dress` on; its weight does not matter.
    pub const fn new(router: R, dress: Traffic) -> Self {
        Self { router, dress }
    }

    fn put_on(&self, plain: &Traffic) -> Traffic {
        if plain.canary == Weight::ZERO {
            return plain.clone();
        }
        Traffic::to_canary(plain.canary)
            .with_header(self.dress.header.clone())
            .with_mirror(self.dress.mirror)
    }

    /// Leaves on what is not as it was put on, so that the suite sees it.
    fn take_off(&self, traffic: Traffic) -> Traffic {
        let plain = Traffic::to_canary(traffic.canary);
        if self.put_on(&plain) == traffic { plain } else { traffic }
    }
}

#[async_trait]
impl<R: TrafficRouter> TrafficRouter for Dressed<R> {
    fn capabilities(&self) -> Capabilities {
        self.router.capabilities()
    }

    async fn observe(&self, call: &Call) -> Result<Observed, PortError> {
        let Observed { traffic, version, .. } = self.router.observe(call).await?;
        Ok(Observed::new(self.take_off(traffic), version))
    }

    async fn holder(&self, call: &Call) -> Result<Option<RolloutId>, PortError> {
        self.router.holder(call).await
    }

    async fn apply(
        &self,
        call: &Call,
        traffic: &Traffic,
        at: Option<&Version>,
    ) -> Result<Applied, PortError> {
        let Applied { accepted, version, .. } =
            self.router.apply(call, &self.put_on(traffic), at).await?;
        Ok(Applied::accepted(self.take_off(accepted), version))
    }

    async fn release(&self, call: &Call) -> Result<(), PortError> {
        self.router.release(call).await
    }
}
