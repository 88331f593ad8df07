//! Who decides: `mode: automatic`, `manual` or `hybrid`, short for gates and actions.

use super::node::{Node, Value};
use super::scalar::Expected;
use crate::policy::{GateSpec, PolicySpec, Then};
use crate::value::GateName;

/// The gate that `mode: manual` asks.
const GO_ON: &str = "go-on";

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Mode {
    /// Checks and gates decide as they say.
    #[default]
    Automatic,
    /// A person lets it go on, step by step.
    Manual,
    /// It goes on by itself until something is off; then a person decides.
    Hybrid,
}

pub(super) fn read(node: &Node) -> Result<Mode, Expected> {
    match &node.value {
        Value::Text(text) if text == "automatic" => Ok(Mode::Automatic),
        Value::Text(text) if text == "manual" => Ok(Mode::Manual),
        Value::Text(text) if text == "hybrid" => Ok(Mode::Hybrid),
        _ => Err("`automatic`, `manual` or `hybrid`"),
    }
}

impl Mode {
    /// Returns what is done where something that would take the canary back does not say so itself.
    pub(super) const fn usual(self) -> Then {
        match self {
            Self::Automatic | Self::Manual => Then::RollBack,
            Self::Hybrid => Then::Ask,
        }
    }

    /// Adds the gates that are meant; one of that name in the file says how it is asked.
    pub(super) fn expand(self, spec: &mut PolicySpec) {
        let (Self::Manual, Ok(go_on)) = (self, GateName::new(GO_ON)) else {
            return;
        };
        for stage in spec.stages.iter_mut().skip(1) {
            stage.enter.push(go_on.clone());
        }
        spec.promotion.gates.push(go_on.clone());
        spec.gates.entry(go_on).or_insert_with(GateSpec::approval);
    }
}
