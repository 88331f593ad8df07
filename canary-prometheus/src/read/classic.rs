//! Histograms whose buckets are series of their own, told apart by `le`.

use std::collections::BTreeMap;

use canary_core::value::Timestamp;

use super::{Found, LeftOut, Seen, counts};
use crate::api::answer::{Labels, Series};
use crate::builder::LatencyUnit;
use crate::delta::Samples;

/// Puts together all the series that differ in nothing but `le`.
pub(super) fn histograms(
    series: Vec<Series>,
    unit: LatencyUnit,
    mut found: Found,
) -> Result<Found, String> {
    let mut groups = BTreeMap::<Labels, Vec<(f64, Series)>>::new();
    for mut series in series {
        let le = series.metric.get("le").and_then(|le| le.parse::<f64>().ok());
        let bound = le.filter(|bound| !bound.is_nan()).ok_or_else(|| {
            let found = &series.metric;
            format!("{found} has no `le` label with a number; select `_bucket` series")
        })?;
        series.metric.remove("le");
        groups.entry(series.metric.clone()).or_default().push((bound, series));
    }
    for (labels, mut buckets) in groups {
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut bounds: Vec<_> = buckets.iter().map(|bucket| bucket.0).collect();
        if bounds.pop() != Some(f64::INFINITY) {
            return Err(format!("{labels} has no bucket with le=\"+Inf\""));
        }
        bounds.iter_mut().for_each(|bound| *bound = unit.to_millis(*bound));
        if found.series.is_empty() {
            found.bounds = bounds.into();
        } else if *found.bounds != *bounds {
            return Err(format!(
                "{labels} has buckets at {bounds:?} ms, others have them at {:?} ms: they cannot be \
                 added; select series with the same `le` only",
                found.bounds
            ));
        }
        let samples = side_by_side(&buckets, &mut found.left_out)?;
        found.series.push(Seen { labels, samples });
    }
    Ok(found)
}

/// Puts the buckets of one histogram side by side, at the times at which all of them have a sample.
///
/// A server that is made of several shows the newest sample of one bucket before that of another. What is
/// cumulative loses nothing with a sample that is left out.
fn side_by_side(buckets: &[(f64, Series)], left_out: &mut LeftOut) -> Result<Samples, String> {
    let columns = buckets.iter().map(|(_, series)| counts(series, left_out));
    let mut columns = columns.collect::<Result<Vec<_>, _>>()?;
    let mut all: BTreeMap<Timestamp, usize> = BTreeMap::new();
    let alike =
        columns.windows(2).all(|pair| pair[0].iter().map(|c| c.0).eq(pair[1].iter().map(|c| c.0)));
    if !alike {
        columns.iter().flatten().for_each(|(at, _)| *all.entry(*at).or_default() += 1);
        all.retain(|_, present| *present < buckets.len());
        all.keys().for_each(|at| left_out.partial(*at));
        columns.iter_mut().for_each(|column| column.retain(|(at, _)| !all.contains_key(at)));
    }
    let mut samples = Samples::of(buckets.len());
    let mut row = Vec::with_capacity(buckets.len());
    for (i, (at, _)) in columns.first().into_iter().flatten().enumerate() {
        row.clear();
        row.extend(columns.iter().map(|column| column[i].1));
        samples.push(*at, &row);
    }
    Ok(samples)
}
