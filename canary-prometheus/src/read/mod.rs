//! Reads the data of an answer: as samples to be counted, or as one number.
//!
//! Errors are sentences without the query they belong to; the caller knows it.

use std::sync::Arc;

use canary_core::value::{Reading, Timestamp};

use crate::api::answer::{Data, Instant, Labels, Point, Series};
use crate::builder::LatencyUnit;
use crate::delta::Samples;

mod classic;
mod native;

/// Above this, a float no longer tells one count from the next.
const LARGEST_EXACT: f64 = 9_007_199_254_740_992.0;

/// Holds the series of one side.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// For histograms: upper bounds in milliseconds, rising, without the infinite one.
    pub(crate) bounds: Arc<[f64]>,
    pub(crate) series: Vec<Seen>,
    pub(crate) left_out: LeftOut,
}

/// Holds what a server saw of one counter, or of the buckets of one histogram: cumulative, the infinite one last.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) labels: Labels,
    pub(crate) samples: Samples,
}

/// Counts the samples of a window that were of no use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LeftOut {
    /// Where the window begins; what lies before it was counted already.
    after: Timestamp,
    /// No number: the mark of a series that ended, where a server passes it on.
    pub(crate) stale: usize,
    /// At the same time as another one of the same series.
    pub(crate) doubled: usize,
    /// Of a histogram whose other buckets have no sample at that time.
    pub(crate) partial: usize,
}

impl LeftOut {
    fn since(after: Timestamp) -> Self {
        Self { after, ..Self::default() }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.stale += other.stale;
        self.doubled += other.doubled;
        self.partial += other.partial;
    }

    fn stale(&mut self, at: Timestamp) {
        self.stale += usize::from(at > self.after);
    }

    fn doubled(&mut self, at: Timestamp) {
        self.doubled += usize::from(at > self.after);
    }

    fn partial(&mut self, at: Timestamp) {
        self.partial += usize::from(at > self.after);
    }
}

impl Found {
    fn since(after: Timestamp) -> Self {
        Self { left_out: LeftOut::since(after), ..Self::default() }
    }
}

/// Reads each series as a counter.
pub(crate) fn counters(data: Data, after: Timestamp) -> Result<Found, String> {
    let mut found = Found::since(after);
    for series in ranges(data)? {
        if !series.histograms.is_empty() {
            let name = &series.metric;
            return Err(format!("{name} is a native histogram; counters are needed here"));
        }
        let mut samples = Samples::of(1);
        for (at, value) in counts(&series, &mut found.left_out)? {
            samples.push(at, &[value]);
        }
        found.series.push(Seen { labels: series.metric, samples });
    }
    Ok(found)
}

/// Reads the series as histograms, classic or native.
pub(crate) fn histograms(data: Data, unit: LatencyUnit, after: Timestamp) -> Result<Found, String> {
    let series = ranges(data)?;
    let found = Found::since(after);
    let natives = series.iter().filter(|series| !series.histograms.is_empty()).count();
    match natives {
        0 => classic::histograms(series, unit, found),
        n if n == series.len() => native::histograms(series, unit, found),
        _ => {
            Err("some of the series are native histograms, others are not; select one kind"
                .to_owned())
        }
    }
}

/// Turns what cumulative buckets rose by into counts of their own, and tells whether that took a repair: where a bucket
/// rose by less than a smaller one in it, it is taken to have risen as much.
pub(crate) fn per_bucket(cumulative: &[u64]) -> (Vec<u64>, bool) {
    let (mut below, mut repaired) = (0, false);
    let counts = (cumulative.iter())
        .map(|&upto| {
            let count = upto.saturating_sub(below);
            repaired |= upto < below;
            below = below.max(upto);
            count
        })
        .collect();
    (counts, repaired)
}

/// Reads the one number of a query that should give one.
pub(crate) fn number(data: &Data) -> Result<Reading, String> {
    let value = match data {
        Data::Scalar(point) => point.value,
        Data::Vector(series) => match &series[..] {
            [] => return Ok(Reading::NoData),
            [one] => {
                let name = &one.metric;
                let point = one.value.as_ref();
                point.ok_or_else(|| format!("{name} is a histogram, not a number"))?.value
            }
            several => return Err(several_series(several)),
        },
        Data::Matrix(_) | Data::String(_) => {
            let shape = data.shape();
            return Err(format!("the query gives {shape}, not one number"));
        }
    };
    Ok(if value.is_finite() { Reading::Value(value) } else { Reading::NotFinite })
}

fn several_series(series: &[Instant]) -> String {
    const SHOWN: usize = 3;
    let names = series.iter().take(SHOWN).map(|one| one.metric.to_string());
    let names = names.collect::<Vec<_>>().join(", ");
    let more = if series.len() > SHOWN { ", …" } else { "" };
    format!(
        "the query gives {} series where one is expected: {names}{more}; narrow its labels, or choose \
         one number with sum(), max() or the like",
        series.len()
    )
}

fn ranges(data: Data) -> Result<Vec<Series>, String> {
    match data {
        Data::Matrix(series) => Ok(series),
        other @ (Data::Vector(_) | Data::Scalar(_) | Data::String(_)) => Err(format!(
            "the server answers with {} where samples over a range were asked for",
            other.shape()
        )),
    }
}

/// Reads a series as a counter of whole things, in rising order of time.
fn counts(series: &Series, left_out: &mut LeftOut) -> Result<Vec<(Timestamp, u64)>, String> {
    let name = &series.metric;
    let mut counts: Vec<(Timestamp, u64)> = Vec::with_capacity(series.values.len());
    for &Point { at, value } in &series.values {
        if value.is_nan() {
            left_out.stale(at);
            continue;
        }
        let value = whole(value).ok_or_else(|| {
            format!("{name} is {value} at {at}, which no counter of requests can be")
        })?;
        match counts.last_mut() {
            Some((last, _)) if at < *last => {
                return Err(format!("the samples of {name} are not in order of time"));
            }
            Some((last, twin)) if at == *last => {
                left_out.doubled(at);
                *twin = value.max(*twin);
            }
            _ => counts.push((at, value)),
        }
    }
    Ok(counts)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked")]
fn whole(value: f64) -> Option<u64> {
    let exact = (0.0..=LARGEST_EXACT).contains(&value) && value.fract() == 0.0;
    exact.then_some(value as u64)
}
