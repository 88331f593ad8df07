//! One rank test of both sides' numbers at the end of a stage.

use serde::{Deserialize, Serialize};

use super::metered::unreadable;
use super::plan::RankPlan;
use super::sight::Said;
use crate::analysis::MannWhitney;
use crate::record::{Finding, Verdict};
use crate::value::{BySide, Side};

/// How many points of each side are kept: of more, two that follow each other become their mean.
const POINTS: usize = 256;
/// How many it takes to say anything.
const ENOUGH: usize = 10;

/// Keeps the numbers of one stage, look by look, and what they came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Ranks {
    stable: Vec<f64>,
    canary: Vec<f64>,
    /// How many looks a point stands for.
    looks: u32,
    /// Those of the next point so far: each side's mean, as far as it has come.
    sum: BySide<f64>,
    summed: u32,
    found: Option<(Verdict, Finding)>,
}

impl Ranks {
    /// Adds what one look shows, where it shows both sides.
    pub(super) fn add(&mut self, seen: BySide<Option<f64>>) {
        let (Some(stable), Some(canary)) = (seen.stable, seen.canary) else { return };
        self.looks = self.looks.max(1);
        // Divided first: the mean of finite numbers is finite, their sum need not be.
        let part = f64::from(self.looks).recip();
        self.sum.stable += stable * part;
        self.sum.canary += canary * part;
        self.summed += 1;
        if self.summed >= self.looks {
            self.stable.push(self.sum.stable);
            self.canary.push(self.sum.canary);
            (self.sum, self.summed) = (BySide::default(), 0);
        }
        if self.stable.len() >= POINTS {
            for points in [&mut self.stable, &mut self.canary] {
                *points = points.chunks(2).map(|two| two.iter().map(|x| x / 2.0).sum()).collect();
            }
            self.looks = self.looks.saturating_mul(2);
        }
    }

    /// Compares both sides, until there is enough to come to something: once.
    pub(super) fn compare(&mut self, plan: &RankPlan, said: Said<'_>) {
        if !matches!(self.found, Some((Verdict::Pass | Verdict::Fail, _))) {
            self.found = Some(self.judge(plan, said));
        }
    }

    pub(super) fn found(&self) -> Option<(Verdict, Finding)> {
        self.found.clone()
    }

    /// Returns how many points of each side there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.stable.len()
    }

    fn judge(&self, plan: &RankPlan, said: Said<'_>) -> (Verdict, Finding) {
        match said {
            Said::Failed(failure) => return (Verdict::Error, Finding::Failed(failure.clone())),
            Said::Pending => return (Verdict::Pending, Finding::Nothing),
            Said::Fresh(measured) => {
                if let Some(lack) = unreadable(&plan.metric, &measured.sides, &Side::BOTH) {
                    return lack;
                }
            }
        }
        let mean = |side| {
            let points = if side == Side::Stable { &self.stable } else { &self.canary };
            #[expect(clippy::cast_precision_loss, reason = "at most 256 points")]
            let n = points.len() as f64;
            (!points.is_empty()).then(|| points.iter().map(|x| x / n).sum())
        };
        let compared =
            MannWhitney::new(&self.stable, &self.canary).filter(|_| self.stable.len() >= ENOUGH);
        let verdict = match &compared {
            None => Verdict::Inconclusive,
            Some(compared) if compared.is_high(plan.ratio) => Verdict::Fail,
            Some(_) => Verdict::Pass,
        };
        let finding = Finding::Ranks {
            metric: plan.metric.clone(),
            means: BySide::from_fn(mean),
            points: self.stable.len(),
            needed: ENOUGH,
            p_value: compared.map(|compared| compared.p),
            shift: compared.map(|compared| [compared.lower, compared.upper]),
            ratio: plan.ratio,
        };
        (verdict, finding)
    }
}
