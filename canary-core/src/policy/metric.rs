//! What a check can look at.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Limit;
use crate::value::{BySide, Reading, Side, Signal};

/// Names a number that is read off a signal.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[non_exhaustive]
pub enum Metric {
    /// The share of requests that failed, 0 to 1.
    ErrorRate,
    /// The share of requests that did not fail, 0 to 1.
    SuccessRate,
    /// Requests per second.
    RequestRate,
    /// A quantile of the time that requests took, in milliseconds.
    Latency(Quantile),
    /// A number under a name that the policy defines or the metric source knows.
    Custom(Arc<str>),
}

/// Defines a metric of the user's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum MetricSpec {
    /// A number that a source is asked for.
    Query(MetricQuery),
    /// A health score, 0 to 1: the weighted mean of how well its parts are.
    Score(Vec<ScorePart>),
}

/// Says which source is asked for a number, and what.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct MetricQuery {
    /// The source by its name; the one without a name unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Arc<str>>,
    /// The question in the source's own language; the metric's name unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<Arc<str>>,
}

impl MetricQuery {
    /// Asks the source without a name this, in its own language.
    #[must_use]
    pub fn new(query: impl Into<Arc<str>>) -> Self {
        Self { source: None, query: Some(query.into()) }
    }

    /// Asks the source of this name instead.
    #[must_use]
    pub fn of(mut self, source: impl Into<Arc<str>>) -> Self {
        self.source = Some(source.into());
        self
    }
}

/// Weighs one metric in a health score: 1 where it is `good` or better, 0 where it is `bad` or worse, and in
/// proportion between.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ScorePart {
    /// The metric.
    pub metric: Metric,
    /// How much it counts beside the other parts, above 0.
    pub weight: f64,
    /// From where on it is wholly well.
    pub good: Limit,
    /// From where on it is wholly bad.
    pub bad: Limit,
}

impl ScorePart {
    /// Weighs a metric with what is usually meant by well and bad.
    ///
    /// `error_rate` 0 to 1, `success_rate` 1 to 0, latency 1 to 2 times stable's, `request_rate` 1 to 0 a
    /// second, anything else as the use of a resource: 0.8 to 1.
    #[must_use]
    pub fn usual(metric: Metric, weight: f64) -> Self {
        let (good, bad) = match metric {
            Metric::ErrorRate => (Limit::Absolute(0.0), Limit::Absolute(1.0)),
            Metric::SuccessRate => (Limit::Absolute(1.0), Limit::Absolute(0.0)),
            Metric::Latency(_) => (Limit::TimesStable(1.0), Limit::TimesStable(2.0)),
            Metric::RequestRate => (Limit::Absolute(1.0), Limit::Absolute(0.0)),
            Metric::Custom(_) => (Limit::Absolute(0.8), Limit::Absolute(1.0)),
        };
        Self { metric, weight, good, bad }
    }

    /// Tells whether it is graded beside stable.
    pub(crate) const fn compares(&self) -> bool {
        matches!(self.good, Limit::TimesStable(_)) || matches!(self.bad, Limit::TimesStable(_))
    }
}

impl MetricSpec {
    /// Tells whether it says anything only beside stable: a health score of which every part compares.
    pub(crate) fn compares(&self) -> bool {
        match self {
            Self::Query(_) => false,
            Self::Score(parts) => parts.iter().all(ScorePart::compares),
        }
    }
}

/// Says in which unit a metric is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unit {
    /// A share, 0 to 1, written as a percentage.
    Share,
    /// Milliseconds, written as a duration.
    Millis,
    /// Requests per second.
    PerSecond,
    /// Whatever the source says.
    Plain,
}

impl Metric {
    /// Returns the signal that it is read off.
    #[must_use]
    pub fn signal(&self) -> Signal {
        match self {
            Self::ErrorRate | Self::SuccessRate | Self::RequestRate => Signal::Requests,
            Self::Latency(_) => Signal::Latency,
            Self::Custom(name) => Signal::Custom(name.clone()),
        }
    }

    /// Returns its unit.
    #[must_use]
    pub const fn unit(&self) -> Unit {
        match self {
            Self::ErrorRate | Self::SuccessRate => Unit::Share,
            Self::RequestRate => Unit::PerSecond,
            Self::Latency(_) => Unit::Millis,
            Self::Custom(_) => Unit::Plain,
        }
    }

    /// Reads the number off one side's reading over `seconds`; `None` where nothing can be said.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a rate needs no 53 bits")]
    pub fn read(&self, sides: &BySide<Reading>, side: Side, seconds: f64) -> Option<f64> {
        match (self, sides.get(side)) {
            (Self::ErrorRate, Reading::Counts(counts)) => counts.error_rate(),
            (Self::SuccessRate, Reading::Counts(counts)) => {
                counts.error_rate().map(|rate| 1.0 - rate)
            }
            (Self::RequestRate, Reading::Counts(counts)) => {
                (seconds > 0.0).then(|| counts.total as f64 / seconds)
            }
            (Self::Latency(quantile), Reading::Buckets(buckets)) => {
                buckets.quantile(quantile.fraction())
            }
            (Self::Custom(_), Reading::Value(value)) => value.is_finite().then_some(*value),
            _ => None,
        }
    }
}

