//! The checks that weigh requests of both sides: the evidence and the hard limit.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Seen, result};
use crate::analysis::{self, EvidenceLimits, EvidenceState, Tick};
use crate::policy::{Check, HARD_LIMIT, Then};
use crate::record::{CheckResult, Finding, Verdict};
use crate::value::{BySide, Counts, Failure, FailureKind, Reading, Side, Weight, millis};

/// Remembers what one evidence check has weighed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Weighing {
    state: EvidenceState,
    requests: BySide<Counts>,
    /// The covered time since the first tick that was weighed.
    live_ms: u64,
}

/// Returns both sides' counts, or the verdict that their lack means.
fn both_counts(seen: &Seen<'_>) -> Result<BySide<Counts>, (Verdict, Finding)> {
    let measured = match seen {
        Seen::Fresh(measured) => measured,
        Seen::Pending => return Err((Verdict::Pending, Finding::Nothing)),
        Seen::Failed(failure) => return Err((Verdict::Error, Finding::Failed(failure.clone()))),
    };
    if let Some(counts) = counts(seen) {
        return Ok(counts);
    }
    let silent = |side| matches!(measured.sides.get(side), Reading::NoData | Reading::NotFinite);
    if Side::BOTH.into_iter().any(silent) {
        return Err((Verdict::NoData, Finding::Nothing));
    }
    let failure = Failure::new(
        FailureKind::Invalid,
        "the source answered `requests` with something other than counts",
    );
    Err((Verdict::Error, Finding::Failed(failure)))
}

/// Judges the built-in hard limit on this tick's window.
pub(super) fn hard_limit(weight: Weight, seen: &Seen<'_>) -> CheckResult {
    let (verdict, finding) = match both_counts(seen) {
        _ if !weight.is_mixed() => (Verdict::NotApplicable, Finding::Nothing),
        Err(lack) => lack,
        Ok(requests) => match analysis::hard_limit(requests.stable, requests.canary) {
            Some(true) => (Verdict::Fail, Finding::HardLimit { requests }),
            Some(false) => (Verdict::Pass, Finding::HardLimit { requests }),
            None => (Verdict::NotApplicable, Finding::Nothing),
        },
    };
    CheckResult::new(Arc::from(HARD_LIMIT), verdict, Then::RollBack, finding)
}

/// Adds this tick to the evidence and says what it comes to.
pub(super) fn weigh(
    weighing: &mut Weighing,
    check: &Check,
    limits: &EvidenceLimits,
    weight: Weight,
    seen: &Seen<'_>,
) -> CheckResult {
    if !check.kind.applies_at(weight) {
        return result(check, Verdict::NotApplicable, Finding::Nothing);
    }
    let requests = match both_counts(seen) {
        Ok(requests) => requests,
        Err((verdict, finding)) => return result(check, verdict, finding),
    };
    let live = Duration::from_millis(weighing.live_ms);
    let tick = Tick { stable: requests.stable, canary: requests.canary };
    let evidence = weighing.state.add(limits, tick, live);
    weighing.requests.stable.add(requests.stable);
    weighing.requests.canary.add(requests.canary);
    if let Seen::Fresh(measured) = seen {
        weighing.live_ms = weighing.live_ms.saturating_add(millis(measured.covered.length()));
    }
    let finding = Finding::Evidence {
        requests: weighing.requests,
        odds: evidence.odds(),
        needed: 1.0 / limits.false_alarm,
    };
    result(check, if evidence.convicted { Verdict::Fail } else { Verdict::Pass }, finding)
}

/// Returns both sides' counts where both have any.
pub(super) fn counts(seen: &Seen<'_>) -> Option<BySide<Counts>> {
    let Seen::Fresh(measured) = seen else {
        return None;
    };
    match (&measured.sides.stable, &measured.sides.canary) {
        (Reading::Counts(stable), Reading::Counts(canary)) => {
            Some(BySide { stable: *stable, canary: *canary })
        }
        _ => None,
    }
}
