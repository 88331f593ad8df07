//! A metric, or a health score made of several, against its limit.

use super::history::lasts;
use super::plan::{Metered, Over, Place, Read};
use super::sight::{Said, Sight};
use super::tally::View;
use crate::analysis::{grade, health_score};
use crate::policy::{Comparison, Limit, Metric, ScorePart};
use crate::record::{Finding, PartScore, Silent, Verdict};
use crate::value::{BySide, Failure, FailureKind, Reading, Side};

/// Holds what was read.
pub(super) struct Seen {
    pub(super) canary: Option<f64>,
    stable: Option<f64>,
    over_ms: u64,
    /// The canary's requests behind it, where it has any to count.
    requests: Option<u64>,
    parts: Option<Vec<PartScore>>,
}

/// Judges a metric by what it is read off.
///
/// `negated` says that the check fails while this passes: then what has not lasted long enough yet is not known.
pub(super) fn judge(sight: &Sight<'_>, metered: &Metered, negated: bool) -> (Verdict, Finding) {
    if let Some(lack) = lack(sight, metered) {
        return lack;
    }
    let seen = read(sight, metered);
    let limit = match metered.limit {
        Limit::Absolute(value) => Some(value),
        Limit::TimesStable(times) => seen.stable.map(|value| value * times),
    };
    let enough = seen.requests.is_none_or(|requests| requests >= metered.samples);
    let verdict = match (seen.canary, limit) {
        (Some(canary), Some(limit)) if enough => {
            let bad = metered.comparison.is_bad(canary, limit);
            match lasts(seen.over_ms, metered.for_ms) {
                // What has not lasted that long yet cannot have lasted that long.
                false if negated => Verdict::Inconclusive,
                false => Verdict::Pass,
                true if bad => Verdict::Fail,
                true => Verdict::Pass,
            }
        }
        _ => Verdict::Inconclusive,
    };
    (verdict, seen.finding(&metered.metric, metered.comparison, limit))
}

/// Reads a metric off both sides.
pub(super) fn read(sight: &Sight<'_>, metered: &Metered) -> Seen {
    match &metered.read {
        Read::One(place) => {
            let view = sight.view(*place);
            Seen {
                canary: view.and_then(|view| view.read(&metered.metric, Side::Canary)),
                stable: view.and_then(|view| view.read(&metered.metric, Side::Stable)),
                over_ms: view.map_or(0, |view| view.covered_ms()),
                requests: view.and_then(|view| view.requests(Side::Canary)),
                parts: None,
            }
        }
        Read::Score(parts) => score(sight, parts),
    }
}

impl Seen {
    fn finding(self, metric: &Metric, comparison: Comparison, limit: Option<f64>) -> Finding {
        let Self { canary, stable, over_ms, requests: _, parts } = self;
        let metric = metric.clone();
        match parts {
            None => Finding::Threshold { metric, comparison, canary, stable, limit, over_ms },
            Some(parts) => {
                Finding::Score { metric, comparison, canary, stable, limit, over_ms, parts }
            }
        }
    }
}

/// Scores both sides over the time that all parts cover.
fn score(sight: &Sight<'_>, parts: &[(ScorePart, Place)]) -> Seen {
    let mut told = Vec::with_capacity(parts.len());
    let (mut canaries, mut stables) = (Vec::new(), Vec::new());
    let (mut known, mut over_ms, mut requests) = (true, u64::MAX, None);
    for (part, place) in parts {
        let view = sight.view(*place);
        let read = |side| view.and_then(|view| view.read(&part.metric, side));
        // Where the plan gives stable no traffic, the last requests under way are nothing to compare with.
        let stable = read(Side::Stable).filter(|_| sight.split.is_mixed());
        let canary = read(Side::Canary);
        let left_out = part.compares() && stable.is_none();
        known &= left_out || canary.is_some();
        let graded = canary.and_then(|value| grade_of(part, value, stable));
        canaries.extend(graded.map(|grade| (grade, part.weight)));
        let grade = stable.and_then(|value| grade_of(part, value, stable));
        stables.extend(grade.map(|grade| (grade, part.weight)));
        over_ms = over_ms.min(view.map_or(0, |view| view.covered_ms()));
        let counted = view.and_then(|view| view.requests(Side::Canary));
        requests = requests.into_iter().chain(counted).min();
        told.push(PartScore::new(part.metric.clone(), canary, graded));
    }
    let canary = if known { health_score(canaries) } else { None };
    Seen { canary, stable: health_score(stables), over_ms, requests, parts: Some(told) }
}

