//! Gates that must all be open.

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::FuturesUnordered;

use crate::ports::{Call, Decision, Gate, GateContext, PortError};

/// Is open once all of its gates are at the same time.
///
/// They are asked at once. The first that rejects decides for all; otherwise the first error is the answer, and
/// otherwise it waits as long as the most patient one that is not open.
#[derive(Debug)]
pub struct AllOf {
    gates: Vec<Box<dyn Gate>>,
}

impl AllOf {
    /// Begins with one gate.
    pub fn new(gate: impl Gate) -> Self {
        Self { gates: vec![Box::new(gate)] }
    }

    /// Adds another.
    #[must_use]
    pub fn and(mut self, gate: impl Gate) -> Self {
        self.gates.push(Box::new(gate));
        self
    }
}

#[async_trait]
impl Gate for AllOf {
    async fn decide(&self, call: &Call, context: &GateContext) -> Result<Decision, PortError> {
        let mut answers: FuturesUnordered<_> =
            self.gates.iter().map(|gate| gate.decide(call, context)).collect();
        let (mut longest, mut whys, mut failed) = (0, Vec::new(), None);
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(Decision::Open) => {}
                Ok(Decision::Wait { retry_after_ms, why }) => {
                    longest = longest.max(retry_after_ms);
                    whys.push(why);
                }
                Ok(reject @ Decision::Reject { .. }) => return Ok(reject),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        match failed {
            Some(error) => Err(error),
            None if whys.is_empty() => Ok(Decision::Open),
            None => Ok(Decision::Wait { retry_after_ms: longest, why: whys.join("; ") }),
        }
    }
}
