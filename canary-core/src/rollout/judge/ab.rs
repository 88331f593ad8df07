//! One comparison of both sides at the end of a stage.

use super::plan::AbPlan;
use super::sight::Said;
use super::tally::Tally;
use crate::analysis::worse_by_chance;
use crate::policy::Metric;
use crate::record::{Finding, Verdict};
use crate::value::{Buckets, BySide, Counts, Failure, FailureKind, Reading, Side};

/// Compares both sides over the stage's own requests.
pub(super) fn judge(plan: &AbPlan, stage: &Tally, said: Said<'_>) -> (Verdict, Finding) {
    match said {
        Said::Failed(failure) => return (Verdict::Error, Finding::Failed(failure.clone())),
        Said::Pending => return (Verdict::Pending, Finding::Nothing),
        Said::Fresh(_) => {}
    }
    let sides = stage.view().sides;
    if Side::BOTH.into_iter().any(|side| sides.get(side).is_missing()) {
        return (Verdict::NoData, Finding::Nothing);
    }
    let (beyond_ms, counts) = match counted(plan, sides) {
        Ok(counted) => counted,
        Err(failure) => return (Verdict::Error, Finding::Failed(failure)),
    };
    let enough = counts.stable.total.min(counts.canary.total) >= plan.samples;
    let p_value = worse_by_chance(counts.stable, counts.canary).filter(|_| enough);
    let verdict = match p_value {
        None => Verdict::Inconclusive,
        Some(p) if p < plan.significance => Verdict::Fail,
        Some(_) => Verdict::Pass,
    };
    let finding = Finding::Ab {
        metric: plan.metric.clone(),
        beyond_ms,
        rates: BySide { stable: counts.stable.error_rate(), canary: counts.canary.error_rate() },
        samples: BySide { stable: counts.stable.total, canary: counts.canary.total },
        needed: plan.samples,
        p_value,
        significance: plan.significance,
    };
    (verdict, finding)
}

type Counted = (Option<f64>, BySide<Counts>);

/// Counts what is compared: failed requests, or those slower than a bucket's boundary.
fn counted(plan: &AbPlan, sides: &BySide<Reading>) -> Result<Counted, Failure> {
    let compared = match (&sides.stable, &sides.canary, plan.slower) {
        (Reading::Counts(stable), Reading::Counts(canary), None) => {
            Some((None, BySide { stable: *stable, canary: *canary }))
        }
        (Reading::Buckets(stable), Reading::Buckets(canary), Some(slower))
            if stable.has_bounds_of(canary) =>
        {
            nearest(stable, slower).map(|i| {
                let of = |side: &Buckets| side.slower_than(i);
                (Some(stable.bounds()[i]), BySide { stable: of(stable), canary: of(canary) })
            })
        }
        _ => None,
    };
    compared.ok_or_else(|| uncomparable(&plan.metric, sides))
}

/// Returns the boundary beyond which the share of stable's requests is nearest to this one.
#[expect(clippy::cast_precision_loss, reason = "a share needs no 53 bits")]
fn nearest(stable: &Buckets, slower: f64) -> Option<usize> {
    let all = stable.total().max(1) as f64;
    let off = |i: &usize| (stable.beyond(*i) as f64 / all - slower).abs();
    (0..stable.bounds().len()).min_by(|a, b| off(a).total_cmp(&off(b)))
}

fn uncomparable(metric: &Metric, sides: &BySide<Reading>) -> Failure {
    let (stable, canary) = (sides.stable.shape(), sides.canary.shape());
    let signal = metric.signal();
    Failure::new(
        FailureKind::Invalid,
        format!(
            "`{signal}` of both sides cannot be compared: stable has {stable}, the canary {canary}, or their bounds differ"
        ),
    )
}
