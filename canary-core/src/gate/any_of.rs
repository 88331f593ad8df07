//! Gates of which one must be open.

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::FuturesUnordered;

use crate::ports::{Call, Decision, Gate, GateContext, PortError};

/// Is open as soon as one of its gates is.
///
/// They are asked at once, and the first that is open decides for all. Otherwise it waits as long as the least patient
/// one that may still open; an error is the answer only where none waits, and a rejection only where all reject.
#[derive(Debug)]
pub struct AnyOf {
    gates: Vec<Box<dyn Gate>>,
}

impl AnyOf {
    /// Begins with one gate.
    pub fn new(gate: impl Gate) -> Self {
        Self { gates: vec![Box::new(gate)] }
    }

    /// Adds another.
    #[must_use]
    pub fn or(mut self, gate: impl Gate) -> Self {
        self.gates.push(Box::new(gate));
        self
    }
}

#[async_trait]
impl Gate for AnyOf {
    async fn decide(&self, call: &Call, context: &GateContext) -> Result<Decision, PortError> {
        let mut answers: FuturesUnordered<_> =
            self.gates.iter().map(|gate| gate.decide(call, context)).collect();
        let (mut waits, mut rejections, mut failed) = (Vec::new(), Vec::new(), None);
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(Decision::Open) => return Ok(Decision::Open),
                Ok(Decision::Wait { retry_after_ms, why }) => waits.push((retry_after_ms, why)),
                Ok(Decision::Reject { why }) => rejections.push(why),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        let soonest = waits.iter().map(|(after, _)| *after).min();
        match (soonest, failed) {
            (Some(retry_after_ms), _) => {
                let whys: Vec<String> = waits.into_iter().map(|(_, why)| why).collect();
                Ok(Decision::Wait { retry_after_ms, why: whys.join("; ") })
            }
            (None, Some(error)) => Err(error),
            (None, None) => Ok(Decision::reject(rejections.join("; "))),
        }
    }
}
