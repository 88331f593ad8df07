//! What a router shall do with the traffic.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Audience, Split, Weight};

/// Describes what a router shall do with the traffic, absolutely.
///
/// Two equal values are the same request to a router, and applying one twice
/// changes nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Traffic {
    /// The canary's share; stable has the rest.
    #[serde(rename = "canary_bp")]
    pub canary: Weight,
    /// Requests that bear all of these headers, name and exact value, reach the canary whatever its share; none if
    /// empty.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub header: BTreeMap<String, String>,
    /// The share of stable's requests of which the canary gets a copy; its answers are thrown away.
    #[serde(default, rename = "mirror_bp", skip_serializing_if = "is_none")]
    pub mirror: Weight,
    /// Whose requests make up the canary's share; `None` where it is drawn anew for each request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<Audience>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
fn is_none(weight: &Weight) -> bool {
    *weight == Weight::ZERO
}

impl Traffic {
    /// Returns the traffic that sends nothing to the canary.
    #[must_use]
    pub fn all_stable() -> Self {
        Self::default()
    }

    /// Returns the traffic that sends this share to the canary.
    #[must_use]
    pub fn to_canary(canary: Weight) -> Self {
        Self { canary, ..Self::default() }
    }

    /// Sends requests with these headers to the canary as well.
    #[must_use]
    pub fn with_header(mut self, header: BTreeMap<String, String>) -> Self {
        self.header = header;
        self
    }

    /// Copies this share of stable's requests to the canary.
    #[must_use]
    pub const fn with_mirror(mut self, share: Weight) -> Self {
        self.mirror = share;
        self
    }

    /// Chooses the canary's share by user.
    #[must_use]
    pub fn with_audience(mut self, audience: Audience) -> Self {
        self.audience = Some(audience);
        self
    }

    /// Returns what each version gets to answer.
    #[must_use]
    pub const fn split(&self) -> Split {
        Split::new(self.canary, self.mirror)
    }

    /// Tells whether the canary gets anything at all.
    #[must_use]
    pub fn reaches_canary(&self) -> bool {
        *self != Self::all_stable()
    }

    /// Tells whether the canary gets no more than from `other`, in every respect: such a change lowers.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        let header = self.header.is_empty() || self.header == other.header;
        let everybody = self.canary == Weight::ZERO || other.canary == Weight::FULL;
        let audience = everybody || self.audience == other.audience;
        self.canary <= other.canary && self.mirror <= other.mirror && header && audience
    }

    /// Returns what both have in common: the most that is within this and within `other`.
    ///
    /// Where two audiences differ that is no share at all: nobody knows whom they have in common.
    #[must_use]
    pub fn meet(&self, other: &Self) -> Self {
        if self.is_within(other) {
            return self.clone();
        }
        if other.is_within(self) {
            return other.clone();
        }
        let header =
            if self.header == other.header { self.header.clone() } else { BTreeMap::new() };
        let mirror = self.mirror.min(other.mirror);
        let nobody = Self { header, mirror, ..Self::all_stable() };
        let some = Self { canary: self.canary.min(other.canary), ..nobody.clone() };
        let of = |one: &Self| Self { audience: one.audience.clone(), ..some.clone() };
        let fits = |traffic: &Self| traffic.is_within(self) && traffic.is_within(other);
        [of(self), of(other)].into_iter().find(fits).unwrap_or(nobody)
    }
}

/// Writes the share, and what comes on top: `10%, header x-canary, 5% mirrored`.
impl std::fmt::Display for Traffic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.canary.fmt(f)?;
        for name in self.header.keys() {
            write!(f, ", header {name}")?;
        }
        if self.mirror == Weight::ZERO { Ok(()) } else { write!(f, ", {} mirrored", self.mirror) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_gives_the_canary_more_in_any_respect_does_not_lower() {
        let ten = Traffic::to_canary(Weight::percent(10));
        let header = BTreeMap::from([("x-canary".to_owned(), "true".to_owned())]);
        let more = [
            Traffic::to_canary(Weight::percent(11)),
            ten.clone().with_header(header),
            ten.clone().with_mirror(Weight::percent(1)),
            ten.clone().with_audience(Audience::by("user")),
        ];
        for more in more {
            assert!(!more.is_within(&ten), "{more}");
            assert!(Traffic::all_stable().is_within(&more), "{more}");
        }
        assert!(ten.is_within(&ten));
    }

    #[test]
    fn what_two_have_in_common_is_within_both() {
        let header = BTreeMap::from([("x-canary".to_owned(), "true".to_owned())]);
        let all: Vec<Traffic> = [0, 10, 90, 100]
            .into_iter()
            .flat_map(|percent| {
                let plain = Traffic::to_canary(Weight::percent(percent));
                let by_user = plain.clone().with_audience(Audience::by("user"));
                let by_account = plain.clone().with_audience(Audience::by("account"));
                let with_header = plain.clone().with_header(header.clone());
                let mirrored = with_header.clone().with_mirror(Weight::percent(5));
                let for_account = by_account.clone().with_mirror(Weight::percent(7));
                [plain, by_user, by_account, with_header, mirrored, for_account]
            })
            .collect();
        for a in &all {
            for b in &all {
                let both = a.meet(b);
                assert!(both.is_within(a) && both.is_within(b), "{both} of {a} and {b}");
                assert!(!b.is_within(a) || both == *b || both == *a, "{both} of {a} and {b}");
                assert_eq!(both.mirror, a.mirror.min(b.mirror), "{both} of {a} and {b}");
            }
        }
    }
}
