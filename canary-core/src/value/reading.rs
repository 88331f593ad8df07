//! What a metric source is asked and what it answers.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Buckets, Timestamp, Window};

/// Tells the old version from the new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::exhaustive_enums, reason = "a rollout has two sides")]
pub enum Side {
    /// The old version.
    Stable,
    /// The new version.
    Canary,
}

impl Side {
    /// Both sides, stable first.
    pub const BOTH: [Self; 2] = [Self::Stable, Self::Canary];

    /// Returns its name: `stable` or `canary`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stable => "stable",
            Self::Canary => "canary",
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Holds one thing for each side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "a rollout has two sides")]
pub struct BySide<T> {
    /// The old version's.
    pub stable: T,
    /// The new version's.
    pub canary: T,
}

impl<T> BySide<T> {
    /// Returns one side's.
    pub fn get(&self, side: Side) -> &T {
        match side {
            Side::Stable => &self.stable,
            Side::Canary => &self.canary,
        }
    }

    /// Returns one side's, to be changed.
    pub fn get_mut(&mut self, side: Side) -> &mut T {
        match side {
            Side::Stable => &mut self.stable,
            Side::Canary => &mut self.canary,
        }
    }

    /// Makes one thing for each side.
    pub fn from_fn(mut make: impl FnMut(Side) -> T) -> Self {
        Self { stable: make(Side::Stable), canary: make(Side::Canary) }
    }
}

/// Names what a source is asked for; several metrics are read off one signal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Signal {
    /// Requests and how many of them failed, as [`Reading::Counts`].
    Requests,
    /// Requests by how long they took, as [`Reading::Buckets`].
    Latency,
    /// A number under a name of the user's, as [`Reading::Value`].
    Custom(Arc<str>),
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Requests => f.write_str("requests"),
            Self::Latency => f.write_str("latency"),
            Self::Custom(name) => f.write_str(name),
        }
    }
}

/// Asks for one signal of both sides, for what came after a cursor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Query {
    /// What is asked for.
    pub signal: Signal,
    /// Where the last answer ended; nothing up to here may be counted again.
    pub after: Timestamp,
    /// Which source is asked, by its name in the policy; `None` for the one without a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Arc<str>>,
    /// The question in the source's own language, where the policy writes one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<Arc<str>>,
}

impl Query {
    /// Asks for a signal after an instant.
    #[must_use]
    pub const fn new(signal: Signal, after: Timestamp) -> Self {
        Self { signal, after, source: None, text: None }
    }
}

/// Answers a [`Query`]: the window that could be covered, and what was read in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Measured {
    /// What the readings cover. It begins at or after the query's cursor; an
    /// empty one says that there is nothing newer yet, and the notes may say why.
    pub covered: Window,
    /// What was read of each side.
    pub sides: BySide<Reading>,
    /// What a person should know of this reading: warnings of the server, resets, gaps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Which of the requests each of a side's pods served, where the source tells them apart.
    #[serde(default, skip_serializing_if = "tells_none_apart")]
    pub pods: BySide<Vec<PodCounts>>,
}

fn tells_none_apart(pods: &BySide<Vec<PodCounts>>) -> bool {
    pods.stable.is_empty() && pods.canary.is_empty()
}

/// Tells what one pod served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PodCounts {
    /// The pod's name.
    pub name: Arc<str>,
    /// Its requests.
    pub counts: Counts,
}

impl PodCounts {
    /// Names a pod and counts its requests.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>, counts: Counts) -> Self {
        Self { name: name.into(), counts }
    }
}

impl Measured {
    /// Puts a window and both sides' readings together.
    #[must_use]
    pub const fn new(covered: Window, stable: Reading, canary: Reading) -> Self {
        let pods = BySide { stable: Vec::new(), canary: Vec::new() };
        Self { covered, sides: BySide { stable, canary }, notes: Vec::new(), pods }
    }

    /// Adds which of a side's requests each of its pods served.
    #[must_use]
    pub fn with_pods(mut self, side: Side, pods: Vec<PodCounts>) -> Self {
        *self.pods.get_mut(side) = pods;
        self
    }

    /// Answers that nothing newer than the cursor can be said yet.
    #[must_use]
    pub fn pending(cursor: Timestamp) -> Self {
        Self::new(Window::new(cursor, cursor), Reading::NoData, Reading::NoData)
    }

    /// Adds a note.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }
}

