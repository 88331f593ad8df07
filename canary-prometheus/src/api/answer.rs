//! What the query API answers.

use std::collections::BTreeMap;
use std::fmt;

use canary_core::value::Timestamp;
use serde::de::{Error, IgnoredAny, Visitor};
use serde::{Deserialize, Deserializer};

use crate::http::beginning;

/// How many of a server's remarks are kept.
const NOTES: usize = 10;

/// Holds a whole answer as it arrives.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Envelope<D> {
    status: Status,
    data: Option<D>,
    error_type: Option<String>,
    error: Option<String>,
    warnings: Option<Vec<String>>,
    infos: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Success,
    Error,
}

impl<D> Envelope<D> {
    /// Returns the answer, or what the server says is wrong.
    pub(crate) fn into_answer(self) -> Result<Answer<D>, String> {
        match (self.status, self.data) {
            (Status::Success, Some(data)) => Ok(Answer {
                data,
                notes: (self.warnings.into_iter().chain(self.infos))
                    .flatten()
                    .take(NOTES)
                    .map(|note| beginning(&note))
                    .collect(),
            }),
            (Status::Success, None) => Err("a success without data".to_owned()),
            (Status::Error, _) => {
                let kind = self.error_type.unwrap_or_else(|| "error".to_owned());
                let what = self.error.unwrap_or_else(|| "no reason given".to_owned());
                Err(format!("{kind}: {what}"))
            }
        }
    }
}

/// Holds what was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Answer<D = Data> {
    pub(crate) data: D,
    /// The server's warnings and remarks.
    pub(crate) notes: Vec<String>,
}

/// Holds the numbers of an answer by their shape.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
pub(crate) enum Data {
    /// Samples of series over a range.
    Matrix(Vec<Series>),
    /// One sample of each series.
    Vector(Vec<Instant>),
    /// A number without labels.
    Scalar(Point),
    /// A text, which no query of a rollout has use for.
    String(IgnoredAny),
}

impl Data {
    /// Returns how many series and how many samples there are.
    pub(crate) fn size(&self) -> (usize, usize) {
        match self {
            Self::Matrix(series) => (series.len(), series.iter().map(Series::samples).sum()),
            Self::Vector(series) => (series.len(), series.len()),
            Self::Scalar(_) | Self::String(_) => (1, 1),
        }
    }

    /// Names the shape for messages.
    pub(crate) const fn shape(&self) -> &'static str {
        match self {
            Self::Matrix(_) => "a range of samples",
            Self::Vector(_) => "one sample a series",
            Self::Scalar(_) => "a scalar",
            Self::String(_) => "a string",
        }
    }
}

/// Holds the samples of one series.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Series {
    pub(crate) metric: Labels,
    #[serde(default)]
    pub(crate) values: Vec<Point>,
    /// Samples that are native histograms.
    #[serde(default)]
    pub(crate) histograms: Vec<(Seconds, Native)>,
}

impl Series {
    pub(crate) fn samples(&self) -> usize {
        let buckets = |(_, native): &(Seconds, Native)| native.buckets.len() + 1;
        self.values.len() + self.histograms.iter().map(buckets).sum::<usize>()
    }
}

/// Holds one sample of one series.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Instant {
    pub(crate) metric: Labels,
    /// Missing where the sample is a native histogram.
    pub(crate) value: Option<Point>,
}

/// Holds a native histogram: how many observations there are altogether, and how many lie between two bounds.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Native {
    pub(crate) count: Number,
    #[serde(default)]
    pub(crate) buckets: Vec<Bucket>,
}

/// Holds which of its bounds a bucket includes (a number that nobody needs here), the two bounds, and a count.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Bucket(IgnoredAny, Number, Number, Number);

impl Bucket {
    pub(crate) const fn left(&self) -> f64 {
        self.1.0
    }

    pub(crate) const fn right(&self) -> f64 {
        self.2.0
    }

    pub(crate) const fn count(&self) -> f64 {
        self.3.0
    }
}

/// Holds a time and a number.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(from = "(Seconds, Number)")]
pub(crate) struct Point {
    pub(crate) at: Timestamp,
    pub(crate) value: f64,
}

