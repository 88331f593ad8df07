//! Which share of the traffic goes to the canary.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Says which share of the traffic goes to the canary, in basis points (hundredths of a percent).
///
/// Range: 0 to 10 000, that is 0 % to 100 %.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Weight(u16);

impl Weight {
    /// No traffic.
    pub const ZERO: Self = Self(0);
    /// The smallest weight above none: 0.01 %.
    pub const BASIS_POINT: Self = Self(1);
    /// All of the traffic.
    pub const FULL: Self = Self(10_000);

    /// Returns the weight of a whole percentage; more than 100 counts as 100.
    #[must_use]
    pub const fn percent(percent: u8) -> Self {
        if percent >= 100 { Self::FULL } else { Self(percent as u16 * 100) }
    }

    /// Returns the weight of this many basis points.
    ///
    /// # Errors
    /// [`InvalidWeight`] above 10 000.
    pub const fn from_basis_points(basis_points: u16) -> Result<Self, InvalidWeight> {
        if basis_points > 10_000 {
            Err(InvalidWeight(basis_points))
        } else {
            Ok(Self(basis_points))
        }
    }

    /// Returns the canary's share in basis points, 0 to 10 000.
    #[must_use]
    pub const fn basis_points(self) -> u16 {
        self.0
    }

    /// Returns stable's share in basis points: what is left of 10 000.
    #[must_use]
    pub const fn rest(self) -> u16 {
        10_000 - self.0
    }

    /// Returns the canary's share as a fraction, 0 to 1.
    #[must_use]
    pub fn fraction(self) -> f64 {
        f64::from(self.0) / 10_000.0
    }
}

impl<'de> Deserialize<'de> for Weight {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let basis_points = u16::deserialize(deserializer)?;
        Self::from_basis_points(basis_points).map_err(serde::de::Error::custom)
    }
}

/// Writes a percentage: `5%`, `0.05%`.
impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, part) = (self.0 / 100, self.0 % 100);
        match part {
            0 => write!(f, "{whole}%"),
            part if part % 10 == 0 => write!(f, "{whole}.{}%", part / 10),
            part => write!(f, "{whole}.{part:02}%"),
        }
    }
}

/// Tells that a number of basis points was above 10 000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a weight has at most 10000 basis points (100%), not {0}")]
pub struct InvalidWeight(u16);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_is_written_as_the_percentage_it_is() {
        for (basis_points, text) in
            [(0, "0%"), (5, "0.05%"), (50, "0.5%"), (100, "1%"), (1234, "12.34%"), (10_000, "100%")]
        {
            assert_eq!(Weight::from_basis_points(basis_points).unwrap().to_string(), text);
        }
    }

    #[test]
    fn no_weight_is_above_full() {
        assert_eq!(Weight::from_basis_points(10_001), Err(InvalidWeight(10_001)));
        assert_eq!(Weight::percent(255), Weight::FULL);
        assert_eq!(Weight::percent(1).rest(), 9_900);
    }
}
