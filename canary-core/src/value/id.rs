//! Names and numbers that tell one thing from another.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Tells that a text cannot serve as a name, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no {what}: {why}")]
pub struct InvalidName {
    what: &'static str,
    text: String,
    why: String,
}

/// Checks what all names have in common: they stand in file names, annotations,
/// query labels and log lines, so they are short and plain.
fn check(what: &'static str, text: &str, extra: &[char]) -> Result<(), InvalidName> {
    let plain =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') || extra.contains(&c);
    let why = if text.is_empty() {
        "it is empty".to_owned()
    } else if text.len() > 128 {
        "it has more than 128 characters".to_owned()
    } else if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        "it does not begin with a letter or a digit".to_owned()
    } else if !text.chars().all(plain) {
        let more: String = extra.iter().map(|c| format!("`{c}`, ")).collect();
        format!("only ASCII letters, digits, {more}`-`, `_` and `.` may stand in it")
    } else {
        return Ok(());
    };
    Err(InvalidName { what, text: text.chars().take(160).collect(), why })
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal, $extra:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(Arc<str>);

        impl $type {
            /// Checks the text and takes it as a name.
            ///
            /// # Errors
            /// [`InvalidName`] unless it has 1 to 128 plain characters and begins with a letter or a digit.
            pub fn new(text: impl Into<String>) -> Result<Self, InvalidName> {
                let text = text.into();
                check($what, &text, &$extra)?;
                Ok(Self(text.into()))
            }

            /// Returns the name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $type {
            type Error = InvalidName;
            fn try_from(text: String) -> Result<Self, InvalidName> {
                Self::new(text)
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.as_str().to_owned()
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// Names one rollout: `checkout-42`.
    RolloutId, "rollout id", []
);
name!(
    /// Names what is rolled out, `namespace/route`: at most one rollout at a time holds a target.
    Target, "target", ['/']
);
name!(
    /// Names a gate of a policy: `oncall`.
    GateName, "gate name", []
);
name!(
    /// Names a command, so that a repeated one is known as such.
    CommandId, "command id", [':', '/']
);
name!(
    /// Names who gave a command: a person, a bot, a signal.
    Actor, "actor", ['@', ':', '/', '+']
);

macro_rules! number {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $type(u64);

        impl $type {
            /// Wraps the number.
            #[must_use]
            pub const fn new(number: u64) -> Self {
                Self(number)
            }

            /// Returns the number.
            #[must_use]
            pub const fn get(self) -> u64 {
                self.0
            }

            /// Returns the one after it.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(
    /// Numbers the effects of one rollout, in the order in which they were decided.
    EffectId
);
number!(
    /// Numbers the holders of a target: each that starts or takes over a rollout of it has a higher one.
    ///
    /// It is the time at which the holder began, in milliseconds since the Unix epoch, or one more than its
    /// predecessor's if that is higher: so it rises even where a store was lost.
    Epoch
);

impl Epoch {
    /// Returns the epoch of a holder that begins at this time.
    #[must_use]
    pub const fn begun_at(now: super::Timestamp) -> Self {
        Self(now.as_millis())
    }
}
number!(
    /// Numbers the saved states of one rollout as its store counts them.
    Revision
);

/// Names the stage that a command means, so that a late one does not hit the next; [`StageRef::START`] is what lies
/// before the first, [`StageRef::PROMOTION`] what follows the last.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StageRef(std::borrow::Cow<'static, str>);

impl StageRef {
    /// What lies before the first stage.
    pub const START: Self = Self(std::borrow::Cow::Borrowed("start"));
    /// What follows the last stage.
    pub const PROMOTION: Self = Self(std::borrow::Cow::Borrowed("promotion"));

    /// Names a stage of the policy.
    #[must_use]
    pub fn new(stage: impl Into<String>) -> Self {
        Self(std::borrow::Cow::Owned(stage.into()))
    }

    /// Returns the stage's name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Marks the state of a route that a write was based on; only the router that made it reads it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(String);

impl Version {
    /// Wraps a router's own text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the router's own text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_the_router_s_own_text() {
        assert_eq!(Version::new("71.3").as_str(), "71.3");
    }

    #[test]
    fn names_are_plain_and_say_what_is_wrong() {
        assert!("checkout-42".parse::<RolloutId>().is_ok());
        assert!("shop/checkout".parse::<Target>().is_ok());
        assert!("ana@example.com".parse::<Actor>().is_ok());
        for bad in ["", "-x", "a b", "a/b", "ü", &"x".repeat(129)] {
            let error = bad.parse::<RolloutId>().unwrap_err().to_string();
            assert!(error.contains("is no rollout id"), "{error}");
        }
    }

    #[test]
    fn what_may_stand_in_a_name_is_said_as_it_is() {
        let error = "a b".parse::<Actor>().unwrap_err().to_string();
        let rest =
            "only ASCII letters, digits, `@`, `:`, `/`, `+`, `-`, `_` and `.` may stand in it";
        assert_eq!(error, format!("`a b` is no actor: {rest}"));
        let error = "a b".parse::<GateName>().unwrap_err().to_string();
        assert!(error.ends_with("letters, digits, `-`, `_` and `.` may stand in it"), "{error}");
    }
}