impl From<(Seconds, Number)> for Point {
    fn from((at, value): (Seconds, Number)) -> Self {
        Self { at: at.0, value: value.0 }
    }
}

/// Is an instant, written as seconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "f64")]
pub(crate) struct Seconds(pub(crate) Timestamp);

impl TryFrom<f64> for Seconds {
    type Error = String;

    fn try_from(seconds: f64) -> Result<Self, String> {
        timestamp(seconds).map(Self).ok_or_else(|| format!("{seconds} is no time"))
    }
}

/// Is a number that is written as a text, since JSON knows no infinity; read without keeping the text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Number(pub(crate) f64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = Number;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number between quotes")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Number, E> {
                text.parse().map(Number).map_err(|_| {
                    E::custom(format!(
                        "`{}` is no number",
                        text.chars().take(40).collect::<String>()
                    ))
                })
            }
        }

        deserializer.deserialize_str(Text)
    }
}

/// Turns seconds since the Unix epoch into whole milliseconds, as Prometheus keeps them.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked")]
fn timestamp(seconds: f64) -> Option<Timestamp> {
    let millis = (seconds * 1000.0).round();
    // Above this, a float no longer tells one millisecond from the next.
    let exact = (0.0..9_007_199_254_740_992.0).contains(&millis);
    exact.then(|| Timestamp::from_millis(millis as u64))
}

/// Names one series.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(transparent)]
pub(crate) struct Labels(BTreeMap<String, String>);

impl Labels {
    /// Takes one label out.
    pub(crate) fn remove(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

/// Writes `{__name__="up", job="x"}`, at most some 200 characters of it.
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        let mut written = 0;
        for (number, (name, value)) in self.0.iter().enumerate() {
            if number > 0 {
                f.write_str(", ")?;
            }
            if written + name.len() + value.len() > 200 {
                return f.write_str("…}");
            }
            write!(f, "{name}={value:?}")?;
            written += name.len() + value.len();
        }
        f.write_str("}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(json: &str) -> Answer {
        let envelope: Envelope<Data> = serde_json::from_str(json).unwrap();
        envelope.into_answer().unwrap()
    }

    #[test]
    fn a_time_is_kept_to_the_millisecond() {
        for millis in [0, 1, 1_435_781_451_781, 1_772_368_267_412, 4_102_444_799_999_u64] {
            let text = format!("{}.{:03}", millis / 1000, millis % 1000);
            let at = timestamp(text.parse().unwrap()).unwrap();
            assert_eq!(at.as_millis(), millis);
        }
        assert_eq!(timestamp(-1.0), None);
        assert_eq!(timestamp(f64::NAN), None);
        assert_eq!(timestamp(1e300), None);
    }

    #[test]
    fn every_way_to_write_a_number_is_read() {
        for (text, value) in
            [("1", 1.0), ("1e+06", 1e6), ("+Inf", f64::INFINITY), ("-Inf", f64::NEG_INFINITY)]
        {
            let point: Point = serde_json::from_str(&format!("[1.5, \"{text}\"]")).unwrap();
            assert_eq!((point.at.as_millis(), point.value.to_bits()), (1500, value.to_bits()));
        }
        assert!(serde_json::from_str::<Number>("\"NaN\"").unwrap().0.is_nan());
        assert!(serde_json::from_str::<Number>("\"many\"").is_err());
    }

    #[test]
    fn warnings_and_infos_are_notes() {
        let answer = answer(
            r#"{"status":"success","data":{"result":[],"resultType":"vector"},"warnings":["w"],"infos":["i"]}"#,
        );
        assert_eq!(answer.notes, ["w", "i"]);
        assert!(matches!(answer.data, Data::Vector(series) if series.is_empty()));
    }

    #[test]
    fn labels_are_written_as_promql_writes_them() {
        let labels = Labels(BTreeMap::from([
            ("__name__".to_owned(), "up".to_owned()),
            ("job".to_owned(), "a\"b".to_owned()),
        ]));
        assert_eq!(labels.to_string(), r#"{__name__="up", job="a\"b"}"#);
    }
}
