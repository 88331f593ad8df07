//! A gate that is a function.

use std::fmt;

use async_trait::async_trait;

use crate::ports::{Call, Decision, Gate, GateContext, PortError};

/// Lets a function decide; for bots, tests and what is known in memory.
///
/// It should return at once: what has to wait for an answer implements [`Gate`] itself.
#[derive(Clone)]
pub struct FnGate<F>(F);

impl<F: Fn(&GateContext) -> Decision + Send + Sync + 'static> FnGate<F> {
    /// Takes the function.
    pub const fn new(decide: F) -> Self {
        Self(decide)
    }
}

impl<F> fmt::Debug for FnGate<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a function")
    }
}

#[async_trait]
impl<F: Fn(&GateContext) -> Decision + Send + Sync + 'static> Gate for FnGate<F> {
    async fn decide(&self, _: &Call, context: &GateContext) -> Result<Decision, PortError> {
        Ok((self.0)(context))
    }
}
