//! What was weighed, in words.

use std::fmt;

use super::findings::{failures, rate, shown};
use super::{Finding, Grounds, Together, Unweighed};
use crate::analysis::Explained;
use crate::policy::{Evident, Unit};
use crate::value::{BySide, Counts};

/// Writes a finding of statistics; any other is none of its business.
pub(super) fn tell(finding: &Finding, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match finding {
        Finding::Evidence { requests, unweighed, odds, needed, grounds } => {
            evidence(f, requests.as_ref(), (*odds, *needed), grounds.as_deref())?;
            unweighed.iter().try_for_each(|why| write!(f, "; {why}"))
        }
        Finding::AsGood { requests, ratio, odds, needed } => {
            failures(f, requests)?;
            let odds = Odds(*odds);
            write!(
                f,
                "; evidence {odds} that it fails less than {ratio} times as often, {needed:.0} : 1 is enough"
            )
        }
        Finding::Objective { requests, allowed, odds, needed } => write!(
            f,
            "canary failed {} of {} requests of the stage, {} may fail; evidence {} that it fails more often, \
             {needed:.0} : 1 is enough",
            rate(*requests),
            requests.total,
            Unit::Share.show(*allowed),
            Odds(*odds)
        ),
        Finding::Ranks { metric, means, points, needed, p_value, shift, ratio } => {
            write!(
                f,
                "{metric} over {points} looks of the stage: canary {} on average, stable {}",
                shown(metric, means.canary),
                shown(metric, means.stable)
            )?;
            let (Some(p), Some([lower, upper])) = (p_value, shift) else {
                return write!(f, "; it takes {needed} looks");
            };
            write!(
                f,
                "; it lies {} to {} above stable, by chance with a probability of {}; bad is clearly above, and {ratio} \
                 times on average",
                shown(metric, Some(*lower)),
                shown(metric, Some(*upper)),
                Unit::Share.show(*p)
            )
        }
        _ => Ok(()),
    }
}

/// Writes what the evidence is, and what it rests on; what convicts comes first.
fn evidence(
    f: &mut fmt::Formatter<'_>,
    requests: Option<&BySide<Counts>>,
    (odds, needed): (f64, f64),
    grounds: Option<&Grounds>,
) -> fmt::Result {
    let slow = grounds.and_then(|grounds| grounds.slow);
    let by_errors = grounds.is_some_and(|grounds| grounds.culprits == [Evident::Errors.as_str()]);
    if let Some(slow) = slow.filter(|_| !by_errors) {
        write!(f, "{slow}; ")?;
    }
    match (requests, grounds.and_then(|grounds| Some((grounds.ratio?, grounds.confidence)))) {
        (Some(requests), Some((bounds, confidence))) => {
            write!(f, "{}", Explained::new(*requests, bounds, confidence, odds, needed))?;
        }
        (requests, _) => {
            if let Some(requests) = requests {
                failures(f, requests)?;
                f.write_str("; ")?;
            }
            let odds = Odds(odds);
            write!(f, "evidence {odds} against the canary, {needed:.0} : 1 takes it back")?;
        }
    }
    if let Some(slow) = slow.filter(|_| by_errors) {
        write!(f, "; {slow}")?;
    }
    grounds.map_or(Ok(()), |grounds| rest(f, grounds))
}

/// Writes what else there is to say of it.
fn rest(f: &mut fmt::Formatter<'_>, grounds: &Grounds) -> fmt::Result {
    match grounds.bounds_ms.as_slice() {
        [] => {}
        [bound] => write!(f, "; latency weighed at {}", Unit::Millis.show(*bound))?,
        [first, .., last] => {
            let (first, last) = (Unit::Millis.show(*first), Unit::Millis.show(*last));
            let bounds = grounds.bounds_ms.len();
            write!(f, "; latency weighed at {bounds} bounds from {first} to {last}")?;
        }
    }
    if !grounds.culprits.is_empty() {
        write!(f, "; guilty by itself: {}", grounds.culprits.join(", "))?;
    }
    if let Some(pod) = &grounds.one_pod {
        write!(f, "; it is pod {pod}, not the version: the others show no such evidence")?;
    }
    match grounds.together {
        Some(Together { pods, guilty: true }) => write!(
            f,
            "; it is among {pods} pods that were weighed together, not the version: the others show no such evidence"
        )?,
        Some(Together { pods, guilty: false }) => {
            write!(f, "; up to {pods} of its pods were weighed together, not one by one")?;
        }
        None => {}
    }
    scatter(f, grounds.dispersion)
}

/// Writes how errors scatter among pods; the canary's do where one pod is bad, too.
fn scatter(f: &mut fmt::Formatter<'_>, factors: BySide<Option<f64>>) -> fmt::Result {
    let as_by_chance = "times as much among its pods as by chance";
    match (factors.stable, factors.canary) {
        (Some(stable), Some(canary)) => write!(
            f,
            "; stable's errors scatter {stable:.1} {as_by_chance}, the canary's {canary:.1} times"
        ),
        (Some(stable), None) => write!(f, "; stable's errors scatter {stable:.1} {as_by_chance}"),
        (None, Some(canary)) => {
            write!(f, "; the canary's errors scatter {canary:.1} {as_by_chance}")
        }
        (None, None) => Ok(()),
    }
}

/// Writes `latency is not weighed yet: its bounds are fixed by stable's first 1000 requests, and there are 400`.
impl fmt::Display for Unweighed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooFew { seen, needed } => write!(
                f,
                "latency is not weighed yet: its bounds are fixed by stable's first {needed} requests, and there are \
                 {seen}"
            ),
            Self::NoBound => f.write_str(
                "latency is not weighed: beyond no bound of the histogram lie 0.1 % to 25 % of stable's requests",
            ),
            Self::OtherBounds => f.write_str(
                "latency is not weighed: the two sides' histograms share none of the bounds that were fixed",
            ),
        }
    }
}

/// Writes `5300 : 1`.
pub(crate) struct Odds(pub(crate) f64);

impl fmt::Display for Odds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            odds if odds >= 1e6 => f.write_str("more than 1000000 : 1"),
            odds if odds >= 10.0 => write!(f, "{odds:.0} : 1"),
            odds => write!(f, "{odds:.1} : 1"),
        }
    }
}