impl Unit {
    /// Writes a number of this unit for people: `1.9 %`, `84 ms`, `171/s`.
    #[must_use]
    pub fn show(self, value: f64) -> String {
        match self {
            Self::Share => format!("{} %", short(value * 100.0)),
            Self::Millis if value >= 10_000.0 => format!("{} s", short(value / 1000.0)),
            Self::Millis => format!("{} ms", short(value)),
            Self::PerSecond => format!("{}/s", short(value)),
            Self::Plain => precise(value),
        }
    }
}

/// Writes a number of which nothing is known: a small one with the three digits that tell it from its limit.
fn precise(value: f64) -> String {
    let decimals = match value.abs() {
        size if !(0.001..1.0).contains(&size) => return short(value),
        size if size >= 0.1 => 3,
        size if size >= 0.01 => 4,
        _ => 5,
    };
    let text = format!("{value:.decimals$}");
    // At least two decimals stay, as in larger numbers.
    let least = text.find('.').map_or(text.len(), |point| point + 3);
    let end = text.trim_end_matches('0').len().max(least);
    text[..end].to_owned()
}

/// Writes a number with about three digits that matter.
fn short(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.01 => format!("{value:.2}"),
        _ => format!("{value:.2e}"),
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ErrorRate => f.write_str("error_rate"),
            Self::SuccessRate => f.write_str("success_rate"),
            Self::RequestRate => f.write_str("request_rate"),
            Self::Latency(quantile) => write!(f, "latency.{quantile}"),
            Self::Custom(name) => f.write_str(name),
        }
    }
}

impl From<Metric> for String {
    fn from(metric: Metric) -> Self {
        metric.to_string()
    }
}

/// Tells that a text names no metric.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no metric: error_rate, success_rate, request_rate, latency.p50 to latency.p99.9, \
     or a name of letters, digits and `_` that the metric source knows"
)]
pub struct UnknownMetric(String);

impl FromStr for Metric {
    type Err = UnknownMetric;

    fn from_str(text: &str) -> Result<Self, UnknownMetric> {
        let unknown = || UnknownMetric(text.chars().take(80).collect());
        match text {
            "error_rate" => Ok(Self::ErrorRate),
            "success_rate" => Ok(Self::SuccessRate),
            "request_rate" => Ok(Self::RequestRate),
            _ => match text.strip_prefix("latency.") {
                Some(quantile) => quantile.parse().map(Self::Latency).map_err(|()| unknown()),
                None if is_name(text) => Ok(Self::Custom(text.into())),
                None => Err(unknown()),
            },
        }
    }
}

fn is_name(text: &str) -> bool {
    text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

impl TryFrom<String> for Metric {
    type Error = UnknownMetric;

    fn try_from(text: String) -> Result<Self, UnknownMetric> {
        text.parse()
    }
}

/// Names a quantile in tenths of a percent: 950 is p95.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quantile(u16);

impl Quantile {
    /// Half of the requests.
    pub const P50: Self = Self(500);
    /// All but the slowest twentieth.
    pub const P95: Self = Self(950);
    /// All but the slowest hundredth.
    pub const P99: Self = Self(990);

    /// Returns it as a fraction, above 0 and below 1.
    #[must_use]
    pub fn fraction(self) -> f64 {
        f64::from(self.0) / 1000.0
    }
}

impl fmt::Display for Quantile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 % 10 {
            0 => write!(f, "p{}", self.0 / 10),
            tenth => write!(f, "p{}.{tenth}", self.0 / 10),
        }
    }
}

impl FromStr for Quantile {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let number = text.strip_prefix('p').ok_or(())?;
        let (whole, tenth) = number.split_once('.').unwrap_or((number, "0"));
        let digits = |text: &str, most| {
            (!text.is_empty() && text.len() <= most && text.bytes().all(|b| b.is_ascii_digit()))
                .then(|| text.parse::<u16>().ok())
                .flatten()
                .ok_or(())
        };
        let tenths = digits(whole, 2)? * 10 + digits(tenth, 1)?;
        if tenths == 0 { Err(()) } else { Ok(Self(tenths)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_written_as_it_is_read() {
        for text in
            ["error_rate", "success_rate", "request_rate", "latency.p50", "latency.p99.9", "pool"]
        {
            assert_eq!(text.parse::<Metric>().unwrap().to_string(), text);
        }
        for text in ["", "latency.", "latency.p0", "latency.p100", "latency.p9x", "a b", "9a"] {
            assert!(text.parse::<Metric>().is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_are_short() {
        for (value, shown) in [
            (0.0287, "0.0287"),
            (0.03, "0.03"),
            (0.5, "0.50"),
            (0.285, "0.285"),
            (0.00123, "0.00123"),
            (0.9999, "1.00"),
            (42.0, "42.0"),
        ] {
            assert_eq!(Unit::Plain.show(value), shown);
        }
        assert_eq!(Unit::Share.show(0.019), "1.90 %");
        assert_eq!(Unit::Millis.show(84.4), "84.4 ms");
        assert_eq!(Unit::Millis.show(12_000.0), "12.0 s");
        assert_eq!(Unit::PerSecond.show(171.2), "171/s");
    }
}