/// Holds what was read of one signal on one side over one window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reading {
    /// The source knows nothing of this side in this window.
    NoData,
    /// The source answered, but with NaN or an infinity: `0 / 0` is what a rate without traffic looks like.
    NotFinite,
    /// A number that is not a count, such as a share of a pool. Always finite.
    Value(f64),
    /// Requests in the window.
    Counts(Counts),
    /// Requests in the window by how long they took.
    Buckets(Buckets),
}

impl Reading {
    /// Tells whether there is nothing in it that could be judged.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        match self {
            Self::NoData | Self::NotFinite => true,
            Self::Value(value) => !value.is_finite(),
            Self::Counts(_) | Self::Buckets(_) => false,
        }
    }

    /// Checks what the types cannot rule out: that no more requests are bad than there are.
    pub(crate) const fn check(&self) -> Result<(), InvalidReading> {
        match self {
            Self::Counts(counts) if counts.bad > counts.total => {
                Err(InvalidReading::MoreBadThanTotal { total: counts.total, bad: counts.bad })
            }
            _ => Ok(()),
        }
    }

    /// Names its shape for error messages.
    #[must_use]
    pub const fn shape(&self) -> &'static str {
        match self {
            Self::NoData => "no data",
            Self::NotFinite => "no finite number",
            Self::Value(_) => "a value",
            Self::Counts(_) => "counts",
            Self::Buckets(_) => "buckets",
        }
    }
}

/// Tells that numbers cannot be a reading, and why.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidReading {
    /// More bad requests than requests.
    #[error("{bad} of {total} requests are bad: more bad ones than there are")]
    MoreBadThanTotal {
        /// All requests.
        total: u64,
        /// Bad ones.
        bad: u64,
    },
    /// Bounds and counts that do not fit.
    #[error("{bounds} bucket bounds take {expected} counts, not {counts}")]
    WrongNumberOfCounts {
        /// How many bounds there are.
        bounds: usize,
        /// How many counts there must be.
        expected: usize,
        /// How many there are.
        counts: usize,
    },
    /// Bounds that do not rise.
    #[error("bucket bounds must be finite and rise; {0} does not")]
    UnorderedBounds(f64),
    /// Counts that do not fit into 64 bits together.
    #[error("the counts add up to more than {}", u64::MAX)]
    TooMany,
}

/// Counts requests and bad ones among them over one window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Counts {
    /// All requests.
    pub total: u64,
    /// The bad ones, at most `total`.
    pub bad: u64,
}

impl Counts {
    /// Takes the numbers.
    ///
    /// # Errors
    /// [`InvalidReading::MoreBadThanTotal`].
    pub const fn new(total: u64, bad: u64) -> Result<Self, InvalidReading> {
        if bad > total {
            return Err(InvalidReading::MoreBadThanTotal { total, bad });
        }
        Ok(Self { total, bad })
    }

    /// Returns the share of bad requests, 0 to 1; `None` without requests.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a rate needs no 53 bits")]
    pub fn error_rate(self) -> Option<f64> {
        (self.total > 0).then(|| self.bad as f64 / self.total as f64)
    }

    /// Adds another window's counts, at most `u64::MAX`.
    pub const fn add(&mut self, other: Self) {
        self.total = self.total.saturating_add(other.total);
        self.bad = self.bad.saturating_add(other.bad);
    }

    /// Takes away counts that were added before.
    pub(crate) const fn take(&mut self, other: Self) {
        self.total = self.total.saturating_sub(other.total);
        self.bad = self.bad.saturating_sub(other.bad);
    }
}

impl<'de> Deserialize<'de> for Counts {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Raw {
            total: u64,
            bad: u64,
        }
        let raw = Raw::deserialize(deserializer)?;
        Self::new(raw.total, raw.bad).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_shape_has_a_name_of_its_own() {
        let counts = Reading::Counts(Counts::default());
        let buckets = Reading::Buckets(Buckets::default());
        let all = [Reading::NoData, Reading::NotFinite, Reading::Value(1.0), counts, buckets];
        let names = ["no data", "no finite number", "a value", "counts", "buckets"];
        assert_eq!(all.map(|reading| reading.shape()), names);
    }

    #[test]
    fn impossible_counts_are_refused() {
        assert!(Counts::new(3, 4).is_err());
        assert!(Buckets::new(vec![1.0, 1.0], vec![0, 0, 0]).is_err());
        assert!(Buckets::new(vec![1.0, f64::NAN], vec![0, 0, 0]).is_err());
        assert!(Buckets::new(vec![1.0], vec![0]).is_err());
        assert!(Buckets::new(vec![1.0], vec![u64::MAX, 1]).is_err());
    }
}