/// Grades one side's number of a part; `None` where the part is left out: stable has no traffic to compare with.
fn grade_of(part: &ScorePart, value: f64, stable: Option<f64>) -> Option<f64> {
    let limit = |limit: Limit| match limit {
        Limit::Absolute(value) => Some(value),
        Limit::TimesStable(times) => stable.map(|stable| stable * times),
    };
    grade(value, limit(part.good)?, limit(part.bad)?)
}

/// Says what it means where a side that is needed has nothing that could be read.
fn lack(sight: &Sight<'_>, metered: &Metered) -> Option<(Verdict, Finding)> {
    let relative = matches!(metered.limit, Limit::TimesStable(_));
    match &metered.read {
        Read::One(place) => lack_of(sight, &metered.metric, *place, relative),
        Read::Score(parts) => {
            let lack = |(part, place): &(ScorePart, Place)| {
                let compares = (relative || part.compares()) && sight.split.is_mixed();
                lack_of(sight, &part.metric, *place, compares)
            };
            parts.iter().filter_map(lack).max_by_key(|(verdict, _)| gravity(*verdict))
        }
    }
}

/// Orders verdicts that say nothing about the canary by how much is missing.
pub(super) const fn gravity(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Error => 4,
        Verdict::NoData => 3,
        Verdict::Inconclusive => 2,
        Verdict::Pending => 1,
        Verdict::Pass | Verdict::Fail | Verdict::NotApplicable => 0,
    }
}

fn lack_of(
    sight: &Sight<'_>,
    metric: &Metric,
    place: Place,
    compares: bool,
) -> Option<(Verdict, Finding)> {
    let measured = match sight.said(place.track) {
        Said::Fresh(measured) => measured,
        Said::Pending => return Some((Verdict::Pending, Finding::Nothing)),
        Said::Failed(failure) => return Some((Verdict::Error, Finding::Failed(failure.clone()))),
    };
    let view = match place.over {
        Over::Gathered(_) => sight.view(place)?,
        Over::Look | Over::History(_) | Over::Stage => View::of(measured),
    };
    unreadable(metric, view.sides, if compares { &Side::BOTH } else { &[Side::Canary] })
}

/// Says what it means where one of these sides has nothing that the metric could be read off.
pub(super) fn unreadable(
    metric: &Metric,
    readings: &BySide<Reading>,
    of: &[Side],
) -> Option<(Verdict, Finding)> {
    for side in of {
        let reading = readings.get(*side);
        if reading.is_missing() {
            let sides = Silent::of(readings).unwrap_or(Silent::Both);
            let signal = metric.signal();
            return Some((Verdict::NoData, Finding::Silent { signal, sides }));
        }
        if !fits(metric, reading) {
            let shape = reading.shape();
            let message =
                format!("the source answered `{}` of {side} with {shape}", metric.signal());
            let failure = Failure::new(FailureKind::Invalid, message);
            return Some((Verdict::Error, Finding::Failed(failure)));
        }
    }
    None
}

const fn fits(metric: &Metric, reading: &Reading) -> bool {
    match metric {
        Metric::ErrorRate | Metric::SuccessRate | Metric::RequestRate => {
            matches!(reading, Reading::Counts(_))
        }
        Metric::Latency(_) => matches!(reading, Reading::Buckets(_)),
        Metric::Custom(_) => matches!(reading, Reading::Value(_)),
    }
}
