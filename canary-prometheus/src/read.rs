//! Reads the data of an answer: as tracks to be counted, or as one number.
//!
//! Errors are sentences without the query they belong to; the caller knows it.

use std::collections::BTreeMap;

use canary_core::value::{Reading, Timestamp};

use crate::api::answer::{Data, Instant, Labels, Point, Series};
use crate::builder::LatencyUnit;
use crate::delta::{Sample, Track};

/// Above this, a float no longer tells one count from the next.
const LARGEST_EXACT: f64 = 9_007_199_254_740_992.0;

/// Holds the histograms of one side, all with the same bounds.
#[derive(Debug, Default)]
pub(crate) struct Histograms {
    /// Upper bounds in milliseconds, rising, without the infinite one.
    pub(crate) bounds: Vec<f64>,
    /// One for each histogram; the values are cumulative, the infinite bucket last.
    pub(crate) tracks: Vec<Track>,
}

/// Makes a track of each series.
pub(crate) fn counters(data: Data) -> Result<Vec<Track>, String> {
    let track = |series: Series| {
        let samples = counts(&series)?.into_iter();
        let samples = samples.map(|(at, value)| Sample { at, values: vec![value] });
        Ok(Track::new(samples.collect()))
    };
    ranges(data)?.into_iter().map(track).collect()
}

/// Makes a track of all the series that differ in nothing but `le`.
pub(crate) fn histograms(data: Data, unit: LatencyUnit) -> Result<Histograms, String> {
    let mut groups = BTreeMap::<Labels, Vec<(f64, Series)>>::new();
    for series in ranges(data)? {
        let mut labels = series.metric.clone();
        let bound = (labels.remove("le").and_then(|le| le.parse::<f64>().ok()))
            .filter(|bound| !bound.is_nan())
            .ok_or_else(|| {
                let found = &series.metric;
                format!("{found} has no `le` label with a number; select `_bucket` series")
            })?;
        groups.entry(labels).or_default().push((bound, series));
    }
    let mut all = Histograms::default();
    for (labels, mut buckets) in groups {
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut bounds: Vec<_> = buckets.iter().map(|bucket| bucket.0).collect();
        if bounds.pop() != Some(f64::INFINITY) {
            return Err(format!("{labels} has no bucket with le=\"+Inf\""));
        }
        let bounds: Vec<_> = bounds.into_iter().map(|b| unit.to_millis(b)).collect();
        if all.tracks.is_empty() {
            all.bounds = bounds;
        } else if all.bounds != bounds {
            return Err(format!(
                "{labels} has buckets at {bounds:?} ms, others have them at {:?} ms: they cannot be \
                 added; select series with the same `le` only",
                all.bounds
            ));
        }
        all.tracks.push(one_track(&labels, &buckets)?);
    }
    Ok(all)
}

/// Puts the buckets of one histogram side by side.
fn one_track(labels: &Labels, buckets: &[(f64, Series)]) -> Result<Track, String> {
    let mut samples: Vec<Sample> = Vec::new();
    for (column, (_, series)) in buckets.iter().enumerate() {
        let counts = counts(series)?;
        if column == 0 {
            samples = (counts.iter())
                .map(|&(at, _)| Sample { at, values: Vec::with_capacity(buckets.len()) })
                .collect();
        }
        let together = samples.iter().map(|sample| sample.at);
        if !together.eq(counts.iter().map(|count| count.0)) {
            return Err(format!("the buckets of {labels} have samples at different times"));
        }
        for (sample, (_, value)) in samples.iter_mut().zip(counts) {
            sample.values.push(value);
        }
    }
    Ok(Track::new(samples))
}

/// Turns what cumulative buckets rose by into counts of their own.
pub(crate) fn per_bucket(cumulative: &[u64]) -> Result<Vec<u64>, String> {
    let mut below = 0;
    (cumulative.iter())
        .map(|&upto| {
            let count = upto.checked_sub(below);
            below = upto;
            count.ok_or_else(|| {
                format!("a bucket rose by {upto} and a smaller one in it by more: they are not cumulative")
            })
        })
        .collect()
}

/// Reads the one number of a query that should give one.
pub(crate) fn number(data: Data) -> Result<Reading, String> {
    let value = match &data {
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

/// Reads a series as a counter of whole things.
fn counts(series: &Series) -> Result<Vec<(Timestamp, u64)>, String> {
    let name = &series.metric;
    if !series.histograms.is_empty() {
        return Err(format!(
            "{name} is a native histogram; classic counters and buckets are understood"
        ));
    }
    if !series.values.is_sorted_by(|a, b| a.at < b.at) {
        return Err(format!("the samples of {name} are not in order of time"));
    }
    let count = |point: &Point| match whole(point.value) {
        Some(value) => Ok((point.at, value)),
        None => Err(format!(
            "{name} is {} at {}, which no counter of requests can be",
            point.value, point.at
        )),
    };
    series.values.iter().map(count).collect()
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked")]
fn whole(value: f64) -> Option<u64> {
    let exact = (0.0..=LARGEST_EXACT).contains(&value) && value.fract() == 0.0;
    exact.then_some(value as u64)
}
