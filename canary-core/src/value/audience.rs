//! Whose requests reach the canary, where it is chosen by user.

use serde::{Deserialize, Serialize};

use super::{Side, Weight, fnv};

/// Chooses users instead of requests: the same user always gets the same side, and a higher weight only adds users.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Audience {
    /// What tells users apart, such as `user` or `account`: its value is hashed.
    pub by: String,
    /// Who reaches the canary from the first weight above zero on, whatever the weight.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub always: Vec<Member>,
}

/// Describes some of the users.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Member {
    /// Those on a list of this name, such as beta testers.
    List(String),
    /// Those with an e-mail address in this domain.
    EmailDomain(String),
    /// Those in a segment of this name.
    Segment(String),
}

/// Describes who asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct User {
    /// The value of what tells users apart.
    pub key: String,
    /// The e-mail address, if known.
    pub email: Option<String>,
    /// The lists that the user is on.
    pub lists: Vec<String>,
    /// The segments that the user is in.
    pub segments: Vec<String>,
}

impl User {
    /// Describes a user of whom only the key is known.
    #[must_use]
    pub fn new(key: impl Into<String>) -> Self {
        Self { key: key.into(), ..Self::default() }
    }

    /// Adds the e-mail address.
    #[must_use]
    pub fn with_email(mut self, email: impl Into<String>) -> Self {
        self.email = Some(email.into());
        self
    }

    /// Adds a list that the user is on.
    #[must_use]
    pub fn on_list(mut self, list: impl Into<String>) -> Self {
        self.lists.push(list.into());
        self
    }

    /// Adds a segment that the user is in.
    #[must_use]
    pub fn in_segment(mut self, segment: impl Into<String>) -> Self {
        self.segments.push(segment.into());
        self
    }
}

impl Audience {
    /// Draws users at random by this key.
    #[must_use]
    pub fn by(key: impl Into<String>) -> Self {
        Self { by: key.into(), always: Vec::new() }
    }

    /// Adds users who always reach the canary.
    #[must_use]
    pub fn always(mut self, member: Member) -> Self {
        self.always.push(member);
        self
    }

    /// Returns the side of a user at a weight; at 0 % it is stable for everybody.
    ///
    /// A user's place among all is a hash of the key (FNV-1a, mixed once more) that is the same on every platform.
    #[must_use]
    pub fn side(&self, user: &User, weight: Weight) -> Side {
        let chosen = place(&user.key) < u64::from(weight.basis_points());
        let invited = weight != Weight::ZERO && self.always.iter().any(|m| m.holds(user));
        if chosen || invited { Side::Canary } else { Side::Stable }
    }
}

impl Member {
    fn holds(&self, user: &User) -> bool {
        match self {
            Self::List(name) => user.lists.contains(name),
            Self::Segment(name) => user.segments.contains(name),
            Self::EmailDomain(domain) => user
                .email
                .as_deref()
                .and_then(|email| email.rsplit_once('@'))
                .is_some_and(|(_, of)| of.eq_ignore_ascii_case(domain)),
        }
    }
}

/// Returns a place from 0 to 9999 that depends on the text alone.
fn place(text: &str) -> u64 {
    let hash = fnv(text.bytes());
    // FNV leaves the last letters in few bits: one round of splitmix64 spreads them.
    let mixed = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)) % 10_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_higher_weight_only_adds_users_and_the_share_is_right() {
        let audience = Audience::by("user");
        let users: Vec<User> = (0..20_000).map(|i| User::new(format!("user-{i}"))).collect();
        let mut before = vec![Side::Stable; users.len()];
        for percent in [0, 1, 10, 50, 100] {
            let weight = Weight::percent(percent);
            let sides: Vec<Side> = users.iter().map(|u| audience.side(u, weight)).collect();
            let chosen = sides.iter().filter(|side| **side == Side::Canary).count();
            let expected = users.len() * usize::from(percent) / 100;
            assert!(chosen.abs_diff(expected) < 200, "{chosen} of {} at {weight}", users.len());
            let left = before.iter().zip(&sides).any(|(a, b)| *a == Side::Canary && a != b);
            assert!(!left, "somebody left the canary at {weight}");
            before = sides;
        }
    }

    #[test]
    fn a_user_s_place_never_changes_and_is_the_first_share_that_leaves_it_out() {
        for (key, at) in [("", 6203), ("ana", 3514), ("user-42", 8355), ("ü", 7258)] {
            assert_eq!(place(key), u64::from(at), "{key}");
            let side = |share| {
                let weight = Weight::from_basis_points(share).unwrap();
                Audience::by("user").side(&User::new(key), weight)
            };
            assert_eq!((side(at), side(at + 1)), (Side::Stable, Side::Canary), "{key}");
        }
    }

    #[test]
    fn the_invited_come_first_and_leave_at_zero() {
        let audience = Audience::by("user")
            .always(Member::EmailDomain("example.com".to_owned()))
            .always(Member::List("beta".to_owned()));
        let tiny = Weight::BASIS_POINT;
        let insider = User::new("ana").with_email("ana@Example.com");
        assert_eq!(audience.side(&insider, tiny), Side::Canary);
        assert_eq!(audience.side(&User::new("bo").on_list("beta"), tiny), Side::Canary);
        assert_eq!(
            audience.side(&User::new("cy").with_email("cy@example.org"), tiny),
            Side::Stable
        );
        assert_eq!(audience.side(&insider, Weight::ZERO), Side::Stable);
    }
}
