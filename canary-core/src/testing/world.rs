//! The simulator's world as ports, so that the driver can run in it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::ports::{
    Applied, Call, Capabilities, Decision, Gate, GateContext, MetricSource, Observed, PortError,
    TrafficRouter,
};
use crate::simulate::World;
use crate::value::{Measured, Query, Timestamp, Traffic, Version, Weight};

/// Serves as router, metric source and gate (one that is always open) in a made-up world; clones share it.
#[derive(Clone, Debug)]
pub struct WorldPorts {
    world: Arc<Mutex<World>>,
}

impl WorldPorts {
    /// Takes a world.
    #[must_use]
    pub fn new(world: World) -> Self {
        Self { world: Arc::new(Mutex::new(world)) }
    }

    /// Returns the canary's weight at a time.
    #[must_use]
    pub fn weight_at(&self, at: Timestamp) -> Weight {
        self.world().weight_at(at)
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl TrafficRouter for WorldPorts {
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    async fn observe(&self, call: &Call) -> Result<Observed, PortError> {
        Ok(self.world().observe(call.made))
    }

    async fn apply(
        &self,
        call: &Call,
        traffic: &Traffic,
        at: Option<&Version>,
    ) -> Result<Applied, PortError> {
        self.world().apply(call, traffic, at).map_err(PortError::from)
    }
}

#[async_trait]
impl MetricSource for WorldPorts {
    async fn measure(
        &self,
        _call: &Call,
        queries: &[Query],
        until: Timestamp,
    ) -> Vec<Result<Measured, PortError>> {
        let answers = self.world().measure(queries, until);
        answers.into_iter().map(|answer| answer.map_err(PortError::from)).collect()
    }
}

#[async_trait]
impl Gate for WorldPorts {
    async fn decide(&self, _call: &Call, _context: &GateContext) -> Result<Decision, PortError> {
        Ok(Decision::Open)
    }
}
