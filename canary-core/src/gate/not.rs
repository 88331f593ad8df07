//! A gate that is open while another one is not.

use std::time::Duration;

use async_trait::async_trait;

use crate::ports::{Call, Decision, Gate, GateContext, PortError};

/// How soon it looks again while the other gate is open.
const AGAIN: Duration = Duration::from_secs(30);

/// Is open while another gate waits or rejects, and waits while that one is open.
///
/// It never rejects: a freeze ends some time.
#[derive(Debug)]
pub struct Not {
    gate: Box<dyn Gate>,
}

impl Not {
    /// Turns a gate round.
    pub fn new(gate: impl Gate) -> Self {
        Self { gate: Box::new(gate) }
    }
}

#[async_trait]
impl Gate for Not {
    async fn decide(&self, call: &Call, context: &GateContext) -> Result<Decision, PortError> {
        Ok(match self.gate.decide(call, context).await? {
            Decision::Open => Decision::wait(AGAIN, "what keeps it closed still holds"),
            Decision::Wait { .. } | Decision::Reject { .. } => Decision::Open,
        })
    }
}
