//! What two weights say, and which ones to write.

use canary_core::ports::PortError;
use canary_core::value::{BySide, FailureKind, Side, Traffic, Weight};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The greatest weight that is read or written: Gateway API's own maximum, far below where Istio breaks.
const GREATEST: u64 = 1_000_000;

/// Says where the two weights are and what they were.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    /// The rule, counted from 0.
    pub(crate) rule: usize,
    pub(crate) stable: Slot,
    pub(crate) canary: Slot,
}

/// One weight.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Slot {
    /// The entry, counted from 0.
    pub(crate) entry: usize,
    /// Exactly as it stands there; `None` where the field is absent.
    pub(crate) weight: Option<Value>,
}

/// The two weights of a rule, and who else has one.
#[derive(Clone, Debug)]
pub(crate) struct Split {
    pub(crate) place: Place,
    /// What an absent weight stands for.
    pub(crate) default_weight: u64,
    /// Further destinations that do not weigh 0.
    pub(crate) others: Vec<String>,
}

impl Place {
    pub(crate) fn slot(&self, side: Side) -> &Slot {
        match side {
            Side::Stable => &self.stable,
            Side::Canary => &self.canary,
        }
    }
}

impl Split {
    /// Reads the canary's share.
    ///
    /// Weights are ratios: they may have any sum above 0. A side that has any traffic never reads as none.
    ///
    /// # Errors
    /// `Invalid` where a weight is out of range, both are 0, or somebody else has a share.
    pub(crate) fn traffic(&self) -> Result<Traffic, PortError> {
        if !self.others.is_empty() {
            return Err(invalid(format!(
                "further destinations have a share of the traffic: {}",
                self.others.join(", ")
            )));
        }
        let [stable, canary] = [self.weight(Side::Stable)?, self.weight(Side::Canary)?];
        let total = stable + canary;
        if total == 0 {
            return Err(invalid("both weights are 0".to_owned()));
        }
        let nearest = (canary * 10_000 + total / 2) / total;
        let least = u64::from(canary > 0);
        let most = 10_000 - u64::from(stable > 0);
        let basis_points = u16::try_from(nearest.clamp(least, most)).ok();
        basis_points
            .and_then(|points| Weight::from_basis_points(points).ok())
            .map(Traffic::to_canary)
            .ok_or_else(|| invalid(format!("{nearest} is no weight")))
    }

    /// Tells whether the weights are exactly what is asked for, however they are written.
    pub(crate) fn is(&self, asked: Weight) -> bool {
        let [Ok(stable), Ok(canary)] = [self.weight(Side::Stable), self.weight(Side::Canary)]
        else {
            return false;
        };
        let total = stable + canary;
        total > 0 && canary * 10_000 == total * u64::from(asked.basis_points())
    }

    /// Tells whether the canary certainly gets nothing, whatever else is wrong.
    pub(crate) fn starves_canary(&self) -> bool {
        self.weight(Side::Canary).is_ok_and(|weight| weight == 0)
    }

    /// Returns the weights that leave the canary nothing, and everybody else what they have.
    pub(crate) fn starving(&self) -> BySide<u64> {
        let pair = Side::BOTH.map(|side| self.weight(side).unwrap_or(0));
        if self.others.is_empty() {
            return weights(Weight::ZERO);
        }
        BySide { stable: pair.iter().sum::<u64>().min(GREATEST), canary: 0 }
    }

    /// Reads one side's weight.
    fn weight(&self, side: Side) -> Result<u64, PortError> {
        let Some(weight) = &self.place.slot(side).weight else {
            return Ok(self.default_weight);
        };
        let in_range = weight.as_u64().filter(|&weight| weight <= GREATEST);
        in_range.ok_or_else(|| {
            invalid(format!("{side} has the weight {weight}, not one of 0 to {GREATEST}"))
        })
    }
}

/// Returns the weights to write: of 100 where whole percents do, of 10 000 otherwise.
pub(crate) fn weights(asked: Weight) -> BySide<u64> {
    let canary = asked.basis_points();
    let unit = if canary.is_multiple_of(100) { 100 } else { 1 };
    BySide { stable: u64::from(asked.rest() / unit), canary: u64::from(canary / unit) }
}

pub(crate) fn invalid(message: String) -> PortError {
    PortError::new(FailureKind::Invalid, message)
}
