//! The checks that weigh requests of both sides: the evidence and the hard limit.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::sight::{Said, Sight};
use crate::analysis::{self, EvidenceLimits, EvidenceState, Tick};
use crate::record::{Finding, Silent, Verdict};
use crate::value::{
    BySide, Counts, Failure, FailureKind, Measured, Reading, Signal, Weight, millis,
};

/// Remembers what one evidence check has weighed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Weighing {
    state: EvidenceState,
    requests: BySide<Counts>,
    /// The covered time since the first look that was weighed.
    live_ms: u64,
}

impl Weighing {
    /// Adds one look's requests.
    pub(super) fn add(&mut self, limits: &EvidenceLimits, measured: &Measured) {
        let Some(requests) = counts(&measured.sides) else { return };
        let live = Duration::from_millis(self.live_ms);
        let tick = Tick { stable: requests.stable, canary: requests.canary };
        self.state.add(limits, tick, live);
        self.requests.stable.add(requests.stable);
        self.requests.canary.add(requests.canary);
        self.live_ms = self.live_ms.saturating_add(millis(measured.covered.length()));
    }
}

/// Says what the evidence so far comes to.
pub(super) fn evidence(sight: &Sight<'_>, i: usize) -> (Verdict, Finding) {
    if let Err(missing) = both_counts(sight.said(0)) {
        return missing.into();
    }
    let (Some(weighing), Some(limits)) = (sight.evidence.get(i), sight.plan.evidence.get(i)) else {
        return (Verdict::NotApplicable, Finding::Nothing);
    };
    let evidence = weighing.state.evidence();
    let finding = Finding::Evidence {
        requests: weighing.requests,
        odds: evidence.odds(),
        needed: 1.0 / limits.false_alarm(),
    };
    (if evidence.convicted { Verdict::Fail } else { Verdict::Pass }, finding)
}

/// Judges the built-in hard limit on this look's window.
pub(super) fn hard_limit(weight: Weight, said: Said<'_>) -> (Verdict, Finding) {
    if !weight.is_mixed() {
        return (Verdict::NotApplicable, Finding::Nothing);
    }
    let requests = match both_counts(said) {
        Ok(requests) => requests,
        Err(missing) => return missing.into(),
    };
    match analysis::hard_limit(requests.stable, requests.canary) {
        Some(true) => (Verdict::Fail, Finding::HardLimit { requests }),
        // Too few cannot be at the limit, which is half of enough.
        Some(false) | None => (Verdict::Pass, Finding::HardLimit { requests }),
    }
}

/// Says why there are no counts.
enum Missing {
    Pending,
    NoData(Silent),
    Error(Failure),
}

impl From<Missing> for (Verdict, Finding) {
    fn from(missing: Missing) -> Self {
        match missing {
            Missing::Pending => (Verdict::Pending, Finding::Nothing),
            Missing::NoData(sides) => {
                (Verdict::NoData, Finding::Silent { signal: Signal::Requests, sides })
            }
            Missing::Error(failure) => (Verdict::Error, Finding::Failed(failure)),
        }
    }
}

fn both_counts(said: Said<'_>) -> Result<BySide<Counts>, Missing> {
    let sides = match said {
        Said::Fresh(measured) => &measured.sides,
        Said::Pending => return Err(Missing::Pending),
        Said::Failed(failure) => return Err(Missing::Error(failure.clone())),
    };
    if let Some(counts) = counts(sides) {
        return Ok(counts);
    }
    if let Some(silent) = Silent::of(sides) {
        return Err(Missing::NoData(silent));
    }
    Err(Missing::Error(Failure::new(
        FailureKind::Invalid,
        "the source answered `requests` with something other than counts",
    )))
}

/// Returns both sides' counts where both have any.
pub(super) const fn counts(sides: &BySide<Reading>) -> Option<BySide<Counts>> {
    match (&sides.stable, &sides.canary) {
        (Reading::Counts(stable), Reading::Counts(canary)) => {
            Some(BySide { stable: *stable, canary: *canary })
        }
        _ => None,
    }
}
