//! Native histograms: one series, whose buckets are as fine as what it saw demands.
//!
//! Their bounds differ from sample to sample, but each bucket lies within two powers of two, whatever the resolution.
//! So they are counted between powers of two, which is exact and the same for both sides and all times.

use super::{Found, Seen, whole};
use crate::api::answer::{Labels, Native, Series};
use crate::builder::LatencyUnit;
use crate::delta::Samples;

/// How many bounds there are: from about a millisecond to two minutes.
const BOUNDS: i32 = 18;

/// Reads each series as a histogram.
pub(super) fn histograms(
    series: Vec<Series>,
    unit: LatencyUnit,
    mut found: Found,
) -> Result<Found, String> {
    let lowest = match unit {
        LatencyUnit::Seconds => -10,
        LatencyUnit::Milliseconds => 0,
    };
    let bounds: Vec<f64> = (lowest..lowest + BOUNDS).map(|power| f64::from(power).exp2()).collect();
    found.bounds = bounds.iter().map(|bound| unit.to_millis(*bound)).collect();
    for Series { metric: labels, values, histograms } in series {
        if !values.is_empty() {
            return Err(format!("{labels} is a native histogram at some times only"));
        }
        let mut samples = Samples::of(bounds.len() + 1);
        for (at, native) in &histograms {
            if native.count.0.is_nan() {
                found.left_out.stale(at.0);
                continue;
            }
            if samples.times().last().is_some_and(|last| at.0 <= *last) {
                return Err(format!("the samples of {labels} are not in order of time"));
            }
            samples.push(at.0, &cumulative(&labels, native, &bounds)?);
        }
        found.series.push(Seen { labels, samples });
    }
    Ok(found)
}

/// Counts up to each bound, and all.
fn cumulative(labels: &Labels, native: &Native, bounds: &[f64]) -> Result<Vec<u64>, String> {
    let refuse = |why: String| format!("{labels} {why}, which no histogram of requests can have");
    let count =
        |number: f64| whole(number).ok_or_else(|| refuse(format!("has a count of {number}")));
    let mut counts = vec![0_u64; bounds.len() + 1];
    for bucket in &native.buckets {
        let (left, right) = (bucket.left(), bucket.right());
        // The first bound at or above the bucket's own; bounds are written out to the last digit.
        let place = bounds.partition_point(|bound| *bound < right);
        let below = place.checked_sub(1).and_then(|below| bounds.get(below));
        if left.is_nan() || right.is_nan() || below.is_some_and(|below| left < *below) {
            return Err(format!(
                "{labels} has a bucket from {left} to {right}: it is wider than from one power of two to the next, \
                 so that what is in it cannot be placed"
            ));
        }
        counts[place] = counts[place].saturating_add(count(bucket.count())?);
    }
    let mut sum = 0_u64;
    for upto in &mut counts {
        sum = sum.saturating_add(*upto);
        *upto = sum;
    }
    let all = count(native.count.0)?;
    if let Some(last) = counts.last_mut() {
        *last = all.max(*last);
    }
    Ok(counts)
}
