//! What a rule says about the canary, and which weights to write.

use std::collections::BTreeMap;

use canary_core::ports::PortError;
use canary_core::value::{BySide, FailureKind, Side, Traffic, Weight};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::form::Mirror;

/// The greatest weight that is read or written: Gateway API's own maximum, far below where Istio breaks.
const GREATEST: u64 = 1_000_000;

/// Says where everything is that a rollout writes in one rule, and what it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    /// The rule, counted from 0.
    pub(crate) rule: usize,
    pub(crate) stable: Slot,
    pub(crate) canary: Slot,
    /// Our own rule, which sends requests by their headers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) own: Option<usize>,
    /// The headers by which requests reach the canary.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) header: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Mirror::is_none")]
    pub(crate) mirror: Mirror,
}

/// One weight.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Slot {
    /// The entry, counted from 0.
    pub(crate) entry: usize,
    /// What the destination is known by, as it is written there.
    pub(crate) known_by: Vec<Value>,
    /// Exactly as it stands there; `None` where the field is absent.
    pub(crate) weight: Option<Value>,
}

/// What one rule gives the canary, and who else has a share.
#[derive(Clone, Debug)]
pub(crate) struct Split {
    pub(crate) place: Place,
    /// What an absent weight stands for.
    pub(crate) default_weight: u64,
    /// Further destinations that do not weigh 0.
    pub(crate) others: Vec<String>,
    /// Whether our own rule sends requests to the canary whatever their headers.
    pub(crate) open: bool,
}

impl Place {
    pub(crate) fn slot(&self, side: Side) -> &Slot {
        match side {
            Side::Stable => &self.stable,
            Side::Canary => &self.canary,
        }
    }

    /// Tells whether nothing but weights has to be written for this traffic.
    pub(crate) fn differs_in_weights_only(&self, asked: &Traffic) -> bool {
        self.header == asked.header && self.mirror.share() == Some(asked.mirror)
    }
}

impl Split {
    /// Reads what the canary gets.
    ///
    /// Weights are ratios: they may have any sum above 0. A side that has any traffic never reads as none.
    ///
    /// # Errors
    /// `Invalid` where a weight is out of range, both are 0, somebody else has a share, or our own rule or mirror
    /// was changed to something that a rollout never writes.
    pub(crate) fn traffic(&self) -> Result<Traffic, PortError> {
        if !self.others.is_empty() {
            return Err(invalid(format!(
                "further destinations have a share of the traffic: {}",
                self.others.join(", ")
            )));
        }
        if self.open {
            let what = "the rollout's own rule in front sends requests to the canary whatever their headers";
            return Err(invalid(what.to_owned()));
        }
        let mirror = self.place.mirror.share();
        let mirror = mirror
            .ok_or_else(|| invalid("the share of requests to copy cannot be read".to_owned()))?;
        let traffic = Traffic::to_canary(self.canary()?);
        Ok(traffic.with_header(self.place.header.clone()).with_mirror(mirror))
    }

    /// Reads the canary's weight.
    fn canary(&self) -> Result<Weight, PortError> {
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

    /// Returns both weights as they are written where that is another way to say that stable has everything than
    /// the one that is written here.
    pub(crate) fn other_empty(&self) -> Option<BySide<Option<Value>>> {
        let plain = Side::BOTH.map(|side| self.place.slot(side).weight.clone());
        let ours = weights(Weight::ZERO);
        let same = plain == [Some(ours.stable.into()), Some(ours.canary.into())];
        let [stable, canary] = plain;
        let empty = self.others.is_empty() && self.is(Weight::ZERO);
        (empty && !same).then_some(BySide { stable, canary })
    }

    /// Tells whether these weights, too, say that stable has everything.
    pub(crate) fn is_empty_as(&self, weights: &BySide<Option<Value>>) -> bool {
        let mut split = self.clone();
        split.place.stable.weight.clone_from(&weights.stable);
        split.place.canary.weight.clone_from(&weights.canary);
        split.is(Weight::ZERO)
    }

    /// Tells whether the canary certainly gets nothing, whatever else is wrong.
    pub(crate) fn starves_canary(&self) -> bool {
        let no_weight = self.weight(Side::Canary).is_ok_and(|weight| weight == 0);
        let Place { own, header, mirror, .. } = &self.place;
        no_weight && own.is_none() && header.is_empty() && mirror.share() == Some(Weight::ZERO)
    }

    /// Returns the weights that leave the canary nothing, and everybody else what they have.
    ///
    /// `all` are those that change with it, where the canary may be listed further times beside the same stable.
    pub(crate) fn starving(&self, all: &[Self]) -> BySide<u64> {
        if self.others.is_empty() {
            return weights(Weight::ZERO);
        }
        let place = |split: &Self| (split.place.rule, split.place.stable.entry);
        let beside = all.iter().filter(|split| place(split) == place(self));
        let canary: u64 = beside.map(|split| split.weight(Side::Canary).unwrap_or(0)).sum();
        let stable = self.weight(Side::Stable).unwrap_or(0) + canary;
        BySide { stable: stable.min(GREATEST), canary: 0 }
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

/// Returns the greatest exposure of several: what at least one of them gives the canary.
///
/// # Errors
/// `Invalid` where two of them send requests by different headers.
pub(crate) fn greatest(
    all: impl IntoIterator<Item = Result<Traffic, PortError>>,
) -> Result<Traffic, PortError> {
    let mut greatest = Traffic::all_stable();
    for traffic in all {
        let traffic = traffic?;
        if greatest.header.is_empty() {
            greatest.header = traffic.header;
        } else if !traffic.header.is_empty() && traffic.header != greatest.header {
            let what = "routes that move together send requests to the canary by different headers";
            return Err(invalid(what.to_owned()));
        }
        greatest.canary = greatest.canary.max(traffic.canary);
        greatest.mirror = greatest.mirror.max(traffic.mirror);
    }
    Ok(greatest)
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
